//! Leave to go by an advisory database, by the digest of its file.

use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::{Content, DocumentError, Moment};
use crate::digest::Digest;
use crate::reasons;
use crate::trust::Role;
use crate::verdict::Rejection;

/// Leave to go by an advisory database until the document expires, so that nobody goes by old advisories for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvisoryRelease {
    /// When the newest of its sources came out. Whoever takes one in refuses one that is older than what is there,
    /// and one whose header says something else.
    pub current: Moment,
    /// SHA-256 of the file.
    pub database: Digest,
}

impl AdvisoryRelease {
    /// Whether this is the file that was signed: its SHA-256, and what its header says of its age.
    pub fn is_of(&self, database: Digest, current: Wall) -> Result<(), Rejection> {
        if self.database != database {
            let (found, expected) =
                (format!("a file of {database}"), format!("the file of {}", self.database));
            return Err(Rejection::new(reasons::SIGNATURE_MISMATCH, found, expected));
        }
        if self.current != Moment::new(current) {
            let found = format!("a file that says its sources are of {current}");
            let expected = format!("sources of {}, as the document says", self.current);
            return Err(Rejection::new(reasons::SIGNATURE_MISMATCH, found, expected));
        }
        Ok(())
    }
}

impl Content for AdvisoryRelease {
    const KIND: &'static str = "advisories";
    // A database that leaves a hole out lets firmware in that has it.
    const ROLE: Role = Role::Approver;
    const FOR_ANY_GATEWAY: bool = true;

    /// A database may be brought again; that none older comes back, `current` says.
    fn uses(&self) -> Option<u8> {
        None
    }

    fn check(&self) -> Result<(), DocumentError> {
        Ok(())
    }
}
