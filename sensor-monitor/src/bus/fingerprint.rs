//! What is kept of a talker: how it answers under one firmware.

use serde::{Deserialize, Serialize};

use super::MAX_UNITS;
use super::pattern::Pattern;
use super::quantity::Talker;
use super::series::StoredSeries;
use crate::estimate::timing::compare::{Difference, compare};
use crate::estimate::timing::histogram::LogHistogram;

/// SHA-256 of the image that a controller runs, as its verified update said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Firmware(pub [u8; 32]);

/// How one unit answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Its address.
    pub unit: u8,
    /// What it ran; `None` before the first update that was verified here.
    pub firmware: Option<Firmware>,
    /// Windows in which it was asked while it was learned.
    pub windows: u32,
    /// Its turnarounds while it was learned.
    pub turnaround: LogHistogram,
    /// Its longest gaps within answers.
    pub gap: LogHistogram,
    /// What it was asked and how it refused.
    pub pattern: Pattern,
}

impl Fingerprint {
    /// Nothing is learned yet.
    pub(super) fn new(unit: u8, firmware: Option<Firmware>) -> Fingerprint {
        Fingerprint {
            unit,
            firmware,
            windows: 0,
            turnaround: LogHistogram::default(),
            gap: LogHistogram::default(),
            pattern: Pattern::default(),
        }
    }

    /// How this differs from an `earlier` one of the same unit.
    pub fn against(&self, earlier: &Fingerprint) -> EpochChange {
        let new = self.pattern.functions.difference(&earlier.pattern.functions);
        EpochChange {
            unit: self.unit,
            firmware: self.firmware,
            turnaround: compare(&earlier.turnaround, &self.turnaround),
            gap: compare(&earlier.gap, &self.gap),
            functions: new.copied().collect(),
        }
    }
}

/// One epoch against the one before: information, not alarm. The chances in it are those of independent spans;
/// successive polls are not, so read how far they are apart and not how surely.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochChange {
    /// Whose.
    pub unit: u8,
    /// What it runs now.
    pub firmware: Option<Firmware>,
    /// Turnarounds; `None` when one epoch had too few.
    pub turnaround: Option<Difference>,
    /// Gaps within answers.
    pub gap: Option<Difference>,
    /// Function codes that were not used before.
    pub functions: Vec<u8>,
}

/// A bus as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    pub(super) domain: String,
    pub(super) id: String,
    pub(super) windows: u32,
    pub(super) units: Vec<Fingerprint>,
    pub(super) previous: Vec<Fingerprint>,
    pub(super) series: Vec<StoredSeries>,
}

/// Domain and version of what is written.
pub(super) const DOMAIN: &str = "headgate/bus/v1";

impl Stored {
    pub(super) fn check(&self, id: &str) -> Result<(), FingerprintError> {
        if self.domain != DOMAIN || self.id != id {
            let short = |s: &str| s.chars().take(64).collect();
            return Err(FingerprintError::Foreign { domain: short(&self.domain), id: short(&self.id) });
        }
        for (what, found, most) in [
            ("units", self.units.len(), MAX_UNITS),
            ("previous units", self.previous.len(), MAX_UNITS),
            ("series", self.series.len(), super::MAX_SERIES),
        ] {
            if found > most {
                return Err(FingerprintError::TooMany { what, found, most });
            }
        }
        match self.units.iter().chain(&self.previous).find(|u| !u.pattern.is_sound()) {
            Some(unit) => Err(FingerprintError::TooMany {
                what: "exceptions",
                found: unit.pattern.exceptions.len(),
                most: super::pattern::MAX_EXCEPTIONS,
            }),
            None => Ok(()),
        }
    }

    /// Its talkers.
    pub fn talkers(&self) -> impl Iterator<Item = Talker> {
        self.units.iter().map(|u| Talker::Unit(u.unit))
    }
}

/// A stored bus that cannot be taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// Of another version or another bus.
    #[error("found {domain:?} of bus {id:?}, expected {DOMAIN:?} of this bus: the bus is learned anew")]
    Foreign {
        /// The domain found, shortened.
        domain: String,
        /// The bus found, shortened.
        id: String,
    },
    /// More than is ever written.
    #[error("{found} {what}, at most {most} are written")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// At most.
        most: usize,
    },
}
