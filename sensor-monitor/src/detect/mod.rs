//! Detectors: one standardised value after another in, a change out.
//!
//! ```text
//!   feature value --> whiten --> cusum     a shift of the mean, 0.25 to 3 sigma
//!        |            z, about   drift     a slow ramp
//!        |            white      variance  burst or collapse of the noise
//!        |                       ewma, glr the same as cusum by other means
//!        +--> replayed   the raw value repeats itself
//!        +--> away       raw values in a row further out than ever
//!        +--> limit      the raw value left its range
//! ```
//!
//! Every statistical limit comes from [`calibrate`]: the user says false alarms per year, never a bare
//! threshold. A value that is not finite is never fed to a statistic; it changes nothing.

pub mod away;
pub mod calibrate;
pub mod cusum;
pub mod drift;
pub mod ewma;
mod exponent;
pub mod glr;
pub mod limit;
pub mod replayed;
pub mod suite;
pub mod variance;
mod walks;
pub mod whiten;

pub use exponent::Noise;
use serde::{Deserialize, Serialize};
pub use walks::Limits;

/// Standardised values are pulled back to this bound (Huber 1964, winsorising). A normal value is beyond it
/// once in 16,000; for Student t3 it is one in 50, and without the bound such noise raises the false alarm
/// rate of a textbook CUSUM tenfold.
pub const WINSOR: f64 = 4.0;

/// A behaviour that changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// How many samples before the one just given the change began, as estimated; 0 is that sample itself.
    pub samples_ago: u64,
    /// How large: in standard deviations of the baseline for a level, as the ratio of standard deviations for
    /// [`Direction::Wider`] and [`Direction::Narrower`], in samples for [`Direction::Repeats`].
    pub magnitude_sigma: f64,
    /// Which way.
    pub direction: Direction,
    /// Who found it.
    pub detector: Detector,
}

/// Which way a behaviour changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The level rose.
    Up,
    /// The level fell.
    Down,
    /// The noise grew.
    Wider,
    /// The noise shrank.
    Narrower,
    /// Values come again exactly as they came before.
    Repeats,
}

/// The detector that found a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detector {
    /// [`cusum::Cusum`].
    Cusum,
    /// [`ewma::Ewma`].
    Ewma,
    /// [`glr::Glr`].
    Glr,
    /// [`drift::Drift`].
    Drift,
    /// [`variance::Variance`].
    Variance,
    /// [`replayed::Replayed`], one value over and over.
    Frozen,
    /// [`replayed::Replayed`], a loop.
    Replayed,
    /// [`away::Away`].
    Away,
    /// [`limit::Limit`].
    Limit,
    /// [`crate::bus`]: something that was never seen while it was learned.
    Novelty,
}

/// A standardised value within [`WINSOR`]; `None` when it is no number.
pub(crate) fn winsorised(z: f64) -> Option<f64> {
    if z.is_nan() { None } else { Some(z.clamp(-WINSOR, WINSOR)) }
}

/// State or tuning that was read back and cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DetectError {
    /// A number that no detector could have written.
    #[error("stored {what} is {found}, expected {expected}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// What it was.
        found: f64,
        /// What it can be.
        expected: &'static str,
    },
    /// A list of another length than the detector has.
    #[error("stored {what} has {found} entries, expected {expected}")]
    Length {
        /// Which list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// What it can be.
        expected: usize,
    },
    /// A rate or an interval from which no threshold follows.
    #[error(
        "{false_alarms_per_year} false alarms per year at one value each {interval_s} s: no threshold gives that"
    )]
    Rate {
        /// What was asked for.
        false_alarms_per_year: f64,
        /// Seconds from one value to the next.
        interval_s: f64,
    },
}
