//! A signed update that makes a drive run where it must not, while the controller reports what it reported
//! before: the shape of Stuxnet (nominal 1064 Hz, 1410 Hz for 15 minutes, 2 Hz for 50, and 21 s of recorded
//! values played back; the published figures are in `docs/signals.md`).
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Quality};
use sensor_monitor::anomaly::{Kind, Series};
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Channel, Event, Measure, Spec, Stored};
use sensor_monitor::monitor::{Monitor, News};
use sensor_monitor::rng::Rng;
use sensor_monitor::watch;

const DAY_S: u64 = 86_400;

fn spec() -> Spec {
    Spec {
        id: "drive-1.shaft".into(),
        plc: Some("drive-1".into()),
        kind: Kind::Process,
        measure: Measure::Value,
        unit: "Hz".into(),
        window: Duration::ZERO,
        interval: Duration::from_secs(1),
        false_alarms_per_year: 1.0,
        learning: Some(Learning::new(8192, 1024, 0.0).unwrap()),
        settle: 10,
        limits: None,
        reported: Some(Duration::from_secs(5)),
    }
}

/// A drive with its load: 1064 Hz, slow swings of the load, and noise.
struct Drive {
    rng: Rng,
    load: f64,
    setpoint: f64,
    speed: f64,
    said: VecDeque<f64>,
    recorded: VecDeque<f64>,
}

impl Drive {
    fn new(seed: u64) -> Drive {
        let (said, recorded) = (VecDeque::new(), VecDeque::new());
        Drive { rng: Rng::new(seed), load: 0.0, setpoint: 1064.0, speed: 1064.0, said, recorded }
    }

    /// One second: what our own pick-up reads of the shaft, and what the controller says.
    fn second(&mut self, replays: bool) -> (f64, f64) {
        self.load = 0.9 * self.load + 0.4 * self.rng.normal();
        self.speed += 0.5 * (self.setpoint - self.speed);
        let shaft = self.speed + self.load;
        let measured = ((shaft + 0.2 * self.rng.normal()) * 10.0).round() / 10.0;
        self.said.push_back(((shaft + 0.1 * self.rng.normal()) * 10.0).round() / 10.0);
        let honest = if self.said.len() > 2 { self.said.pop_front().unwrap() } else { self.said[0] };
        if replays {
            self.recorded.rotate_left(1);
        } else {
            self.recorded.push_back(honest);
            self.recorded.drain(..self.recorded.len().saturating_sub(21));
        }
        (measured, *self.recorded.back().unwrap())
    }
}

struct Plant {
    monitor: Monitor,
    drive: Drive,
    second: u64,
}

impl Plant {
    fn new(seed: u64, learned: Option<Stored>) -> Plant {
        let mut channel = Channel::new(spec());
        if let Some(learned) = learned {
            assert!(channel.resume(learned));
        }
        let settings = watch::Settings {
            lasts: Duration::from_secs(7200),
            settles: Duration::from_secs(60),
            ..watch::Settings::default()
        };
        Plant { monitor: Monitor::new(vec![channel], settings), drive: Drive::new(seed), second: 0 }
    }

    fn now(&self) -> Mono {
        Mono((self.second + 1) * 1_000_000_000)
    }

    fn second(&mut self, replays: bool, out: &mut Vec<News>) {
        let now = self.now();
        let (measured, reported) = self.drive.second(replays);
        self.monitor.block(0, &Block::single(now, measured, Quality::Good), out);
        self.monitor.report(0, now, reported, out);
        self.monitor.tick(now, out);
        self.second += 1;
    }

    /// Runs undisturbed; gives what was found.
    fn quietly(&mut self, seconds: u64) -> Vec<News> {
        let mut out = Vec::new();
        for _ in 0..seconds {
            self.second(false, &mut out);
            out.retain(|n| !matches!(n, News::Signal(_, Event::Reading(..))));
        }
        out
    }
}

