//! The baseline of one feature: what is usual, measured while nothing is wrong.
//!
//! ```text
//!   Learning --enough effective samples--> Ready --freeze--> Frozen --thaw--> Ready
//!      ^                                     |
//!      +------ relearn(Cause), by a verified update or an operator only
//! ```
//!
//! Invariant: a ready baseline never changes by itself, and a frozen one learns nothing. The epoch before the
//! last relearning is kept for comparison.

mod correlate;
mod learn;
mod model;
mod reach;
mod regimes;
mod repeats;
mod residual;
mod steady;

use serde::{Deserialize, Serialize};

pub use correlate::{LAGS, MAX_ORDER};
pub(crate) use learn::LEVEL_BOUND;
pub use model::{Difference, Model, seen_scale};
pub(crate) use reach::IN_A_ROW;
pub use regimes::{MAX_REGIMES, Regimes, Settings, Stored};
pub use repeats::{MAX_LAG, Repeats, Run};
pub use residual::{STEPS, Spread, TAIL, Tail};
pub use steady::{Moved, moved};

/// Values kept while learning, at most: 512 KiB, given back when the baseline is ready.
pub const LONGEST_RECORD: usize = 65_536;

/// The fewest values that can be learned from: a whitening filter takes up to [`MAX_ORDER`] from the front, and
/// what it leaves must make a [`Spread`].
pub const FEWEST: usize = residual::FEWEST + MAX_ORDER;

/// Raw samples averaged to one, at most.
pub const LONGEST_BLOCK: u32 = 4096;

/// No feature is larger; what is, is not believed.
pub const MOST: f64 = 1e100;

/// How to learn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "RawLearning")]
pub struct Learning {
    samples: u32,
    min_effective: u32,
    resolution: f64,
}

#[derive(Deserialize)]
struct RawLearning {
    samples: u32,
    min_effective: u32,
    resolution: f64,
}

impl TryFrom<RawLearning> for Learning {
    type Error = BaselineError;

    fn try_from(r: RawLearning) -> Result<Learning, BaselineError> {
        Learning::new(r.samples, r.min_effective, r.resolution)
    }
}

impl Learning {
    /// `samples` to learn from; at least `min_effective` of them must be independent, else learning goes on
    /// with block means; `resolution` is the smallest difference that means anything, in the feature's unit.
    ///
    /// # Errors
    /// Fewer than [`FEWEST`] or more than [`LONGEST_RECORD`] samples, more effective ones than samples, or a
    /// resolution that is no number of at least 0.
    pub fn new(samples: u32, min_effective: u32, resolution: f64) -> Result<Learning, BaselineError> {
        if !(FEWEST..=LONGEST_RECORD).contains(&(samples as usize)) {
            return Err(BaselineError::OutOfRange { what: "samples to learn", found: f64::from(samples) });
        }
        if min_effective > samples {
            return Err(BaselineError::OutOfRange {
                what: "effective samples",
                found: f64::from(min_effective),
            });
        }
        if !(0.0..=MOST).contains(&resolution) {
            return Err(BaselineError::OutOfRange { what: "resolution", found: resolution });
        }
        Ok(Learning { samples, min_effective, resolution })
    }
}

/// 16,384 samples, 1,024 of them effective: the record with which asked false alarm rates are kept within a
/// factor of two (`make bench NAME=signal-false-alarms`).
impl Default for Learning {
    fn default() -> Learning {
        Learning { samples: 16_384, min_effective: 1024, resolution: 0.0 }
    }
}

/// Where a baseline stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not enough seen; nothing is judged.
    Learning,
    /// Values are judged against it.
    Ready,
    /// An alarm stands: values are judged, nothing is learned.
    Frozen,
}

/// Why a baseline is learned anew. There is no third reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A verified update was delivered: timing and spectra may rightly differ.
    VerifiedUpdate,
    /// A person said so.
    Operator,
}

/// The baseline of one feature in one regime.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    pub(crate) learning: Learning,
    pub(crate) epoch: u32,
    pub(crate) cause: Option<Cause>,
    pub(crate) frozen: bool,
    pub(crate) model: Option<Model>,
    pub(crate) previous: Option<Model>,
    record: Record,
}

