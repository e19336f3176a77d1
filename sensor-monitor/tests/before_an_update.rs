//! What had changed before an update is not the update's: it alone locks no controller; a further change does.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Quality};
use sensor_monitor::anomaly::Kind;
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Channel, Event, Measure, Spec};
use sensor_monitor::monitor::{Monitor, News};
use sensor_monitor::rng::Rng;
use sensor_monitor::watch;

const UPDATE: u64 = 20_000;

fn monitor() -> Monitor {
    let channel = Channel::new(Spec {
        id: "flow".into(),
        plc: Some("pump".into()),
        kind: Kind::Process,
        measure: Measure::Value,
        unit: String::new(),
        window: Duration::ZERO,
        interval: Duration::from_secs(1),
        false_alarms_per_year: 1.0,
        learning: Some(Learning::new(8192, 1024, 0.0).unwrap()),
        settle: 0,
        limits: None,
        reported: None,
    });
    Monitor::new(vec![channel], watch::Settings::default())
}

/// Plays noise that `change` makes something of, with an update at [`UPDATE`]: alarms before it, and what the soak said.
fn play(change: impl Fn(f64, u64) -> f64, seed: u64) -> (usize, Vec<String>) {
    let (mut monitor, mut rng) = (monitor(), Rng::new(seed));
    let (mut out, mut alarms, mut changed, mut is_quiet) = (Vec::new(), 0, Vec::new(), false);
    for second in 0..UPDATE + 4000 {
        let now = Mono(second * 1_000_000_000);
        if second == UPDATE {
            monitor.accepted(1, "pump", now);
        }
        monitor.block(0, &Block::single(now, change(rng.normal(), second), Quality::Good), &mut out);
        monitor.tick(now, &mut out);
        for news in out.drain(..) {
            match news {
                News::Signal(_, Event::Anomaly(_)) if second < UPDATE => alarms += 1,
                News::ChangedAfterUpdate(_, _, text) => changed.push(text),
                News::Quiet(..) => is_quiet = true,
                _ => {}
            }
        }
    }
    assert_ne!(is_quiet, !changed.is_empty(), "a soak ends in one way");
    (alarms, changed)
}

/// Signals that changed before the update, by so many seconds.
fn prior(x: f64, second: u64, kind: &str, ago: u64) -> f64 {
    match kind {
        _ if second < UPDATE - ago => x,
        "two deviations up" => x + 2.0,
        "five down" => x - 5.0,
        "twice the noise" => 2.0 * x,
        "half the noise" => 0.5 * x,
        "whole numbers" => (x + 2.0).round(),
        _ => x + 0.6,
    }
}

const KINDS: [&str; 6] =
    ["two deviations up", "five down", "twice the noise", "half the noise", "whole numbers", "a little"];

#[test]
fn what_changed_before_the_update_and_stays_so_locks_nothing() {
    for kind in KINDS {
        for (ago, seed) in [(6000, 1), (1000, 2), (300, 3), (300, 4)] {
            let (alarms, changed) = play(|x, s| prior(x, s, kind, ago), seed);
            assert!(changed.is_empty(), "{kind}, {ago} s before, seed {seed}: {changed:?}");
            assert!(alarms > 0 || ago < 1000 || kind == "a little", "{kind}, {ago} s before");
        }
    }
}

#[test]
fn a_further_change_after_the_update_is_the_updates() {
    for kind in KINDS {
        for (ago, seed) in [(6000, 1), (1000, 2), (300, 3)] {
            let further = |x, s| prior(x, s, kind, ago) + if s < UPDATE + 100 { 0.0 } else { 3.0 };
            let (_, changed) = play(further, seed);
            assert_eq!(changed.len(), 1, "up, {kind}, {ago} s before, seed {seed}");
            let further = |x, s| prior(x, s, kind, ago) * if s < UPDATE + 100 { 1.0 } else { 4.0 };
            let (_, changed) = play(further, seed);
            assert_eq!(changed.len(), 1, "wider, {kind}, {ago} s before, seed {seed}");
        }
    }
}

#[test]
fn a_signal_that_comes_back_to_what_is_usual_locks_nothing() {
    for kind in ["two deviations up", "five down", "twice the noise"] {
        let back = |x, s| if s < UPDATE + 10 { prior(x, s, kind, 1000) } else { x };
        let (alarms, changed) = play(back, 5);
        assert!(alarms > 0 && changed.is_empty(), "{kind}: {changed:?}");
    }
}

#[test]
fn benign_updates_of_a_signal_in_whole_numbers_change_nothing() {
    for sigma in [0.3, 0.5, 0.75, 1.0, 1.35] {
        for seed in 1..=6 {
            let middle = 50.0 + 0.17 * seed as f64;
            let (alarms, changed) = play(|x, _| (middle + sigma * x).round(), seed);
            assert!(alarms == 0 && changed.is_empty(), "{sigma}, seed {seed}: {alarms}, {changed:?}");
        }
    }
}
