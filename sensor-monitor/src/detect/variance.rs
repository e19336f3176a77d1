//! The noise grew (burst) or shrank (collapse): CUSUMs of the squared value for a standard deviation of 2,
//! 1.4, 0.7 and 0.5 times the baseline's (Hawkins 1981; log-likelihood ratio of two normal variances).
//!
//! A collapse is what a calculated or smoothed signal shows that stands in for a measured one; a noise of
//! zero ends as an exact repeat, which `replayed` finds sooner.

use serde::{Deserialize, Serialize};

use super::walks::{Limits, Walks};
use super::{Change, DetectError, Detector, Direction, winsorised};

/// Ratios of standard deviations the walks are tuned to.
pub const RATIOS: [f64; LANES] = [2.0, 1.4, 0.7, 0.5];

/// One walk for each ratio.
pub const LANES: usize = 4;

/// Detector of a changed variance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Variance {
    walks: Walks<LANES>,
    limits: Limits<LANES>,
    second_moment: f64,
    /// Whether only a growing noise is judged.
    #[serde(skip)]
    only_wider: bool,
}

#[derive(Deserialize)]
struct Stored {
    walks: Walks<LANES>,
    limits: Limits<LANES>,
    second_moment: f64,
}

impl TryFrom<Stored> for Variance {
    type Error = DetectError;

    fn try_from(s: Stored) -> Result<Variance, DetectError> {
        let mut v = Variance::new(s.limits, s.second_moment)?;
        v.walks = s.walks;
        Ok(v)
    }
}

impl Variance {
    /// A detector for values whose mean square is `second_moment` while nothing has changed.
    ///
    /// # Errors
    /// A mean square that is not a positive number.
    pub fn new(limits: Limits<LANES>, second_moment: f64) -> Result<Variance, DetectError> {
        if !(second_moment > 0.0 && second_moment.is_finite()) {
            return Err(DetectError::OutOfRange {
                what: "mean square",
                found: second_moment,
                expected: "a positive number",
            });
        }
        Ok(Variance { walks: Walks::new(), limits, second_moment, only_wider: false })
    }

    /// Judges a growing noise alone: of a signal that is one value but for rare events, a while without them is no
    /// collapse. That it stands still is for `replayed` to find.
    #[must_use]
    pub fn only_wider(self) -> Variance {
        Variance { only_wider: true, ..self }
    }

    /// Takes one standardised value; starts again from zero after a change.
    pub fn step(&mut self, z: f64) -> Option<Change> {
        let mut scores = scores(winsorised(z)?, self.second_moment);
        for (score, ratio) in scores.iter_mut().zip(RATIOS) {
            if self.only_wider && ratio < 1.0 {
                *score = 0.0;
            }
        }
        self.walks.advance(&scores);
        let crossed = self.walks.crossed(&self.limits.0)?;
        self.walks.clear();
        let wider = RATIOS[crossed.lane] > 1.0;
        let gain = crossed.level / crossed.age.max(1) as f64;
        let mean_square = if wider { reference(crossed.lane) + gain } else { reference(crossed.lane) - gain };
        Some(Change {
            samples_ago: crossed.age.saturating_sub(1),
            magnitude_sigma: mean_square.max(0.0).sqrt(),
            direction: if wider { Direction::Wider } else { Direction::Narrower },
            detector: Detector::Variance,
        })
    }

    /// The evidence gathered so far, as a share of what an alarm takes: 0 to 1.
    pub fn evidence(&self) -> f64 {
        self.walks.evidence(&self.limits.0)
    }

    /// The change that most speaks for: how much of what an alarm takes, which way, and steps since it began.
    pub(crate) fn suspected(&self) -> (f64, Direction, u64) {
        let (lane, share, age) = self.walks.nearest(&self.limits.0);
        (share, if RATIOS[lane] > 1.0 { Direction::Wider } else { Direction::Narrower }, age)
    }

    /// Forgets the evidence gathered so far.
    pub fn clear(&mut self) {
        self.walks.clear();
    }
}

/// The mean square, in units of the baseline's, at which a walk neither gains nor loses.
fn reference(lane: usize) -> f64 {
    let square = RATIOS[lane] * RATIOS[lane];
    square * square.ln() / (square - 1.0)
}

/// What each walk gains from one winsorised value.
pub(crate) fn scores(z: f64, second_moment: f64) -> [f64; LANES] {
    let square = z * z / second_moment;
    std::array::from_fn(|i| if RATIOS[i] > 1.0 { square - reference(i) } else { reference(i) - square })
}
