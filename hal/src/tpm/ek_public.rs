//! Public halves of endorsement keys, as a certificate and as a TPM have them.
//!
//! Pure. Whoever checks a maker's certificate compares the two forms whole: a certificate that merely contains the
//! key's bytes somewhere is about another key.

use super::endorsement::EkKind;
use super::error::TpmError;
use super::reader::Reader;

/// An endorsement key made by one of the TCG's templates, and by nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EkPublic {
    kind: EkKind,
    /// The modulus, or x and y.
    key: Vec<u8>,
}

impl EkPublic {
    /// Reads a TPM2B_PUBLIC and checks that it has the attributes and the policy of the template `kind`: such a key
    /// opens credentials, signs nothing and never leaves its TPM.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when it is any other key.
    pub fn from_public(kind: EkKind, public: &[u8]) -> Result<EkPublic, TpmError> {
        let read = || {
            let mut outer = Reader::new(public);
            let area = outer.sized().filter(|_| outer.left() == 0)?;
            let template = kind.template();
            let head = template.get(..template.len().checked_sub(kind.unique_len())?)?;
            let mut inner = Reader::new(area.strip_prefix(head)?);
            let mut key = Vec::new();
            for _ in 0..kind.parts() {
                key.extend(inner.sized().filter(|part| part.len() == kind.part_len())?);
            }
            (inner.left() == 0).then_some(EkPublic { kind, key })
        };
        read().ok_or_else(|| TpmError::Malformed {
            what: "endorsement key",
            found: format!("{} bytes", public.len()),
            expected: "the TPM2B_PUBLIC of a key made by the TCG's template",
        })
    }

    /// SubjectPublicKeyInfo in DER, as a certificate has it (RFC 3279 §2.3.1, RFC 5480 §2).
    pub fn to_der(&self) -> Vec<u8> {
        self.kind.subject_public_key(&self.key)
    }
}

impl EkKind {
    /// SubjectPublicKeyInfo in DER of the modulus, or of x and y.
    pub(super) fn subject_public_key(self, key: &[u8]) -> Vec<u8> {
        match self {
            EkKind::Rsa2048 => [&RSA_HEAD[..], key, &RSA_TAIL].concat(),
            EkKind::P256 => [&super::site_key::SPKI_PREFIX[..], &[4], key].concat(),
            EkKind::P384 => [&P384_HEAD[..], key].concat(),
        }
    }

    /// Numbers that a key of this kind consists of.
    const fn parts(self) -> usize {
        match self {
            EkKind::Rsa2048 => 1,
            EkKind::P256 | EkKind::P384 => 2,
        }
    }

    /// Bytes of each.
    const fn part_len(self) -> usize {
        match self {
            EkKind::Rsa2048 => 256,
            EkKind::P256 => 32,
            EkKind::P384 => 48,
        }
    }

    /// Bytes that the template has in the key's place: H-3 leaves the numbers empty.
    const fn unique_len(self) -> usize {
        match self {
            EkKind::Rsa2048 | EkKind::P256 => self.parts() * (2 + self.part_len()),
            EkKind::P384 => 4,
        }
    }
}

/// rsaEncryption, a bit string, and the head of a modulus of 257 bytes: the top bit of 2048 is set.
const RSA_HEAD: [u8; 33] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
    0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00,
];
/// The exponent 65537, which the template's 0 stands for.
const RSA_TAIL: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
/// id-ecPublicKey, secp384r1, and the head of a bit string of an uncompressed point.
const P384_HEAD: [u8; 24] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04,
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn public(kind: EkKind) -> Vec<u8> {
        let template = kind.template();
        let head = &template[..template.len() - kind.unique_len()];
        let len = kind.part_len();
        let part = [&(len as u16).to_be_bytes()[..], &vec![0xa5; len]].concat();
        let area = [head, &part.repeat(kind.parts())].concat();
        [&(area.len() as u16).to_be_bytes()[..], &area].concat()
    }

    #[test]
    fn a_key_of_another_template_or_half_of_one_is_refused() {
        for kind in EkKind::ALL {
            let good = public(kind);
            let der = EkPublic::from_public(kind, &good).unwrap().to_der();
            let len = usize::from(der[1] & 0x7f);
            let whole =
                if der[1] < 0x80 { 2 + len } else { 4 + usize::from(u16::from_be_bytes([der[2], der[3]])) };
            assert_eq!(der.len(), whole, "{kind:?}: the outer SEQUENCE is all there is");
            for other in EkKind::ALL.into_iter().filter(|other| *other != kind) {
                assert!(EkPublic::from_public(other, &good).is_err(), "{kind:?} as {other:?}");
            }
            for len in 0..good.len() {
                assert!(EkPublic::from_public(kind, &good[..len]).is_err(), "{kind:?} cut to {len}");
            }
            assert!(EkPublic::from_public(kind, &[good, vec![0]].concat()).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_makes_another_key_or_none(at in 0usize..400, with: u8) {
            for kind in EkKind::ALL {
                let mut bytes = public(kind);
                let at = at % bytes.len();
                let before = EkPublic::from_public(kind, &bytes).unwrap();
                let same = std::mem::replace(&mut bytes[at], with) == with;
                if let Ok(key) = EkPublic::from_public(kind, &bytes) {
                    prop_assert_eq!(key.to_der() == before.to_der(), same);
                }
            }
        }
    }
}
