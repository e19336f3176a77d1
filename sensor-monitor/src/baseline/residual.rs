//! How standardised values spread while nothing has changed: quantiles of the body, a generalised Pareto tail
//! on each side (Pickands 1975; fitted by probability-weighted moments, Hosking and Wallis 1987).
//!
//! The tails carry the false alarms, and a record holds few values there: the fit smooths them and reaches
//! beyond the largest value seen.

use serde::{Deserialize, Serialize};

use super::BaselineError;
use crate::detect::WINSOR;

/// Values that are kept one by one, at most.
const MOST_ATOMS: usize = 512;

/// Share of the values in each tail.
pub const TAIL: f64 = 0.025;

/// Steps between the quantiles of the body.
pub const STEPS: usize = 256;

/// The fewest values a spread is made from.
pub(super) const FEWEST: usize = 256;

/// The spread of standardised values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Values it was made from.
    pub values: u64,
    /// [`STEPS`] + 1 quantiles from probability [`TAIL`] to 1 - [`TAIL`], evenly spaced.
    pub quantiles: Vec<f64>,
    /// Below the first quantile.
    pub lower: Tail,
    /// Above the last quantile.
    pub upper: Tail,
    /// Each value and how often it came, ascending, where they are few: on a grid nothing lies between them, and no
    /// smooth tail is like theirs. Else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub atoms: Vec<(f64, u32)>,
}

/// A generalised Pareto tail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// Scale in sigma.
    pub scale: f64,
    /// Tail index: about 0 for normal and exponential, 1/3 for Student t3, negative for a tail that ends.
    pub index: f64,
}

impl Spread {
    /// The spread of `z`, which is sorted here; `None` below [`FEWEST`] values.
    pub(super) fn of(z: &mut [f64]) -> Option<Spread> {
        if z.len() < FEWEST {
            return None;
        }
        z.sort_by(f64::total_cmp);
        let quantiles: Vec<f64> = (0..=STEPS).map(|i| quantile(z, probability(i))).collect();
        let (first, last) = (quantiles[0], quantiles[STEPS]);
        // By their place and not their value: where many are the quantile itself, few of the tail are beyond it.
        let n = (TAIL * (z.len() - 1) as f64).ceil() as usize;
        let above: Vec<f64> = z[z.len() - n..].iter().map(|v| v - last).collect();
        let below: Vec<f64> = z[..n].iter().rev().map(|v| first - v).collect();
        let (lower, upper) = (Tail::of(&below), Tail::of(&above));
        Some(Spread { values: z.len() as u64, quantiles, lower, upper, atoms: Vec::new() })
    }

    /// With each value of the sorted `z` kept, where no more than `MOST_ATOMS` differ.
    pub(super) fn with_atoms(self, z: &[f64]) -> Spread {
        let mut atoms: Vec<(f64, u32)> = Vec::new();
        for value in z {
            let is_full = atoms.len() == MOST_ATOMS;
            match atoms.last_mut() {
                // Sums of the same numbers in another order.
                Some((last, count)) if (value - *last).abs() < 1e-9 => *count += 1,
                _ if is_full => return self,
                _ => atoms.push((*value, 1)),
            }
        }
        Spread { atoms, ..self }
    }

    /// The value below which a share `p` lies, within the winsorising bound.
    pub fn value(&self, p: f64) -> f64 {
        let last = self.quantiles.len() - 1;
        let v = if p < TAIL {
            self.quantiles[0] - self.lower.beyond(p / TAIL)
        } else if p > 1.0 - TAIL {
            self.quantiles[last] + self.upper.beyond((1.0 - p) / TAIL)
        } else {
            let at = (p - TAIL) / (1.0 - 2.0 * TAIL) * last as f64;
            let i = (at as usize).min(last - 1);
            self.quantiles[i] + (at - i as f64) * (self.quantiles[i + 1] - self.quantiles[i])
        };
        v.clamp(-WINSOR, WINSOR)
    }

    /// The heavier of the two tail indices.
    pub fn tail_index(&self) -> f64 {
        self.lower.index.max(self.upper.index)
    }

    /// [`Spread::tail_index`] less one standard error of it, 0 and more: noise without a heavy tail is not taken to have
    /// one by chance.
    pub(super) fn sure_index(&self) -> f64 {
        let error = 1.0 / (TAIL * self.values as f64).sqrt();
        (self.tail_index() - error).max(0.0)
    }

