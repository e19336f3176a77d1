//! A public key that may be trusted: Ed25519 or P-256, not weak, canonically encoded.
//!
//! Invariant: a [`PublicKey`] is a point of its curve in one canonical encoding and not of small order, so
//! no signature can be made for it without its private key, and no second text names it.

use std::str::FromStr;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use ed25519_dalek::VerifyingKey;
use hal::tpm::SiteKeyPublic;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::hex;

/// Bytes of an Ed25519 public key (RFC 8032 §5.1.5).
pub const KEY_LEN: usize = 32;
/// Bytes of an uncompressed P-256 point: 04, x, y (SEC 1 §2.3.3).
pub const P256_LEN: usize = 65;
/// Bytes of the number that minisign gives a key pair.
pub const KEY_NUMBER_LEN: usize = 8;

/// What signatures a key makes. A key is used for one kind only: a minisign signature is an Ed25519
/// signature of a digest, and must never pass for one of a 64-byte image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// Detached Ed25519 over the image itself, or over a document (DSSE).
    Ed25519,
    /// ECDSA P-256 with SHA-256 over the image (cosign, openssl), or over a document (DSSE).
    EcdsaP256,
    /// Minisign, prehashed.
    Minisign {
        /// The number in the key and in each of its signatures.
        key_number: [u8; KEY_NUMBER_LEN],
    },
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyKind::Ed25519 => f.write_str("ed25519"),
            KeyKind::EcdsaP256 => f.write_str("ecdsa-p256"),
            KeyKind::Minisign { key_number } => write!(f, "minisign {}", key_number_text(key_number)),
        }
    }
}

/// A key number as `minisign` itself prints it: little-endian, upper case.
pub(crate) fn key_number_text(number: &[u8; KEY_NUMBER_LEN]) -> String {
    format!("{:016X}", u64::from_le_bytes(*number))
}

/// A checked public key and what it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey {
    kind: KeyKind,
    point: Point,
}

/// The encoded point; which one follows from the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Point {
    Edwards([u8; KEY_LEN]),
    P256([u8; P256_LEN]),
}

impl PublicKey {
    /// Checks `bytes`: 32 for Ed25519 and minisign, 65 for P-256.
    pub fn new(kind: KeyKind, bytes: impl AsRef<[u8]>) -> Result<PublicKey, KeyError> {
        let bytes = bytes.as_ref();
        let length = |_| KeyError::Length { kind: kind.to_string(), found: bytes.len() };
        let point = match kind {
            KeyKind::EcdsaP256 => Point::P256(p256(bytes.try_into().map_err(length)?)?),
            KeyKind::Ed25519 | KeyKind::Minisign { .. } => {
                Point::Edwards(edwards(bytes.try_into().map_err(length)?)?)
            }
        };
        Ok(PublicKey { kind, point })
    }

    /// What it signs.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The encoded point: 32 bytes, or 65 for P-256.
    pub const fn as_bytes(&self) -> &[u8] {
        match &self.point {
            Point::Edwards(bytes) => bytes,
            Point::P256(bytes) => bytes,
        }
    }

    /// The encoded point of an Ed25519 or minisign key.
    pub const fn edwards(&self) -> Option<&[u8; KEY_LEN]> {
        match &self.point {
            Point::Edwards(bytes) => Some(bytes),
            Point::P256(_) => None,
        }
    }

    /// Its name everywhere.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.as_bytes())
    }
}

/// The site key that boot states are approved with may sign documents, too.
impl From<&SiteKeyPublic> for PublicKey {
    fn from(key: &SiteKeyPublic) -> PublicKey {
        // Its constructor has checked that the point lies on the curve.
        PublicKey { kind: KeyKind::EcdsaP256, point: Point::P256(*key.point()) }
    }
}

fn edwards(bytes: [u8; KEY_LEN]) -> Result<[u8; KEY_LEN], KeyError> {
    if !is_canonical(&bytes) {
        return Err(KeyError::NotCanonical);
    }
    let point = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotAPoint)?;
    if point.is_weak() { Err(KeyError::Weak) } else { Ok(bytes) }
}

/// The curve has cofactor 1, so a point on it other than infinity, which has no 65 bytes, is strong.
fn p256(bytes: [u8; P256_LEN]) -> Result<[u8; P256_LEN], KeyError> {
    let on_curve = bytes.first() == Some(&4) && ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, bytes).is_ok();
    if on_curve { Ok(bytes) } else { Err(KeyError::NotAPoint) }
}

