//! A field bus from outside: mbpoll polls units of pymodbus over pseudo terminals, and the gateway listens on a
//! tap of the line.
//!
//! A pseudo terminal has no speed and no UART: what the times here are worth is in docs/signals.md.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headgate_tests::peers::start_python;
use headgate_tests::{Bench, alarm, eventually, image};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Milliseconds that a unit thinks before it answers.
const THINKS: u32 = 30;

/// A line between a station and its units: two pairs of pseudo terminals, the relay between them, and a third
/// pair for whoever listens.
struct Line {
    dir: PathBuf,
    pairs: Vec<Child>,
    tap: Child,
    units: Child,
    station: Option<Child>,
    stop: Arc<AtomicBool>,
    relay: Option<JoinHandle<()>>,
}

impl Line {
    fn new(dir: &Path) -> Line {
        std::fs::write(dir.join("delay"), THINKS.to_string()).unwrap();
        let pairs = vec![pair(dir, "station"), pair(dir, "units")];
        let tap = pair(dir, "tap");
        let at = |name: &str| dir.join(name).display().to_string();
        let units = start_python("unit.py", &[&at("units"), &at("delay"), "1", "2"]);
        let stop = Arc::new(AtomicBool::new(false));
        let (there, until) = (dir.to_owned(), stop.clone());
        let relay = std::thread::spawn(move || relay(&there, &until));
        let dir = dir.to_owned();
        let mut line = Line { dir, pairs, tap, units, station: None, stop, relay: Some(relay) };
        eventually("unit 1 answers", || line.ask(1).then_some(()));
        line
    }

    /// One read of a unit by a station that comes and goes.
    fn ask(&mut self, unit: u8) -> bool {
        self.quiet();
        let status = self.mbpoll(unit, &["-1"]).status().expect("mbpoll: deploy/setup.sh installs it");
        status.success()
    }

    /// The station begins to poll unit 1.
    fn poll(&mut self) {
        self.quiet();
        self.station = Some(self.mbpoll(1, &["-l", "11"]).spawn().expect("mbpoll starts"));
    }

    /// The station ends. The answer that it did not wait for must not be taken for the next one.
    fn quiet(&mut self) {
        end(self.station.take());
        std::thread::sleep(Duration::from_millis(150));
        let mut left = [0; 4096];
        let _ = open(&self.dir.join("station")).and_then(|mut file| file.read(&mut left));
    }

