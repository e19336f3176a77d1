//! `N` reflected random walks that share one alarm: `S = max(0, S + score)`, alarm when any `S` reaches its
//! limit. A CUSUM is one such walk; a bank for several shifts, both signs, is several.
//!
//! Invariant: every walk is finite and at least 0, whatever came in.

use serde::{Deserialize, Serialize};

use super::DetectError;

/// The walks and how long each has been above zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub(crate) struct Walks<const N: usize> {
    level: [f64; N],
    age: [u64; N],
}

/// Which walk reached its limit, how high it was, and for how many steps it had been above zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Crossed {
    pub(crate) lane: usize,
    pub(crate) level: f64,
    pub(crate) age: u64,
}

impl<const N: usize> Walks<N> {
    pub(crate) const fn new() -> Walks<N> {
        Walks { level: [0.0; N], age: [0; N] }
    }

    /// One step. `scores` are finite by construction: they are made from a winsorised value.
    pub(crate) fn advance(&mut self, scores: &[f64; N]) {
        for ((level, age), score) in self.level.iter_mut().zip(&mut self.age).zip(scores) {
            *level = (*level + score).clamp(0.0, CEILING);
            *age = if *level > 0.0 { age.saturating_add(1) } else { 0 };
        }
    }

    /// The walk furthest beyond its limit, if any reached it.
    pub(crate) fn crossed(&self, limits: &[f64; N]) -> Option<Crossed> {
        let reached = |i: &usize| self.level[*i] > 0.0 && self.level[*i] >= limits[*i];
        (0..N)
            .filter(reached)
            .max_by(|&a, &b| (self.level[a] * limits[b]).total_cmp(&(self.level[b] * limits[a])))
            .map(|lane| Crossed { lane, level: self.level[lane], age: self.age[lane] })
    }

    /// How high walk `lane` stands, and for how many steps it has been above zero.
    pub(crate) const fn lane(&self, lane: usize) -> (f64, u64) {
        (self.level[lane], self.age[lane])
    }

    /// How near the highest walk is to its limit, 0 to 1.
    pub(crate) fn evidence(&self, limits: &[f64; N]) -> f64 {
        let shares = self.level.iter().zip(limits).map(|(level, limit)| level / limit);
        shares.fold(0.0, f64::max).min(1.0)
    }

    /// The walk nearest to its limit, how near, and for how many steps it has been above zero.
    pub(crate) fn nearest(&self, limits: &[f64; N]) -> (usize, f64, u64) {
        let share = |i: usize| self.level[i] / limits[i];
        let lane = (0..N).max_by(|&a, &b| share(a).total_cmp(&share(b))).unwrap_or(0);
        (lane, share(lane), self.age[lane])
    }

    pub(crate) fn clear(&mut self) {
        *self = Walks::new();
    }
}

/// Far above any limit; a walk that stands in an alarm for years stays a number.
const CEILING: f64 = 1e9;

/// A walk as it is written.
#[derive(Serialize, Deserialize)]
struct Stored(Vec<(f64, u64)>);

impl<const N: usize> From<Walks<N>> for Stored {
    fn from(w: Walks<N>) -> Stored {
        Stored(w.level.into_iter().zip(w.age).collect())
    }
}

impl<const N: usize> TryFrom<Stored> for Walks<N> {
    type Error = DetectError;

    fn try_from(stored: Stored) -> Result<Walks<N>, DetectError> {
        if stored.0.len() != N {
            return Err(DetectError::Length { what: "walks", found: stored.0.len(), expected: N });
        }
        let mut walks = Walks::new();
        for (i, (level, age)) in stored.0.into_iter().enumerate() {
            if !(0.0..=CEILING).contains(&level) {
                return Err(DetectError::OutOfRange { what: "walk", found: level, expected: "0 to 1e9" });
            }
            (walks.level[i], walks.age[i]) = (level, age);
        }
        Ok(walks)
    }
}

/// One limit for each of `N` walks, found by `calibrate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<f64>", try_from = "Vec<f64>")]
pub struct Limits<const N: usize>(pub(crate) [f64; N]);

impl<const N: usize> Limits<N> {
    /// The limits, one for each walk, in units of its score.
    pub const fn values(&self) -> &[f64; N] {
        &self.0
    }

    /// Limits a person chose, for comparison with textbooks.
    ///
    /// # Errors
    /// A limit that is not a positive number.
    pub fn fixed(values: [f64; N]) -> Result<Limits<N>, DetectError> {
        match values.iter().find(|v| !(**v > 0.0 && v.is_finite())) {
            Some(&found) => {
                Err(DetectError::OutOfRange { what: "limit", found, expected: "a positive number" })
            }
            None => Ok(Limits(values)),
        }
    }
}

impl<const N: usize> From<Limits<N>> for Vec<f64> {
    fn from(limits: Limits<N>) -> Vec<f64> {
        limits.0.to_vec()
    }
}

impl<const N: usize> TryFrom<Vec<f64>> for Limits<N> {
    type Error = DetectError;

    fn try_from(values: Vec<f64>) -> Result<Limits<N>, DetectError> {
        let found = values.len();
        let values =
            values.try_into().map_err(|_| DetectError::Length { what: "limits", found, expected: N })?;
        Limits::fixed(values)
    }
}
