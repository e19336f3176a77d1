//! Everything the story is played on: TPM, broker, controllers, keys, and the gateway as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ed25519_dalek::Signer;
use hal::clock::Clock;
use hal::tpm::swtpm::Swtpm;
use tokio::signal::unix::{SignalKind, signal};

use super::broker::{Broker, free_port, wait_for};
use super::station::Station;
use crate::judge::{Answered, Failure, Request};
use crate::sim::bootloader::Kind;
use crate::sim::controller::Controller;
use crate::sim::server;
use crate::socket;

/// The demo's world. Dropping it ends every process it started.
pub(super) struct World {
    pub(super) dir: PathBuf,
    pub(super) image: Vec<u8>,
    pub(super) old: Vec<u8>,
    pub(super) broker: Broker,
    tpm: Swtpm,
    gateway: Option<Child>,
    /// The vendor whose firmware the controllers run.
    acme: Option<ed25519_dalek::SigningKey>,
    /// Dual bank, way `match`.
    pub(super) pump: Plc,
    /// Single bank, way `stage`.
    pub(super) mixer: Plc,
    /// Somebody wants it to end.
    stopped: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
    /// The last to go: what the processes above write goes with it.
    _folder: Folder,
}

/// The demo's folder with its keys; a temporary one is removed when dropped.
struct Folder {
    dir: PathBuf,
    temporary: bool,
}

/// A simulated controller and the conduit in front of it.
pub(super) struct Plc {
    pub(super) conduit: SocketAddr,
    target: SocketAddr,
    /// A tachometer on the shaft of its drive, which the controller knows nothing of.
    tachometer: SocketAddr,
    controller: Arc<Mutex<Controller>>,
}

