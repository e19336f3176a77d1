//! Approval of a configuration, by the digest of its canonical effective form.

use serde::{Deserialize, Serialize};

use super::{Content, DocumentError};
use crate::digest::Digest;
use crate::trust::{Role, Threshold};

/// Leave to run a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigApproval {
    /// SHA-256 of the canonical effective configuration.
    pub config: Digest,
    /// Whether it weakens enforcement. Whoever applies it compares this with what it finds itself: an
    /// approval that does not say so must not weaken anything.
    pub weakens: bool,
}

impl Content for ConfigApproval {
    const KIND: &'static str = "config";
    const ROLE: Role = Role::Approver;

    fn needs(&self, role: Threshold) -> Threshold {
        if self.weakens { role.or_more(Threshold::TWO) } else { role }
    }

    fn check(&self) -> Result<(), DocumentError> {
        Ok(())
    }
}
