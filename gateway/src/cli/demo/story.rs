//! The acts: what is done, what should come of it, and whether it did.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::station::{Ended, Station};
use sensor_monitor::reasons::CHANGED_AFTER_UPDATE;

use super::world::{RECHECK_S, World, shown};
use crate::judge::Failure;

/// What was told, act by act.
pub(super) struct Told {
    acts: Vec<Act>,
}

struct Act {
    title: &'static str,
    as_told: bool,
    took: Duration,
}

/// One act while it is played: each line is checked as it is said.
struct Stage<'a> {
    world: &'a mut World,
    as_told: bool,
}

type Player = fn(&mut Stage<'_>) -> Result<(), Failure>;

const ACTS: &[(&str, Player)] = &[
    ("0  The box is set up: a key is sealed to its boot state", setup),
    ("1  Process traffic flows through the gate", process),
    ("2  A signed and released update lands", good_update),
    ("3  One flipped bit is refused at the first wrong byte", flipped_bit),
    ("4  A valid signature by another vendor's key is refused", other_vendor),
    ("5  The boot state changes: the gate shuts, process traffic passes", boot_state),
    ("6  kill -9 in the middle of a download", kill_in_download),
    ("7  kill -9 in the middle of a delivery to a controller with one bank", kill_in_delivery),
    ("8  A signed update is malicious: the second witness tells", second_witness),
];

/// Plays every act; a later one is played even when an earlier one did not come out.
pub(super) fn play(world: &mut World) -> Result<Told, Failure> {
    println!(
        "Headgate demo: swtpm, mosquitto (TLS 1.3), two simulated controllers, one real image of {} bytes",
        world.image.len()
    );
    println!("in {}\n", shown(&world.dir));
    let mut acts = Vec::new();
    for (title, act) in ACTS {
        world.goes_on()?;
        println!("{title}");
        let start = Instant::now();
        let mut stage = Stage { world, as_told: true };
        let outcome = act(&mut stage);
        let as_told = stage.as_told && outcome.is_ok();
        world.goes_on()?; // what was interrupted did not fail
        if let Err(e) = outcome {
            println!("   FAILED   {e}");
        }
        let took = start.elapsed();
        println!(
            "   ---- {} in {:.2} s\n",
            if as_told { "as told" } else { "NOT AS TOLD" },
            took.as_secs_f64()
        );
        acts.push(Act { title, as_told, took });
        if acts.len() == 1 && !as_told {
            break; // without a key nothing else can be shown
        }
    }
    Ok(Told { acts })
}

impl Told {
    pub(super) fn all_as_told(&self) -> bool {
        self.acts.len() == ACTS.len() && self.acts.iter().all(|a| a.as_told)
    }

    pub(super) fn summary(&self) -> String {
        let right = self.acts.iter().filter(|a| a.as_told).count();
        let took: Duration = self.acts.iter().map(|a| a.took).sum();
        format!("{right} of {} acts came out as told, in {:.1} s", ACTS.len(), took.as_secs_f64())
    }

    pub(super) fn acts(&self) -> Vec<serde_json::Value> {
        let act = |a: &Act| json!({ "act": a.title, "as_told": a.as_told, "seconds": a.took.as_secs_f64() });
        self.acts.iter().map(act).collect()
    }
}

impl Stage<'_> {
    fn say(&self, text: impl AsRef<str>) {
        println!("   {}", text.as_ref());
    }

    /// Says what should be so, and whether it is.
    fn check(&mut self, right: bool, text: impl AsRef<str>) {
        println!("   {} {}", if right { "ok  " } else { "WRONG" }, text.as_ref());
        self.as_told &= right;
    }

    /// Runs a command of the gateway and shows it.
    fn run(&self, args: &[&str]) -> Result<String, Failure> {
        println!("   $ headgate {}", args.join(" "));
        let printed = self.world.headgate(args)?;
        for line in printed.lines().take(3) {
            println!("     {line}");
        }
        Ok(printed)
    }

    /// Runs a command that must be refused; gives what it said.
    fn run_refused(&mut self, args: &[&str], exit: u8, says: &str) {
        println!("   $ headgate {}", args.join(" "));
        match self.world.headgate(args) {
            Ok(printed) => self.check(false, format!("expected a refusal, got: {printed}")),
            Err(e) => {
                let first = e.text.lines().next().unwrap_or_default().to_string();
                self.check(e.exit == exit && e.text.contains(says), format!("exit {}: {first}", e.exit));
            }
        }
    }

    /// Downloads `image` to the pump through the gate, with a progress bar on a terminal.
    fn download(&self, image: &[u8]) -> Result<(Ended, Duration), Failure> {
        let mut station = self.world.station(&self.world.pump)?;
        let bar = bar(image.len() as u64);
        let start = Instant::now();
        let ended = station.download(image, |done| {
            bar.set_position(done as u64);
            true
        });
        bar.finish_and_clear();
        Ok((ended, start.elapsed()))
    }
}