    fn mbpoll(&self, unit: u8, more: &[&str]) -> Command {
        let mut command = Command::new("mbpoll");
        command.args(["-m", "rtu", "-b", "19200", "-P", "none", "-t", "4", "-c", "4", "-o", "0.5"]);
        command.args(["-a", &unit.to_string()]).args(more).arg(self.dir.join("station"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn think(&self, ms: u32) {
        std::fs::write(self.dir.join("delay.new"), ms.to_string()).unwrap();
        std::fs::rename(self.dir.join("delay.new"), self.dir.join("delay")).unwrap();
    }

    /// The listener's adapter is pulled out.
    fn unplug(&mut self) {
        let _ = self.tap.kill();
        let _ = self.tap.wait();
        let _ = std::fs::remove_file(self.dir.join("tap"));
    }

    fn plug(&mut self) {
        self.tap = pair(&self.dir, "tap");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.relay.take().map(JoinHandle::join);
        end(self.station.take());
        for child in self.pairs.iter_mut().chain([&mut self.tap, &mut self.units]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A pair of pseudo terminals, `name` and `name.far`.
fn pair(dir: &Path, name: &str) -> Child {
    let end = |name: &str| format!("pty,raw,echo=0,link={}", dir.join(name).display());
    let mut command = Command::new("socat");
    command.args([end(name), end(&format!("{name}.far"))]);
    let child = command.stdin(Stdio::null()).spawn().expect("socat: deploy/setup.sh installs it");
    eventually("both ends are there", || {
        (dir.join(name).exists() && dir.join(format!("{name}.far")).exists()).then_some(())
    });
    child
}

fn open(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    File::options().read(true).write(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Copies what each side says to the other, and all of it to the tap, as it comes.
fn relay(dir: &Path, stop: &AtomicBool) {
    let mut sides = [open(&dir.join("station.far")).unwrap(), open(&dir.join("units.far")).unwrap()];
    let mut tap = None;
    let mut buffer = [0; 4096];
    let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while !stop.load(Ordering::Relaxed) {
        let ready = {
            let mut fds = [PollFd::new(&sides[0], PollFlags::IN), PollFd::new(&sides[1], PollFlags::IN)];
            let _ = poll(&mut fds, Some(&wait));
            fds.map(|fd| fd.revents().contains(PollFlags::IN))
        };
        for from in (0..2).filter(|side| ready[*side]) {
            let Ok(have) = sides[from].read(&mut buffer) else { continue };
            let _ = sides[1 - from].write_all(&buffer[..have]);
            tap = tap.or_else(|| open(&dir.join("tap.far")).ok());
            // What nobody takes off a wire is gone.
            let said = tap.as_mut().map(|tap| tap.write(&buffer[..have]));
            if said.is_some_and(|said| said.is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock)) {
                tap = None;
            }
        }
    }
}

fn bus(bench: &Bench) -> serde_json::Value {
    bench.json(&["signals", "show", "line-2"])["bus"].clone()
}

fn quantity<'a>(bus: &'a serde_json::Value, talker: &str, quantity: &str) -> &'a serde_json::Value {
    let find = |list: &'a serde_json::Value, key: &str, name: &str| {
        list.as_array()?.iter().find(|row| row[key] == name)
    };
    let talker = find(&bus["talkers"], "talker", talker).unwrap_or_else(|| panic!("{bus}"));
    find(&talker["quantities"], "quantity", quantity).unwrap_or_else(|| panic!("{talker}"))
}

/// A gateway that has learned the line, with what it measures printed.
fn learned() -> (Bench, Line) {
    let mut bench = Bench::new();
    bench.controller("pump-3", "generic-file-record", "match", &image()[..4000]);
    bench.configure(
        "[[bus]]\nid = \"line-2\"\ndevice = \"tap\"\nbaud = 1000000\nparity = \"none\"\nstop = 1\n\
         window_s = 0.12\nlearn = 256\nfalse_alarms_per_year = 80\nreply_ms = 400\nunits = { 1 = \"pump-3\" }\n",
    );
    let mut line = Line::new(bench.dir.path());
    line.poll();
    bench.start();
    let began = Instant::now();
    while bus(&bench)["judged"] != true {
        assert!(began.elapsed() < Duration::from_secs(75), "not learned: {}", bus(&bench));
        std::thread::sleep(Duration::from_millis(500));
    }
    println!(
        "learned in {:.0} s\n{}",
        began.elapsed().as_secs_f64(),
        bench.headgate(&["signals", "show", "line-2"])
    );
    (bench, line)
}

#[test]
fn a_bus_is_learned_and_what_changes_on_it_without_an_update_is_named() {
    // Real times of milliseconds: on a machine that does other work besides, it learns for minutes.
    if std::env::var_os("HEADGATE_LINES").is_none() {
        println!("skipped: a bus in real time needs a quiet machine; make soak runs it");
        return;
    }
    let (mut bench, mut line) = learned();
    let row = bus(&bench);
    let usual = quantity(&row, "unit-1", "turnaround")["usual"][0].as_f64().expect("a median");
    assert!(usual >= f64::from(THINKS), "{row}");
    assert!(quantity(&row, "unit-1", "level")["value"].is_null(), "nobody measures it: {row}");
    let list = bench.headgate(&["signals", "list"]);
    assert!(list.contains("line-2.unit-1") && list.contains("level not measured"), "{list}");

    // Quiet, and a kill loses nothing of what was learned.
    let calm = |status: &serde_json::Value| {
        for code in ["HG-9005", "HG-9006", "HG-9008"] {
            assert!(alarm(status, code).is_none(), "{status}");
        }
    };
    std::thread::sleep(Duration::from_secs(5));
    calm(&bench.json(&["status"]));
    bench.kill();
    bench.start();
    eventually("the bus is judged again", || (bus(&bench)["judged"] == true).then_some(()));
    let again = quantity(&bus(&bench), "unit-1", "turnaround")["usual"][0].as_f64().expect("a median");
    assert!((again - usual).abs() < 1e-9, "it was not learned anew: {usual} {again}");

    // (c) The unit answers half as late again, and no update is on record.
    std::thread::sleep(Duration::from_secs(2));
    calm(&bench.json(&["status"]));
    line.think(THINKS * 3 / 2);
    let is_named =
        |a: &serde_json::Value| a["text"].as_str().is_some_and(|t| t.contains("line-2.unit-1.turnaround"));
    let status = bench.wait_status("the turnaround is named", |s| alarm(s, "HG-9005").is_some_and(is_named));
    let found = alarm(&status, "HG-9005").expect("just seen");
    let text = found["text"].as_str().expect("a text");
    println!("{text}");
    assert!(text.starts_with("behaviour changed") && text.contains("rose to"), "{text}");
    assert!(
        text.contains("firmware timing or load of unit-1") && text.contains("unit-1 is pump-3"),
        "{text}"
    );
    assert!(status["plcs"][0]["locked"].is_null(), "a bus locks nothing: {status}");

    // (b) A unit that never was.
    assert!(line.ask(2), "unit 2 answers");
    let talks = |a: &serde_json::Value| a["text"].as_str().is_some_and(|t| t.contains("unit-2 talks"));
    let status = bench.wait_status("unit 2 is named", |s| alarm(s, "HG-9008").is_some_and(talks));
    println!("{}", alarm(&status, "HG-9008").expect("just seen")["text"]);
    line.poll();

    // The adapter is pulled out and put back: one alarm, and it ends.
    line.unplug();
    let lost = |s: &serde_json::Value| {
        alarm(s, "HG-9006")
            .is_some_and(|a| a["active"] == true && a["text"].as_str().is_some_and(|t| t.contains("tap")))
    };
    let before = bench.wait_status("the line is lost", lost);
    std::thread::sleep(Duration::from_secs(5));
    let after = bench.json(&["status"]);
    assert_eq!(
        alarm(&before, "HG-9006").expect("it stands")["count"],
        alarm(&after, "HG-9006").expect("it stands")["count"]
    );
    line.plug();
    bench.wait_status("the line is heard", |s| alarm(s, "HG-9006").is_none_or(|a| a["active"] == false));
    assert_eq!(bus(&bench)["quality"], "good");
}
