//! The demo's broker: mosquitto with TLS 1.3 and client certificates, and an ear on its topics.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::judge::Failure;

/// A running broker and what was heard on it.
pub(super) struct Broker {
    mosquitto: Child,
    ear: Child,
    heard: Arc<Mutex<Vec<String>>>,
    pub(super) port: u16,
}

impl Broker {
    pub(super) fn start(dir: &Path) -> Result<Broker, Failure> {
        certificates(dir).map_err(|e| Failure::internal(format!("demo certificates: {e}")))?;
        let port = free_port()?;
        let at = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "listener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n\
             use_identity_as_username true\nallow_anonymous false\ntls_version tlsv1.3\n",
            at("ca.pem"),
            at("broker.pem"),
            at("broker.key")
        );
        let path = dir.join("mosquitto.conf");
        std::fs::write(&path, config).map_err(|e| Failure::internal(e.to_string()))?;
        let log =
            std::fs::File::create(dir.join("mosquitto.log")).map_err(|e| Failure::internal(e.to_string()))?;
        let program = ["/usr/sbin/mosquitto", "mosquitto"]
            .into_iter()
            .find(|p| Path::new(p).exists())
            .unwrap_or("mosquitto");
        let mosquitto = Command::new(program).arg("-c").arg(&path).stdout(Stdio::null()).stderr(log).spawn();
        let mosquitto = mosquitto
            .map_err(|e| Failure::not_found(format!("mosquitto: {e}; deploy/setup.sh installs it")))?;
        wait_for(port)?;
        let mut ear = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "headgate/#", "-v", "-q", "1"])
            .args(["--cafile", &at("ca.pem"), "--cert", &at("client.pem"), "--key", &at("client.key")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Failure::not_found(format!("mosquitto_sub: {e}; deploy/setup.sh installs it")))?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        if let Some(out) = ear.stdout.take() {
            let heard = heard.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            });
        }
        Ok(Broker { mosquitto, ear, heard, port })
    }

    /// How much was heard so far; a mark for [`Broker::hear`].
    pub(super) fn mark(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits for a message after `mark` that contains `what`.
    pub(super) fn hear(&self, mark: usize, what: &str, within: Duration) -> Option<String> {
        let end = Instant::now() + within;
        loop {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(line) = heard.iter().skip(mark).find(|l| l.contains(what)) {
                return Some(line.clone());
            }
            drop(heard);
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for child in [&mut self.ear, &mut self.mosquitto] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port nobody listens on now.
pub(super) fn free_port() -> Result<u16, Failure> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    port.map(|a| a.port()).map_err(|e| Failure::internal(e.to_string()))
}

/// Waits until somebody listens.
pub(super) fn wait_for(port: u16) -> Result<(), Failure> {
    let end = Instant::now() + Duration::from_secs(5);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() >= end {
            return Err(Failure::internal(format!("nobody listens on port {port} after 5 s")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A certificate authority for the demo, the broker's certificate and one for its clients.
fn certificates(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let ca_key = rcgen::KeyPair::generate()?;
    let mut ca = rcgen::CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(rcgen::DnType::CommonName, "Headgate demo CA");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let certificate = ca.self_signed(&ca_key)?;
    write(dir.join("ca.pem"), &certificate.pem())?;
    let issuer = rcgen::Issuer::new(ca, ca_key);
    for (name, host, usage) in [
        ("broker", Some("127.0.0.1"), rcgen::ExtendedKeyUsagePurpose::ServerAuth),
        ("client", None, rcgen::ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let key = rcgen::KeyPair::generate()?;
        let mut params =
            rcgen::CertificateParams::new(host.map(String::from).into_iter().collect::<Vec<_>>())?;
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("headgate-{name}"));
        params.extended_key_usages = vec![usage];
        write(dir.join(format!("{name}.pem")), &params.signed_by(&key, &issuer)?.pem())?;
        write(dir.join(format!("{name}.key")), &key.serialize_pem())?;
    }
    Ok(())
}

fn write(path: PathBuf, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}
