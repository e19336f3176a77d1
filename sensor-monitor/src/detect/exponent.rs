//! The noise a detector sees while nothing has changed, to draw from, and how rare a high walk is in it.
//!
//! The highest point of a reflected walk between two visits to zero is beyond `h` with probability about
//! `C exp(-theta h)`, where `E exp(theta score) = 1` (Cramér 1930; Lundberg's exponent). Multiplied by its own
//! `theta` every walk of a bank therefore means the same at the same height, whatever the noise, and the
//! logarithm of the time between false alarms grows by one for each unit: that is what lets a threshold found
//! at a rate that can be simulated be carried on to one false alarm in ten years.

use crate::baseline::{Model, Spread};
use crate::rng::Rng;

/// Noise to draw from: a table of equally likely values with mean zero.
#[derive(Debug, Clone)]
pub struct Noise {
    table: Vec<f32>,
    /// Values the spread was learned from; the mean is uncertain by `1 / sqrt(values)`. Infinite when known.
    pub(crate) values: f64,
    /// Correlation time of what whitening left.
    pub(crate) leftover: f64,
    /// Mean square.
    pub(crate) second_moment: f64,
    /// Squared relative error of the scale that scores have in the long run, as it was learned; 0 when known.
    pub(crate) unsure: f64,
}

/// Entries of the table; one value in so many is the rarest it can hold.
const TABLE: usize = 65_536;

impl Noise {
    /// What `model` learned. The winsorising bound itself is at least half a value of the record on each side:
    /// a record that never saw an outlier does not prove that there is none.
    pub fn learned(model: &Model) -> Noise {
        let spread: &Spread = &model.spread;
        let at_bound = ((0.5 * TABLE as f64 / spread.values as f64).round() as usize).max(1);
        let bound = crate::detect::WINSOR;
        let mut table = match spread.atoms.is_empty() {
            true => (0..TABLE).map(|i| spread.value((i as f64 + 0.5) / TABLE as f64)).collect(),
            false => each(&spread.atoms, spread.values as f64),
        };
        table[..at_bound].fill(-bound);
        table[TABLE - at_bound..].fill(bound);
        let noise = Noise::of(table, spread.values as f64, model.leftover);
        Noise { unsure: unsure(model), ..noise }
    }

    /// The same, its scale taken for the true one.
    pub(crate) fn known(self) -> Noise {
        Noise { unsure: 0.0, ..self }
    }

    /// The same where rare values come together, as they do about `model`.
    pub(crate) fn clustered(&self, model: &Model) -> Noise {
        Noise { leftover: self.leftover.max(model.clusters), ..self.clone() }
    }

    /// Normal noise of mean 0 and spread 1, known and not learned.
    pub fn normal(rng: &mut Rng) -> Noise {
        // Means of neighbouring order statistics: smooth quantiles without an inverse of the error function.
        let mut drawn: Vec<f64> = (0..TABLE * SMOOTH).map(|_| rng.normal()).collect();
        drawn.sort_by(f64::total_cmp);
        let half = |i: usize| drawn[i * SMOOTH..(i + 1) * SMOOTH].iter().sum::<f64>() / SMOOTH as f64;
        let table: Vec<f64> = (0..TABLE).map(|i| 0.5 * (half(i) - half(TABLE - 1 - i))).collect();
        Noise::of(table, f64::INFINITY, 1.0)
    }

    /// Sums of `block` values over `sqrt(block)`.
    pub(crate) fn blocks(&self, block: u32, rng: &mut Rng) -> Noise {
        let root = f64::from(block).sqrt();
        let table = (0..TABLE).map(|_| (0..block).map(|_| self.draw(rng)).sum::<f64>() / root).collect();
        let noise = Noise::of(table, self.values / f64::from(block), self.leftover);
        Noise { unsure: self.unsure, ..noise }
    }

