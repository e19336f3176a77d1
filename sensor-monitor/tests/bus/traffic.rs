//! What the traffic alone tells: firmware that answers otherwise, who is new, what breaks.

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::serial_line::{Event, Line, Seen, Side};
use sensor_monitor::bus::{Bus, Cause, Firmware, News, Novelty, Quantity, Settings, Stored, Talker};
use sensor_monitor::rng::Rng;

const LINE: Line = Line { baud: 19_200, bits: 11, slack: Duration::ZERO };
const SECOND: u64 = 1_000_000_000;

/// Two units, polled ten times a second in turn.
struct Traffic {
    rng: Rng,
    at: u64,
    turnaround_ms: [f64; 2],
    broken: f64,
    function: u8,
    exception: Option<u8>,
    stranger: Option<u8>,
}

impl Traffic {
    fn new() -> Traffic {
        let turnaround_ms = [8.0, 15.0];
        Traffic {
            rng: Rng::new(3),
            at: SECOND,
            turnaround_ms,
            broken: 0.0,
            function: 3,
            exception: None,
            stranger: None,
        }
    }

    fn windows(&mut self, bus: &mut Bus, windows: u64) -> Vec<News> {
        let mut out = Vec::new();
        let end = self.at + windows * SECOND;
        while self.at < end {
            for unit in [1u8, 2] {
                self.poll(unit, bus, &mut out);
            }
        }
        out
    }

    fn poll(&mut self, unit: u8, bus: &mut Bus, out: &mut Vec<News>) {
        self.at += 100_000_000;
        let mut tell =
            |at: u64, unit: u8, seen| bus.event(&Event { at: Mono(at), unit: Some(unit), seen }, out);
        tell(self.at, unit, Seen::Request { function: self.function });
        let usual = self.turnaround_ms[usize::from(unit) - 1];
        let ms = usual * (1.0 + 0.05 * self.rng.normal()).max(0.1);
        let turnaround = (ms * 1e6) as u64;
        let end = self.at + turnaround + 5_000_000;
        if self.rng.uniform() < self.broken {
            return tell(end, unit, Seen::Broken(Side::Units));
        }
        tell(end, unit, Seen::Turnaround(turnaround));
        if let Some(code) = self.exception {
            tell(end, unit, Seen::Exception(code));
        }
        if let Some(stranger) = self.stranger {
            tell(end + 10_000_000, stranger, Seen::Stranger);
        }
    }
}

fn settings() -> Settings {
    let window = Duration::from_secs(1);
    Settings { window, learning: 256, false_alarms_per_year: 10.0, ..Settings::new("line-1", LINE) }
}

/// A bus that is judged, and its traffic.
fn learned() -> (Bus, Traffic) {
    let (mut bus, mut traffic) = (Bus::new(settings()), Traffic::new());
    for _ in 0..20 {
        traffic.windows(&mut bus, 64);
        if bus.is_judging() {
            return (bus, traffic);
        }
    }
    panic!("not learned: {:?}", bus.slowest());
}

fn first_cause(news: &[News]) -> Option<Cause> {
    news.iter().find_map(|n| match n {
        News::Changed(changed) => changed.causes.first().copied(),
        _ => None,
    })
}

#[test]
fn traffic_names_what_changed_and_a_verified_update_is_no_alarm() {
    let (bus, _) = learned();
    let stored = serde_json::to_string(&bus.stored()).unwrap();
    println!("stored: {} bytes", stored.len());
    let resumed = || {
        let mut bus = Bus::new(settings());
        bus.resume(serde_json::from_str::<Stored>(&stored).unwrap()).unwrap();
        bus
    };
    let mut traffic = Traffic::new();
    assert_eq!(first_cause(&traffic.windows(&mut resumed(), 300)), None, "unchanged");

    type Change = fn(&mut Traffic);
    let cases: [(&str, Change, Cause); 3] = [
        ("unit 2 answers a quarter later", |t| t.turnaround_ms[1] *= 1.25, Cause::Timing(Talker::Unit(2))),
        ("every fifth frame breaks", |t| t.broken = 0.2, Cause::Interference),
        ("unit 77 babbles", |t| t.stranger = Some(77), Cause::Babbling(Talker::Unit(77))),
    ];
    for (what, change, expected) in cases {
        let (mut bus, mut traffic) = (resumed(), Traffic::new());
        traffic.windows(&mut bus, 20);
        change(&mut traffic);
        let news = traffic.windows(&mut bus, 100);
        assert_eq!(first_cause(&news), Some(expected), "{what}: {news:?}");
    }

    // The same change after a verified update is an epoch, and what it was before is kept.
    let (mut bus, mut traffic) = (resumed(), Traffic::new());
    traffic.windows(&mut bus, 20);
    traffic.turnaround_ms[1] *= 1.25;
    bus.expected_change(2, Firmware([7; 32]), Mono(traffic.at));
    let news = traffic.windows(&mut bus, 400);
    assert_eq!(first_cause(&news), None, "{news:?}");
    let epoch =
        news.iter().find_map(|n| if let News::Epoch(e) = n { Some(e) } else { None }).expect("an epoch");
    assert!((epoch.turnaround.unwrap().median_ratio - 1.25).abs() < 0.03, "{epoch:?}");
    assert_eq!(bus.fingerprint(2).unwrap().firmware, Some(Firmware([7; 32])));
    assert_eq!(bus.previous(2).unwrap().firmware, None);
    // An unverified change of the other unit is an alarm as before.
    traffic.turnaround_ms[0] *= 0.7;
    assert_eq!(first_cause(&traffic.windows(&mut bus, 100)), Some(Cause::Timing(Talker::Unit(1))));
}

