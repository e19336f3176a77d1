//! A mosquitto, a subscriber, certificates, and somebody who answers for the judge.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway::config::{Mqtt, MqttClient, MqttTls};
use gateway::judge::{Inbox, Message};
use gateway::state::outbox::{self, Kind, NewMessage, OutboxQuota};
use gateway::state::{Db, Lock};
use hal::clock::{Clock, Wall};
use hal::store::{Fuse, RealDisk, Store};
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

/// Whether the tests of this file can run. Where everything must be tested, mosquitto must be there.
pub(crate) fn mosquitto_here() -> Option<()> {
    let here = ["mosquitto", "mosquitto_sub"].iter().all(|program| {
        Command::new(program)
            .arg("-h")
            .env("PATH", path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    });
    assert!(
        here || std::env::var_os("CI").is_none(),
        "mosquitto is not installed: apt-get install mosquitto mosquitto-clients"
    );
    if !here {
        println!("skipped: mosquitto is not installed");
    }
    here.then_some(())
}

/// Daemons live where ordinary users do not look.
fn path() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

pub(crate) async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Signs certificates.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "plant");
        Authority { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key.
    fn sign(&self, host: &str, years: (i32, i32)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// What a broker shows to those who connect by TLS.
pub(crate) struct Listener {
    /// The newest version it speaks, as OpenSSL names it.
    pub(crate) newest: &'static str,
    pub(crate) host: &'static str,
    pub(crate) years: (i32, i32),
}

impl Default for Listener {
    fn default() -> Listener {
        Listener { newest: "TLSv1.3", host: "127.0.0.1", years: (2020, 2090) }
    }
}

/// A mosquitto with one port for TLS and client certificates, and one without.
pub(crate) struct Broker {
    pub(crate) tls: u16,
    pub(crate) plain: u16,
    dir: tempfile::TempDir,
    child: Option<Child>,
    runs: u32,
}

impl Broker {
    /// Started, with a certificate and clients of `ca`; the file `ca.pem` for our side holds `trusted`.
    pub(crate) fn start(ca: &Authority, trusted: &Authority, listener: Listener) -> Broker {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let (certificate, key) = ca.sign(listener.host, listener.years);
        write("broker.pem", &certificate);
        write("broker.key", &key);
        write("clients.pem", &ca.pem);
        write("ca.pem", &trusted.pem);
        let (tls, plain) = (free_port(), free_port());
        write(
            "mosquitto.conf",
            &format!(
                "user root\nallow_anonymous true\npersistence false\nlog_dest stderr\nlog_type all\n\
                 listener {plain} 127.0.0.1\n\
                 listener {tls} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\n\
                 tls_version {}\nrequire_certificate true\n",
                at("clients.pem"),
                at("broker.pem"),
                at("broker.key"),
                listener.newest.to_lowercase()
            ),
        );
        // For mosquitto the version above is the oldest one; the newest is OpenSSL's affair.
        write(
            "openssl.cnf",
            &format!(
                "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\nMaxProtocol = {}\n",
                listener.newest
            ),
        );
        let mut broker = Broker { tls, plain, dir, child: None, runs: 0 };
        broker.restart();
        broker
    }

    pub(crate) fn restart(&mut self) {
        self.runs += 1;
        let log = std::fs::File::create(self.log()).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.dir.path().join("mosquitto.conf"))
            .env("PATH", path())
            .env("OPENSSL_CONF", self.dir.path().join("openssl.cnf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let began = Instant::now();
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.tls)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "mosquitto: {}", self.log_text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Topics of every message of the feed that the broker took in, over all its runs.
    pub(crate) fn received(&self) -> Vec<String> {
        let runs = (1..=self.runs).map(|run| self.dir.path().join(format!("log-{run}")));
        let log: String = runs.map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let from_feed = log.lines().filter(|l| l.contains("Received PUBLISH from headgate-test"));
        let topic = |l: &str| l.split('\'').nth(1).unwrap_or_default().to_string();
        from_feed.map(topic).filter(|t| !t.ends_with("/connection")).collect()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join(format!("log-{}", self.runs))
    }

    fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The configuration of a feed to `port`, with a client certificate of `signer`.
pub(crate) fn config(broker: &Broker, port: u16, signer: Option<&Authority>) -> Mqtt {
    let dir = broker.dir.path();
    let client = signer.map(|ca| {
        let (certificate, key) = ca.sign("cell-4", (2020, 2090));
        std::fs::write(dir.join("client.pem"), certificate).unwrap();
        std::fs::write(dir.join("client.key"), key).unwrap();
        MqttClient::Files { certificate: dir.join("client.pem"), key: dir.join("client.key") }
    });
    let tls = Some(MqttTls { ca: dir.join("ca.pem"), client });
    Mqtt { host: "127.0.0.1".into(), port, tls, client_id: "headgate-test".into() }
}

/// A port that leads to a broker's, as long as it is open.
#[derive(Default)]
pub(crate) struct Gate {
    /// New connections are ended.
    pub(crate) shut: AtomicBool,
    /// What the broker says is kept back.
    pub(crate) deaf: AtomicBool,
}

impl Gate {
    /// The port.
    pub(crate) async fn to(self: &Arc<Gate>, port: u16) -> u16 {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let gate = self.clone();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                if !gate.shut.load(Ordering::SeqCst)
                    && let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
                {
                    tokio::spawn(gate.clone().carry(near, far));
                }
            }
        });
        own
    }

    async fn carry(self: Arc<Gate>, near: TcpStream, far: TcpStream) {
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
            (near.into_split(), far.into_split());
        let there = tokio::spawn(async move { tokio::io::copy(&mut from_near, &mut to_far).await });
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from_far.read(&mut buffer).await {
            if !self.deaf.load(Ordering::SeqCst) && to_near.write_all(&buffer[..n]).await.is_err() {
                break;
            }
        }
        there.abort();
    }
}

/// What a subscriber heard.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) sequence: Option<u64>,
    pub(crate) topic: String,
    pub(crate) payload: String,
}

