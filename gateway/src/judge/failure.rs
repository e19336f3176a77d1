//! What goes wrong, as it travels to whoever asked: a reason code where one applies, an exit code, words.

use firmware_verifier::Evidence;
use hal::reason::ReasonCode;
use serde::{Deserialize, Serialize};

/// A request that was not carried out.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{}{text}", code.map_or(String::new(), |c| format!("{c}: ")))]
pub struct Failure {
    /// The reason, where one applies.
    pub code: Option<ReasonCode>,
    /// Exit code of the command.
    pub exit: u8,
    /// What was found, what was expected, what to do.
    pub text: String,
    /// What each stage found, for a refused image.
    #[serde(default)]
    pub evidence: Vec<EvidenceRow>,
}

/// Evidence as it travels and as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvidenceRow(pub serde_json::Value);

impl From<&Evidence> for EvidenceRow {
    fn from(evidence: &Evidence) -> EvidenceRow {
        EvidenceRow(serde_json::to_value(evidence).unwrap_or_default())
    }
}

impl Failure {
    /// A failure with a reason code; the exit code is the table's.
    pub fn new(code: ReasonCode, text: impl Into<String>) -> Failure {
        let exit = crate::reasons::find(code).map_or(1, |r| r.exit);
        Failure { code: Some(code), exit, text: text.into(), evidence: Vec::new() }
    }

    /// What was asked for is not there (exit 3).
    pub fn not_found(text: impl Into<String>) -> Failure {
        Failure { code: None, exit: 3, text: text.into(), evidence: Vec::new() }
    }

    /// The request itself is wrong (exit 2).
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure { code: None, exit: 2, text: text.into(), evidence: Vec::new() }
    }

    /// Something of ours went wrong (exit 1).
    pub fn internal(text: impl Into<String>) -> Failure {
        Failure { code: None, exit: 1, text: text.into(), evidence: Vec::new() }
    }
}

impl From<crate::state::StateError> for Failure {
    fn from(e: crate::state::StateError) -> Failure {
        if e.is_full() {
            Failure::new(crate::reasons::DISK_FULL, e.to_string())
        } else {
            Failure::internal(e.to_string())
        }
    }
}

impl From<crate::vault::VaultError> for Failure {
    fn from(e: crate::vault::VaultError) -> Failure {
        use crate::vault::VaultError;
        match &e {
            VaultError::Missing { .. } => Failure::not_found(e.to_string()),
            VaultError::NotWhole { .. } | VaultError::Altered { .. } => {
                Failure::new(crate::reasons::VAULT_ALTERED, e.to_string())
            }
            VaultError::TooLarge { .. } => {
                Failure::new(firmware_verifier::reasons::IMAGE_TOO_LARGE, e.to_string())
            }
            _ if e.is_full() => Failure::new(crate::reasons::DISK_FULL, e.to_string()),
            _ => Failure::internal(e.to_string()),
        }
    }
}

impl From<crate::advisories::IntakeError> for Failure {
    fn from(e: crate::advisories::IntakeError) -> Failure {
        use crate::advisories::IntakeError as E;
        match e {
            E::TooLarge { .. } => Failure::usage(e.to_string()),
            E::Full { .. } => Failure::new(crate::reasons::DISK_FULL, e.to_string()),
            E::Store(e) => e.into(),
            _ => Failure::internal(e.to_string()),
        }
    }
}

impl From<hal::store::StoreError> for Failure {
    fn from(e: hal::store::StoreError) -> Failure {
        if e.is_full() {
            Failure::new(crate::reasons::DISK_FULL, e.to_string())
        } else {
            Failure::internal(e.to_string())
        }
    }
}
