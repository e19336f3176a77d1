//! A whole gateway on this machine, driven from outside: the `headgate` program, a software TPM, simulated
//! controllers as processes of their own, and peers that nobody here wrote.
//!
//! Every [`Bench`] has its own folder, ports and TPM, so tests run side by side.

#![forbid(unsafe_code)]
// A bench that cannot be set up is a failed test.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hal::tpm::swtpm::Swtpm;

pub mod broker;
pub mod disk;
pub mod maker;
pub mod papers;
pub mod peers;
pub mod relay;
pub mod signer;
mod vendor;

/// Debian's u-boot for QEMU's arm64 board: the real image of these tests.
pub const IMAGE: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";

/// A gateway and what it stands between.
pub struct Bench {
    gateway: Option<Child>,
    sims: Vec<Child>,
    /// The disk under its data, where it has one.
    pub disk: Option<disk::Disk>,
    /// Its TPM.
    pub tpm: Swtpm,
    config: String,
    /// Its folder: configuration, keys, state, logs. The last to go.
    pub dir: tempfile::TempDir,
}

/// One controller of a bench.
pub struct Plc {
    /// Id in the configuration.
    pub id: &'static str,
    /// Where stations connect.
    pub conduit: SocketAddr,
    /// Where the controller itself is: only to look behind the gate.
    pub target: SocketAddr,
    /// What it could boot, kept up to date by the simulated controller.
    pub flash: PathBuf,
}

impl Bench {
    /// A provisioned gateway whose boot state is approved, without controllers and not running.
    pub fn new() -> Bench {
        Bench::in_folder(tempfile::tempdir().expect("a temporary folder"), None)
    }

