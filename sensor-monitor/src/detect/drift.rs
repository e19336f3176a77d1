//! A slow ramp or a very small lasting shift: the mean of blocks of [`BLOCK`] values against the learned mean,
//! by CUSUMs for 0.05 and 0.1 sigma.
//!
//! The learned mean has an error of its own; the calibration widens the limits by it, so a short record makes
//! this detector slow, not loud. Values are whitened before they come here: the spread of a block mean is
//! `sigma / sqrt(BLOCK)` only then.

use serde::{Deserialize, Serialize};

use super::walks::{Limits, Walks};
use super::{Change, DetectError, Detector, Direction, winsorised};

/// Values in one block.
pub const BLOCK: u32 = 64;

/// Reference values in sigma of one value: half the shift each CUSUM is tuned to.
pub const REFERENCES: [f64; 2] = [0.025, 0.05];

/// Walks: each reference upwards, then each downwards.
pub const LANES: usize = 2 * REFERENCES.len();

/// Detector of slow change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Drift {
    walks: Walks<LANES>,
    limits: Limits<LANES>,
    sum: f64,
    taken: u32,
}

#[derive(Deserialize)]
struct Stored {
    walks: Walks<LANES>,
    limits: Limits<LANES>,
    sum: f64,
    taken: u32,
}

impl TryFrom<Stored> for Drift {
    type Error = DetectError;

    fn try_from(s: Stored) -> Result<Drift, DetectError> {
        let most = super::WINSOR * f64::from(BLOCK);
        if s.taken >= BLOCK || !(-most..=most).contains(&s.sum) {
            return Err(DetectError::OutOfRange { what: "block", found: s.sum, expected: "a part block" });
        }
        Ok(Drift { walks: s.walks, limits: s.limits, sum: s.sum, taken: s.taken })
    }
}

impl Drift {
    /// A detector at zero.
    pub const fn new(limits: Limits<LANES>) -> Drift {
        Drift { walks: Walks::new(), limits, sum: 0.0, taken: 0 }
    }

    /// Takes one standardised value; judges at each full block and starts again from zero after a change.
    pub fn step(&mut self, z: f64) -> Option<Change> {
        self.sum += winsorised(z)?;
        self.taken += 1;
        if self.taken < BLOCK {
            return None;
        }
        let block = self.sum / f64::from(BLOCK).sqrt();
        (self.sum, self.taken) = (0.0, 0);
        self.walks.advance(&scores(block));
        let crossed = self.walks.crossed(&self.limits.0)?;
        self.walks.clear();
        let (k, direction) = match crossed.lane.checked_sub(REFERENCES.len()) {
            None => (REFERENCES[crossed.lane], Direction::Up),
            Some(lane) => (REFERENCES[lane], Direction::Down),
        };
        let blocks = crossed.age.max(1);
        Some(Change {
            samples_ago: blocks.saturating_mul(u64::from(BLOCK)).saturating_sub(1),
            magnitude_sigma: k + crossed.level / (blocks as f64 * f64::from(BLOCK).sqrt()),
            direction,
            detector: Detector::Drift,
        })
    }

    /// The evidence gathered so far, as a share of what an alarm takes: 0 to 1.
    pub fn evidence(&self) -> f64 {
        self.walks.evidence(&self.limits.0)
    }

    /// Forgets the evidence gathered so far.
    pub fn clear(&mut self) {
        self.walks.clear();
        (self.sum, self.taken) = (0.0, 0);
    }
}

/// What each walk gains from one block: its sum over `sqrt(BLOCK)`.
pub(crate) fn scores(block: f64) -> [f64; LANES] {
    let k = |i: usize| REFERENCES[i] * f64::from(BLOCK).sqrt();
    std::array::from_fn(|i| match i.checked_sub(REFERENCES.len()) {
        None => block - k(i),
        Some(i) => -block - k(i),
    })
}