fn setup(s: &mut Stage<'_>) -> Result<(), Failure> {
    s.run(&["site-key", "new"])?;
    s.run(&["init", "--site-key", "site.pub"])?;
    s.run(&["site-key", "sign", "approval-request.json"])?;
    let approved = s.run(&["trust", "approve-pcrs", "approval.json"])?;
    s.check(approved.contains("boot state approved"), "the TPM unseals the key for this boot state");
    s.world.found_acme()?;
    s.world.sign_as_acme("px-200-v2.bin", &s.world.image)?;
    s.run(&["trust", "add", "acme.pub", "--name", "acme-release", "--vendor", "acme", "--model", "px-200"])?;
    s.world.start_gateway()?;
    let status = s.world.wait_status(Duration::from_secs(5), |st| {
        st.gate.open && st.plcs.iter().all(|p| p.identity.is_some())
    });
    s.check(status.is_some(), "the gateway runs, its gate is open, and both controllers said who they are");
    Ok(())
}

fn process(s: &mut Stage<'_>) -> Result<(), Failure> {
    let mut station = s.world.station(&s.world.pump)?;
    let start = Instant::now();
    let reads = (0..1000).filter(|_| station.read(1, 0, 20).is_ok()).count();
    let each = start.elapsed() / 1000;
    s.check(reads == 1000, format!("{reads} of 1000 reads answered, {} us each", each.as_micros()));
    let write = station.request(1, &[6, 0, 10, 0, 42]);
    s.check(write.is_ok_and(|r| r == [6, 0, 10, 0, 42]), "a write on the allow-list passes (register 10)");
    let window = station.request(1, &[6, 0xF0, 0, 0, 2]);
    s.check(window.is_ok_and(|r| r == [0x86, 2]), "a write into the update window does not: exception 02");
    let stop = station.request(1, &[8, 0, 1, 0, 0]);
    s.check(stop.is_ok_and(|r| r == [0x88, 1]), "restart communications (FC 8/01) does not: exception 01");
    Ok(())
}

fn good_update(s: &mut Stage<'_>) -> Result<(), Failure> {
    let image = s.world.image.clone();
    let digest = firmware_verifier::Digest::of(&image).to_hex();
    let (ended, _) = s.download(&image)?;
    let refused = matches!(ended, Ended::Refused { step: "begin", .. });
    s.check(
        refused && s.world.pump.flash() == Some(s.world.old.clone()),
        format!("before its release it is refused: {ended:?}"),
    );
    s.run(&["stage", "px-200-v2.bin", "--plc", "pump-3"])?;
    s.run(&["release", &digest[..12], "--plc", "pump-3", "--ticket", "CHG-4711"])?;
    let mark = s.world.broker.mark();
    let (ended, took) = s.download(&image)?;
    let rate = image.len() as f64 / 1024.0 / took.as_secs_f64();
    s.check(
        ended == Ended::Committed,
        format!("the station's download ends well: {:.2} s, {rate:.0} KiB/s", took.as_secs_f64()),
    );
    s.check(
        s.world.pump.wait_flash(&image, Duration::from_secs(3)),
        format!("the controller's flash holds sha256:{}...", &digest[..16]),
    );
    let heard = s.world.broker.hear(mark, "\"outcome\":\"done\"", Duration::from_secs(5));
    s.check(heard.is_some(), "the verdict is heard on MQTT, after the identity was read back");
    let (ended, _) = s.download(&image)?;
    s.check(
        matches!(ended, Ended::Refused { step: "begin", .. }),
        "a second time it is refused: the release was for one use",
    );
    Ok(())
}

