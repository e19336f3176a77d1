//! ECDSA P-256 over the SHA-256 of an image, as `cosign sign-blob --key` and `openssl dgst -sha256 -sign` make it.
//!
//! The value is in DER (RFC 3279 §2.2.3) and strictly so: two positive numbers of at most 32 bytes in their shortest
//! form, nothing around them. Either half of the range of s is taken, as signers choose either.

use aws_lc_rs::digest::{Digest as LcDigest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use crate::digest::Digest;
use crate::trust::{KeyKind, PublicKey};

/// Longest value in bytes: two numbers of 32 bytes with a sign byte each, and their headers.
pub const MAX_ECDSA: usize = 72;
/// Bytes of a number of the group.
const SCALAR: usize = 32;

/// A signature, read but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcdsaSignature(Vec<u8>);

impl EcdsaSignature {
    /// Reads Ecdsa-Sig-Value; `None` for anything else.
    pub fn from_der(der: &[u8]) -> Option<EcdsaSignature> {
        let [0x30, len, numbers @ ..] = der else { return None };
        // All of it is below 128 bytes, so every length is one byte.
        if der.len() > MAX_ECDSA || usize::from(*len) != numbers.len() {
            return None;
        }
        let end = number(number(numbers)?)?;
        end.is_empty().then(|| EcdsaSignature(der.to_vec()))
    }

    /// The DER.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    /// Whether `key` signed the image with this digest.
    pub fn is_by(&self, key: &PublicKey, image: &Digest) -> bool {
        let Ok(digest) = LcDigest::import_less_safe(image.as_bytes(), &SHA256) else { return false };
        let parsed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.as_bytes());
        key.kind() == KeyKind::EcdsaP256 && parsed.verify_digest(&digest, &self.0).is_ok()
    }
}

/// What follows an INTEGER that is positive, in shortest form, and no longer than a number of the group.
fn number(der: &[u8]) -> Option<&[u8]> {
    let [0x02, len, rest @ ..] = der else { return None };
    let (value, rest) = rest.split_at_checked(usize::from(*len))?;
    let digits = match value {
        [0, first, ..] if *first >= 0x80 => value.len() - 1,
        [first, ..] if (1..0x80).contains(first) => value.len(),
        _ => return None,
    };
    (digits <= SCALAR).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(numbers: &[&[u8]]) -> Vec<u8> {
        let body: Vec<u8> = numbers.iter().flat_map(|n| [&[2, n.len() as u8], *n].concat()).collect();
        [&[0x30, body.len() as u8], body.as_slice()].concat()
    }

    #[test]
    fn only_the_strict_form_is_read() {
        let long = [0x7f; 32];
        let signed = [&[0][..], &[0x80; 32]].concat();
        for good in [der(&[&[1], &[2]]), der(&[&long, &signed]), der(&[&signed, &signed])] {
            assert!(EcdsaSignature::from_der(&good).is_some(), "{good:02x?}");
        }
        let good = der(&[&[1], &[2]]);
        let cases = [
            vec![],
            good[..good.len() - 1].to_vec(),
            [good.as_slice(), &[0]].concat(),
            der(&[&[1]]),
            der(&[&[1], &[2], &[3]]),
            der(&[&[0], &[2]]),
            der(&[&[0x80], &[2]]),
            der(&[&[0, 1], &[2]]),
            der(&[&[], &[2]]),
            der(&[&[0x7f; 33], &[2]]),
            [&[0x30, 0x81, 6][..], &good[2..]].concat(),
            [&[0x31, 6][..], &good[2..]].concat(),
        ];
        for bad in cases {
            assert!(EcdsaSignature::from_der(&bad).is_none(), "{bad:02x?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            if let Some(read) = EcdsaSignature::from_der(&bytes) {
                prop_assert_eq!(read.as_der(), bytes.as_slice());
            }
        }
    }
}
