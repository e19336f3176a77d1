//! What no sensor should send, through the whole monitor: it is bad, it is told once, and what comes after is
//! measured as before.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hal::clock::Mono;
use hal::sensor::{Block, Flaw, Quality};
use sensor_monitor::anomaly::Kind;
use sensor_monitor::baseline::Learning;
use sensor_monitor::channel::{Channel, Class, Event, Mains, Measure, Nominal, Spec};
use sensor_monitor::monitor::{Monitor, News};
use sensor_monitor::rng::Rng;
use sensor_monitor::watch;

const PERIOD_NS: u64 = 500_000;
const SAMPLES: usize = 200;
/// Time of one block.
const SPAN_NS: u64 = PERIOD_NS * SAMPLES as u64;
/// Hostile blocks in a row: 5 s.
const HOSTILE: u64 = 50;

const MAINS: fn(Class) -> Measure = |class| Measure::Mains(Mains { nominal: Nominal::Fifty, class });

fn spec(measure: Measure) -> Spec {
    let is_value = measure == Measure::Value;
    let window = if is_value { Duration::ZERO } else { Duration::from_nanos(SPAN_NS) };
    Spec {
        id: "shaft".into(),
        plc: Some("drive".into()),
        kind: Kind::Process,
        measure,
        unit: String::new(),
        window,
        interval: if is_value { Duration::from_nanos(PERIOD_NS) } else { window },
        false_alarms_per_year: 1.0,
        learning: Some(Learning::new(512, 64, 0.0).unwrap()),
        settle: 0,
        limits: None,
        reported: None,
    }
}

/// A monitor of one signal, which has learned it.
struct World {
    monitor: Monitor,
    rng: Rng,
    is_value: bool,
    blocks: u64,
    news: Vec<News>,
}

impl World {
    fn learned(measure: Measure) -> World {
        let monitor = Monitor::new(vec![Channel::new(spec(measure))], watch::Settings::default());
        let is_value = measure == Measure::Value;
        let mut world = World { monitor, rng: Rng::new(9), is_value, blocks: 0, news: Vec::new() };
        let is_learned = |news: &News| matches!(news, News::Signal(_, Event::Learned(_)));
        while !world.news.iter().any(is_learned) {
            let block = world.usual();
            world.feed(&block);
        }
        (0..20).for_each(|_| {
            let block = world.usual();
            world.feed(&block);
        });
        world.news.clear();
        world
    }

    fn at(&self) -> Mono {
        Mono(1_000_000_000 + self.blocks * SPAN_NS)
    }

    /// A tone of 50 Hz in noise, or noise about a level.
    fn usual(&mut self) -> Block {
        let mut sample = |i: usize| {
            let t = (self.blocks * SAMPLES as u64 + i as u64) as f64 * PERIOD_NS as f64 / 1e9;
            let tone = (2.0 * std::f64::consts::PI * 50.0 * t).cos();
            if self.is_value { 5.0 + 0.1 * self.rng.normal() } else { tone + 0.01 * self.rng.normal() }
        };
        let samples = (0..SAMPLES).map(&mut sample).collect();
        Block { at: self.at(), period_ns: PERIOD_NS, samples, lost: 0, quality: Quality::Good }
    }

    fn feed(&mut self, block: &Block) {
        self.monitor.block(0, block, &mut self.news);
        self.blocks += 1;
    }

    /// The news since the last call: readings of each worth, and how often something was told.
    fn tally(&mut self) -> Tally {
        let mut tally = Tally::default();
        for news in self.news.drain(..) {
            match news {
                News::Signal(_, Event::Reading(r, _)) => match r.quality {
                    Quality::Good => tally.good += 1,
                    Quality::Uncertain(_) => tally.uncertain += 1,
                    Quality::Bad(flaw) => tally.bad.push(flaw),
                },
                News::Signal(_, Event::Anomaly(_)) => tally.anomalies += 1,
                News::Signal(_, Event::Lost(_)) => tally.lost += 1,
                News::Signal(_, Event::Back) => tally.back += 1,
                _ => tally.other += 1,
            }
        }
        tally
    }
}

#[derive(Debug, Default)]
struct Tally {
    good: usize,
    uncertain: usize,
    bad: Vec<Flaw>,
    anomalies: usize,
    lost: usize,
    back: usize,
    other: usize,
}

