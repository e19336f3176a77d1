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
    let qualities: Vec<Quality> = out
        .iter()
        .filter_map(|e| if let Event::Reading(r, _) = e { Some(r.quality) } else { None })
        .collect();
    assert_eq!(qualities, [Quality::Good; 3]);
}

/// Feeds `count` readings of a regime; gives the events that are neither readings nor learned baselines.
fn feed(channel: &mut Channel, rng: &mut Rng, second: &mut u64, regime: u16, count: u64) -> Vec<Event> {
    let mut out = Vec::new();
    channel.set_regime(Some(regime));
    for _ in 0..count {
        *second += 1;
        let value = 24.7 * f64::from(1 + regime) + 0.01 * rng.normal();
        channel.block(&Block::single(Mono(*second * 1_000_000_000), value, Quality::Good), &mut out);
    }
    out.retain(|e| !matches!(e, Event::Reading(..) | Event::Learned(_)));
    out
}

#[test]
fn nothing_is_learned_before_the_controller_says_its_regime() {
    let mut channel = Channel::new(spec());
    channel.set_regime(None);
    let mut out = Vec::new();
    for n in 1..600_u64 {
        channel.block(&Block::single(Mono(n * 1_000_000_000), 24.7, Quality::Good), &mut out);
    }
    assert_eq!(channel.progress(), 0.0);
    assert!(out.iter().all(|e| matches!(e, Event::Reading(_, None))), "{out:?}");
}

#[test]
fn a_regime_that_was_never_learned_is_told_once_and_ends_when_it_is() {
    let (mut channel, mut rng, mut second) = (Channel::new(spec()), Rng::new(7), 0);
    assert_eq!(
        feed(&mut channel, &mut rng, &mut second, 0, 700),
        [],
        "the first regime is learned in silence"
    );
    assert_eq!(feed(&mut channel, &mut rng, &mut second, 1, 59), []);
    assert_eq!(feed(&mut channel, &mut rng, &mut second, 1, 1), [Event::Unjudged(Some(1))]);
    assert_eq!(feed(&mut channel, &mut rng, &mut second, 1, 400), [], "it is told once");
    assert_eq!(
        feed(&mut channel, &mut rng, &mut second, 1, 400),
        [Event::Judged],
        "it was learned meanwhile"
    );
    assert_eq!(
        feed(&mut channel, &mut rng, &mut second, 0, 200),
        [],
        "going back to a known one is no change"
    );
}

#[test]
fn a_regime_that_switches_all_the_time_hides_nothing() {
    let (mut channel, mut rng, mut second) = (Channel::new(Spec { settle: 10, ..spec() }), Rng::new(7), 0);
    for regime in [0, 1] {
        feed(&mut channel, &mut rng, &mut second, regime, 700);
    }
    feed(&mut channel, &mut rng, &mut second, 0, 200);
    let mut told = Vec::new();
    for switch in 0..10 {
        told.extend(feed(&mut channel, &mut rng, &mut second, 1 - switch % 2, 11));
    }
    assert!(matches!(told[..], [Event::Unjudged(Some(_))]), "{told:?}");
    let mut told = Vec::new();
    for switch in 0..6 {
        told.extend(feed(&mut channel, &mut rng, &mut second, switch % 2, 200));
    }
    assert_eq!(told, [Event::Judged], "an ordinary switch now and then is none");
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
        learning: Some(Learning::new(512, 64, 0.0).unwrap()),
        settle: 0,
        limits: None,
        reported: None,
    }
}

#[test]
fn a_signal_that_needs_a_filter_is_learned_from_the_fewest_readings() {
    use sensor_monitor::baseline::FEWEST;
    assert!(Learning::new(FEWEST as u32 - 1, 0, 0.0).is_err(), "too few are refused, not learned for ever");
    let learning = Some(Learning::new(FEWEST as u32, 0, 0.0).unwrap());
    let (mut channel, mut rng, mut out, mut level) =
        (Channel::new(Spec { learning, ..spec() }), Rng::new(3), vec![], 0.0);
    for second in 0..FEWEST as u64 {
        level = 0.9 * level + rng.normal();
        channel.block(&Block::single(Mono(second * 1_000_000_000), level, Quality::Good), &mut out);
    }
    assert!(
        out.iter().any(|e| matches!(e, Event::Learned(_))),
        "the filter took some readings from the front"
    );
}
