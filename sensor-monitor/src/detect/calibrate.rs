//! Thresholds from a rate of false alarms: found by simulation on the noise the baseline measured.
//!
//! The simulation draws whitened values as the baseline saw them (which is the same as drawing an
//! autoregressive process and filtering it), and gives each run another error of the learned mean, so that
//! the asked rate holds for a baseline from a finite record. What a short record leaves open of the scale widens the
//! limits, and a walk for shifts smaller than the error of the learned mean is not taken at all. Run lengths are measured up to [`SIMULATED`]
//! steps and carried on from there: by Lundberg's exponent for walks, by the slope seen for the others.
//!
//! It takes a fraction of a second. Keep the result with the baseline: [`Tuning::is_for`] says whether it
//! still belongs to it.

use serde::{Deserialize, Serialize};

use super::ewma::Ewma;
use super::exponent::Noise;
use super::glr::Glr;
use super::walks::Limits;
use super::{DetectError, cusum, drift, variance};
use crate::baseline::Model;
use crate::rng::Rng;

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// False alarms a year of one channel, all its detectors together.
    pub false_alarms_per_year: f64,
    /// Seconds from one raw value to the next.
    pub interval_s: f64,
}

impl Wanted {
    /// Mean steps to a false alarm of a detector that has `share` of the rate and steps once every `block`
    /// raw values.
    ///
    /// # Errors
    /// A rate or interval that is not positive, or a time between alarms outside [`SHORTEST`] to [`LONGEST`].
    pub fn steps(self, share: f64, block: u32) -> Result<f64, DetectError> {
        let Wanted { false_alarms_per_year, interval_s } = self;
        let steps = YEAR_S / (interval_s * f64::from(block)) / (false_alarms_per_year * share);
        if false_alarms_per_year > 0.0 && interval_s > 0.0 && (SHORTEST..=LONGEST).contains(&steps) {
            Ok(steps)
        } else {
            Err(DetectError::Rate { false_alarms_per_year, interval_s })
        }
    }
}

/// Julian year.
pub const YEAR_S: f64 = 31_557_600.0;
/// Fewest steps between false alarms a threshold is made for.
pub const SHORTEST: f64 = 50.0;
/// Most steps between false alarms a threshold is made for.
pub const LONGEST: f64 = 1e15;
/// Mean run lengths are measured up to so many steps.
pub const SIMULATED: f64 = 3000.0;

/// Finds thresholds in one noise.
pub struct Calibrator<'a> {
    noise: &'a Noise,
    rng: Rng,
}

