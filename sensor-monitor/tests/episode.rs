//! One change is one alarm of each reason: raised once, cleared once, and only when it is well again.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Flaw, Quality};
use sensor_monitor::anomaly::Kind;
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Channel, Event, Measure, Spec};
use sensor_monitor::reasons::{BEHAVIOUR_CHANGED, SIGNAL_REPEATS};
use sensor_monitor::rng::Rng;

fn channel() -> Channel {
    Channel::new(Spec {
        id: "flow".into(),
        plc: None,
        kind: Kind::Process,
        measure: Measure::Value,
        unit: String::new(),
        window: Duration::ZERO,
        interval: Duration::from_secs(1),
        false_alarms_per_year: 1.0,
        learning: Some(Learning::new(2048, 64, 0.0).unwrap()),
        settle: 0,
        limits: None,
        reported: None,
    })
}

/// What happens to a signal of mean 0 and deviation 1: the value at second `.1`, which would have been `.0`.
type Change = fn(f64, u64) -> f64;

/// Plays a signal; gives what was told and when, as `+` and the code, or `-`.
fn play(change: Change, ar: f64, seconds: u64, seed: u64) -> Vec<(u64, String)> {
    let (mut channel, mut rng, mut out, mut told) = (channel(), Rng::new(seed), Vec::new(), Vec::new());
    let mut level = 0.0;
    for second in 0..seconds {
        level = ar * level + (1.0 - ar * ar).sqrt() * rng.normal();
        let value = change(level, second);
        channel.block(&Block::single(Mono(second * 1_000_000_000), value, Quality::Good), &mut out);
        for event in out.drain(..) {
            match event {
                Event::Anomaly(a) => told.push((second, format!("+{}", a.code))),
                Event::Cleared(_) => told.push((second, "-".into())),
                _ => {}
            }
        }
    }
    told
}

/// The change begins at 6,000 and ends, where it does, at 12,000.
const ROWS: [(&str, Change, f64); 8] = [
    ("step", |x, s| if (6000..12_000).contains(&s) { x + 3.0 } else { x }, 0.0),
    ("small step", |x, s| if (6000..12_000).contains(&s) { x + 0.5 } else { x }, 0.0),
    ("step of a signal that wanders", |x, s| if (6000..12_000).contains(&s) { x + 4.0 } else { x }, 0.8),
    ("noise", |x, s| if (6000..12_000).contains(&s) { 2.0 * x } else { x }, 0.0),
    (
        "up, then down",
        |x, s| {
            if (6000..9000).contains(&s) {
                x + 5.0
            } else if (9000..12_000).contains(&s) {
                x - 5.0
            } else {
                x
            }
        },
        0.0,
    ),
    ("ramp", |x, s| if (6000..12_000).contains(&s) { x + (s - 6000) as f64 * 1e-3 } else { x }, 0.0),
    (
        "level, ramp and noise",
        |x, s| if (6000..12_000).contains(&s) { 1.5 * x + 2.0 + (s - 6000) as f64 * 1e-3 } else { x },
        0.3,
    ),
    (
        "very slow ramp",
        |x, s| if (6000..12_000).contains(&s) { x + (s - 6000) as f64 * 2e-4 } else { x },
        0.0,
    ),
];

#[test]
fn a_change_is_raised_once_and_cleared_once_after_its_end() {
    for (what, change, ar) in ROWS {
        for seed in 1..=4 {
            let told = play(change, ar, 40_000, seed);
            let case = format!("{what}, seed {seed}: {told:?}");
            let [(raised, code), (cleared, end)] = &told[..] else { panic!("{case}") };
            assert_eq!((code, end.as_str()), (&format!("+{BEHAVIOUR_CHANGED}"), "-"), "{case}");
            assert!((6000..12_000).contains(raised) && *cleared > 12_000, "{case}");
        }
    }
}