/// What an undisturbed drive teaches.
fn learned() -> Stored {
    let mut plant = Plant::new(1, None);
    for _ in 0..40 {
        plant.quietly(8192);
        if plant.monitor.channels()[0].progress() >= 1.0 {
            break;
        }
    }
    let channel = &plant.monitor.channels()[0];
    assert!(channel.progress() >= 1.0, "{}", channel.progress());
    let alignment = channel.alignment().unwrap();
    assert!((1.0..=3.0).contains(&alignment.lag.as_secs_f64()), "{alignment:?}");
    // The detectors' limits are found with the first value after learning.
    plant.quietly(120);
    plant.monitor.take_learned().pop().unwrap()
}

fn is_anomaly(news: &News) -> bool {
    matches!(news, News::Signal(_, Event::Anomaly(_)) | News::ChangedAfterUpdate(..))
}

#[test]
fn an_update_that_overspeeds_the_drive_is_found_and_named_and_the_replayed_report_too() {
    let learned = learned();
    let (mut slowest, mut slowest_replay) = (0, 0);
    for seed in 1..=200 {
        let mut plant = Plant::new(seed, Some(learned.clone()));
        let quiet = plant.quietly(600);
        assert!(!quiet.iter().any(is_anomaly), "seed {seed}: {quiet:?}");
        plant.monitor.accepted(42, "drive-1", plant.now());
        let settling = plant.quietly(300);
        assert!(!settling.iter().any(is_anomaly), "seed {seed}: {settling:?}");
        // The payload: another speed, and the last 21 s played back.
        plant.drive.setpoint = 1410.0;
        let (mut named, mut replay) = (None, None);
        for second in 1..=60u64 {
            let mut out = Vec::new();
            plant.second(true, &mut out);
            for news in out {
                match news {
                    News::ChangedAfterUpdate(case, _, text) => {
                        assert_eq!(case, 42);
                        assert!(text.contains("drive-1.shaft"), "{text}");
                        named = named.or(Some(second));
                    }
                    News::Signal(_, Event::Anomaly(a)) if a.series == Series::Reported => {
                        replay = replay.or(Some((second, a.change)));
                    }
                    _ => {}
                }
            }
        }
        let named = named.unwrap_or_else(|| panic!("seed {seed}: not found"));
        assert!(named <= 10, "seed {seed}: the step was found after {named} samples");
        let (replayed, change) = replay.unwrap_or_else(|| panic!("seed {seed}: the replay was not found"));
        assert!(replayed <= 42, "seed {seed}: the replay was found after {replayed} s: {change:?}");
        slowest = slowest.max(named);
        slowest_replay = slowest_replay.max(replayed);
    }
    println!("200 attacks: the step within {slowest} samples, the replay within {slowest_replay} s");
}

#[test]
fn an_update_before_anything_was_learned_locks_nothing() {
    for seed in 1..=20 {
        let mut plant = Plant::new(seed, None);
        plant.quietly(300);
        plant.monitor.accepted(1, "drive-1", plant.now());
        let found = plant.quietly(8000);
        assert!(!found.iter().any(is_anomaly), "seed {seed}: {found:?}");
        assert!(found.iter().any(|n| matches!(n, News::Quiet(1, _))), "seed {seed}: the soak ended");
    }
}

#[test]
fn thirty_days_without_an_attack_raise_nothing() {
    let mut plant = Plant::new(77, Some(learned()));
    let found = plant.quietly(30 * DAY_S);
    assert!(!found.iter().any(is_anomaly), "{found:?}");
}

