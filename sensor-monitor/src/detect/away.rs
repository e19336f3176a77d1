//! A level far from everything that was learned: readings in a row that all lie further out than so many ever did.
//!
//! Readings that follow each other closely are averaged and filtered before the other detectors see them, which
//! makes a large shift one bounded value in many. This one looks at the readings as they come. What it looks for is
//! so far out that it takes no share of the false alarms: see [`Away::new`].

use super::calibrate::Wanted;
use super::{Change, Detector, Direction};
use crate::baseline::{IN_A_ROW, Model};

/// Counts readings beyond two limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Away {
    median: f64,
    scale: f64,
    low: f64,
    high: f64,
    below: u32,
    above: u32,
}

impl Away {
    /// For what `model` learned; `None` where it cannot be told: a signal that stood still has no scale, of few
    /// readings nobody knows the tail, and what an earlier version learned does not say how far it went.
    ///
    /// A limit is 8 deviations from the median and more where they are known from few independent readings, and twice
    /// as far as so many readings in a row went while they were learned. Where what drives the signal has a heavy
    /// tail (Pareto, of index `i`), the largest of `r` times as many values is `r^i` times as large: then it is as far
    /// as a hundredth of the false alarms takes.
    pub fn new(model: &Model, wanted: Wanted) -> Option<Away> {
        let reach = model.reach?;
        if model.seen_scale() <= 0.0 || model.is_without_noise() || model.samples() < FEWEST {
            return None;
        }
        let steps = wanted.steps(SHARE, 1).ok()?;
        let times = (steps / model.samples() as f64).max(1.0).powf(reach.index).max(LEAST_TIMES);
        let unsure = 1.0 + LEARNED_ERROR / model.effective().max(1.0).sqrt();
        let limit = |reached: f64| (LEAST_SIGMA * unsure * model.scale()).max(times * reached);
        let (median, scale) = (model.median(), model.scale());
        let (low, high) = (median - limit(median - reach.low), median + limit(reach.high - median));
        Some(Away { median, scale, low, high, below: 0, above: 0 })
    }

    /// Takes one raw value; starts counting again after a change.
    pub fn step(&mut self, x: f64) -> Option<Change> {
        if x.is_nan() {
            return None;
        }
        self.above = if x > self.high { self.above + 1 } else { 0 };
        self.below = if x < self.low { self.below + 1 } else { 0 };
        if self.above.max(self.below) < IN_A_ROW as u32 {
            return None;
        }
        let direction = if self.above > self.below { Direction::Up } else { Direction::Down };
        self.clear();
        Some(Change {
            samples_ago: IN_A_ROW as u64 - 1,
            magnitude_sigma: ((x - self.median) / self.scale).abs(),
            direction,
            detector: Detector::Away,
        })
    }

    /// The evidence gathered so far, as a share of what an alarm takes: 0 to 1.
    pub fn evidence(&self) -> f64 {
        f64::from(self.above.max(self.below)) / IN_A_ROW as f64
    }

    /// Forgets the evidence gathered so far.
    pub fn clear(&mut self) {
        (self.above, self.below) = (0, 0);
    }
}

/// Readings from which a tail can be told.
const FEWEST: u64 = 2048;
/// Of the false alarms asked for.
const SHARE: f64 = 0.01;
/// No limit is nearer, in deviations: in normal noise one reading in 10^15 is beyond it.
const LEAST_SIGMA: f64 = 8.0;
/// Standard errors of the learned deviation by which that is further out.
const LEARNED_ERROR: f64 = 3.0;
/// No limit is nearer than so many times what was reached.
const LEAST_TIMES: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Baseline, Learning};
    use crate::rng::Rng;

    const WANTED: Wanted = Wanted { false_alarms_per_year: 1.0, interval_s: 1.0 };

    fn learned(samples: u32, mut value: impl FnMut() -> f64) -> Baseline {
        let mut baseline = Baseline::new(Learning::new(samples, 0, 0.0).unwrap());
        while !baseline.learn(value()) {}
        baseline
    }

    #[test]
    fn spikes_and_what_was_reached_before_are_not_away_and_a_far_level_is() {
        let mut rng = Rng::new(11);
        let baseline = learned(8192, || 50.0 + rng.normal());
        let mut away = Away::new(baseline.model().unwrap(), WANTED).unwrap();
        for spikes in [1, 2, 3] {
            assert!((0..spikes).all(|_| away.step(1e6).is_none()), "{spikes} in a row");
            assert!(away.step(50.0).is_none());
        }
        assert!((0..1000).all(|_| away.step(56.0).is_none()), "six deviations are for the others");
        assert!((0..3).all(|_| away.step(39.0).is_none()));
        let change = away.step(39.0).unwrap();
        assert_eq!((change.direction, change.samples_ago), (Direction::Down, 3));
        assert!((change.magnitude_sigma / 11.0 - 1.0).abs() < 0.05, "{change:?}");
        assert_eq!(away.evidence(), 0.0);
    }

    #[test]
    fn a_heavy_tail_moves_the_limits_out_and_of_few_readings_there_are_none() {
        let mut rng = Rng::new(12);
        let mut student = || {
            let s: f64 = (0..3).map(|_| rng.normal().powi(2)).sum();
            rng.normal() / (s / 3.0).sqrt()
        };
        let mut last = 0.0;
        let heavy = learned(16_384, || {
            last = 0.8 * last + student();
            last
        });
        let model = heavy.model().unwrap();
        let away = Away::new(model, WANTED).unwrap();
        assert!((away.high - model.median()) / model.scale() > 100.0, "{away:?}");
        let mut rng = Rng::new(13);
        for (samples, is_judged) in [(2047, false), (2048, true), (16_384, true)] {
            let baseline = learned(samples, || rng.normal());
            let model = baseline.model().unwrap();
            let limit = Away::new(model, WANTED).map(|away| (away.high - model.median()) / model.scale());
            assert_eq!(limit.is_some_and(|l| (8.0..9.0).contains(&l)), is_judged, "{samples}: {limit:?}");
        }
    }

    #[test]
    fn a_signal_that_stood_still_has_no_such_limit() {
        let mut n = 0;
        let baseline = learned(512, || {
            n += 1;
            if n % 50 == 0 { 1.0 } else { 0.0 }
        });
        assert_eq!(Away::new(baseline.model().unwrap(), WANTED), None);
    }
}