#[test]
fn who_or_what_was_never_seen_is_new_on_the_bus_once() {
    let (bus, mut traffic) = learned();
    type Change = fn(&mut Traffic);
    let cases: [(Change, Novelty, &str); 3] = [
        (|t| t.function = 21, Novelty::Function(1, 21), "HG-9008"),
        (|t| t.exception = Some(4), Novelty::Exception(1, 3, 4), "HG-9005"),
        (|t| t.stranger = Some(77), Novelty::Talker(77), "HG-9008"),
    ];
    for (change, expected, code) in cases {
        let mut bus = bus.clone();
        let saved = (traffic.function, traffic.exception, traffic.stranger);
        change(&mut traffic);
        let news = traffic.windows(&mut bus, 5);
        (traffic.function, traffic.exception, traffic.stranger) = saved;
        let new: Vec<_> =
            news.iter().filter_map(|n| if let News::New(a, n) = n { Some((a, *n)) } else { None }).collect();
        assert_eq!(new.iter().filter(|(_, n)| *n == expected).count(), 1, "{news:?}");
        assert_eq!(new[0].0.code.to_string(), code);
        assert!(new[0].0.text("").contains("never seen before"), "{}", new[0].0.text(""));
    }
}

#[test]
fn what_was_stored_for_another_bus_is_not_taken_up() {
    let stored = serde_json::to_string(&Bus::new(settings()).stored()).unwrap();
    for (from, to) in [("line-1", "line-2"), ("bus/v1", "bus/v2")] {
        let other: Stored = serde_json::from_str(&stored.replace(from, to)).unwrap();
        assert!(Bus::new(settings()).resume(other).is_err(), "{to}");
    }
}

#[test]
fn a_number_that_is_rare_does_not_hold_back_the_rest() {
    let (mut bus, mut traffic) = (Bus::new(settings()), Traffic::new());
    for _ in 0..160 {
        traffic.windows(&mut bus, 8);
        let gap = Event { at: Mono(traffic.at), unit: Some(1), seen: Seen::Gap(2_000_000) };
        bus.event(&gap, &mut Vec::new());
        if bus.is_judging() {
            assert_eq!(bus.progress(), 1.0);
            return;
        }
    }
    panic!("not learned: {:?}", bus.slowest());
}

#[test]
fn a_line_that_was_unplugged_is_neither_silent_nor_changed() {
    let (bus, traffic) = learned();
    for told in [false, true] {
        let (mut bus, mut traffic) = (bus.clone(), Traffic { at: traffic.at, ..Traffic::new() });
        traffic.windows(&mut bus, 20);
        traffic.at += 12 * SECOND + SECOND / 3;
        if told {
            bus.gap(Mono(traffic.at));
        }
        let news = traffic.windows(&mut bus, 100);
        assert_eq!(news.contains(&News::Silent), !told, "{news:?}");
        assert_eq!(first_cause(&news), None, "{news:?}");
    }
}

#[test]
fn a_unit_that_was_updated_before_it_was_asked_has_its_firmware_from_the_first_epoch_on() {
    let (mut bus, mut traffic) = (Bus::new(settings()), Traffic::new());
    bus.expected_change(2, Firmware([7; 32]), Mono(traffic.at));
    bus.expected_change(9, Firmware([9; 32]), Mono(traffic.at));
    traffic.windows(&mut bus, 300);
    let firmware: Vec<_> = bus.units().map(|u| (u.unit, u.firmware.map(|f| f.0[0]))).collect();
    assert_eq!(firmware, [(1, None), (2, Some(7)), (9, Some(9))]);
    bus.expected_change(77, Firmware([7; 32]), Mono(traffic.at));
    assert_eq!(bus.units().count(), 3, "who was never heard while the bus was learned stays new");
}

#[test]
fn polls_that_follow_one_another_are_learned_from_the_fewest_windows() {
    let mut bus = Bus::new(Settings { learning: 0, ..settings() });
    let (mut out, mut rng, mut polls) = (Vec::new(), Rng::new(7), 8.0);
    for second in 1..=300_u64 {
        // Each window resembles the one before: without a filter it could not be judged.
        polls = 8.0 + 0.8 * (polls - 8.0) + rng.normal();
        for poll in 0..polls.clamp(2.0, 20.0) as u64 {
            let at = second * SECOND + poll * 40_000_000;
            let seen = [(at, Seen::Request { function: 3 }), (at + 20_000_000, Seen::Turnaround(9_000_000))];
            for (at, seen) in seen {
                bus.event(&Event { at: Mono(at), unit: Some(1), seen }, &mut out);
            }
        }
    }
    assert!(bus.usual(Talker::Unit(1), Quantity::Polls).is_some(), "{:?}", bus.slowest());
}
