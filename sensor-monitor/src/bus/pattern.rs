//! Who talks, with which functions and which exceptions: what is in no distribution because it is new.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Exceptions of one unit that are kept apart, by function and code.
pub const MAX_EXCEPTIONS: usize = 64;

/// What one unit was asked and how it refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Function codes that the station used.
    pub functions: BTreeSet<u8>,
    /// Function and exception code.
    pub exceptions: BTreeSet<(u8, u8)>,
}

impl Pattern {
    /// Adds an exception while there is room.
    pub(super) fn exception(&mut self, function: u8, code: u8) {
        if self.exceptions.len() < MAX_EXCEPTIONS {
            self.exceptions.insert((function, code));
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.exceptions.len() <= MAX_EXCEPTIONS
    }
}

/// Something that was never seen while the bus was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Novelty {
    /// A unit talks.
    Talker(u8),
    /// A unit is asked that never was; whether it is there is not known.
    Asked(u8),
    /// A function is used with a unit.
    Function(u8, u8),
    /// A unit refuses a function with a code.
    Exception(u8, u8, u8),
}

impl Novelty {
    /// The unit it is about.
    pub const fn unit(self) -> u8 {
        match self {
            Novelty::Talker(u) | Novelty::Asked(u) | Novelty::Function(u, _) | Novelty::Exception(u, ..) => u,
        }
    }
}