/// What has been collected; lost on a restart, a baseline half learned starts again.
#[derive(Debug, Clone, Default, PartialEq)]
struct Record {
    values: Vec<f64>,
    /// Raw samples in one entry of `values`; 0 stands for 1 while empty.
    base: u32,
    sum: f64,
    taken: u32,
    grain: Option<learn::Grain>,
    reaching: reach::Reaching,
}

impl Baseline {
    /// An empty baseline, learning.
    pub fn new(learning: Learning) -> Baseline {
        Baseline {
            learning,
            epoch: 0,
            cause: None,
            frozen: false,
            model: None,
            previous: None,
            record: Record::default(),
        }
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        match (self.frozen, &self.model) {
            (true, _) => State::Frozen,
            (false, Some(_)) => State::Ready,
            (false, None) => State::Learning,
        }
    }

    /// What was learned in this epoch.
    pub const fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// What was learned in the epoch before.
    pub const fn previous(&self) -> Option<&Model> {
        self.previous.as_ref()
    }

    /// How often it was learned anew, and why the last time.
    pub const fn epoch(&self) -> (u32, Option<Cause>) {
        (self.epoch, self.cause)
    }

    /// The share of the record that is collected, 0 to 1. It can fall back to a half: see [`Learning::new`].
    pub fn progress(&self) -> f64 {
        if self.model.is_some() {
            1.0
        } else {
            self.record.values.len() as f64 / f64::from(self.learning.samples)
        }
    }

    /// Takes one good value; does nothing unless learning. True when the baseline became ready by it. A value
    /// that is not finite, or beyond [`MOST`], is not learned from.
    pub fn learn(&mut self, x: f64) -> bool {
        if self.state() != State::Learning || !(-MOST..=MOST).contains(&x) {
            return false;
        }
        if !self.record.take(x) || self.record.values.len() < self.learning.samples as usize {
            return false;
        }
        let grain = self.record.grain.get_or_insert_with(|| learn::Grain::of(&self.record.values));
        let base = self.record.base.max(1);
        let bounds = self.record.reaching.bounds();
        let model = learn::learn(&self.record.values, base, grain, self.learning.resolution, bounds);
        let enough = model.as_ref().is_some_and(|m| m.effective >= f64::from(self.learning.min_effective));
        if enough || base >= LONGEST_BLOCK {
            self.model = model;
            self.record = Record::default();
        } else {
            self.record.halve();
        }
        self.model.is_some()
    }

    /// An alarm began: nothing is learned until [`Baseline::thaw`].
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// The alarm is over.
    pub fn thaw(&mut self) {
        self.frozen = false;
    }

    /// Starts a new epoch. What was learned so far becomes the previous epoch; a half-learned record is
    /// dropped and leaves the previous epoch as it is.
    pub fn relearn(&mut self, cause: Cause) {
        if let Some(model) = self.model.take() {
            self.previous = Some(model);
        }
        (self.cause, self.frozen) = (Some(cause), false);
        self.epoch = self.epoch.saturating_add(1);
        self.record = Record::default();
    }
}

impl Record {
    /// True when an entry was completed.
    fn take(&mut self, x: f64) -> bool {
        self.reaching.take(x);
        self.sum += x;
        self.taken += 1;
        if self.taken < self.base.max(1) {
            return false;
        }
        self.values.push(self.sum / f64::from(self.taken));
        (self.sum, self.taken) = (0.0, 0);
        true
    }

    /// Pairs become one entry: half the length, twice the time.
    fn halve(&mut self) {
        self.values = self.values.chunks_exact(2).map(|c| 0.5 * (c[0] + c[1])).collect();
        self.base = self.base.max(1) * 2;
    }
}

/// A baseline or setting that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// A number outside what a baseline can hold.
    #[error("{what} cannot be {found}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// What it was.
        found: f64,
    },
    /// Not a stored baseline of this version.
    #[error("found domain {found:?} version {version}, expected {expected:?} version {expected_version}")]
    Form {
        /// The domain found, shortened.
        found: String,
        /// The version found.
        version: u32,
        /// The domain of stored baselines.
        expected: &'static str,
        /// The version this program writes.
        expected_version: u32,
    },
    /// More regimes than are kept.
    #[error("{found} regimes, at most {MAX_REGIMES} are kept")]
    TooManyRegimes {
        /// How many.
        found: usize,
    },
}
