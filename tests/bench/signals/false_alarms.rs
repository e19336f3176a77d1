//! Measured over asked rate of false alarms of a whole channel, on simulated samples.
//!
//! Every baseline is learned from a record of its own, so the error of learning is in the ratio. At least 100
//! events are expected in each row.

use std::time::Instant;

use sensor_monitor::baseline::{Baseline, Learning, Model};
use sensor_monitor::detect::Detector;
use sensor_monitor::detect::calibrate::{Tuning, Wanted};
use sensor_monitor::detect::suite::Suite;
use sensor_monitor::rng::Rng;

use crate::figure::{Bound, row};

/// Samples that a baseline is learned from: the longest default of the gateway.
const RECORD: u32 = 16_384;
const BASELINES: u64 = 30;

pub(crate) fn measure() {
    let cases = [
        ("white", Kind::Ar(0.0), 4000.0),
        ("ar-0.3", Kind::Ar(0.3), 4000.0),
        ("ar-0.5", Kind::Ar(0.5), 4000.0),
        ("ar-0.8", Kind::Ar(0.8), 4000.0),
        ("student-t3", Kind::Student, 4000.0),
        ("white-rare", Kind::Ar(0.0), 200_000.0),
    ];
    let mut slowest: f64 = 0.0;
    for (n, (name, kind, asked)) in cases.into_iter().enumerate() {
        slowest = slowest.max(one(name, kind, asked, &mut Rng::new(20_261_122 + n as u64)));
    }
    row("detect-calibrate", "seconds", slowest, (slowest, slowest), Bound::AtMost(2.0), " (the slowest)");
}

#[derive(Clone, Copy)]
enum Kind {
    Ar(f64),
    Student,
}

/// A simulated channel of its own level and spread.
struct Source {
    kind: Kind,
    last: f64,
}

impl Source {
    fn next(&mut self, rng: &mut Rng) -> f64 {
        let z = match self.kind {
            Kind::Ar(phi) => {
                self.last = phi * self.last + rng.normal();
                self.last
            }
            Kind::Student => {
                let s: f64 = (0..3).map(|_| rng.normal().powi(2)).sum();
                rng.normal() / (s / 3.0).sqrt()
            }
        };
        50.0 + 0.02 * z
    }
}

/// Measured over asked rate; gives the seconds of the slowest calibration.
fn one(name: &str, kind: Kind, asked: f64, rng: &mut Rng) -> f64 {
    // Short runs on many baselines: the error of learning is between baselines.
    let length = if asked > 10_000.0 { 800_000 } else { (10.0 * asked) as usize };
    let wanted = Wanted { false_alarms_per_year: 31_557_600.0 / asked, interval_s: 1.0 };
    let (mut counts, mut blocks, mut slowest): (Vec<f64>, u32, f64) = (Vec::new(), 0, 0.0);
    let mut by = [0u32; 4];
    for seed in 0..BASELINES {
        let mut source = Source { kind, last: 0.0 };
        let model = learned(&mut source, rng);
        let start = Instant::now();
        let tuning = Tuning::find(&model, wanted, seed).expect("the rate can be had");
        slowest = slowest.max(start.elapsed().as_secs_f64());
        let mut suite = Suite::new(&model, wanted, tuning).expect("found for this model");
        let mut count = 0.0;
        for _ in 0..length {
            if let Some(change) = suite.step(source.next(rng)) {
                count += 1.0;
                by[match change.detector {
                    Detector::Cusum => 0,
                    Detector::Drift => 1,
                    Detector::Variance => 2,
                    _ => 3,
                }] += 1;
            }
        }
        counts.push(count / (length as f64 / asked));
        blocks = blocks.max(model.block());
    }
    let n = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / n;
    let sd = (counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    // Between baselines: both chance and the error of learning are in it.
    let half = 1.96 * sd / n.sqrt();
    counts.sort_by(f64::total_cmp);
    let expected = n * length as f64 / asked;
    println!(
        "  {name}: one in {asked} asked for, {BASELINES} baselines of {RECORD} samples, {expected:.0} events expected, \
         cusum {} drift {} variance {} repeat {}, block <= {blocks}; single baselines {:.2} (5 %) to {:.2} (95 %), \
         chance included",
        by[0],
        by[1],
        by[2],
        by[3],
        counts[counts.len() / 20],
        counts[counts.len() * 19 / 20],
    );
    let interval = (mean - half, mean + half);
    row(&format!("false-alarms-{name}"), "ratio", mean, interval, Bound::Within(0.5, 2.0), "");
    slowest
}

fn learned(source: &mut Source, rng: &mut Rng) -> Model {
    let learning = Learning::new(RECORD, 1024, 0.0).expect("a valid setting");
    let mut baseline = Baseline::new(learning);
    (0..500).for_each(|_| {
        source.next(rng);
    });
    loop {
        if baseline.learn(source.next(rng)) {
            return baseline.model().expect("it is ready").clone();
        }
    }
}
