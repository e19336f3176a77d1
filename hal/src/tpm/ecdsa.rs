//! ECDSA signatures on P-256, from the TPM's form into those of others.

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, VerificationAlgorithm};

use super::error::TpmError;
use super::reader::Reader;

const ALG_ECDSA: u16 = 0x0018;
const ALG_SHA256: u16 = 0x000b;

/// r and s, 32 bytes each. S may lie in either half of its range: a TPM does not choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature([u8; 64]);

impl Signature {
    /// Reads a TPMT_SIGNATURE (Part 2 §11.3.4): ECDSA with SHA-256, nothing behind it.
    pub(super) fn from_tpm(wire: &[u8]) -> Option<Signature> {
        let mut reader = Reader::new(wire);
        if (reader.u16()?, reader.u16()?) != (ALG_ECDSA, ALG_SHA256) {
            return None;
        }
        let mut both = [0; 64];
        both[..32].copy_from_slice(&reader.scalar()?);
        both[32..].copy_from_slice(&reader.scalar()?);
        (reader.left() == 0).then_some(Signature(both))
    }

    /// As [`Signature::from_tpm`], of what the TPM itself has just signed.
    pub(super) fn just_made(wire: &[u8]) -> Result<Signature, TpmError> {
        Signature::from_tpm(wire).ok_or_else(|| TpmError::Malformed {
            what: "signature",
            found: format!("{} bytes", wire.len()),
            expected: "a TPMT_SIGNATURE of ECDSA P-256 with SHA-256",
        })
    }

    /// Ecdsa-Sig-Value in DER (RFC 3279 §2.2.3).
    pub(super) fn to_der(self) -> Vec<u8> {
        let integer = |half: &[u8]| {
            let first = half.iter().position(|&byte| byte != 0).unwrap_or(half.len() - 1);
            // A leading zero keeps a number with the top bit set positive.
            let sign = if half[first] >= 0x80 { &[0][..] } else { &[] };
            let value = [sign, &half[first..]].concat();
            [&[2, value.len() as u8], value.as_slice()].concat()
        };
        let both = [integer(&self.0[..32]), integer(&self.0[32..])].concat();
        // 72 bytes at most, so one byte of length.
        [&[0x30, both.len() as u8], both.as_slice()].concat()
    }

    /// Whether the key at `point` signed `digest`.
    pub(super) fn signs(&self, point: &[u8; 65], digest: &[u8; 32]) -> bool {
        verifies(&ECDSA_P256_SHA256_FIXED, point, digest, &self.0)
    }
}

/// Whether `der` is a signature by the key at `point` over `digest`.
pub(super) fn der_signs(der: &[u8], point: &[u8; 65], digest: &[u8; 32]) -> bool {
    verifies(&ECDSA_P256_SHA256_ASN1, point, digest, der)
}

fn verifies(
    algorithm: &dyn VerificationAlgorithm,
    point: &[u8; 65],
    digest: &[u8; 32],
    signature: &[u8],
) -> bool {
    Digest::import_less_safe(digest, &SHA256)
        .is_ok_and(|digest| algorithm.verify_digest_sig(point, &digest, signature).is_ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    use proptest::prelude::*;

    use super::super::policy::sha256;
    use super::*;

    fn wire(r: &[u8], s: &[u8]) -> Vec<u8> {
        let sized = |half: &[u8]| [&(half.len() as u16).to_be_bytes(), half].concat();
        [vec![0x00, 0x18, 0x00, 0x0b], sized(r), sized(s)].concat()
    }

    #[test]
    fn other_forms_are_refused() {
        let good = wire(&[1; 32], &[2; 32]);
        assert!(Signature::from_tpm(&good).is_some());
        for (what, bad) in [
            ("nothing", vec![]),
            ("cut short", good[..good.len() - 1].to_vec()),
            ("a byte behind it", [good.clone(), vec![0]].concat()),
            ("r of 33 bytes", wire(&[1; 33], &[2; 32])),
            ("RSASSA", [vec![0x00, 0x14], good[2..].to_vec()].concat()),
            ("SHA-1", [vec![0x00, 0x18, 0x00, 0x04], good[4..].to_vec()].concat()),
        ] {
            assert_eq!(Signature::from_tpm(&bad), None, "{what}");
        }
    }

    #[test]
    fn numbers_in_der_are_short_and_positive() {
        let short = Signature::from_tpm(&wire(&[0x80], &[0x00, 0x7f])).unwrap();
        assert_eq!(short.to_der(), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 0x7f]);
        let none = Signature::from_tpm(&wire(&[], &[0; 32])).unwrap();
        assert_eq!(none.to_der(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
        let long = Signature::from_tpm(&wire(&[0xff; 32], &[0xff; 32])).unwrap();
        assert_eq!(long.to_der().len(), 72);
    }

    #[test]
    fn both_forms_verify_and_only_over_their_digest() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = <[u8; 65]>::try_from(pair.public_key().as_ref()).unwrap();
        // Enough of them that some have a short r or s.
        for n in 0u32..600 {
            let message = n.to_be_bytes();
            let fixed = pair.sign(&SystemRandom::new(), &message).unwrap();
            let (r, s) = fixed.as_ref().split_at(32);
            let signature = Signature::from_tpm(&wire(r, s)).unwrap();
            let (digest, other) = (sha256(&[&message]), sha256(&[b"other"]));
            assert!(signature.signs(&point, &digest) && !signature.signs(&point, &other));
            assert!(der_signs(&signature.to_der(), &point, &digest));
            assert!(!der_signs(&signature.to_der(), &point, &other));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_have_a_form_in_der(
            r in proptest::collection::vec(any::<u8>(), 0..36),
            s in proptest::collection::vec(any::<u8>(), 0..36),
            behind in proptest::collection::vec(any::<u8>(), 0..2),
        ) {
            let bytes = [wire(&r, &s), behind.clone()].concat();
            let taken = Signature::from_tpm(&bytes);
            prop_assert_eq!(taken.is_some(), r.len() <= 32 && s.len() <= 32 && behind.is_empty());
            if let Some(signature) = taken {
                let der = signature.to_der();
                prop_assert_eq!((der[0], usize::from(der[1])), (0x30, der.len() - 2));
            }
        }
    }
}