    pub(super) fn check(&self) -> Result<(), BaselineError> {
        let wrong = |what, found| Err(BaselineError::OutOfRange { what, found });
        if self.quantiles.len() != STEPS + 1 {
            return wrong("number of quantiles", self.quantiles.len() as f64);
        }
        if !(FEWEST as u64..=super::LONGEST_RECORD as u64).contains(&self.values) {
            return wrong("values in spread", self.values as f64);
        }
        if let Some(&found) = self.quantiles.iter().find(|q| !(-FURTHEST..=FURTHEST).contains(*q)) {
            return wrong("quantile", found);
        }
        if let Some(pair) = self.quantiles.windows(2).find(|w| w[0] > w[1]) {
            return wrong("order of quantiles", pair[1]);
        }
        if self.atoms.len() > MOST_ATOMS {
            return wrong("number of single values", self.atoms.len() as f64);
        }
        if let Some(&(found, _)) =
            self.atoms.iter().find(|a| !(-FURTHEST..=FURTHEST).contains(&a.0) || a.1 == 0)
        {
            return wrong("single value", found);
        }
        if let Some(pair) = self.atoms.windows(2).find(|w| w[0].0 > w[1].0) {
            return wrong("order of single values", pair[1].0);
        }
        let counted: u64 = self.atoms.iter().map(|a| u64::from(a.1)).sum();
        if !self.atoms.is_empty() && counted != self.values {
            return wrong("count of single values", counted as f64);
        }
        for tail in [self.lower, self.upper] {
            if !(0.0..=FURTHEST).contains(&tail.scale) {
                return wrong("tail scale", tail.scale);
            }
            if !(-MOST_INDEX..=MOST_INDEX).contains(&tail.index) {
                return wrong("tail index", tail.index);
            }
        }
        Ok(())
    }
}

impl Tail {
    /// Fits what lies beyond a quantile, smallest first.
    fn of(beyond: &[f64]) -> Tail {
        let n = beyond.len() as f64;
        let a0 = beyond.iter().sum::<f64>() / n;
        let weighted = |(i, y): (usize, &f64)| y * (n - 1.0 - i as f64) / (n - 1.0);
        let a1 = beyond.iter().enumerate().map(weighted).sum::<f64>() / n;
        let index = 2.0 - a0 / (a0 - 2.0 * a1);
        let scale = 2.0 * a0 * a1 / (a0 - 2.0 * a1);
        if beyond.len() < 2 || !index.is_finite() || !(scale > 0.0 && scale <= FURTHEST) {
            // All beyond values are the same, or there are none: the tail is that one value.
            return Tail { scale: if a0.is_finite() { a0.clamp(0.0, FURTHEST) } else { 0.0 }, index: 0.0 };
        }
        Tail { scale, index: index.clamp(-MOST_INDEX, MOST_INDEX) }
    }

    /// How far beyond its quantile the tail reaches with probability `p`.
    fn beyond(&self, p: f64) -> f64 {
        let p = p.max(1e-12);
        if self.index.abs() < 1e-6 {
            -self.scale * p.ln()
        } else {
            self.scale * (p.powf(-self.index) - 1.0) / self.index
        }
    }
}

/// No standardised value is beyond this: see `learn::LEVEL_BOUND`.
const FURTHEST: f64 = 1e6;
/// Beyond it a generalised Pareto tail has no variance.
const MOST_INDEX: f64 = 0.5;

fn probability(step: usize) -> f64 {
    TAIL + (1.0 - 2.0 * TAIL) * step as f64 / STEPS as f64
}

/// The quantile of sorted values, interpolated.
pub(super) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let i = (at as usize).min(sorted.len() - 1);
    let next = sorted[(i + 1).min(sorted.len() - 1)];
    sorted[i] + (at - i as f64) * (next - sorted[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_tail_index_tells_normal_noise_from_student_t3() {
        let mut rng = Rng::new(2);
        let mut normal: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
        let mut t3: Vec<f64> = (0..20_000)
            .map(|_| {
                let s: f64 = (0..3).map(|_| rng.normal().powi(2)).sum();
                rng.normal() / (s / 3.0).sqrt()
            })
            .collect();
        let (normal, t3) = (Spread::of(&mut normal).unwrap(), Spread::of(&mut t3).unwrap());
        assert!(normal.tail_index() < 0.1, "{}", normal.tail_index());
        assert!(t3.tail_index() > 0.2, "{}", t3.tail_index());
        assert!((normal.value(0.999) - 3.09).abs() < 0.15, "{}", normal.value(0.999));
        assert!((normal.value(0.5)).abs() < 0.03);
    }

    #[test]
    fn a_constant_has_a_spread_of_nothing() {
        let spread = Spread::of(&mut [0.0; 1000]).unwrap();
        assert_eq!((spread.value(0.0), spread.value(0.5), spread.value(1.0)), (0.0, 0.0, 0.0));
        spread.check().unwrap();
    }
}