#[test]
fn after_an_update_like_is_compared_with_like_and_an_unknown_regime_locks() {
    let mut spec = spec();
    (spec.reported, spec.learning) = (None, Some(Learning::new(1024, 256, 0.0).unwrap()));
    let settings = watch::Settings { lasts: Duration::from_secs(1800), ..watch::Settings::default() };
    let mut monitor = Monitor::new(vec![Channel::new(spec)], settings);
    let (mut rng, mut second, mut out) = (Rng::new(5), 0u64, Vec::new());
    let mut run = |monitor: &mut Monitor, out: &mut Vec<News>, regime: u16, seconds: u64, value: f64| {
        monitor.set_regime("drive-1", Some(regime));
        for _ in 0..seconds {
            second += 1;
            let now = Mono(second * 1_000_000_000);
            monitor.block(0, &Block::single(now, value + rng.normal(), Quality::Good), out);
            monitor.tick(now, out);
        }
        Mono(second * 1_000_000_000)
    };
    let changed = |out: &[News]| out.iter().filter(|n| matches!(n, News::ChangedAfterUpdate(..))).count();
    run(&mut monitor, &mut out, 0, 3000, 700.0);
    let now = run(&mut monitor, &mut out, 1, 3000, 1064.0);
    out.clear();
    monitor.accepted(1, "drive-1", now);
    // The set point changes in the soak: both speeds are known, and both are as they were.
    run(&mut monitor, &mut out, 1, 900, 1064.0);
    run(&mut monitor, &mut out, 0, 1000, 700.0);
    assert_eq!(changed(&out), 0, "{out:?}");
    let line = out.iter().find_map(|n| if let News::Quiet(1, line) = n { Some(line) } else { None });
    assert_eq!(line.unwrap().matches("no change that matters").count(), 2, "{line:?}");
    // The slow regime runs otherwise after the next update, while the last readings before it were fast.
    let now = run(&mut monitor, &mut out, 1, 900, 1064.0);
    monitor.accepted(2, "drive-1", now);
    run(&mut monitor, &mut out, 1, 300, 1064.0);
    assert_eq!(changed(&out), 0);
    run(&mut monitor, &mut out, 0, 600, 703.0);
    assert_eq!(changed(&out), 1, "a change in one regime is found in it");
    monitor.settled("drive-1");
    // A third update has the controller say that it runs as it never did.
    let now = run(&mut monitor, &mut out, 1, 4000, 1064.0);
    monitor.accepted(3, "drive-1", now);
    run(&mut monitor, &mut out, 2, 200, 1410.0);
    assert_eq!(changed(&out), 2, "an unknown regime after an update is not taken at its word");
}

#[test]
fn updates_that_change_only_the_timing_of_the_bus_lock_nothing() {
    let mut spec = spec();
    (spec.kind, spec.reported, spec.id) = (Kind::Bus, None, "drive-1.turnaround".into());
    spec.learning = Some(Learning::new(1024, 256, 0.0).unwrap());
    let settings = watch::Settings { lasts: Duration::from_secs(1800), ..watch::Settings::default() };
    let mut monitor = Monitor::new(vec![Channel::new(spec)], settings);
    let mut rng = Rng::new(5);
    let (mut second, mut out, mut turnaround) = (0u64, Vec::new(), 12.0);
    let mut run = |monitor: &mut Monitor, out: &mut Vec<News>, seconds: u64, turnaround: f64| {
        for _ in 0..seconds {
            second += 1;
            let now = Mono(second * 1_000_000_000);
            let value = turnaround * (1.0 + 0.02 * rng.normal());
            monitor.block(0, &Block::single(now, value, Quality::Good), out);
            monitor.tick(now, out);
        }
        Mono(second * 1_000_000_000)
    };
    for (case, shift) in [1.05, 1.12, 1.25, 0.8, 1.5].into_iter().enumerate() {
        let now = run(&mut monitor, &mut out, 3000, turnaround);
        assert!(!out.iter().any(is_anomaly), "before update {case}");
        monitor.accepted(case as u64, "drive-1", now);
        turnaround *= shift;
        run(&mut monitor, &mut out, 2000, turnaround);
        assert!(!out.iter().any(is_anomaly), "after update {case}");
        let ends = out.iter().filter(|n| matches!(n, News::Quiet(..))).count();
        assert_eq!(ends, case + 1, "the soak ended with a line");
    }
    // The same shift without an update on record is an alarm.
    run(&mut monitor, &mut out, 3000, turnaround);
    run(&mut monitor, &mut out, 600, turnaround * 1.1);
    let first = out.iter().find(|n| is_anomaly(n)).unwrap();
    assert!(
        matches!(first, News::Signal(_, Event::Anomaly(a)) if a.code == sensor_monitor::reasons::BUS_CHANGED),
        "{first:?}"
    );
}
