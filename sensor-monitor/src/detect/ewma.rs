//! A small shift of the mean by an exponentially weighted moving average (Roberts 1959): simple to explain and
//! to plot; the CUSUM bank is never much slower and does not need its weight chosen.

use serde::{Deserialize, Serialize};

use super::{Change, DetectError, Detector, Direction, winsorised};

/// The usual weight of the newest value; tuned to about 1 sigma.
pub const WEIGHT: f64 = 0.1;

/// Two-sided EWMA. Its statistic is `y^2 / (2 var y)`, so that the logarithm of the time between false alarms
/// is about linear in the limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Ewma {
    weight: f64,
    limit: f64,
    second_moment: f64,
    average: f64,
    since: Side,
}

/// What came since the average last changed sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Side {
    sum: f64,
    count: u64,
}

#[derive(Deserialize)]
struct Stored {
    weight: f64,
    limit: f64,
    second_moment: f64,
    average: f64,
    since: Side,
}

impl TryFrom<Stored> for Ewma {
    type Error = DetectError;

    fn try_from(s: Stored) -> Result<Ewma, DetectError> {
        let mut ewma = Ewma::new(s.weight, s.limit, s.second_moment)?;
        let most = super::WINSOR * (s.since.count as f64 + 1.0);
        for (what, found, most) in [("average", s.average, super::WINSOR), ("sum", s.since.sum, most)] {
            if !(-most..=most).contains(&found) {
                return Err(DetectError::OutOfRange {
                    what,
                    found,
                    expected: "within the winsorising bound",
                });
            }
        }
        (ewma.average, ewma.since) = (s.average, s.since);
        Ok(ewma)
    }
}

impl Ewma {
    /// An average at zero. `limit` from `calibrate`, `second_moment` the mean square of the values while
    /// nothing has changed.
    ///
    /// # Errors
    /// A weight outside 0..=1, or a limit or mean square that is not a positive number.
    pub fn new(weight: f64, limit: f64, second_moment: f64) -> Result<Ewma, DetectError> {
        let rows =
            [("weight", weight, 1.0), ("limit", limit, f64::MAX), ("mean square", second_moment, f64::MAX)];
        for (what, found, most) in rows {
            if !(found > 0.0 && found <= most) {
                return Err(DetectError::OutOfRange {
                    what,
                    found,
                    expected: "positive; a weight at most 1",
                });
            }
        }
        Ok(Ewma { weight, limit, second_moment, average: 0.0, since: Side::default() })
    }

    /// Takes one standardised value; starts again from zero after a change.
    pub fn step(&mut self, z: f64) -> Option<Change> {
        let statistic = self.advance(winsorised(z)?);
        if statistic < self.limit {
            return None;
        }
        let (up, side) = (self.average > 0.0, self.since);
        self.clear();
        Some(Change {
            samples_ago: side.count.saturating_sub(1),
            magnitude_sigma: (side.sum / side.count.max(1) as f64).abs(),
            direction: if up { Direction::Up } else { Direction::Down },
            detector: Detector::Ewma,
        })
    }

    /// Adds a winsorised value and gives the statistic.
    pub(crate) fn advance(&mut self, z: f64) -> f64 {
        let before = self.average;
        self.average += self.weight * (z - self.average);
        if before * self.average <= 0.0 {
            self.since = Side::default();
        }
        self.since.sum += z;
        self.since.count = self.since.count.saturating_add(1);
        let variance = self.second_moment * self.weight / (2.0 - self.weight);
        self.average * self.average / (2.0 * variance)
    }

    /// Forgets the evidence gathered so far.
    pub fn clear(&mut self) {
        (self.average, self.since) = (0.0, Side::default());
    }
}