fn flipped_bit(s: &mut Stage<'_>) -> Result<(), Failure> {
    let digest = firmware_verifier::Digest::of(&s.world.image).to_hex();
    s.run(&["release", &digest[..12], "--plc", "pump-3"])?;
    let mut bad = s.world.image.clone();
    let at = bad.len() / 2;
    bad[at] ^= 1;
    let before = s.world.pump.flash();
    let mark = s.world.broker.mark();
    let (ended, _) = s.download(&bad)?;
    let right = matches!(ended, Ended::Refused { step: "block", offset, exception: 4 } if offset <= at && at < offset + 240);
    s.check(right, format!("bit flipped at byte {at}: {ended:?}"));
    s.check(s.world.pump.flash() == before, "the flash is unchanged");
    let heard = s.world.broker.hear(mark, "HG-6006", Duration::from_secs(5));
    s.check(heard.is_some(), "SCADA hears alarm HG-6006 on MQTT");
    if let Some(line) = heard {
        s.say(format!("     {}", line.chars().take(150).collect::<String>()));
    }
    Ok(())
}

fn other_vendor(s: &mut Stage<'_>) -> Result<(), Failure> {
    let key = s.world.vendor("umbrella")?;
    s.run(&["trust", "add", "umbrella.pub", "--name", "umbrella", "--vendor", "umbrella", "--model", "*"])?;
    let mut image = s.world.image.clone();
    image.reverse();
    s.world.sign("other.bin", &image, &key)?;
    s.run_refused(&["stage", "other.bin", "--plc", "pump-3"], 13, "HG-1021");
    let (ended, _) = s.download(&image)?;
    s.check(matches!(ended, Ended::Refused { exception: 4, .. }), format!("and on the wire: {ended:?}"));
    Ok(())
}

fn boot_state(s: &mut Stage<'_>) -> Result<(), Failure> {
    let reader = Reader::start(s.world)?;
    s.world.extend(7, "another boot loader")?;
    s.say("PCR 7 extended, as another boot loader would");
    let start = Instant::now();
    let shut = s.world.wait_status(Duration::from_secs(RECHECK_S + 3), |st| !st.gate.open);
    let words = shut.map_or("the gate is still open".into(), |st| st.gate.text);
    s.check(
        words.contains("shut for firmware"),
        format!("after {:.1} s (re-check every {RECHECK_S} s): {words}", start.elapsed().as_secs_f64()),
    );
    let image = s.world.image.clone();
    let (ended, _) = s.download(&image)?;
    s.check(
        matches!(ended, Ended::Refused { step: "begin", .. }),
        format!("an update is refused: {ended:?}"),
    );
    std::thread::sleep(Duration::from_secs(1).saturating_sub(start.elapsed()));
    let reads = reader.stop();
    s.check(reads.0 > 20 && reads.1 == 0, format!("{} process reads meanwhile, {} failed", reads.0, reads.1));
    s.world.kill_gateway();
    s.world.start_gateway()?;
    let again = s.world.wait_status(Duration::from_secs(5), |st| {
        st.gate.code.is_some_and(|c| c != crate::reasons::NOT_READY)
    });
    let words = again.map_or(String::new(), |st| st.gate.text);
    s.check(
        words.contains("0x000001c4"),
        format!("after a restart the TPM itself refuses: {}", words.split("the last: ").last().unwrap_or("")),
    );
    let read = s.world.station(&s.world.pump)?.read(1, 0, 5);
    s.check(read.is_ok(), "process reads pass with the gate shut");
    s.say("the site approves the new boot state; nothing is sealed again");
    s.run(&["init", "--request-only", "--request", "request-2.json"])?;
    s.run(&["site-key", "sign", "request-2.json", "--out", "approval-2.json"])?;
    s.run(&["trust", "approve-pcrs", "approval-2.json"])?;
    let open = s.world.wait_status(Duration::from_secs(5), |st| st.gate.open);
    s.check(open.is_some(), "the gate is open again");
    Ok(())
}

