//! What is measured: samples in blocks, each with its time and what it is worth.
//!
//! A [`Source`] is one physical input. It hands over whatever has arrived as [`Block`]s: evenly spaced
//! samples of one channel with the time of the first. What is missing is counted ([`Block::lost`]) and never
//! filled in; what is doubtful carries a [`Quality`] that names the [`Flaw`]. Sources read the machine;
//! `sensor-monitor` decides what a block means.

pub mod adc;
pub mod current_loop;
pub mod gpio;
pub mod health;
pub mod iio;
mod polled;
pub mod replay;
mod runs;
pub mod serial_line;
mod tree;

use serde::{Deserialize, Serialize};

use crate::clock::Mono;

pub use polled::{Measure, Polled};
pub use runs::{Runs, Spacing};
pub use tree::{MAX_ENTRIES, MAX_TEXT, Tree};

/// What a value is worth, after OPC UA Part 4 §7.39 (status code severity).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// Measured, and to be used.
    #[default]
    Good,
    /// Measured, but its meaning is doubtful; shown, never learned from.
    Uncertain(Flaw),
    /// Nothing to be used; the value is not looked at.
    Bad(Flaw),
}

impl Quality {
    /// Whether a baseline may learn from it and a detector may judge it.
    pub const fn is_good(self) -> bool {
        matches!(self, Quality::Good)
    }

    /// The worse of two.
    #[must_use]
    pub fn and(self, other: Quality) -> Quality {
        self.max(other)
    }
}

impl std::fmt::Display for Quality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Quality::Good => f.write_str("good"),
            Quality::Uncertain(flaw) => write!(f, "uncertain: {flaw}"),
            Quality::Bad(flaw) => write!(f, "bad: {flaw}"),
        }
    }
}

/// Why a value is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// The first values after a start, a gap or a changed rate: a filter or window is not full yet.
    Settling,
    /// Samples were lost just before (overrun of a buffer, a missed poll).
    Gap,
    /// At the end of the converter's range, or NAMUR NE 43 saturation (3.6 to 3.8, 20.5 to 21 mA).
    Saturated,
    /// NAMUR NE 43 failure signal: at most 3.6 or at least 21 mA.
    FailureSignal,
    /// Below 2 mA: the loop is open.
    OpenLoop,
    /// Not a number, or infinite.
    NotFinite,
    /// The source answered nothing in time.
    Missing,
    /// The source answered with an error.
    SourceError,
    /// Time stood still or ran backwards between two blocks.
    ClockBack,
    /// Samples came at another rate than before.
    RateChanged,
    /// There is no front-end that could measure it.
    NotMeasured,
    /// The record that is played has ended.
    Ended,
    /// A number so large that nothing can be learned from it.
    TooLarge,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Flaw::Settling => "settling",
            Flaw::Gap => "samples lost",
            Flaw::Saturated => "saturated",
            Flaw::FailureSignal => "failure signal (NE 43)",
            Flaw::OpenLoop => "open loop",
            Flaw::NotFinite => "not a number",
            Flaw::Missing => "no answer",
            Flaw::SourceError => "source error",
            Flaw::ClockBack => "time stood still or ran back",
            Flaw::RateChanged => "rate changed",
            Flaw::NotMeasured => "not measured",
            Flaw::Ended => "record ended",
            Flaw::TooLarge => "too large to be judged",
        })
    }
}

/// Evenly spaced samples of one channel, in the channel's unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// When the first sample was taken.
    pub at: Mono,
    /// Nanoseconds from one sample to the next; 0 only when there is at most one sample.
    pub period_ns: u64,
    /// The samples; at most [`MAX_BLOCK`].
    pub samples: Vec<f64>,
    /// Samples known to be lost between the last block and this one.
    pub lost: u64,
    /// What all of these samples are worth.
    pub quality: Quality,
}

impl Block {
    /// One sample, as a polled register or a slow converter gives it.
    pub fn single(at: Mono, value: f64, quality: Quality) -> Block {
        Block { at, period_ns: 0, samples: vec![value], lost: 0, quality }
    }

    /// Nothing arrived where something was expected.
    pub fn nothing(at: Mono, flaw: Flaw) -> Block {
        Block { at, period_ns: 0, samples: Vec::new(), lost: 1, quality: Quality::Bad(flaw) }
    }

    /// When sample `index` was taken.
    pub fn time_of(&self, index: usize) -> Mono {
        Mono(self.at.0.saturating_add(self.period_ns.saturating_mul(index as u64)))
    }
}

/// Most samples in one block: one second at 64 kHz. A source hands over more as several blocks.
pub const MAX_BLOCK: usize = 65_536;

/// One physical input. Reading blocks for at most about a second; the caller gives each source its own thread.
pub trait Source: Send {
    /// Appends what has arrived since the last call to `out`; an empty result means nothing new.
    ///
    /// # Errors
    /// [`SourceError`] when the input is gone; the caller shows it, waits, and calls again.
    fn read(&mut self, now: Mono, out: &mut Vec<Block>) -> Result<(), SourceError>;

    /// When to call [`Source::read`] next; `None` when reading waits by itself, or nothing is known yet.
    fn deadline(&self) -> Option<Mono> {
        None
    }

    /// Whether the source is at its end (a recorded file); live inputs never are.
    fn is_exhausted(&self) -> bool {
        false
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn read(&mut self, now: Mono, out: &mut Vec<Block>) -> Result<(), SourceError> {
        (**self).read(now, out)
    }

    fn is_exhausted(&self) -> bool {
        (**self).is_exhausted()
    }

    fn deadline(&self) -> Option<Mono> {
        (**self).deadline()
    }
}

/// An input that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// The path or device, and what was attempted.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A converter on I2C or SPI did not answer as its bus requires.
    #[error("{what}: the bus failed: {found}")]
    Bus {
        /// The converter and the step.
        what: &'static str,
        /// The error kind of embedded-hal and what the bus driver said.
        found: String,
    },
    /// It answered, but not with what its interface promises.
    #[error("{what}: found {found}, expected {expected}")]
    Unexpected {
        /// The path, device or line.
        what: String,
        /// What was there, shortened.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
}

impl SourceError {
    pub(crate) fn io(what: impl Into<String>, source: impl Into<std::io::Error>) -> SourceError {
        SourceError::Io { what: what.into(), source: source.into() }
    }

    /// Keeps the first 60 characters of what was found.
    pub(crate) fn unexpected(what: impl Into<String>, found: &str, expected: &'static str) -> SourceError {
        let found = format!("{:?}", found.chars().take(60).collect::<String>());
        SourceError::Unexpected { what: what.into(), found, expected }
    }
}
