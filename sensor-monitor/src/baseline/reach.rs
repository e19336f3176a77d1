//! How far readings went from what is usual and stayed there for a few readings in a row, while they were learned.
//!
//! One far reading says nothing: converters and wires make such values. Several in a row, further out than any so
//! many were while nothing was wrong, say that the level is another one, however closely readings follow each other.

use serde::{Deserialize, Serialize};

use super::BaselineError;

/// Readings in a row; as many as a CUSUM takes to find a very large shift in white noise.
pub(crate) const IN_A_ROW: usize = 4;

/// How far [`IN_A_ROW`] readings went together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reach {
    /// At least so many in a row were all at or below this, in the feature's unit.
    pub(crate) low: f64,
    /// And all at or above this.
    pub(crate) high: f64,
    /// Tail index of what drives the readings, as far as it is surely above 0.
    pub(crate) index: f64,
}

impl Reach {
    pub(super) fn check(&self) -> Result<(), BaselineError> {
        for found in [self.low, self.high] {
            if !(f64::MIN..=f64::MAX).contains(&found) {
                return Err(BaselineError::OutOfRange { what: "reach", found });
            }
        }
        match (0.0..=1.0).contains(&self.index) {
            true => Ok(()),
            false => Err(BaselineError::OutOfRange { what: "index of the reach", found: self.index }),
        }
    }
}

/// What is collected of it, one reading after another.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reaching {
    last: [f64; IN_A_ROW],
    taken: u64,
    bounds: Option<(f64, f64)>,
}

impl Reaching {
    pub(super) fn take(&mut self, x: f64) {
        self.last.rotate_left(1);
        self.last[IN_A_ROW - 1] = x;
        self.taken = self.taken.saturating_add(1);
        if self.taken < IN_A_ROW as u64 {
            return;
        }
        let least = self.last.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.last.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = self.bounds.unwrap_or((most, least));
        self.bounds = Some((low.min(most), high.max(least)));
    }

    /// Lowest and highest.
    pub(super) fn bounds(&self) -> Option<(f64, f64)> {
        self.bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_is_of_several_readings_in_a_row_and_a_spike_has_none() {
        let mut reaching = Reaching::default();
        for x in [1.0, 2.0, 900.0, 1.5, 3.0, 4.0, 5.0, 4.0, 3.5, -7.0, 2.0] {
            reaching.take(x);
        }
        assert_eq!(reaching.bounds(), Some((4.0, 3.5)));
        let mut few = Reaching::default();
        (0..3).for_each(|_| few.take(9.0));
        assert_eq!(few.bounds(), None);
    }
}