type Spoil = fn(&mut Block, u64);

#[test]
fn what_cannot_be_used_is_bad_and_told_once_and_what_follows_is_measured_as_before() {
    let rows: &[(&str, &[Flaw], Spoil)] = &[
        ("NaN", &[Flaw::NotFinite], |b, _| b.samples.fill(f64::NAN)),
        ("infinity", &[Flaw::NotFinite], |b, _| b.samples.fill(f64::INFINITY)),
        ("minus infinity", &[Flaw::NotFinite], |b, _| b.samples.fill(f64::NEG_INFINITY)),
        ("saturated", &[Flaw::Saturated], |b, _| b.quality = Quality::Bad(Flaw::Saturated)),
        ("missing", &[Flaw::Missing], |b, _| {
            b.samples.clear();
            b.quality = Quality::Bad(Flaw::Missing);
        }),
        ("time running back", &[Flaw::ClockBack], |b, n| b.at = Mono(900_000_000 - n)),
        ("time standing still", &[Flaw::ClockBack], |b, _| b.at = Mono(1_000_000_000)),
        // Where each sample is a reading at a time of its own, no rate is needed.
        ("another rate each time", &[Flaw::RateChanged], |b, n| {
            b.period_ns = if n % 2 == 0 { PERIOD_NS / 2 } else { PERIOD_NS * 4 / 5 };
        }),
        ("one NaN in each window", &[Flaw::NotFinite], |b, _| b.samples[77] = f64::NAN),
        ("huge", &[Flaw::NotMeasured, Flaw::NotFinite], |b, _| {
            b.samples.iter_mut().for_each(|x| *x *= 1e200)
        }),
    ];
    let measures =
        [Measure::Value, Measure::Frequency, Measure::Level(1.0), MAINS(Class::P), MAINS(Class::M)];
    for measure in measures {
        for (n, (what, flaws, spoil)) in rows.iter().enumerate() {
            if measure == Measure::Value && n >= 7 {
                continue;
            }
            let case = format!("{measure:?}, {what}");
            let mut world = World::learned(measure);
            for n in 0..HOSTILE {
                let mut block = world.usual();
                spoil(&mut block, n);
                world.feed(&block);
            }
            let seen = world.tally();
            // A window of mains may have ended just before.
            assert!(seen.good <= 1 && seen.uncertain == 0 && seen.other == 0, "{case}: {seen:?}");
            let own = seen.bad.iter().filter(|f| flaws.contains(f)).count();
            assert!(own >= HOSTILE as usize / 2 && own == seen.bad.len(), "{case}: {seen:?}");
            assert_eq!((seen.anomalies, seen.lost, seen.back), (0, 1, 0), "{case}: {seen:?}");

            for _ in 0..100 {
                let block = world.usual();
                world.feed(&block);
            }
            let after = world.tally();
            assert!(after.good >= 80 && after.bad.len() <= 15, "{case}: afterwards {after:?}");
            assert_eq!((after.anomalies, after.lost, after.back), (0, 0, 1), "{case}: afterwards {after:?}");
        }
    }
}

/// These are readings, and good ones; what they say is one change and no storm.
#[test]
fn a_constant_is_told_once_or_is_no_tone() {
    for (measure, anomalies, lost) in [
        (Measure::Value, 1, 0),
        (Measure::Level(1.0), 1, 0),
        (Measure::Frequency, 0, 1),
        (MAINS(Class::P), 0, 1),
        (MAINS(Class::M), 0, 1),
    ] {
        for constant in [0.25, 5.0, -3.0] {
            let mut world = World::learned(measure);
            for _ in 0..HOSTILE {
                let mut block = world.usual();
                block.samples.fill(constant);
                world.feed(&block);
            }
            let seen = world.tally();
            let case = format!("{measure:?}, constant {constant}: {seen:?}");
            assert!((1..=2).contains(&seen.anomalies) || anomalies == 0 && seen.anomalies == 0, "{case}");
            assert_eq!(seen.lost, lost, "{case}");
            // A window of class M still holds more of the tone for half a second.
            let before = if measure == MAINS(Class::M) { 6 } else { 1 };
            assert!(lost == 0 || seen.good <= before, "{case}");
        }
    }
}