fn kill_in_download(s: &mut Stage<'_>) -> Result<(), Failure> {
    let new = newer(&s.world.image, 1);
    release(s, "px-200-v3.bin", &new, "pump-3")?;
    let before = s.world.pump.flash();
    let mut station = s.world.station(&s.world.pump)?;
    let half = new.len() / 2;
    let ended = station.download(&new, |done| done < half);
    s.say(format!("half of the image is through: {ended:?}"));
    s.world.kill_gateway();
    s.check(station.read(1, 0, 1).is_err(), "kill -9: the connection is gone");
    let start = Instant::now();
    s.world.start_gateway()?;
    let mut reader = s.world.station(&s.world.pump)?;
    while reader.read(1, 0, 1).is_err() && start.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let back = start.elapsed();
    s.check(
        back < Duration::from_secs(1),
        format!("process reads are back {:.2} s after the restart", back.as_secs_f64()),
    );
    let boots = s.world.pump.behind_the_gate().and_then(|mut c| c.read(1, 0, 1)).is_ok();
    s.check(boots && s.world.pump.flash() == before, "the controller still runs its old firmware, untouched");
    let open = s.world.wait_status(Duration::from_secs(5), |st| st.gate.open);
    s.check(open.is_some(), "the gateway refuses until it is ready, then opens its gate");
    let (ended, _) = s.download(&new)?;
    s.check(ended == Ended::Committed, format!("the same download, begun again, lands: {ended:?}"));
    s.check(s.world.pump.wait_flash(&new, Duration::from_secs(3)), "the controller runs the new firmware");
    Ok(())
}

fn kill_in_delivery(s: &mut Stage<'_>) -> Result<(), Failure> {
    // The public tool for this family sends whole blocks of 96 bytes.
    let len = s.world.image.len().min(200_000) / 96 * 96;
    let new = newer(&s.world.image[..len], 2);
    let digest = release(s, "mixer-v2.bin", &new, "mixer-1")?;
    s.world.mixer.slow(Duration::from_millis(1));
    s.run(&["deliver", &digest[..12], "--plc", "mixer-1"])?;
    let half_way = s.world.wait_status(Duration::from_secs(20), |st| {
        st.plcs.iter().any(|p| p.delivery.as_ref().is_some_and(|(_, done, len)| *len > 0 && done * 3 > *len))
    });
    s.check(half_way.is_some(), "delivery is past its point of no return, the old firmware is gone");
    s.world.kill_gateway();
    s.check(s.world.mixer.flash().is_none(), "kill -9: at this moment the controller could not boot");
    s.world.start_gateway()?;
    s.check(
        s.world.mixer.wait_flash(&new, Duration::from_secs(30)),
        "the gateway finishes the delivery from its vault, without a person",
    );
    let done = s.world.wait_status(Duration::from_secs(10), |st| st.open_cases.is_empty());
    s.check(done.is_some(), "the identity was read back and the case is closed");
    Ok(())
}