    /// As [`Bench::new`], with a TPM whose maker has certified its endorsement keys: see [`maker`].
    pub fn certified() -> Bench {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("tpm")).expect("a new folder");
        maker::certify(dir.path(), &dir.path().join("tpm"));
        Bench::in_folder(dir, None)
    }

    /// As [`Bench::new`], with the data on a disk of `size` bytes; `None` where nobody may mount one.
    pub fn on_disk(size: u64) -> Option<Bench> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let disk = disk::Disk::mount(&dir.path().join("data"), size)?;
        Some(Bench::in_folder(dir, Some(disk)))
    }

    /// A box of a new site: not provisioned.
    pub fn unprovisioned() -> Bench {
        let bench = Bench::bare(tempfile::tempdir().expect("a temporary folder"), None);
        bench.headgate(&["site-key", "new"]);
        bench
    }

    /// Provisions it and has its boot state approved.
    pub fn provision(&self) {
        self.headgate(&["init", "--site-key", "site.pub"]);
        self.headgate(&["site-key", "sign", "approval-request.json"]);
        self.headgate(&["trust", "approve-pcrs", "approval.json"]);
    }

    /// A box with a TPM of its own and the name of this one, of the same site: not provisioned.
    pub fn spare(&self) -> Bench {
        let spare = Bench::bare(tempfile::tempdir().expect("a temporary folder"), None);
        for name in ["site.key", "site.pub"] {
            std::fs::copy(self.path(name), spare.path(name)).expect("made with the bench");
        }
        spare
    }

    fn in_folder(dir: tempfile::TempDir, disk: Option<disk::Disk>) -> Bench {
        let bench = Bench::bare(dir, disk);
        bench.headgate(&["site-key", "new"]);
        bench.provision();
        bench
    }

    fn bare(dir: tempfile::TempDir, disk: Option<disk::Disk>) -> Bench {
        std::fs::create_dir_all(dir.path().join("tpm")).expect("a folder");
        let tpm = Swtpm::start(&dir.path().join("tpm")).expect("swtpm starts: deploy/setup.sh installs it");
        let config = format!(
            "schema = 1\n[gateway]\nname = \"bench\"\ndata = \"data\"\nsocket = \"headgate.sock\"\n\
             [tpm]\ntcti = \"{}\"\npcrs = [0, 2, 4, 7]\nrecheck_s = 1\n",
            tpm.tcti()
        );
        let bench = Bench { gateway: None, sims: Vec::new(), disk, tpm, config, dir };
        bench.boot();
        bench.write_config();
        bench
    }

    /// Measures what every start of this box measures.
    pub fn boot(&self) {
        for pcr in [0, 2, 4, 7] {
            self.extend(pcr, "the firmware this bench booted");
        }
    }

    /// Adds a simulated controller that runs `firmware`, with the process allow-list of a small plant.
    pub fn controller(&mut self, id: &'static str, profile: &str, way: &str, firmware: &[u8]) -> Plc {
        self.controller_with(id, profile, way, firmware, &[])
    }

    /// As [`Bench::controller`], with one that takes a while over each answer.
    pub fn slow_controller(
        &mut self,
        id: &'static str,
        profile: &str,
        way: &str,
        firmware: &[u8],
        answer: Duration,
    ) -> Plc {
        let more = ["--answer-ms", &answer.as_millis().to_string()];
        self.controller_with(id, profile, way, firmware, &more)
    }

    /// As [`Bench::controller`], with a tachometer of our own on the shaft of its drive; gives its address.
    pub fn drive(
        &mut self,
        id: &'static str,
        profile: &str,
        way: &str,
        firmware: &[u8],
    ) -> (Plc, SocketAddr) {
        let tachometer = free_address();
        let more = ["--tachometer", &tachometer.to_string()];
        (self.controller_with(id, profile, way, firmware, &more), tachometer)
    }

    fn controller_with(
        &mut self,
        id: &'static str,
        profile: &str,
        way: &str,
        firmware: &[u8],
        more: &[&str],
    ) -> Plc {
        let (target, conduit) = (free_address(), free_address());
        std::fs::write(self.path(&format!("{id}.bin")), firmware).expect("writable");
        let flash = self.path(&format!("{id}.flash"));
        let sim = Command::new(headgate())
            .args(["sim", "--profile", profile, "--listen", &target.to_string(), "--firmware"])
            .arg(self.path(&format!("{id}.bin")))
            .arg("--dump")
            .arg(&flash)
            .args(more)
            .stdin(Stdio::null())
            .spawn()
            .expect("headgate sim starts");
        self.sims.push(sim);
        wait_for(target);
        self.plc(id, way, profile, target, conduit);
        Plc { id, conduit, target, flash }
    }

    /// Adds a controller that somebody else simulates at `target`.
    pub fn plc(&mut self, id: &str, way: &str, profile: &str, target: SocketAddr, conduit: SocketAddr) {
        self.config += &format!(
            "[[plc]]\nid = \"{id}\"\nvendor = \"acme\"\nmodel = \"px-200\"\nmode = \"enforce\"\n\
             [[plc.route]]\nway = \"{way}\"\nunit = 1\nprotocol = \"modbus-tcp\"\nlisten = \"{conduit}\"\n\
             target = \"{target}\"\nprofile = \"{profile}\"\npoll_s = 1\nin_flight = 8\n\
             [[plc.allow]]\nfunctions = [\"reads\"]\n[[plc.allow]]\nfunctions = [6, 16]\naddresses = [\"0-99\"]\n"
        );
        self.write_config();
    }

    /// Adds lines to the configuration.
    pub fn configure(&mut self, more: &str) {
        self.config += more;
        self.write_config();
    }

    /// Replaces text in the configuration.
    pub fn reconfigure(&mut self, from: &str, to: &str) {
        assert!(self.config.contains(from), "the configuration has no {from:?}");
        self.config = self.config.replace(from, to);
        self.write_config();
    }

    /// Runs a command that must succeed; gives its standard output.
    pub fn headgate(&self, args: &[&str]) -> String {
        let output = self.try_headgate(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "headgate {args:?}: {:?} {error}", output.status.code());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command that must fail; gives its exit code and standard error.
    pub fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.try_headgate(args);
        assert!(!output.status.success(), "headgate {args:?} succeeded");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let Some(code) = output.status.code() else {
            panic!("headgate {args:?} ended by a signal: {}; {error}", output.status);
        };
        (code, error)
    }

    /// Runs a command.
    pub fn try_headgate(&self, args: &[&str]) -> Output {
        let mut command = Command::new(headgate());
        command.current_dir(self.dir.path()).args(["--config", "headgate.toml"]).args(args);
        command.stdin(Stdio::null()).output().expect("headgate runs")
    }

    /// The answer of a command as JSON.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        serde_json::from_str(&self.headgate(&args)).expect("JSON alone on standard output")
    }

    /// As [`Bench::json`], whatever the exit code.
    pub fn json_anyhow(&self, args: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        serde_json::from_slice(&self.try_headgate(&args).stdout).expect("JSON alone on standard output")
    }

    /// Starts the gateway and waits until its gate is open.
    pub fn start(&mut self) {
        self.start_anyhow();
        self.wait_status("the gate opens", |s| s["gate"]["open"] == true);
    }

    /// Starts the gateway; the gate may stay shut.
    pub fn start_anyhow(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("gateway.log"));
        let mut command = Command::new(headgate());
        command.current_dir(self.dir.path()).args(["--config", "headgate.toml", "run"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("writable")).spawn();
        self.gateway = Some(child.expect("headgate run starts"));
        let socket = self.path("headgate.sock");
        eventually("the gateway answers", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(())
        });
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.gateway.take() {
            child.kill().expect("it ran");
            child.wait().expect("it ended");
        }
    }

    /// The power of the gateway's box fails; the TPM, which has its own memory, keeps what it was told.
    pub fn cut_power(&mut self) {
        let mut child = self.gateway.take().expect("it runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it runs");
        self.disk.as_ref().expect("made with on_disk").cut(|| {
            child.kill().expect("it ran");
            child.wait().expect("it ended");
        });
    }

    /// The gateway's process id.
    pub fn pid(&self) -> u32 {
        self.gateway.as_ref().expect("it runs").id()
    }

    /// Waits until the status is `right`, and gives it.
    pub fn wait_status(&self, what: &str, right: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        eventually(what, || {
            let output = self.try_headgate(&["--json", "status"]);
            let status = serde_json::from_slice(&output.stdout).ok()?;
            right(&status).then_some(status)
        })
    }

    /// The alarm of this code, once it stands.
    pub fn wait_alarm(&self, code: &str) -> serde_json::Value {
        let status = self.wait_status(&format!("alarm {code} stands"), |s| alarm(s, code).is_some());
        alarm(&status, code).expect("just seen").clone()
    }

    /// Extends a PCR with tpm2-tools.
    pub fn extend(&self, pcr: u8, with: &str) {
        let digest = gateway::vault::hex(&digest(with.as_bytes()));
        self.tpm2("tpm2_pcrextend", &[&format!("{pcr}:sha256={digest}")]);
    }

    /// Runs one of tpm2-tools on the bench's TPM.
    pub fn tpm2(&self, tool: &str, args: &[&str]) -> Vec<u8> {
        let mut command = Command::new(tool);
        command.args(args).env("TPM2TOOLS_TCTI", self.tpm.tcti().to_string()).current_dir(self.dir.path());
        let output = command.output().unwrap_or_else(|e| panic!("{tool}: {e}: deploy/setup.sh installs it"));
        assert!(output.status.success(), "{tool} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A file of the bench.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the bench.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("writable");
    }

    fn write_config(&self) {
        self.write("headgate.toml", self.config.as_bytes());
    }
}

