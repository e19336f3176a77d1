//! What is handed over, in one file.

use hal::tpm::{EkKind, Endorsement};
use serde::{Deserialize, Serialize};

use super::hex::Hex;
use crate::receipt::record::{Certified, Quoted};

/// Largest file that is read, in bytes. Those that a gateway writes have about 10 KiB, with device identities 20.
pub const MAX_FILE: usize = 64 << 10;
/// Most endorsement keys: as many as there are templates.
const MAX_EKS: usize = EkKind::ALL.len();
/// What keeps these bytes from being read as anything else.
const KIND: &str = "headgate attestation";

/// A gateway's attestation. Nothing in it is believed before it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// Always `headgate attestation`.
    pub kind: String,
    /// 1, or 2 where there are device identities, which older versions do not read.
    pub schema: u32,
    /// The gateway's name, as its configuration has it.
    pub gateway: String,
    /// Version of its program.
    pub version: String,
    /// When it was asked for, RFC 3339, as the gateway's clock has it.
    pub at: String,
    /// What the quote was made for.
    pub nonce: Hex,
    /// The quote, the keys and the certification.
    pub quote: Quoted,
    /// Endorsement keys that the TPM's maker has certified; none where the TPM has no certificate.
    pub endorsements: Vec<Ek>,
    /// Boxes whose place this one took: the first digits of the SHA-256 of their evidence keys.
    pub replaces: Vec<String>,
    /// Where the event log lies on the gateway that explains the PCRs, where it has one.
    pub event_log: Option<String>,
    /// The key that the site certifies (LDevID), where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
    /// The identity that the box's maker gave it (IDevID), where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<Initial>,
}

/// A local identity: the key of a request for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    /// TPM2B_PUBLIC.
    pub public: Hex,
    /// The attestation key's word that it lives in the same TPM.
    pub certification: Certified,
}

/// An initial identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initial {
    /// The maker's certificate, in DER.
    pub certificate: Hex,
    /// TPM2B_PUBLIC of the key at 0x81020000.
    pub public: Hex,
    /// The attestation key's word that the key lives in the same TPM.
    pub certification: Option<Certified>,
    /// Why there is no such word, where the key's policy does not let the TPM give it.
    pub uncertified: Option<String>,
}

/// An endorsement key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ek {
    /// Which template.
    pub kind: EkKind,
    /// The maker's certificate, in DER.
    pub certificate: Hex,
    /// TPM2B_PUBLIC, as `tpm2_makecredential -u` takes it.
    pub public: Hex,
}

/// Bytes that are no attestation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// Over the limit.
    #[error("{found} bytes, at most {MAX_FILE} are read; was another file given?")]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// No JSON of this shape.
    #[error("it cannot be read ({0}); headgate attest -o FOLDER writes it")]
    Json(#[from] serde_json::Error),
    /// Another kind of file, or another version of it.
    #[error(
        "found {kind:?} schema {schema}, expected {KIND:?} schema 1 or 2; a newer Headgate may have written it"
    )]
    Kind {
        /// Its kind.
        kind: String,
        /// Its schema.
        schema: u32,
    },
    /// More endorsement keys than there are templates.
    #[error("{found} endorsement keys, at most {MAX_EKS}")]
    Endorsements {
        /// How many.
        found: usize,
    },
}

impl Attestation {
    /// What a gateway says of itself.
    pub fn new(gateway: &str, at: String, nonce: &[u8], quote: Quoted, endorsements: Vec<Ek>) -> Attestation {
        Attestation {
            kind: KIND.into(),
            schema: 1,
            gateway: gateway.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            at,
            nonce: Hex(nonce.to_vec()),
            quote,
            endorsements,
            replaces: Vec::new(),
            event_log: None,
            local: None,
            initial: None,
        }
    }

    /// Adds the device identities. Without any it stays a file that older versions read.
    pub fn devids(&mut self, local: Option<Local>, initial: Option<Initial>) {
        (self.local, self.initial) = (local, initial);
        self.schema = self.needs();
    }

    /// The schema that its parts ask for.
    fn needs(&self) -> u32 {
        if self.local.is_some() || self.initial.is_some() { 2 } else { 1 }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`AttestationError`] for bytes that are none; what is wrong with one that can be read, a check finds.
    pub fn parse(file: &[u8]) -> Result<Attestation, AttestationError> {
        if file.len() > MAX_FILE {
            return Err(AttestationError::TooLarge { found: file.len() });
        }
        let read: Attestation = serde_json::from_slice(file)?;
        if read.kind != KIND || !(read.needs()..=2).contains(&read.schema) {
            let kind = read.kind.chars().take(40).collect();
            return Err(AttestationError::Kind { kind, schema: read.schema });
        }
        match read.endorsements.len() {
            ..=MAX_EKS => Ok(read),
            found => Err(AttestationError::Endorsements { found }),
        }
    }
}

impl From<&Endorsement> for Ek {
    fn from(from: &Endorsement) -> Ek {
        Ek { kind: from.kind, certificate: Hex(from.certificate.clone()), public: Hex(from.public.clone()) }
    }
}