fn second_witness(s: &mut Stage<'_>) -> Result<(), Failure> {
    s.say("a tachometer of the gateway's own is on the pump's shaft; what is usual is being learned");
    let learned = s.world.wait_signal(Duration::from_secs(90), |row| row.learned >= 1.0);
    let usual = learned.as_ref().and_then(|row| row.series.first().cloned());
    let words =
        usual.map_or("not learned".into(), |u| format!("usual is {:.1} +- {:.2} Hz", u.median, u.sigma));
    s.check(learned.is_some_and(|row| !row.alarm), words);
    let good = s.world.pump.flash().unwrap_or_default();
    let mut bad = newer(&s.world.image, 3);
    let at = bad.len() - 2 * crate::sim::drive::PAYLOAD.len();
    bad[at..at + crate::sim::drive::PAYLOAD.len()].copy_from_slice(crate::sim::drive::PAYLOAD);
    release(s, "px-200-v4.bin", &bad, "pump-3")?;
    let mark = s.world.broker.mark();
    let (ended, _) = s.download(&bad)?;
    s.check(ended == Ended::Committed, "a malicious image, signed by the vendor and released, lands");
    let locked =
        s.world.wait_status(Duration::from_secs(40), |st| st.plcs.iter().any(|p| p.locked.is_some()));
    let found = locked.and_then(|st| st.alarms.into_iter().find(|a| a.code == CHANGED_AFTER_UPDATE));
    let text = found.map(|a| a.text).unwrap_or_default();
    s.check(text.contains("pump-3.shaft"), format!("the controller is locked: {text}"));
    if let Some(row) = s.world.wait_signal(Duration::from_secs(1), |_| true) {
        let (value, said) = (row.value.unwrap_or_default(), row.reported.unwrap_or_default());
        s.check(
            (value - said).abs() > 100.0,
            format!("measured {value:.1} Hz, the controller reports {said:.1} Hz"),
        );
    }
    let heard = s.world.broker.hear(mark, "HG-9007", Duration::from_secs(5));
    s.check(heard.is_some(), "SCADA hears alarm HG-9007 on MQTT");
    let (ended, _) = s.download(&s.world.image.clone())?;
    s.check(
        matches!(ended, Ended::Refused { step: "begin", .. }),
        format!("no other update passes: {ended:?}"),
    );
    let back = firmware_verifier::Digest::of(&good).to_hex();
    s.run(&["release", &back[..12], "--plc", "pump-3"])?;
    s.run(&["deliver", &back[..12], "--plc", "pump-3"])?;
    s.check(
        s.world.pump.wait_flash(&good, Duration::from_secs(30)),
        "a person goes back to the last good image",
    );
    s.run(&["plc", "unlock", "pump-3", "--reason", "the vendor was called"])?;
    let open = s.world.wait_status(Duration::from_secs(5), |st| st.plcs.iter().all(|p| p.locked.is_none()));
    s.check(open.is_some(), "and lifts the lock, with a reason that stays in the case");
    Ok(())
}

/// Signs, stages and releases an image of the demo's vendor.
fn release(s: &mut Stage<'_>, name: &str, image: &[u8], plc: &str) -> Result<String, Failure> {
    let digest = firmware_verifier::Digest::of(image).to_hex();
    s.world.sign_as_acme(name, image)?;
    s.run(&["stage", name, "--plc", plc])?;
    s.run(&["release", &digest[..12], "--plc", plc])?;
    Ok(digest)
}

/// Another build of an image.
fn newer(image: &[u8], build: u8) -> Vec<u8> {
    let mut new = image.to_vec();
    if let Some(byte) = new.last_mut() {
        *byte = byte.wrapping_add(build);
    }
    new
}

/// Reads process values in the background, as an operator's screen does.
struct Reader {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    bad: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Reader {
    fn start(world: &World) -> Result<Reader, Failure> {
        let mut station: Station = world.station(&world.pump)?;
        let (stop, good, bad) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (s, g, b) = (stop.clone(), good.clone(), bad.clone());
        let thread = std::thread::spawn(move || {
            while !s.load(Ordering::Relaxed) {
                let count = if station.read(1, 0, 10).is_ok() { &g } else { &b };
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Ok(Reader { stop, good, bad, thread })
    }

    fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        (self.good.load(Ordering::Relaxed), self.bad.load(Ordering::Relaxed))
    }
}

fn bar(len: u64) -> ProgressBar {
    if !std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template("   {bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar
}
