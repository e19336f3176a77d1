//! The public half of the key that signs checkpoints.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::MAX_NAME;

/// A P-256 public key with its name, which is also the origin of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    point: [u8; POINT],
}

/// Why a key cannot be a log's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Key names have no spaces and no plus sign (c2sp.org/signed-note).
    #[error("{found:?} cannot name a log: 1 to 255 bytes without spaces, control characters and '+'")]
    Name {
        /// The first 60 characters of what was given.
        found: String,
    },
    /// Another algorithm, a compressed point, or no public key at all.
    #[error(
        "the log's key is no P-256 public key in DER: found {found} bytes that begin with {begin}, expected 91 that begin with 3059301306072a86"
    )]
    NotP256 {
        /// How many bytes.
        found: usize,
        /// The first eight in hexadecimal.
        begin: String,
    },
}

impl LogKey {
    /// From a SubjectPublicKeyInfo in DER (RFC 5480, named curve, uncompressed point).
    pub fn from_spki(name: &str, der: &[u8]) -> Result<LogKey, KeyError> {
        let point = der.strip_prefix(&SPKI).and_then(|p| <[u8; POINT]>::try_from(p).ok());
        let point = point.filter(|p| p[0] == UNCOMPRESSED).ok_or_else(|| {
            let begin = der.iter().take(8).map(|b| format!("{b:02x}")).collect();
            KeyError::NotP256 { found: der.len(), begin }
        })?;
        LogKey::from_point(name, point)
    }

    /// From coordinates as a TPM gives them (TPM 2.0 Library, Part 2, TPMS_ECC_POINT), left-padded to 32 bytes.
    pub fn from_coordinates(name: &str, x: &[u8; 32], y: &[u8; 32]) -> Result<LogKey, KeyError> {
        let mut point = [UNCOMPRESSED; POINT];
        point[1..33].copy_from_slice(x);
        point[33..].copy_from_slice(y);
        LogKey::from_point(name, point)
    }

    fn from_point(name: &str, point: [u8; POINT]) -> Result<LogKey, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name { found: name.chars().take(60).collect() });
        }
        Ok(LogKey { name: name.to_owned(), point })
    }

    /// Its name, and the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> Vec<u8> {
        [&SPKI[..], &self.point].concat()
    }

    /// The public key as OpenSSL reads it (RFC 7468).
    pub fn to_pem(&self) -> String {
        let text = STANDARD.encode(self.spki());
        let (first, second) = text.split_at(64); // 91 bytes are 124 characters
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }

    /// Key id of signature type 0x02: the first four bytes of SHA-256 of the public key in DER.
    pub fn id(&self) -> [u8; 4] {
        let hash = digest(&SHA256, &self.spki());
        hash.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Whether `signature` (ASN.1 DER) over `text` is this key's.
    pub fn accepts(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(text, signature).is_ok()
    }

    /// Name and id, as errors say them.
    pub fn label(&self) -> String {
        label(&self.name, self.id())
    }
}

/// Name and id of a key, as errors say them.
pub(super) fn label(name: &str, id: [u8; 4]) -> String {
    format!("{name}+{:08x}", u32::from_be_bytes(id))
}

/// Whether `name` can name a key (c2sp.org/signed-note, Format).
pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// Uncompressed point: a byte and two coordinates (SEC 1 §2.3.3).
const POINT: usize = 65;
const UNCOMPRESSED: u8 = 0x04;
/// RFC 5480 §2: id-ecPublicKey, secp256r1, and the head of a bit string of 65 bytes.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