/// RFC 8032 §5.1.3: the 255 bits of y must be below p = 2^255 - 19.
fn is_canonical(bytes: &[u8; KEY_LEN]) -> bool {
    let [low, middle @ .., high] = bytes;
    !(*low >= 0xed && middle.iter().all(|b| *b == 0xff) && high & 0x7f == 0x7f)
}

/// The name of a key: the first 8 bytes of SHA-256 over its encoded point, as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; KeyId::LEN]);

impl KeyId {
    /// Bytes in a key id.
    pub const LEN: usize = 8;

    /// A key id that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; KeyId::LEN]) -> KeyId {
        KeyId(bytes)
    }

    pub(super) fn of(key: &[u8]) -> KeyId {
        let [a, b, c, d, e, f, g, h, ..] = *Digest::of(key).as_bytes();
        KeyId([a, b, c, d, e, f, g, h])
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<KeyId, KeyError> {
        hex::decode(text).map(KeyId).ok_or_else(|| KeyError::Id { found: text.chars().take(40).collect() })
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyError;
    fn try_from(text: String) -> Result<KeyId, KeyError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.to_string()
    }
}

/// Bytes that are no key to trust, or text that is no key id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No point of the curve has this encoding.
    #[error("these bytes are no public key (no point of the curve); was another value given?")]
    NotAPoint,
    /// Another number of bytes than such a key has.
    #[error("{found} bytes are no {kind} key; 32 are expected for Ed25519 and minisign, 65 for P-256")]
    Length {
        /// What it should be.
        kind: String,
        /// How many there are.
        found: usize,
    },
    /// The coordinate is not below p.
    #[error(
        "the Ed25519 public key is not canonically encoded; no signing tool makes such a key, ask for another"
    )]
    NotCanonical,
    /// Small order: anybody can sign for it.
    #[error("the Ed25519 public key is weak (small order): anybody could sign for it; ask for another key")]
    Weak,
    /// Not 16 hexadecimal digits.
    #[error("{found:?} is no key id; write the 16 hexadecimal digits that `trust show` prints")]
    Id {
        /// Its beginning.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8032 §7.1 TEST 1.
    const GOOD: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn only_strong_canonical_points_pass() {
        let cases = [
            ("an RFC 8032 key", GOOD, Ok(())),
            ("the neutral element", "01", Err(KeyError::Weak)),
            ("order 4", "00", Err(KeyError::Weak)),
            (
                "order 8",
                "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
                Err(KeyError::Weak),
            ),
            (
                "order 2",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                Err(KeyError::Weak),
            ),
            (
                "p + 1",
                "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                Err(KeyError::NotCanonical),
            ),
            (
                "p + 1 with a sign",
                "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                Err(KeyError::NotCanonical),
            ),
            ("off the curve", "02", Err(KeyError::NotAPoint)),
        ];
        for (what, text, expected) in cases {
            let bytes: [u8; KEY_LEN] = hex::decode(&format!("{text:0<64}")).unwrap();
            assert_eq!(PublicKey::new(KeyKind::Ed25519, bytes).map(|_| ()), expected, "{what}");
        }
    }

    #[test]
    fn a_key_id_is_the_start_of_the_digest_and_reads_back() {
        let key = PublicKey::new(KeyKind::Ed25519, hex::decode::<KEY_LEN>(GOOD).unwrap()).unwrap();
        let text = key.id().to_string();
        assert!(Digest::of(key.as_bytes()).to_hex().starts_with(&text) && text.len() == 16);
        assert_eq!(text.parse(), Ok(key.id()));
        assert!("xyz".parse::<KeyId>().is_err());
    }

    #[test]
    fn a_p256_key_is_an_uncompressed_point_of_the_curve() {
        // The generator (SP 800-186 §3.2.1.3).
        let text = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c\
                    0f9e162bce33576b315ececbb6406837bf51f5";
        let point: [u8; P256_LEN] = hex::decode(text).unwrap();
        let key = PublicKey::new(KeyKind::EcdsaP256, point).unwrap();
        assert_eq!(key, PublicKey::from(&SiteKeyPublic::new(&point).unwrap()));
        let mut off = point;
        off[64] ^= 1;
        assert_eq!(PublicKey::new(KeyKind::EcdsaP256, off), Err(KeyError::NotAPoint));
        for (kind, len) in [(KeyKind::EcdsaP256, 64), (KeyKind::EcdsaP256, 33), (KeyKind::Ed25519, 65)] {
            let found = PublicKey::new(kind, &point[..len]);
            assert!(matches!(found, Err(KeyError::Length { .. })), "{kind} {len}");
        }
    }
}
