//! A shift of the mean of unknown size and time by the generalised likelihood ratio over the last [`WINDOW`]
//! values (Lai 1995): `max over n of (sum of the last n)^2 / (2 n var)`.
//!
//! It costs [`WINDOW`] steps for each value, and estimates the start of the change best of all: the maximum
//! lies there. Shifts below about 0.4 sigma need more than the window and are the CUSUM bank's work.

use serde::{Deserialize, Serialize};

use super::{Change, DetectError, Detector, Direction, winsorised};

/// Values looked back on.
pub const WINDOW: usize = 128;

/// Windowed GLR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct Glr {
    limit: f64,
    second_moment: f64,
    values: [f64; WINDOW],
    next: usize,
    filled: usize,
}

#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    limit: f64,
    second_moment: f64,
    /// Oldest first.
    values: Vec<f64>,
}

impl From<Glr> for Stored {
    fn from(g: Glr) -> Stored {
        let values = (0..g.filled).rev().map(|back| g.back(back)).collect();
        Stored { limit: g.limit, second_moment: g.second_moment, values }
    }
}

impl TryFrom<Stored> for Glr {
    type Error = DetectError;

    fn try_from(s: Stored) -> Result<Glr, DetectError> {
        let mut glr = Glr::new(s.limit, s.second_moment)?;
        if s.values.len() > WINDOW {
            return Err(DetectError::Length { what: "window", found: s.values.len(), expected: WINDOW });
        }
        for found in s.values {
            if !(-super::WINSOR..=super::WINSOR).contains(&found) {
                let expected = "within the winsorising bound";
                return Err(DetectError::OutOfRange { what: "value", found, expected });
            }
            glr.push(found);
        }
        Ok(glr)
    }
}

/// The best supported start of a change: how likely, how many values it spans and their sum.
#[derive(Clone, Copy, Default)]
struct Best {
    statistic: f64,
    span: usize,
    sum: f64,
}

impl Glr {
    /// An empty window. `limit` from `calibrate`, `second_moment` the mean square of the values while nothing
    /// has changed.
    ///
    /// # Errors
    /// A limit or mean square that is not a positive number.
    pub fn new(limit: f64, second_moment: f64) -> Result<Glr, DetectError> {
        for (what, found) in [("limit", limit), ("mean square", second_moment)] {
            if !(found > 0.0 && found.is_finite()) {
                return Err(DetectError::OutOfRange { what, found, expected: "a positive number" });
            }
        }
        Ok(Glr { limit, second_moment, values: [0.0; WINDOW], next: 0, filled: 0 })
    }

    /// Takes one standardised value; starts with an empty window after a change.
    pub fn step(&mut self, z: f64) -> Option<Change> {
        let best = self.look_back(winsorised(z)?);
        if best.statistic < self.limit {
            return None;
        }
        self.clear();
        Some(Change {
            samples_ago: best.span.saturating_sub(1) as u64,
            magnitude_sigma: (best.sum / best.span.max(1) as f64).abs(),
            direction: if best.sum > 0.0 { Direction::Up } else { Direction::Down },
            detector: Detector::Glr,
        })
    }

    /// Adds a winsorised value and gives the statistic.
    pub(crate) fn advance(&mut self, z: f64) -> f64 {
        self.look_back(z).statistic
    }

    fn look_back(&mut self, z: f64) -> Best {
        self.push(z);
        let (mut sum, mut best) = (0.0, Best::default());
        for back in 0..self.filled {
            sum += self.back(back);
            let statistic = sum * sum / (2.0 * (back + 1) as f64 * self.second_moment);
            if statistic > best.statistic {
                best = Best { statistic, span: back + 1, sum };
            }
        }
        best
    }

    /// Forgets the evidence gathered so far.
    pub fn clear(&mut self) {
        (self.next, self.filled) = (0, 0);
    }

    fn push(&mut self, z: f64) {
        self.values[self.next] = z;
        self.next = (self.next + 1) % WINDOW;
        self.filled = (self.filled + 1).min(WINDOW);
    }

    /// The value `back` values before the newest.
    fn back(&self, back: usize) -> f64 {
        self.values[(self.next + 2 * WINDOW - 1 - back) % WINDOW]
    }
}