impl World {
    pub(super) fn build(dir: Option<PathBuf>, image: Vec<u8>) -> Result<World, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|e| Failure::internal(e.to_string()))?;
        let stopped = Arc::new(AtomicBool::new(false));
        runtime.block_on(watch_for_the_end(stopped.clone()))?;
        let folder = Folder::new(dir)?;
        let dir = folder.dir.clone();
        let tpm = Swtpm::start(&dir.join("tpm"))
            .map_err(|e| Failure::not_found(format!("{e}; deploy/setup.sh installs swtpm")))?;
        let broker = Broker::start(&dir)?;
        let old = old_firmware(&image);
        let pump = runtime.block_on(plc(Kind::FileRecord, &old))?;
        let mixer = runtime.block_on(plc(Kind::RackmonPanasonic, &old))?;
        let world = World {
            dir,
            image,
            old,
            broker,
            tpm,
            gateway: None,
            acme: None,
            pump,
            mixer,
            stopped,
            _runtime: runtime,
            _folder: folder,
        };
        world.write_config()?;
        for pcr in [0, 2, 4, 7] {
            world.extend(pcr, "demo firmware")?;
        }
        Ok(world)
    }

    /// Fails once somebody wants the demo to end.
    pub(super) fn goes_on(&self) -> Result<(), Failure> {
        match self.stopped.load(Ordering::Relaxed) {
            true => Err(Failure { exit: INTERRUPTED, ..Failure::internal("stopped before its end") }),
            false => Ok(()),
        }
    }

    /// Runs `headgate ARGS` in the demo's folder and gives what it printed.
    pub(super) fn headgate(&self, args: &[&str]) -> Result<String, Failure> {
        self.goes_on()?;
        let output = self.command(args)?.output().map_err(|e| Failure::internal(e.to_string()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
        match output.status.code() {
            Some(0) => Ok(text(&output.stdout)),
            code => {
                Err(Failure { exit: code.map_or(1, |c| c as u8), ..Failure::internal(text(&output.stderr)) })
            }
        }
    }

    /// Starts the gateway and waits until its conduits listen.
    pub(super) fn start_gateway(&mut self) -> Result<(), Failure> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("gateway.log"));
        let log = log.map_err(|e| Failure::internal(e.to_string()))?;
        let child = self.command(&["run"])?.stderr(log).stdout(Stdio::null()).spawn();
        self.gateway = Some(child.map_err(|e| Failure::internal(e.to_string()))?);
        wait_for(self.pump.conduit.port())?;
        wait_for(self.mixer.conduit.port())
    }

    /// SIGKILL, as `kill -9` sends it.
    pub(super) fn kill_gateway(&mut self) {
        if let Some(mut child) = self.gateway.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the running gateway until `right` holds for its status.
    pub(super) fn wait_status(
        &self,
        within: Duration,
        right: impl Fn(&crate::judge::rows::Status) -> bool,
    ) -> Option<crate::judge::rows::Status> {
        let end = Instant::now() + within;
        loop {
            let reply = socket::ask_running(&self.dir.join("headgate.sock"), &Request::Status, None);
            if let Some(Ok(Answered::Status(status))) = reply
                && right(&status)
            {
                return Some(*status);
            }
            if Instant::now() >= end || self.goes_on().is_err() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks for the pump's signal until `right` holds.
    pub(super) fn wait_signal(
        &self,
        within: Duration,
        right: impl Fn(&crate::signals::SignalRow) -> bool,
    ) -> Option<crate::signals::SignalRow> {
        let end = Instant::now() + within;
        loop {
            let reply = socket::ask_running(&self.dir.join("headgate.sock"), &Request::Signals, None);
            if let Some(Ok(Answered::Signals { signals, .. })) = reply
                && let Some(row) = signals.into_iter().find(|row| row.id == "pump-3.shaft")
                && right(&row)
            {
                return Some(row);
            }
            if Instant::now() >= end || self.goes_on().is_err() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Extends a PCR, as other firmware would.
    pub(super) fn extend(&self, pcr: u8, with: &str) -> Result<(), Failure> {
        let digest = firmware_verifier::Digest::of(with.as_bytes()).to_hex();
        let output = Command::new("tpm2_pcrextend")
            .arg(format!("{pcr}:sha256={digest}"))
            .env("TPM2TOOLS_TCTI", self.tpm.tcti().to_string())
            .output()
            .map_err(|e| {
                Failure::not_found(format!("tpm2_pcrextend: {e}; deploy/setup.sh installs tpm2-tools"))
            })?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Failure::internal(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }

    /// Makes a vendor's key: writes `NAME.pub` and gives the private half.
    pub(super) fn vendor(&self, name: &str) -> Result<ed25519_dalek::SigningKey, Failure> {
        use ed25519_dalek::pkcs8::EncodePublicKey;
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| Failure::internal("no random numbers"))?;
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        let pem = key
            .verifying_key()
            .to_public_key_pem(Default::default())
            .map_err(|e| Failure::internal(e.to_string()))?;
        self.write(&format!("{name}.pub"), pem.as_bytes())?;
        Ok(key)
    }

    /// Makes the key of the vendor whose firmware the controllers run.
    pub(super) fn found_acme(&mut self) -> Result<(), Failure> {
        self.acme = Some(self.vendor("acme")?);
        Ok(())
    }

    /// Writes an image and that vendor's signature.
    pub(super) fn sign_as_acme(&self, name: &str, image: &[u8]) -> Result<(), Failure> {
        let key = self.acme.as_ref().ok_or_else(|| Failure::internal("the vendor has no key yet"))?;
        self.sign(name, image, key)
    }

    /// Writes an image and its detached signature.
    pub(super) fn sign(
        &self,
        name: &str,
        image: &[u8],
        key: &ed25519_dalek::SigningKey,
    ) -> Result<(), Failure> {
        self.write(name, image)?;
        self.write(&format!("{name}.sig"), &key.sign(image).to_bytes())
    }

    pub(super) fn station(&self, plc: &Plc) -> Result<Station, Failure> {
        Station::connect(plc.conduit).map_err(|e| Failure::internal(format!("station: {e}")))
    }

    /// Keeps everything running until Ctrl-C.
    pub(super) fn stay(&self) {
        let (dir, port) = (self.dir.display(), self.pump.conduit.port());
        let program = std::env::current_exe().map_or("headgate".into(), |p| p.display().to_string());
        println!("\nThe demo stays up. In another terminal:");
        println!("  cd {dir}");
        println!("  {program} --config headgate.toml status");
        println!("  mbpoll -m tcp -p {port} -a 1 -r 1 -c 5 127.0.0.1          # process reads pass");
        println!("  mbpoll -m tcp -p {port} -a 1 -r 61441 127.0.0.1 1         # the update window does not");
        println!("  {program} --config headgate.toml alarms list");
        println!(
            "  mosquitto_sub -h 127.0.0.1 -p {} -t 'headgate/#' -v --cafile ca.pem --cert client.pem --key client.key",
            self.broker.port
        );
        println!("Ctrl-C ends it.");
        while self.goes_on().is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn command(&self, args: &[&str]) -> Result<Command, Failure> {
        let program = std::env::current_exe().map_err(|e| Failure::internal(e.to_string()))?;
        let mut command = Command::new(program);
        command.current_dir(&self.dir).args(["--config", "headgate.toml"]).args(args).stdin(Stdio::null());
        Ok(command)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        std::fs::write(self.dir.join(name), bytes).map_err(|e| Failure::internal(format!("{name}: {e}")))
    }

    fn write_config(&self) -> Result<(), Failure> {
        let plc = |id: &str, plc: &Plc, way: &str, profile: &str| {
            format!(
                "[[plc]]\nid = \"{id}\"\nvendor = \"acme\"\nmodel = \"px-200\"\nmode = \"enforce\"\n\
                 [[plc.route]]\nway = \"{way}\"\nunit = 1\nprotocol = \"modbus-tcp\"\nlisten = \"{}\"\ntarget = \"{}\"\n\
                 profile = \"{profile}\"\npoll_s = 2\n[[plc.allow]]\nfunctions = [\"reads\"]\n\
                 [[plc.allow]]\nfunctions = [6, 16]\naddresses = [\"0-99\"]\n",
                plc.conduit, plc.target
            )
        };
        let config = format!(
            "schema = 1\n[gateway]\nname = \"demo\"\ndata = \"data\"\nsocket = \"headgate.sock\"\n\
             [tpm]\ntcti = \"{}\"\npcrs = [0, 2, 4, 7]\nrecheck_s = {RECHECK_S}\n{}{}\
             [[signal]]\nid = \"pump-3.shaft\"\nplc = \"pump-3\"\nunit = \"Hz\"\nlearn = 2048\nfalse_alarms_per_year = 0.01\n\
             source = {{ kind = \"modbus\", target = \"{}\", unit = 1, register = 30001, scale = 0.025, poll_ms = 10 }}\n\
             reported = {{ register = 30041, scale = 0.025, poll_ms = 10, max_lag_s = 1 }}\n\
             [soak]\nlasts_s = 600\nsettles_s = 3\n\
             [mqtt]\nurl = \"mqtts://127.0.0.1:{}\"\nca = \"ca.pem\"\ncertificate = \"client.pem\"\nkey = \"client.key\"\n",
            self.tpm.tcti(),
            plc("pump-3", &self.pump, "match", "generic-file-record"),
            plc("mixer-1", &self.mixer, "stage", "ocp-rackmon-panasonic"),
            self.pump.tachometer,
            self.broker.port
        );
        self.write("headgate.toml", config.as_bytes())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_gateway();
    }
}

impl Folder {
    fn new(dir: Option<PathBuf>) -> Result<Folder, Failure> {
        let temporary = dir.is_none();
        let dir =
            dir.unwrap_or_else(|| std::env::temp_dir().join(format!("headgate-demo-{}", std::process::id())));
        std::fs::create_dir_all(dir.join("tpm"))
            .map_err(|e| Failure::internal(format!("{}: {e}", dir.display())))?;
        Ok(Folder { dir, temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A process that was killed a moment ago may still have been writing: then once more.
        for _ in 0..10 {
            if !self.temporary || std::fs::remove_dir_all(&self.dir).is_ok() || !self.dir.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// From now on Ctrl-C and SIGTERM end the demo in order: its processes and its keys go with it.
async fn watch_for_the_end(stopped: Arc<AtomicBool>) -> Result<(), Failure> {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()];
    for kind in signals {
        let mut ending = signal(kind).map_err(|e| Failure::internal(e.to_string()))?;
        let stopped = stopped.clone();
        tokio::spawn(async move {
            ending.recv().await;
            stopped.store(true, Ordering::Relaxed);
        });
    }
    Ok(())
}

impl Plc {
    /// What the controller could boot now; `None` when nothing would.
    pub(super) fn flash(&self) -> Option<Vec<u8>> {
        let controller = self.controller.lock().unwrap_or_else(PoisonError::into_inner);
        controller.flash().bootable().map(<[u8]>::to_vec)
    }

    /// Waits until the controller could boot `image`.
    pub(super) fn wait_flash(&self, image: &[u8], within: Duration) -> bool {
        let end = Instant::now() + within;
        while self.flash().as_deref() != Some(image) {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Makes the controller as slow as flash is.
    pub(super) fn slow(&self, delay: Duration) {
        self.controller.lock().unwrap_or_else(PoisonError::into_inner).faults().delay = delay;
    }

    /// A connection past the gateway, straight to the controller: only to look.
    pub(super) fn behind_the_gate(&self) -> std::io::Result<Station> {
        Station::connect(self.target)
    }
}

async fn plc(kind: Kind, firmware: &[u8]) -> Result<Plc, Failure> {
    let internal = |e: std::io::Error| Failure::internal(e.to_string());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(internal)?;
    let shaft = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(internal)?;
    let target = listener.local_addr().map_err(internal)?;
    let tachometer = shaft.local_addr().map_err(internal)?;
    let clock = Clock::system();
    let controller = Arc::new(Mutex::new(Controller::new(kind, 1, firmware, BOOT)));
    tokio::spawn(server::serve(listener, controller.clone(), clock.clone()));
    tokio::spawn(server::serve_tachometer(shaft, controller.clone(), clock));
    let conduit = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    Ok(Plc { conduit, target, tachometer, controller })
}

/// An older build: the same image with its first kilobyte of code changed.
fn old_firmware(image: &[u8]) -> Vec<u8> {
    image.iter().enumerate().map(|(i, b)| if i < 1024 { b ^ 0x5A } else { *b }).collect()
}

/// A path for people.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// How long a simulated controller takes to boot.
const BOOT: Duration = Duration::from_millis(300);
/// Seconds between two proofs of the boot state in the demo.
pub(super) const RECHECK_S: u64 = 2;
/// Exit code of a program that Ctrl-C ended, as shells give it: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;
