//! Starts a software TPM (`swtpm`) on this machine: for tests and the demonstration, never for a site.
//!
//! Its state lives in a directory the caller keeps, so it can be killed and restarted like a machine that
//! loses power. PCRs are zero after every start, as after a reset.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::tcti::Tcti;

/// How long a start may take until the ports answer.
const READY: Duration = Duration::from_secs(10);
/// Below the ports Linux gives to outgoing connections (32768 up), which linger on a port after they end.
const PORTS: Range<u16> = 12_000..32_000;
/// Data port, control port, and the claim: a listener this process holds, on the third.
const BLOCK: u16 = 4;
/// Starts before giving up: another process may take a port between our look and swtpm's.
const STARTS: usize = 5;

/// A running software TPM; killed when dropped.
#[derive(Debug)]
pub struct Swtpm {
    state_dir: PathBuf,
    port: u16,
    child: Child,
    /// Held so that the ports stay ours while it is killed and restarted.
    _claim: TcpListener,
}

/// A software TPM that did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwtpmError {
    /// The program is missing or cannot be run.
    #[error("cannot run swtpm: {0}; install the packages swtpm and swtpm-tools")]
    Run(#[source] std::io::Error),
    /// No two neighbouring ports are free on the loopback.
    #[error("no pair of free neighbouring ports: {0}")]
    Ports(#[source] std::io::Error),
    /// It ended or did not answer.
    #[error("swtpm with state in {} did not answer on port {port}; its log: {log}", state_dir.display())]
    NotReady {
        /// Its state directory.
        state_dir: PathBuf,
        /// Its data port.
        port: u16,
        /// The end of its log.
        log: String,
    },
}

impl Swtpm {
    /// Starts one with its state in `state_dir`, which must exist, on a pair of free ports.
    ///
    /// # Errors
    /// [`SwtpmError`] when the program is missing or does not answer within 10 s.
    pub fn start(state_dir: &Path) -> Result<Swtpm, SwtpmError> {
        let mut last = None;
        for _ in 0..STARTS {
            let (port, claim) = claim_ports().map_err(SwtpmError::Ports)?;
            match spawn(state_dir, port) {
                Ok(child) => {
                    return Ok(Swtpm { state_dir: state_dir.to_owned(), port, child, _claim: claim });
                }
                Err(SwtpmError::Run(error)) => return Err(SwtpmError::Run(error)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(SwtpmError::Ports(std::io::ErrorKind::AddrInUse.into())))
    }

    /// How to reach it.
    pub fn tcti(&self) -> Tcti {
        Tcti::Swtpm { host: Ipv4Addr::LOCALHOST, port: self.port }
    }

    /// Its data port; the control port is one higher.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its state lies.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Kills it at once, as a power cut would. The state stays.
    pub fn kill(&mut self) {
        // It may have ended by itself; either way it is gone and reaped after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills it if it runs and starts it again with the same state on the same ports; PCRs are zero again.
    ///
    /// # Errors
    /// As [`Swtpm::start`].
    pub fn restart(&mut self) -> Result<(), SwtpmError> {
        self.kill();
        self.child = spawn(&self.state_dir, self.port)?;
        Ok(())
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A data port whose control port is free too, and the claim that keeps other launchers off both.
fn claim_ports() -> std::io::Result<(u16, TcpListener)> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    // Spread, so that launchers in other processes rarely meet; the claim settles it when they do.
    let start = RandomState::new().build_hasher().finish();
    let blocks = u64::from((PORTS.end - PORTS.start) / BLOCK);
    let mut last = std::io::ErrorKind::AddrInUse.into();
    for n in 0..blocks {
        let block = u16::try_from((start % blocks + n) % blocks).unwrap_or(0);
        let port = PORTS.start + block * BLOCK;
        match bind(port + 2).and_then(|claim| bind(port).and(bind(port + 1)).map(|_| claim)) {
            Ok(claim) => return Ok((port, claim)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn spawn(state_dir: &Path, port: u16) -> Result<Child, SwtpmError> {
    let log = state_dir.join("swtpm.log");
    let output = || File::options().create(true).append(true).open(&log).map_err(SwtpmError::Run);
    let mut child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", state_dir.display()))
        .args(["--server", &format!("type=tcp,port={port},bindaddr=127.0.0.1")])
        .args(["--ctrl", &format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1)])
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        .spawn()
        .map_err(SwtpmError::Run)?;
    let end = Instant::now() + READY;
    while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
        if answers(port + 1) && answers(port) {
            return Ok(child);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // It is of no use whether or not it still runs.
    let _ = child.kill();
    let _ = child.wait();
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let tail: String = text.lines().rev().take(3).collect::<Vec<_>>().join(" | ");
    Err(SwtpmError::NotReady { state_dir: state_dir.to_owned(), port, log: tail })
}

fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}
