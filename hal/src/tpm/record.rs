//! What provisioning leaves behind, on disk.
//!
//! Invariant: what is written here is public, and of no use with another TPM.

use serde::{Deserialize, Serialize};

use super::error::TpmError;
use super::hex;
use super::key::{AttestationKey, EvidenceKey};
use super::pcr::PcrSelection;
use super::policy::{Name, SiteKeyPublic};
use super::quote::Certification;

/// Tag and version of [`Provisioned`].
pub(super) const PROVISIONED_SCHEMA: &str = "headgate/provisioned/v1";

/// What provisioning leaves behind. All of it is public, but it must not be writable by others: it pins the
/// storage key's Name. What came later is optional, so that an older record still opens its seal; whoever
/// asks for what it lacks is told to provision again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioned {
    /// Always `headgate/provisioned/v1`.
    pub schema: String,
    /// Pinned Name of the storage root key at 0x81000001.
    pub srk_name: Name,
    /// TPM2B_PUBLIC of the sealed key, as `tpm2_load -u` takes it.
    #[serde(with = "hex")]
    pub sealed_public: Vec<u8>,
    /// TPM2B_PRIVATE of the sealed key, as `tpm2_load -r` takes it; encrypted by the storage key.
    #[serde(with = "hex")]
    pub sealed_private: Vec<u8>,
    /// Whose approvals open it.
    pub site_key: SiteKeyPublic,
    /// PCRs every approval must cover.
    pub pcr_selection: PcrSelection,
    /// Name of the epoch counter at 0x01801000.
    pub epoch_index_name: Name,
    /// Name of the state counter at 0x01801001.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_index_name: Option<Name>,
    /// The key that signs evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<KeyBlobs>,
    /// The key that signs quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<KeyBlobs>,
    /// The attestation key's word that the evidence key lives in the same TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_certification: Option<Certification>,
}

/// A key under the storage key, as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyBlobs {
    /// TPM2B_PUBLIC, as `tpm2_load -u` takes it.
    #[serde(with = "hex")]
    pub public: Vec<u8>,
    /// TPM2B_PRIVATE, as `tpm2_load -r` takes it; encrypted by the storage key.
    #[serde(with = "hex")]
    pub private: Vec<u8>,
}

impl Provisioned {
    /// Public half of the key that signs evidence.
    ///
    /// # Errors
    /// [`TpmError::NotProvisioned`] when the record has none; [`TpmError::Malformed`] when it is another
    /// kind of key, such as one that needs no approval.
    pub fn evidence_key(&self) -> Result<EvidenceKey, TpmError> {
        EvidenceKey::from_public(&self.evidence_blobs()?.public, &self.site_key)
    }

    /// Public half of the key that signs quotes.
    ///
    /// # Errors
    /// As [`Provisioned::evidence_key`].
    pub fn attestation_key(&self) -> Result<AttestationKey, TpmError> {
        AttestationKey::from_public(&self.attestation_blobs()?.public)
    }

    pub(super) fn evidence_blobs(&self) -> Result<&KeyBlobs, TpmError> {
        self.evidence.as_ref().ok_or(TpmError::NotProvisioned("evidence key"))
    }

    pub(super) fn attestation_blobs(&self) -> Result<&KeyBlobs, TpmError> {
        self.attestation.as_ref().ok_or(TpmError::NotProvisioned("attestation key"))
    }

    pub(super) fn state_index(&self) -> Result<&Name, TpmError> {
        self.state_index_name.as_ref().ok_or(TpmError::NotProvisioned("state counter"))
    }

    pub(super) fn require_schema(&self) -> Result<(), TpmError> {
        if self.schema == PROVISIONED_SCHEMA {
            return Ok(());
        }
        let found = format!("schema {:.64}", self.schema);
        Err(TpmError::Malformed { what: "provisioning record", found, expected: PROVISIONED_SCHEMA })
    }
}
