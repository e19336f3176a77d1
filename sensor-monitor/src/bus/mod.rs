//! The fingerprint of a field bus: how each talker answers, how loud, how true, and who talks at all.
//!
//! ```text
//!   Event  (hal serial line) --+                                            known units, functions, exceptions
//!                              +--> Window --> one number for each talker --+--> NEW_ON_BUS
//!   Block --> FrontEnd --------+   10 s        and quantity                 +--> baseline, detect --> BUS_CHANGED
//!     gated by Owners                                                            what moved together --> causes
//! ```
//!
//! [`Bus`] is pure: events, measured frames and `now` come in, [`News`] goes out. It learns first, then
//! compares. A change with no update on record is an anomaly; [`Bus::expected_change`] after a verified update
//! begins a new epoch of that unit, whose fingerprint before is kept and compared. Level and edges do not begin
//! anew: firmware does not change a cable, and a device swapped along with an update is found.
//!
//! Invariants: memory is bounded by [`MAX_UNITS`] whatever talks; without a front-end the analogue quantities
//! are [`hal::sensor::Flaw::NotMeasured`] and never guessed.

pub mod cause;
mod fingerprint;
mod front_end;
mod owner;
mod pattern;
mod probe;
mod quantity;
mod receiver;
mod series;
mod watch;
mod window;

use std::time::Duration;

use hal::sensor::serial_line::Line;

pub use cause::{Cause, Moved};
pub use fingerprint::{EpochChange, Fingerprint, FingerprintError, Firmware, Stored};
pub use front_end::{Connection, Frame, FrontEnd, MAX_SAMPLES_PER_BIT};
pub use owner::{Owned, Owners};
pub use pattern::{MAX_EXCEPTIONS, Novelty, Pattern};
pub use probe::{Measured, Probe};
pub use quantity::{Quantity, Talker};
pub use watch::{Bus, Changed, News};

/// Units that are watched: a segment has 32 unit loads (TIA/EIA-485-A), twice that with common receivers. What
/// talks beyond is new on the bus and nothing else.
pub const MAX_UNITS: usize = 64;
/// Series of one bus: eleven quantities of each unit, four of the station, two of the line.
pub const MAX_SERIES: usize = 11 * MAX_UNITS + 6;
/// Things new on the bus that are told; more of them are a flood, which is told once.
pub const MAX_TOLD: usize = 64;

/// How a bus is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Its id.
    pub id: String,
    /// Speed and format.
    pub line: Line,
    /// Time that gives one number of each quantity. Several polls of each unit should fit in.
    pub window: Duration,
    /// Windows to learn from.
    pub learning: u32,
    /// False alarms a year that are acceptable, all talkers and quantities together.
    pub false_alarms_per_year: f64,
    /// How long after an update a unit restarts and is not looked at.
    pub settles: Duration,
}

impl Settings {
    /// Windows of 10 s, three hours to learn, one false alarm a year.
    pub fn new(id: impl Into<String>, line: Line) -> Settings {
        Settings {
            id: id.into(),
            line,
            window: Duration::from_secs(10),
            learning: 1080,
            false_alarms_per_year: 1.0,
            settles: Duration::from_secs(60),
        }
    }
}
