//! What a backup says of itself, signed by the evidence key of the box that made it.

use firmware_verifier::Digest;
use firmware_verifier::canonical;
use firmware_verifier::document::Moment;
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::PublicKey;
use hal::tpm::SiteKeyPublic;
use serde::{Deserialize, Serialize};

use super::error::BackupError;

/// Type of the payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.headgate.backup.v1+json";
/// Longest text in it: a key in PEM, a checkpoint.
const MAX_TEXT: usize = 4096;

/// What the signature covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// TPM Name of the attestation key, in hexadecimal.
    pub attestation_key: String,
    /// The newest checkpoint of the audit log in it.
    pub checkpoint: Option<String>,
    /// SHA-256 of all entries, as they stand in the file.
    pub content: Digest,
    /// How many entries.
    pub entries: u64,
    /// The epoch of boot states.
    pub epoch: u64,
    /// The evidence key in PEM: it signs the manifest, and the box is known by it.
    pub evidence_key: String,
    /// The gateway's name.
    pub gateway: String,
    /// When it was made.
    pub made: Moment,
    /// The site key that the box was provisioned with, in PEM.
    pub site_key: String,
    /// Version of the program.
    pub version: String,
}

impl Manifest {
    /// The envelope to sign.
    pub fn to_envelope(&self) -> Result<Envelope, BackupError> {
        let bytes = canonical::to_vec(self).map_err(|e| unreadable(&e))?;
        Ok(Envelope::new(PAYLOAD_TYPE, bytes)?)
    }

    /// The manifest of an envelope that the key in it has signed. Whose key that is, a person decides.
    pub fn open(envelope: &Envelope) -> Result<Manifest, BackupError> {
        if envelope.payload_type() != PAYLOAD_TYPE {
            return Err(BackupError::Kind { found: "its manifest is another kind of document" });
        }
        let read: Option<Manifest> = canonical::from_slice(envelope.payload()).map_err(|e| unreadable(&e))?;
        let read = read.ok_or_else(|| unreadable(&"not as it is written here"))?;
        let texts = [&read.attestation_key, &read.evidence_key, &read.gateway, &read.site_key, &read.version];
        if texts.into_iter().chain(&read.checkpoint).any(|text| text.len() > MAX_TEXT) {
            return Err(unreadable(&"a text is too long"));
        }
        let (key, _) = read.key()?;
        if envelope.verify([&key]).contains(&key) { Ok(read) } else { Err(BackupError::Unsigned) }
    }

    /// The evidence key, and the SHA-256 of its SubjectPublicKeyInfo.
    pub fn key(&self) -> Result<(PublicKey, Digest), BackupError> {
        let key = SiteKeyPublic::from_pem(&self.evidence_key).map_err(|e| unreadable(&e))?;
        let key = PublicKey::from(&key);
        let id = crate::receipt::check::id_of(&key).parse().map_err(|_| unreadable(&"no key id"))?;
        Ok((key, id))
    }
}

fn unreadable(found: &dyn std::fmt::Display) -> BackupError {
    BackupError::Manifest { found: found.to_string() }
}