impl<'a> Calibrator<'a> {
    /// A calibrator whose thresholds follow from `noise` and `seed` alone.
    pub const fn new(noise: &'a Noise, seed: u64) -> Calibrator<'a> {
        Calibrator { noise, rng: Rng::new(seed) }
    }

    /// Limits of the CUSUM bank for a false alarm every `steps` values.
    pub fn cusum(&mut self, steps: f64) -> Limits<{ cusum::LANES }> {
        walks(self.noise, &mut self.rng, steps, &cusum::BALANCE, cusum::scores)
    }

    /// Limits of the drift detector for a false alarm every `steps` values.
    pub fn drift(&mut self, steps: f64) -> Limits<{ drift::LANES }> {
        let blocks = self.noise.blocks(drift::BLOCK, &mut self.rng);
        let steps = (steps / f64::from(drift::BLOCK)).max(SHORTEST);
        walks(&blocks, &mut self.rng, steps, &[0.0; drift::LANES], drift::scores)
    }

    /// Limits of the variance detector for a false alarm every `steps` values.
    pub fn variance(&mut self, steps: f64) -> Limits<{ variance::LANES }> {
        let square = self.noise.second_moment;
        walks(self.noise, &mut self.rng, steps, &[0.0; variance::LANES], |z| variance::scores(z, square))
    }

    /// Limit of an EWMA of this weight for a false alarm every `steps` values.
    ///
    /// # Errors
    /// A weight outside 0..=1.
    pub fn ewma(&mut self, weight: f64, steps: f64) -> Result<f64, DetectError> {
        let mut ewma = Ewma::new(weight, f64::MAX, self.noise.second_moment)?;
        Ok(self.level(steps, WALK_BUDGET, |z| match z {
            Some(z) => ewma.advance(z),
            None => {
                ewma.clear();
                0.0
            }
        }))
    }

    /// Limit of the GLR for a false alarm every `steps` values.
    ///
    /// # Errors
    /// None for a noise with a mean square, as all have.
    pub fn glr(&mut self, steps: f64) -> Result<f64, DetectError> {
        let mut glr = Glr::new(f64::MAX, self.noise.second_moment)?;
        Ok(self.level(steps, GLR_BUDGET, |z| match z {
            Some(z) => glr.advance(z),
            None => {
                glr.clear();
                0.0
            }
        }))
    }

    /// The level of a statistic that is reached every `steps` values; `None` clears the statistic.
    fn level(&mut self, steps: f64, budget: f64, mut statistic: impl FnMut(Option<f64>) -> f64) -> f64 {
        let (noise, rng) = (self.noise, &mut self.rng);
        let error = (noise.second_moment * noise.leftover / noise.values).sqrt();
        let near = steps.min(SIMULATED);
        let runs = Runs::simulate(near, budget, |run| {
            statistic(None);
            let shift = error * rng.normal();
            for time in 1..=run.length {
                run.reach(time, statistic(Some(noise.draw(rng) + shift)));
            }
        });
        let (low, top) = (runs.level(near / 4.0), runs.level(near));
        let slope = (4f64.ln() / (top - low).max(1e-9)).clamp(LEAST_SLOPE, 1.0);
        noise.leftover * (top + (steps / near).ln() / slope)
    }
}

/// Limits of a family of walks; the first half of the lanes gains from a positive error, the other loses.
fn walks<const N: usize>(
    noise: &Noise,
    rng: &mut Rng,
    steps: f64,
    balance: &[f64; N],
    scores: impl Fn(f64) -> [f64; N],
) -> Limits<N> {
    let lanes: [_; N] = std::array::from_fn(|i| noise.walk(|z| scores(z)[i]));
    let error = lanes[0].sd * (noise.leftover / noise.values).sqrt();
    let near = steps.min(SIMULATED);
    // An error of the mean changes a lane's exponent by the factor 1 + error / drift; averaged over a normal
    // error, its rate grows by exp((height error / drift)^2 / 2). Each lane is set back by that much.
    let set_back = |i: usize, height: f64| 0.5 * (height * error / lanes[i].drift.max(1e-9)).powi(2);
    let offset: [f64; N] = std::array::from_fn(|i| balance[i] + set_back(i, near.ln()));
    // A scale that is wrong by a relative error of variance s2 makes a height H one of H (1 - 2 error): averaged over
    // the error its rate is that of H - 2 H^2 s2. So many times as high it is as rare as asked for, to second order.
    let open = 2.0 * noise.unsure * (steps.ln() + BIAS);
    let doubt = (1.0 + open + 2.0 * open * open).min(MOST_DOUBT);
    let exponent: [f64; N] = std::array::from_fn(|i| lanes[i].exponent / doubt);
    let is_blind = |i: usize| error > MOST_UNSURE * lanes[i].drift;
    let blind: [bool; N] = std::array::from_fn(is_blind);
    if blind.iter().all(|b| *b) {
        return Limits([NEVER; N]);
    }
    let runs = Runs::simulate(near, WALK_BUDGET, |run| {
        let mut level = [0f64; N];
        let shift = error * rng.normal();
        let shift: [f64; N] = std::array::from_fn(|i| if i < N / 2 { shift } else { -shift });
        for time in 1..=run.length {
            let gain = scores(noise.draw(rng));
            let mut highest = f64::NEG_INFINITY;
            for i in 0..N {
                // Plain comparisons: they become vector instructions, `f64::max` does not.
                let next = level[i] + gain[i] + shift[i];
                level[i] = if next > 0.0 { next } else { 0.0 };
                let height = exponent[i] * level[i] - offset[i];
                let height = if blind[i] { f64::NEG_INFINITY } else { height };
                highest = if height > highest { height } else { highest };
            }
            run.reach(time, highest);
        }
    });
    let top = runs.level(near);
    let height = top + (steps / near).ln();
    Limits(std::array::from_fn(|i| {
        let further = set_back(i, near.ln() + height - top) - set_back(i, near.ln());
        let limit = ((height + offset[i] + further) / exponent[i]).max(LEAST_LIMIT);
        if blind[i] { NEVER } else { limit }
    }))
}

/// Run lengths of simulated channels.
struct Runs(Vec<Run>);

/// One simulated channel: when a value higher than all before came, and how high.
struct Run {
    length: u32,
    highest: f64,
    records: Vec<(u32, f64)>,
}

impl Run {
    #[inline]
    fn reach(&mut self, time: u32, value: f64) {
        if value > self.highest {
            self.highest = value;
            self.records.push((time, value));
        }
    }
}

impl Runs {
    /// Simulates `budget` steps in runs some times as long as the mean that is looked for.
    fn simulate(mean: f64, budget: f64, mut play: impl FnMut(&mut Run)) -> Runs {
        let length = (RUN_FACTOR * mean).ceil() as u32;
        let count = (budget / f64::from(length)).ceil() as usize;
        let run = |_| {
            let mut run = Run { length, highest: f64::NEG_INFINITY, records: Vec::new() };
            play(&mut run);
            run
        };
        Runs((0..count).map(run).collect())
    }

