//! A mosquitto that asks every client for a certificate, and authorities that OpenSSL makes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::peers::run;

/// The broker. It ends with this value.
pub struct Broker {
    /// Where it listens.
    pub address: SocketAddr,
    dir: PathBuf,
    child: Option<Child>,
}

impl Broker {
    /// A broker whose own certificate and whose clients' are of the authority `ca` in `dir`.
    pub fn start(dir: &Path, ca: &str) -> Broker {
        let address = crate::free_address();
        openssl(dir, &format!("req -new {KEY} -keyout broker.key -out broker.csr -subj /CN=broker"));
        std::fs::write(dir.join("broker.ext"), "subjectAltName=IP:127.0.0.1\n").expect("writable");
        sign(dir, ca, "broker.csr", "broker.pem", "-days 2 -extfile broker.ext");
        let at = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "user root\nlistener {} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n\
             allow_anonymous true\npersistence false\ntls_version tlsv1.3\nlog_dest stderr\nlog_type all\n",
            address.port(),
            at(&format!("{ca}.pem")),
            at("broker.pem"),
            at("broker.key")
        );
        std::fs::write(dir.join("mosquitto.conf"), config).expect("writable");
        let mut broker = Broker { address, dir: dir.to_owned(), child: None };
        broker.restart();
        broker
    }

    /// Ends it and starts it anew, with an empty log.
    pub fn restart(&mut self) {
        self.stop();
        let log = std::fs::File::create(self.dir.join("mosquitto.log")).expect("writable");
        // Daemons live where ordinary users do not look.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(self.dir.join("mosquitto.conf")).env("PATH", path);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.unwrap_or_else(|e| panic!("mosquitto: {e}: deploy/setup.sh installs it")));
        crate::wait_for(self.address);
    }

    /// Whether the client of this id has connected since the start.
    pub fn has_connected(&self, client: &str) -> bool {
        let log = std::fs::read_to_string(self.dir.join("mosquitto.log")).unwrap_or_default();
        log.lines()
            .any(|line| line.contains("New client connected") && line.contains(&format!("as {client} ")))
    }

    /// Whether a message of this topic, to be kept, has come since the start.
    pub fn was_told(&self, topic: &str) -> bool {
        let log = std::fs::read_to_string(self.dir.join("mosquitto.log")).unwrap_or_default();
        log.lines()
            .any(|line| line.contains("Received PUBLISH") && line.contains(", r1,") && line.contains(topic))
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes the authority `ca`: `ca.pem` and `ca.key` in `dir`; its subject is `subject`.
pub fn authority(dir: &Path, ca: &str, subject: &str) {
    openssl(dir, &format!("req -x509 {KEY} -keyout {ca}.key -out {ca}.pem -days 900 -subj {subject}"));
}

/// Has the authority `ca` sign a request.
pub fn sign(dir: &Path, ca: &str, request: &str, out: &str, more: &str) {
    let args =
        format!("x509 -req -in {request} -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -out {out} {more}");
    openssl(dir, &args);
}

/// Runs OpenSSL with these words.
pub fn openssl(dir: &Path, args: &str) {
    let said = run(dir, "openssl", &args.split(' ').collect::<Vec<_>>());
    assert_eq!(said.code, 0, "openssl {args}: {}", said.text);
}

/// A new P-256 key without passphrase.
const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
