//! What a channel shows besides its events, and blocks of one sample.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Quality};
use sensor_monitor::anomaly::{Kind, Series};
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Channel, Event, Measure, Spec};
use sensor_monitor::rng::Rng;

#[test]
fn evidence_is_none_while_learning_below_one_before_the_alarm_and_one_while_it_stands() {
    let mut channel = Channel::new(spec());
    let (mut rng, mut out, mut alarm) = (Rng::new(3), Vec::new(), None);
    for n in 0..1600_u64 {
        let step = if n < 1500 { 0.0 } else { 1.5 };
        let value = 24.7 + 0.01 * (rng.normal() + step);
        channel.block(&Block::single(Mono(n * 1_000_000_000), value, Quality::Good), &mut out);
        let found = out.drain(..).any(|e| matches!(e, Event::Anomaly(_)));
        let evidence = channel.evidence(Series::Measured);
        match n {
            0..512 => assert_eq!(evidence, None, "{n}"),
            _ if found => {
                assert_eq!(evidence, Some(1.0), "{n}");
                alarm = alarm.or(Some(n));
            }
            _ if alarm.is_none() => assert!((0.0..1.0).contains(&evidence.unwrap()), "{n}: {evidence:?}"),
            _ => assert_eq!(evidence, Some(1.0), "{n}: it stands"),
        }
    }
    assert!((1500..1600).contains(&alarm.unwrap()), "{alarm:?}");
    assert_eq!(channel.evidence(Series::Residual), None, "nothing is reported");
}

#[test]
fn a_single_sample_between_two_blocks_says_nothing_of_the_rate() {
    let mut channel =
        Channel::new(Spec { measure: Measure::Level(1.0), window: Duration::from_millis(8), ..spec() });
    let mut out = Vec::new();
    let mut at = 0;
    for length in [8, 4, 1, 3, 8] {
        let period_ns = if length > 1 { 1_000_000 } else { 0 };
        let samples = vec![1.0; length as usize];
        channel.block(&Block { at: Mono(at), period_ns, samples, lost: 0, quality: Quality::Good }, &mut out);
        at += length * 1_000_000;
    }
    let qualities: Vec<Quality> =
        out.iter().filter_map(|e| if let Event::Reading(r) = e { Some(r.quality) } else { None }).collect();
    assert_eq!(qualities, [Quality::Good; 3]);
}

fn spec() -> Spec {
    Spec {
        id: "shaft".into(),
        plc: None,
        kind: Kind::Process,
        measure: Measure::Value,
        unit: "Hz".into(),
        window: Duration::ZERO,
        interval: Duration::from_secs(1),
        false_alarms_per_year: 1.0,
        learning: Learning::new(512, 64, 0.0).unwrap(),
        settle: 0,
        limits: None,
        reported: None,
    }
}