    fn of(mut table: Vec<f64>, values: f64, leftover: f64) -> Noise {
        table.sort_by(f64::total_cmp);
        let n = table.len() as f64;
        let mean = table.iter().sum::<f64>() / n;
        table.iter_mut().for_each(|v| *v -= mean);
        let square = table.iter().map(|v| v * v).sum::<f64>() / n;
        let second_moment = square.max(LEAST_SQUARE);
        let table = table.into_iter().map(|v| v as f32).collect();
        Noise { table, values, leftover, second_moment, unsure: 0.0 }
    }

    pub(crate) fn draw(&self, rng: &mut Rng) -> f64 {
        f64::from(self.table[(rng.bits() >> 48) as usize])
    }

    /// Lundberg's exponent, mean and standard deviation of a score.
    pub(crate) fn walk(&self, score: impl Fn(f64) -> f64) -> Walk {
        let scores: Vec<f64> = self.table.iter().map(|&z| score(f64::from(z))).collect();
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let sd = (scores.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / n).sqrt();
        // The table is sorted. Its ends, which decide, count one by one; the smooth body in groups.
        let (body, ends) = (&scores[END..TABLE - END], scores[..END].iter().chain(&scores[TABLE - END..]));
        let body: Vec<f64> = body.chunks_exact(GROUP).map(|c| c.iter().sum::<f64>() / GROUP as f64).collect();
        let ends: Vec<f64> = ends.copied().collect();
        let sum = |x: &[f64], theta: f64| x.iter().map(|s| (theta * s).exp()).sum::<f64>();
        let grows = |theta: f64| sum(&ends, theta) + GROUP as f64 * sum(&body, theta) > n;
        let (mut low, mut high) = (0.0, LEAST);
        while high < GREATEST && !grows(high) {
            (low, high) = (high, 2.0 * high);
        }
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (low + high);
            if grows(middle) { high = middle } else { low = middle }
        }
        Walk { exponent: (0.5 * (low + high)).min(GREATEST) / self.leftover, drift: -mean, sd }
    }
}

/// What a record leaves open of the scale: a spread of `n` values by 1.36 / n (Rousseeuw and Croux 1993), and a
/// filter, whose error at frequency zero is that of a mean, by one over the independent values.
fn unsure(model: &Model) -> f64 {
    let filter = if model.ar.is_empty() { 0.0 } else { 1.0 / model.effective.max(1.0) };
    SPREAD_ERROR / model.spread.values as f64 + filter
}

/// A table of values that came so often among `values`.
fn each(atoms: &[(f64, u32)], values: f64) -> Vec<f64> {
    let (mut table, mut seen) = (Vec::with_capacity(TABLE), 0.0);
    for (value, count) in atoms {
        seen += f64::from(*count);
        let bound = crate::detect::WINSOR;
        table.resize((seen / values * TABLE as f64).round() as usize, value.clamp(-bound, bound));
    }
    let last = table.last().copied().unwrap_or(0.0);
    table.resize(TABLE, last);
    table
}

/// How a walk behaves in a noise.
pub(crate) struct Walk {
    pub(crate) exponent: f64,
    /// Loss per step, positive.
    pub(crate) drift: f64,
    pub(crate) sd: f64,
}

/// Entries at each end of the table that are looked at one by one.
const END: usize = 2048;
/// Entries of the body taken together.
const GROUP: usize = 32;
const SMOOTH: usize = 16;
const SPREAD_ERROR: f64 = 1.36;
/// Keeps a constant's mean square a divisor.
const LEAST_SQUARE: f64 = 1e-6;
const LEAST: f64 = 0.01;
const GREATEST: f64 = 20.0;
const BISECTIONS: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_of_a_cusum_in_normal_noise_is_twice_its_reference_value() {
        let noise = Noise::normal(&mut Rng::new(1));
        for k in [0.125, 0.25, 0.5, 1.0] {
            let walk = noise.walk(|z| z - k);
            assert!((walk.exponent / (2.0 * k) - 1.0).abs() < 0.02, "{k}: {}", walk.exponent);
            assert!((walk.drift - k).abs() < 1e-6);
        }
    }
}