    /// Mean steps until `level` is reached: time under test over arrivals, for runs that were cut short.
    fn mean(&self, level: f64) -> f64 {
        let (mut time, mut arrivals) = (0.0, 0.0);
        for run in &self.0 {
            match run.records.get(run.records.partition_point(|r| r.1 < level)) {
                Some(&(at, _)) => (time, arrivals) = (time + f64::from(at), arrivals + 1.0),
                None => time += f64::from(run.length),
            }
        }
        time / f64::max(arrivals, 0.5)
    }

    /// The level that is reached after `mean` steps.
    fn level(&self, mean: f64) -> f64 {
        let all = || self.0.iter().flat_map(|run| &run.records).map(|r| r.1).filter(|v| v.is_finite());
        let (mut low, mut high) =
            (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if self.mean(middle) < mean { low = middle } else { high = middle }
        }
        high
    }
}

const RUN_FACTOR: f64 = 2.5;
/// Steps simulated for each family: some 400 alarms, 5 % of their rate.
const WALK_BUDGET: f64 = 3e6;
const GLR_BUDGET: f64 = 1e6;
/// A logarithm of the run length that grows slower than this is taken for an accident of the sample.
const LEAST_SLOPE: f64 = 0.3;
const LEAST_LIMIT: f64 = 1e-6;
/// Limits are not widened further: what is learned from so few readings that it would take more is loud, and whoever
/// learns says from how many readings on it is judged.
const MOST_DOUBT: f64 = 1.5;
/// The bias of a filter that was fitted to few values adds to the height so much of its error.
const BIAS: f64 = 2.0;
/// The error of the learned mean, as a share of what a walk loses in each step: from there on it may well gain.
const MOST_UNSURE: f64 = 0.6;
/// No walk gets there.
const NEVER: f64 = 1e12;

/// The limits of one channel, to be kept with its baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    wanted: Wanted,
    median: f64,
    sigma: f64,
    samples: u64,
    /// Of the CUSUM bank.
    pub cusum: Limits<{ cusum::LANES }>,
    /// Of the drift detector.
    pub drift: Limits<{ drift::LANES }>,
    /// Of the variance detector.
    pub variance: Limits<{ variance::LANES }>,
    /// Mean square of the whitened values.
    pub second_moment: f64,
}

/// Shares of the false alarms.
pub const SHIFT_SHARE: f64 = 0.6;
/// For slow change.
pub const DRIFT_SHARE: f64 = 0.1;
/// For the variance.
pub const VARIANCE_SHARE: f64 = 0.2;
/// For exact repeats: half for one value, half for loops.
pub const REPEAT_SHARE: f64 = 0.1;

impl Tuning {
    /// Finds the limits of all detectors of a channel.
    ///
    /// # Errors
    /// A rate from which no threshold follows.
    pub fn find(model: &Model, wanted: Wanted, seed: u64) -> Result<Tuning, DetectError> {
        Tuning::find_in(Noise::learned(model), model, wanted, seed)
    }

    /// As [`Tuning::find`], where the learned scale is taken for the true one: for series of which no single one is
    /// told, but only what several say together.
    pub(crate) fn find_as_learned(model: &Model, wanted: Wanted, seed: u64) -> Result<Tuning, DetectError> {
        Tuning::find_in(Noise::learned(model).known(), model, wanted, seed)
    }

    fn find_in(noise: Noise, model: &Model, wanted: Wanted, seed: u64) -> Result<Tuning, DetectError> {
        let clustered = noise.clustered(model);
        let mut calibrator = Calibrator::new(&noise, seed);
        let steps = |share| wanted.steps(share, model.block());
        Ok(Tuning {
            wanted,
            median: model.median(),
            sigma: model.scale(),
            samples: model.samples(),
            cusum: calibrator.cusum(steps(SHIFT_SHARE)?),
            drift: calibrator.drift(steps(DRIFT_SHARE)?),
            variance: Calibrator { noise: &clustered, rng: calibrator.rng }.variance(steps(VARIANCE_SHARE)?),
            second_moment: noise.second_moment,
        })
    }

    /// Whether these limits were found for this baseline and this wish.
    #[allow(clippy::float_cmp)] // the same numbers, or another baseline
    pub fn is_for(&self, model: &Model, wanted: Wanted) -> bool {
        self.wanted == wanted
            && self.median == model.median()
            && self.sigma == model.scale()
            && self.samples == model.samples()
    }
}
