//! What the TPM says of its own past: how often it was started, and how long it has been powered.
//!
//! Nobody sets these back but by clearing the TPM, or by putting an old copy of its memory back (TPM 2.0 Library Part 1
//! §36). They are read in a session salted to the pinned storage key, so nobody on the wire to the TPM makes them up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::device::pinned_srk;
use super::error::TpmError;
use super::esys::{Esys, SessionKind};
use super::record::Provisioned;

/// TPMS_CLOCK_INFO (Part 2 §10.11.1), not obfuscated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmClock {
    /// How often it was reset: once for each boot of the box.
    pub resets: u32,
    /// How often it was resumed or restarted since the last reset.
    pub restarts: u32,
    /// Milliseconds it has been powered, over all its life. After a loss of power it may begin again at an earlier
    /// value, by at most [`TpmClock::MAY_LOSE`].
    pub ms: u64,
    /// Whether no higher value was ever reported.
    pub safe: bool,
}

impl TpmClock {
    /// Longest time between two of its values in permanent memory: 2^22 ms (Part 1 §36.3).
    pub const MAY_LOSE: Duration = Duration::from_millis(1 << 22);

    /// Whether nothing was started again between the two.
    pub fn same_boot(&self, other: &TpmClock) -> bool {
        (self.resets, self.restarts) == (other.resets, other.restarts)
    }
}

impl std::fmt::Display for TpmClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "reset {}, restart {}, {} s of power", self.resets, self.restarts, self.ms / 1000)
    }
}

/// Reads the clock of the pinned TPM.
pub(super) fn read(esys: &Esys, provisioned: &Provisioned) -> Result<TpmClock, TpmError> {
    provisioned.require_schema()?;
    let srk = pinned_srk(esys, &provisioned.srk_name)?;
    let session = esys.start_session(&srk, SessionKind::Hmac)?;
    esys.read_clock(session)
}