impl Default for Bench {
    fn default() -> Bench {
        Bench::new()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill();
        for sim in &mut self.sims {
            let _ = sim.kill();
            let _ = sim.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("gateway.log")).unwrap_or_default();
            eprintln!("the gateway's log:\n{log}");
        }
    }
}

impl Plc {
    /// What the controller could boot now; empty when nothing would.
    pub fn flash(&self) -> Vec<u8> {
        std::fs::read(&self.flash).unwrap_or_default()
    }

    /// Waits until the controller could boot `image`.
    pub fn wait_flash(&self, image: &[u8]) {
        eventually("the flash holds the image", || (self.flash() == image).then_some(()));
    }

    /// One Modbus/TCP exchange on a connection of its own: the reply PDU.
    pub fn exchange(&self, unit: u8, pdu: &[u8]) -> std::io::Result<Vec<u8>> {
        exchange(&mut connect(self.conduit), unit, pdu)
    }
}

/// A connection with a time limit.
pub fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(to).expect("somebody listens");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    socket.set_nodelay(true).expect("a socket");
    socket
}

/// Sends one request and reads one reply.
pub fn exchange(socket: &mut TcpStream, unit: u8, pdu: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut adu = Vec::new();
    gateway::protocol::modbus::frame::append(&mut adu, 7, unit, pdu);
    socket.write_all(&adu)?;
    let mut header = [0; 7];
    socket.read_exact(&mut header)?;
    let len = usize::from(u16::from_be_bytes([header[4], header[5]])) - 1;
    let mut reply = vec![0; len];
    socket.read_exact(&mut reply)?;
    Ok(reply)
}

/// The alarm of this code in a status.
pub fn alarm<'a>(status: &'a serde_json::Value, code: &str) -> Option<&'a serde_json::Value> {
    status["alarms"].as_array()?.iter().find(|a| a["code"] == code)
}

/// Tries until there is a value; fails after 30 s, saying what did not happen.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < end, "did not happen within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An address nobody listens on now, and that was not given before: the kernel may offer a port again at once.
pub fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(free) {
            return free;
        }
    }
}

/// Waits until somebody listens.
pub fn wait_for(address: SocketAddr) {
    eventually("somebody listens", || TcpStream::connect(address).ok().map(drop));
}

/// The real image of these tests.
pub fn image() -> Vec<u8> {
    std::fs::read(IMAGE).unwrap_or_else(|e| panic!("{IMAGE}: {e}: deploy/setup.sh installs it"))
}

/// A folder of the public vectors; `None` when they are not here, which CI does not allow.
pub fn vectors(path: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("HEADGATE_VECTORS").map_or(beside, PathBuf::from).join(path);
    if folder.exists() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", folder.display());
    eprintln!("skipped: {} is missing", folder.display());
    None
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    *gateway::protocol::Digest::of(bytes).as_bytes()
}

/// The `headgate` program built with this one.
pub fn headgate() -> PathBuf {
    let test = std::env::current_exe().expect("a running test");
    let folder = test.parent().expect("target/PROFILE or target/PROFILE/deps");
    let profile = if folder.ends_with("deps") { folder.parent().expect("target/PROFILE") } else { folder };
    let built = profile.join("headgate");
    assert!(built.exists(), "{} is not built: run cargo build -p gateway", built.display());
    built
}