/// A mosquitto_sub; it connects again by itself.
pub(crate) struct Subscriber {
    child: Child,
    heard: Arc<Mutex<Vec<Heard>>>,
    name: String,
}

impl Subscriber {
    pub(crate) fn start(port: u16) -> Subscriber {
        let name = format!("witness-{}", free_port());
        let mut child = Command::new("mosquitto_sub")
            .args(["-V", "5", "-h", "127.0.0.1", "-p", &port.to_string(), "-i", &name])
            .args(["-t", "headgate/#", "-F", "%P|%t|%p"])
            .env("PATH", path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn({
            let heard = heard.clone();
            move || {
                for line in lines.map_while(Result::ok) {
                    let mut parts = line.splitn(3, '|');
                    let mut next = || parts.next().unwrap_or_default().to_string();
                    let (properties, topic, payload) = (next(), next(), next());
                    let sequence = properties.strip_prefix(&format!("{}:", gateway::feed::SEQUENCE));
                    let sequence = sequence.and_then(|n| n.trim().parse().ok());
                    heard.lock().unwrap().push(Heard { sequence, topic, payload });
                }
            }
        });
        Subscriber { child, heard, name }
    }

    /// Waits until `broker` has this subscription.
    pub(crate) async fn subscribed(&self, broker: &Broker) {
        wait_for("the subscriber", || {
            broker.log_text().contains(&format!("Sending SUBACK to {}", self.name))
        })
        .await;
    }

    /// Messages whose topic, after the gateway's name, begins with `what`.
    pub(crate) fn heard(&self, what: &str) -> Vec<Heard> {
        let prefix = format!("headgate/cell-4/{what}");
        self.heard.lock().unwrap().iter().filter(|m| m.topic.starts_with(&prefix)).cloned().collect()
    }

    pub(crate) fn heard_last_topic(&self) -> Option<String> {
        self.heard.lock().unwrap().last().map(|m| m.topic.clone())
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers the feed from a real queue, as the judge does.
#[derive(Clone)]
pub(crate) struct Desk {
    db: Arc<Mutex<Db>>,
    _dir: Arc<tempfile::TempDir>,
    inbox: Inbox,
    bell: Arc<Notify>,
    told: Arc<Mutex<Vec<Result<(), String>>>>,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(RealDisk::open(dir.path()).unwrap(), &[], Fuse::never()).unwrap();
        let db = Arc::new(Mutex::new(Db::open(Lock::take(dir.path()).unwrap(), &store).unwrap()));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (inbox, mut mail) = tokio::sync::mpsc::channel(4);
        std::thread::spawn({
            let (db, told) = (db.clone(), told.clone());
            move || {
                while let Some(message) = mail.blocking_recv() {
                    match message {
                        Message::Outbox(after, reply) => {
                            let batch = outbox::next_batch(&db.lock().unwrap().rows(), after, 64, now());
                            let _ = reply.send(batch.unwrap());
                        }
                        Message::Sent(ids) => db
                            .lock()
                            .unwrap()
                            .write("test", |tx| {
                                ids.iter().try_for_each(|id| outbox::delete(tx, *id).map(drop))
                            })
                            .unwrap(),
                        Message::Broker(news) => told.lock().unwrap().push(news),
                        _ => panic!("the feed sends nothing else"),
                    }
                }
            }
        });
        Desk { db, _dir: Arc::new(dir), inbox, bell: Arc::new(Notify::new()), told }
    }

    pub(crate) fn push(&self, kind: Kind, topic: &str, n: u64) {
        let new = NewMessage {
            topic: format!("headgate/cell-4/{topic}"),
            payload: format!("{{\"n\":{n}}}").into_bytes(),
            kind,
            expires: None,
        };
        let mut db = self.db.lock().unwrap();
        db.write("test", |tx| outbox::push(tx, &new, OutboxQuota::default(), now())).unwrap();
        self.bell.notify_one();
    }

    pub(crate) fn queued(&self) -> u64 {
        outbox::total(&self.db.lock().unwrap().rows()).unwrap().rows
    }

    /// What the feed said of the broker.
    pub(crate) fn told(&self) -> Vec<Result<(), String>> {
        self.told.lock().unwrap().clone()
    }

    /// A running feed.
    pub(crate) fn feed(&self, config: Mqtt) -> Feed {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { stopped.await.unwrap_or(()) };
        let running =
            gateway::feed::run(config, "cell-4".into(), self.inbox.clone(), self.bell.clone(), None, stopped);
        Feed { stop, task: tokio::spawn(running) }
    }
}

pub(crate) struct Feed {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Feed {
    pub(crate) async fn stop(self) {
        drop(self.stop);
        tokio::time::timeout(Duration::from_secs(5), self.task).await.expect("it ends in time").unwrap();
    }
}

fn now() -> Wall {
    Clock::system().wall()
}
