//! Whatever talks, however: no panic, and memory within its bounds.

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::Block;
use hal::sensor::serial_line::{Counters, Event, Line, Seen, Side};
use proptest::prelude::*;
use sensor_monitor::bus::{
    Bus, Connection, Firmware, FrontEnd, MAX_TOLD, MAX_UNITS, Measured, News, Owners, Quantity, Settings,
    Talker,
};

const LINE: Line = Line { baud: 9600, bits: 11, slack: Duration::ZERO };

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        any::<u8>().prop_map(|function| Seen::Request { function }),
        any::<u64>().prop_map(Seen::Turnaround),
        any::<u64>().prop_map(Seen::Gap),
        any::<u8>().prop_map(Seen::Exception),
        Just(Seen::Broken(Side::Station)),
        Just(Seen::Broken(Side::Units)),
        Just(Seen::Retry),
        Just(Seen::Timeout),
        Just(Seen::Stranger),
        Just(Seen::Counted(Counters::default())),
    ]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..100_000_000_000_u64, Just(u64::MAX), Just(0)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_events_in_any_order_of_time_are_survived(
        events in proptest::collection::vec((time(), proptest::option::of(any::<u8>()), seen()), 0..400),
    ) {
        let mut bus = Bus::new(Settings { learning: 0, window: Duration::ZERO, ..Settings::new("x", LINE) });
        let (mut out, mut owners) = (Vec::new(), Owners::new(&LINE));
        for (at, unit, seen) in events {
            let event = Event { at: Mono(at), unit, seen };
            bus.event(&event, &mut out);
            if let Some(owned) = owners.event(&event) {
                prop_assert!(owned.from <= owned.to);
                bus.frame(owned.talker, owned.to, &Measured::NOTHING, &mut out);
            }
            bus.tick(Mono(at.wrapping_mul(3)), &mut out);
            bus.expected_change(unit.unwrap_or(9), Firmware([1; 32]), Mono(at));
        }
        prop_assert!(bus.stored().talkers().count() <= MAX_UNITS);
        prop_assert!((0.0..=1.0).contains(&bus.progress()));
    }
}

/// Blocks of any times, rates and samples, among them a line's own voltages and what is no number.
fn blocks() -> impl Strategy<Value = Vec<(u64, u64, Vec<f64>, u64)>> {
    let volts = prop_oneof![
        4 => prop_oneof![Just(-1.5), Just(1.5), -5.0..5.0],
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::MIN), any::<f64>()],
    ];
    let run = (volts, 1..40_usize).prop_map(|(v, n)| vec![v; n]);
    let samples = proptest::collection::vec(run, 0..100).prop_map(|runs| runs.concat());
    let period = prop_oneof![3 => Just(9615_u64), 1 => any::<u64>()];
    proptest::collection::vec((time(), period, samples, 0..2_u64), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_samples_are_survived_by_a_front_end(blocks in blocks(), follow in any::<bool>()) {
        let connection = Connection { rate_hz: 104_000.0, reference_v: 2.0, swapped: false };
        let mut front_end = FrontEnd::new(LINE, Duration::from_millis(100), connection).unwrap();
        let (mut out, mut next) = (Vec::new(), 0_u64);
        for (at, period_ns, samples, lost) in blocks {
            let at = Mono(if follow { next } else { at });
            next = next.wrapping_add(9615 * samples.len() as u64);
            let quality = hal::sensor::Quality::Good;
            front_end.block(&Block { at, period_ns, samples, lost, quality }, &mut out);
        }
        prop_assert!(out.iter().all(|f| f.measured.level.decibels.is_finite()));
    }
}

#[test]
fn a_rate_that_shows_no_plateau_makes_no_front_end() {
    for (rate_hz, reference_v) in
        [(0.0, 2.0), (f64::NAN, 2.0), (9600.0 * 7.9, 2.0), (9600.0 * 201.0, 2.0), (1e5, 0.0)]
    {
        let connection = Connection { rate_hz, reference_v, swapped: false };
        assert!(FrontEnd::new(LINE, Duration::from_secs(1), connection).is_err(), "{rate_hz} {reference_v}");
    }
}

#[test]
fn a_flood_of_all_addresses_and_functions_stays_within_the_bounds() {
    let mut bus =
        Bus::new(Settings { learning: 256, window: Duration::from_millis(10), ..Settings::new("x", LINE) });
    let mut out = Vec::new();
    let (mut at, mut new, mut silent) = (0, 0, 0);
    for round in 0..40_u64 {
        for unit in 0..=255_u8 {
            for seen in [
                Seen::Request { function: (round * 7) as u8 ^ unit },
                Seen::Turnaround(1_000_000 + round),
                Seen::Exception(round as u8),
                Seen::Stranger,
            ] {
                at += 1_000_000;
                bus.event(&Event { at: Mono(at), unit: Some(unit), seen }, &mut out);
            }
            bus.frame(Talker::Unit(unit), Mono(at), &Measured::NOTHING, &mut out);
        }
        new += out.iter().filter(|n| matches!(n, News::New(..))).count();
        silent += out.iter().filter(|n| matches!(n, News::Silent)).count();
        out.clear();
    }
    assert_eq!(bus.stored().talkers().count(), MAX_UNITS);
    assert!((1..=MAX_TOLD).contains(&new), "{new}");
    assert_eq!(silent, 0);
    for unit in 0..=255 {
        assert!(!bus.reading(Talker::Unit(unit), Quantity::Level).quality.is_good());
        let exceptions = bus.fingerprint(unit).map_or(0, |f| f.pattern.exceptions.len());
        assert!(exceptions <= sensor_monitor::bus::MAX_EXCEPTIONS, "{exceptions}");
    }
    // The line falls silent, and that is told once.
    for _ in 0..20 {
        at += 10_000_000;
        bus.tick(Mono(at), &mut out);
    }
    assert_eq!(out.iter().filter(|n| matches!(n, News::Silent)).count(), 1, "{out:?}");
}
