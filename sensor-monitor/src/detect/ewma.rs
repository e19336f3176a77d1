//! A small shift of the mean by an exponentially weighted moving average (Roberts 1959): simple to explain and
//! to plot; the CUSUM bank is never much slower and does not need its weight chosen.
//!
//! The average says that the level moved, but hardly when: a CUSUM for 1 sigma beside it dates the change.

use serde::{Deserialize, Serialize};

use super::walks::Walks;
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
    dating: Walks<2>,
}

/// Reference value in sigma of the walks that date a change.
const DATING: f64 = 0.5;

#[derive(Deserialize)]
struct Stored {
    weight: f64,
    limit: f64,
    second_moment: f64,
    average: f64,
    dating: Walks<2>,
}

impl TryFrom<Stored> for Ewma {
    type Error = DetectError;

    fn try_from(s: Stored) -> Result<Ewma, DetectError> {
        let mut ewma = Ewma::new(s.weight, s.limit, s.second_moment)?;
        if !(-super::WINSOR..=super::WINSOR).contains(&s.average) {
            let expected = "within the winsorising bound";
            return Err(DetectError::OutOfRange { what: "average", found: s.average, expected });
        }
        (ewma.average, ewma.dating) = (s.average, s.dating);
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
        Ok(Ewma { weight, limit, second_moment, average: 0.0, dating: Walks::new() })
    }

    /// Takes one standardised value; starts again from zero after a change.
    pub fn step(&mut self, z: f64) -> Option<Change> {
        let z = winsorised(z)?;
        let statistic = self.advance(z);
        self.dating.advance(&[z - DATING, -z - DATING]);
        if statistic < self.limit {
            return None;
        }
        let up = self.average > 0.0;
        let (level, age) = self.dating.lane(usize::from(!up));
        let average = self.average.abs();
        self.clear();
        Some(Change {
            samples_ago: age.saturating_sub(1),
            // A shift too small for the walk has moved the average at least so far.
            magnitude_sigma: if age > 0 { DATING + level / age as f64 } else { average },
            direction: if up { Direction::Up } else { Direction::Down },
            detector: Detector::Ewma,
        })
    }

    /// Adds a winsorised value and gives the statistic.
    pub(crate) fn advance(&mut self, z: f64) -> f64 {
        self.average += self.weight * (z - self.average);
        let variance = self.second_moment * self.weight / (2.0 - self.weight);
        self.average * self.average / (2.0 * variance)
    }

    /// Forgets the evidence gathered so far.
    pub fn clear(&mut self) {
        self.average = 0.0;
        self.dating.clear();
    }
}