#[test]
fn what_lasts_is_not_called_well() {
    let lasting: [(&str, Change); 3] = [
        ("a third of a deviation", |x, s| if s < 6000 { x } else { x + 0.33 }),
        ("one deviation", |x, s| if s < 6000 { x } else { x + 1.0 }),
        ("a ramp without an end", |x, s| if s < 6000 { x } else { x + (s - 6000) as f64 * 1e-4 }),
    ];
    for (what, change) in lasting {
        for seed in 1..=4 {
            let told = play(change, 0.0, 60_000, seed);
            assert_eq!(told.len(), 1, "{what}, seed {seed}: {told:?}");
        }
    }
}

#[test]
fn a_signal_that_moved_and_stands_still_has_one_alarm_of_each_reason() {
    let stuck: Change = |x, s| if (6000..12_000).contains(&s) { 9.5 } else { x };
    for seed in 1..=4 {
        let told = play(stuck, 0.0, 30_000, seed);
        let words: Vec<&str> = told.iter().map(|(_, what)| what.as_str()).collect();
        let (moved, repeats) = (format!("+{BEHAVIOUR_CHANGED}"), format!("+{SIGNAL_REPEATS}"));
        assert_eq!(words, [moved.as_str(), repeats.as_str(), "-"], "{told:?}");
        assert!(told[2].0 > 12_000, "{told:?}");
    }
}

#[test]
fn a_signal_at_the_end_of_its_range_is_lost_once_and_comes_back() {
    // Always at the end, and three readings of four.
    for at_end in [|_| true, |second| second % 4 != 0 || second < 30] as [fn(u64) -> bool; 2] {
        let (mut channel, mut out) = (channel(), Vec::new());
        for second in 0..400 {
            let is_bad = (20..380).contains(&second) && at_end(second);
            let quality = if is_bad { Quality::Uncertain(Flaw::Saturated) } else { Quality::Good };
            channel.block(&Block::single(Mono(second * 1_000_000_000), 4.0, quality), &mut out);
        }
        out.retain(|e| !matches!(e, Event::Reading(..)));
        assert_eq!(out, [Event::Lost(Flaw::Saturated), Event::Back]);
    }
}

#[test]
fn a_window_is_as_long_as_it_says_whatever_its_samples_are_apart() {
    for measure in [Measure::Value, Measure::Level(1.0)] {
        let window = Duration::from_secs(10);
        let mut channel = Channel::new(Spec {
            measure,
            window,
            interval: window,
            learning: None,
            ..channel().spec().clone()
        });
        let mut at = 0;
        // Every second, every two seconds, then one that comes when it likes, each without a word of the rate.
        for (count, step) in [(40, 1000), (20, 2000), (40, 950), (40, 1040), (10, 30_000)] {
            let mut out = Vec::new();
            let from = at;
            for _ in 0..count {
                at += step;
                channel.block(&Block::single(Mono(at * 1_000_000), 4.0, Quality::Good), &mut out);
            }
            let readings = out.iter().filter(|e| matches!(e, Event::Reading(..))).count() as u64;
            let wanted = ((at - from) / step.max(10_000)).min(count);
            assert!(readings.abs_diff(wanted) <= 1, "{measure:?}, each {step} ms: {readings} of {wanted}");
        }
    }
}

#[test]
fn a_number_too_large_to_learn_from_is_bad_and_says_so() {
    let (mut channel, mut out) = (channel(), Vec::new());
    for second in 0..10 {
        channel.block(&Block::single(Mono(second * 1_000_000_000), 1e150, Quality::Good), &mut out);
    }
    let is_lost = out.iter().filter(|e| matches!(e, Event::Lost(Flaw::TooLarge))).count();
    let bad =
        out.iter().filter(|e| matches!(e, Event::Reading(r, _) if r.quality == Quality::Bad(Flaw::TooLarge)));
    assert_eq!((is_lost, bad.count()), (1, 10));
}
