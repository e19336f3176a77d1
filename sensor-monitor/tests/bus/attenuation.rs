//! A step of one talker's level, and faults of the termination, on a sampled line: found, and named.

use std::sync::OnceLock;

use sensor_monitor::bus::{Bus, Cause, Changed, News, Quantity, Settings, Talker};

use crate::line::{Bench, FarEnd, Wire};

/// Lines of each kind that are played: `HEADGATE_LINES`, which `make soak` sets.
fn lines() -> u64 {
    std::env::var("HEADGATE_LINES").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

const BAUDS: [u32; 2] = [9600, 115_200];
/// Windows to learn from.
const LEARNING: u32 = 512;
/// Two rounds over the units fit into a window.
fn window_ms(baud: u32) -> u64 {
    if baud == 9600 { 300 } else { 120 }
}
/// Mean windows between false alarms: with windows of 10 s one a year.
const WINDOWS_BETWEEN: f64 = 3.156e6;
/// Farad of a tap: 100 m of stub.
const TAP: f64 = 10e-9;

fn settings(wire: &Wire) -> Settings {
    let window = std::time::Duration::from_millis(window_ms(wire.baud as u32));
    let false_alarms_per_year = 31_557_600.0 / window.as_secs_f64() / WINDOWS_BETWEEN;
    Settings { window, learning: LEARNING, false_alarms_per_year, ..Settings::new("line-1", wire.line()) }
}

/// A bench of this speed on which everything is learned and judged; noise, data and times go on by `seed`.
fn learned(baud: u32, seed: u64) -> Bench {
    static LEARNED: [OnceLock<Bench>; 2] = [OnceLock::new(), OnceLock::new()];
    let at = BAUDS.iter().position(|b| *b == baud).unwrap();
    let mut bench = LEARNED[at].get_or_init(|| learn(baud)).clone();
    bench.wire.reseed(seed);
    bench
}

/// Devices of their own for each speed.
fn learn(baud: u32) -> Bench {
    let wire = Wire::new(baud, u64::from(baud));
    let bus = Bus::new(settings(&wire));
    let mut bench = Bench::new(wire, bus);
    let mut observer = bench.observer();
    for _ in 0..16 {
        let news = bench.run(LEARNING / 4, &mut observer);
        assert!(news.iter().all(|n| *n == News::Learned), "{news:?}");
        if bench.bus.is_judging() {
            return bench;
        }
    }
    panic!("not learned: {:?}", bench.bus.slowest());
}

fn first_change(news: Vec<News>) -> Option<Changed> {
    news.into_iter().find_map(|n| match n {
        News::Changed(changed) => Some(*changed),
        _ => None,
    })
}

#[test]
fn steps_of_one_talker_and_faults_of_the_termination_are_found_and_named() {
    type Change = fn(&mut Wire);
    let unit = |n| Cause::Transmitter(Talker::Unit(n));
    let cases: [(&str, Change, Cause); 8] = [
        ("unit 1 by -0.5 dB", |w| w.devices[1].decibels = -0.5, unit(1)),
        ("unit 4 by +0.5 dB", |w| w.devices[4].decibels = 0.5, unit(4)),
        ("unit 3 by -1 dB", |w| w.devices[3].decibels = -1.0, unit(3)),
        ("unit 2 by -3 dB", |w| w.devices[2].decibels = -3.0, unit(2)),
        ("station by -1 dB", |w| w.devices[0].decibels = -1.0, Cause::Transmitter(Talker::Station)),
        ("terminator missing", |w| w.far_end = FarEnd::Missing, Cause::TerminationMissing),
        ("terminator added", |w| w.far_end = FarEnd::Extra, Cause::TerminationAdded),
        ("tap", |w| w.far_end = FarEnd::Tap(TAP), Cause::Tap),
    ];
    for baud in BAUDS {
        for seed in 1..=lines() {
            let learned = learned(baud, seed);
            for (what, change, expected) in &cases {
                let mut bench = learned.clone();
                let mut observer = bench.observer();
                change(&mut bench.wire);
                let began = bench.wire.now();
                let news = bench.run(150, &mut observer);
                let found =
                    first_change(news).unwrap_or_else(|| panic!("{baud} seed {seed}: {what} was not found"));
                let level = found.moved.iter().filter(|m| m.quantity == Quantity::Level).map(|m| m.shift);
                let edge = found.moved.iter().filter(|m| m.quantity == Quantity::Edge).map(|m| m.shift);
                let range = |x: Vec<f64>| match x.len() {
                    0 => "-".to_owned(),
                    n => {
                        let (low, high) =
                            x.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
                        format!("{n} by {low:+.2}..{high:+.2}")
                    }
                };
                let after = found.anomaly.found().since(began).as_secs_f64() / window_ms(baud) as f64 * 1e3;
                println!(
                    "{baud:>6} seed {seed} {what:<20} after {after:>3.0} windows: levels {} dB, edges {} us; {}",
                    range(level.collect()),
                    range(edge.collect()),
                    found.anomaly.causes.join(", ")
                );
                assert_eq!(found.causes.first(), Some(expected), "{baud} seed {seed} {what}: {found:?}");
            }
        }
    }
}

/// Learned with gates that the simulation gives; here the front-end finds them in the samples.
#[test]
fn a_front_end_that_reads_the_frames_from_its_own_samples_finds_the_same() {
    for baud in BAUDS {
        let learned = learned(baud, 7);
        let mut bench = learned.clone();
        let mut observer = bench.observer();
        assert_eq!(first_change(bench.run_sampled(60, &mut observer)), None, "{baud}: nothing has changed");
        for talker in [Talker::Station, Talker::Unit(3)] {
            let (found, usual) = (
                bench.bus.reading(talker, Quantity::Level),
                bench.bus.usual(talker, Quantity::Level).unwrap(),
            );
            assert!(
                found.quality.is_good() && (found.value - usual.0).abs() < 0.1,
                "{talker:?}: {found:?} {usual:?}"
            );
        }
        let mut bench = learned;
        let mut observer = bench.observer();
        bench.wire.devices[3].decibels = -1.0;
        let found = first_change(bench.run_sampled(150, &mut observer)).expect("a step of 1 dB is found");
        assert_eq!(found.causes.first(), Some(&Cause::Transmitter(Talker::Unit(3))), "{baud}: {found:?}");
    }
}

#[test]
fn an_unchanged_line_raises_no_alarm() {
    for baud in BAUDS {
        for seed in 11..11 + lines() {
            let mut bench = learned(baud, seed);
            let mut observer = bench.observer();
            let news = bench.run(QUIET, &mut observer);
            assert_eq!(first_change(news), None, "{baud} seed {seed}");
            println!("{baud:>6} seed {seed}: {QUIET} windows without an alarm");
        }
    }
}

/// Windows of an unchanged line for each seed and speed.
const QUIET: u32 = 500;

#[test]
fn without_a_front_end_the_level_is_not_measured_and_the_rest_is() {
    use hal::sensor::{Flaw, Quality};
    let wire = Wire::new(115_200, 5);
    let bus = Bus::new(settings(&wire));
    let mut bench = Bench::new(wire, bus);
    bench.front_end = false;
    let mut observer = bench.observer();
    for _ in 0..16 {
        bench.run(LEARNING / 4, &mut observer);
    }
    for talker in [Talker::Station, Talker::Unit(1)] {
        for quantity in [Quantity::Level, Quantity::Edge, Quantity::Clock] {
            assert_eq!(bench.bus.reading(talker, quantity).quality, Quality::Bad(Flaw::NotMeasured));
        }
    }
    let turnaround = bench.bus.reading(Talker::Unit(1), Quantity::Turnaround);
    assert!(turnaround.quality.is_good() && (3.0..15.0).contains(&turnaround.value), "{turnaround:?}");
    assert!(bench.bus.is_judging());
}
