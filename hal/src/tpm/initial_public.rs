//! Public half of the identity that a box's maker put into its TPM, as a certificate and as the TPM have it.
//!
//! Pure. Makers choose key and scheme, so there is no one template to compare with: what makes it a DevID is
//! that it signs, is not restricted, was made by its TPM and cannot leave it (TCG TPM 2.0 Keys for Device
//! Identity and Attestation §7.3). Taken are P-256, P-384 and RSA 2048 with a Name of SHA-256.

use super::endorsement::EkKind;
use super::error::TpmError;
use super::policy::Name;
use super::reader::Reader;

/// fixedTPM | fixedParent | sensitiveDataOrigin | sign (TPMA_OBJECT, Part 2 §8.3).
const MUST: u32 = 0x2 | 0x10 | 0x20 | 0x4_0000;
/// restricted | decrypt: it would sign nothing but the TPM's own words, or be no signing key.
const MUST_NOT: u32 = 0x1_0000 | 0x2_0000;
const ALG_RSA: u16 = 0x0001;
const ALG_SHA256: u16 = 0x000b;
const ALG_NULL: u16 = 0x0010;
const ALG_ECC: u16 = 0x0023;
/// TPM_ECC_NIST_P256 and _P384 (Part 4 §6.4).
const CURVES: [(u16, EkKind, usize); 2] = [(3, EkKind::P256, 32), (4, EkKind::P384, 48)];

/// The public half of an IDevID (IEEE 802.1AR).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialKey {
    kind: EkKind,
    /// The modulus, or x and y.
    key: Vec<u8>,
    name: Name,
}

impl InitialKey {
    /// Reads a TPM2B_PUBLIC and checks that it is an unrestricted signing key, fixed to the TPM that made it.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when it is any other key.
    pub fn from_public(public: &[u8]) -> Result<InitialKey, TpmError> {
        let read = || {
            let mut outer = Reader::new(public);
            let area = outer.sized().filter(|_| outer.left() == 0)?;
            let mut inner = Reader::new(area);
            let (algorithm, name_alg) = (inner.u16()?, inner.u16()?);
            let attributes = inner.u32()?;
            let _policy = inner.sized()?;
            if name_alg != ALG_SHA256 || attributes & MUST != MUST || attributes & MUST_NOT != 0 {
                return None;
            }
            let (kind, key) = match algorithm {
                ALG_ECC => ecc(&mut inner)?,
                ALG_RSA => rsa(&mut inner)?,
                _ => return None,
            };
            (inner.left() == 0).then(|| InitialKey { kind, key, name: Name::of(area) })
        };
        read().ok_or_else(|| TpmError::Malformed {
            what: "initial identity",
            found: format!("{} bytes", public.len()),
            expected: "the TPM2B_PUBLIC of an unrestricted signing key, P-256, P-384 or RSA 2048",
        })
    }

    /// Its TPM Name; the attestation key certifies it.
    pub fn name(&self) -> Name {
        self.name
    }

    /// SubjectPublicKeyInfo in DER, as its certificate has it.
    pub fn to_der(&self) -> Vec<u8> {
        self.kind.subject_public_key(&self.key)
    }
}

/// TPMS_ECC_PARMS without symmetric and without KDF, and the point.
fn ecc(inner: &mut Reader<'_>) -> Option<(EkKind, Vec<u8>)> {
    scheme(inner)?;
    let curve = inner.u16()?;
    let (_, kind, len) = CURVES.into_iter().find(|(id, ..)| *id == curve)?;
    if inner.u16()? != ALG_NULL {
        return None;
    }
    let mut key = Vec::new();
    for _ in 0..2 {
        let part = inner.sized()?;
        // A TPM may leave leading zeros out.
        key.extend(std::iter::repeat_n(0, len.checked_sub(part.len())?));
        key.extend(part);
    }
    Some((kind, key))
}

/// TPMS_RSA_PARMS without symmetric, and the modulus.
fn rsa(inner: &mut Reader<'_>) -> Option<(EkKind, Vec<u8>)> {
    scheme(inner)?;
    let (bits, exponent) = (inner.u16()?, inner.u32()?);
    let modulus = inner.sized()?;
    let whole = bits == 2048 && matches!(exponent, 0 | 65537) && modulus.len() == 256;
    (whole && modulus[0] >= 0x80).then(|| (EkKind::Rsa2048, modulus.to_vec()))
}

/// No symmetric algorithm, and a signing scheme with its hash, or none.
fn scheme(inner: &mut Reader<'_>) -> Option<()> {
    if inner.u16()? != ALG_NULL {
        return None;
    }
    if inner.u16()? != ALG_NULL {
        inner.u16()?;
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// fixedTPM | fixedParent | sensitiveDataOrigin | userWithAuth | adminWithPolicy | sign.
    const TCG: u32 = MUST | 0x40 | 0x80;

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
    }

    fn area(kind: EkKind, attributes: u32) -> Vec<u8> {
        let algorithm = if kind == EkKind::Rsa2048 { ALG_RSA } else { ALG_ECC };
        let mut out = [algorithm.to_be_bytes(), ALG_SHA256.to_be_bytes()].concat();
        out.extend(attributes.to_be_bytes());
        out.extend(sized(&[7; 32]));
        match kind {
            EkKind::Rsa2048 => {
                out.extend([0x00, 0x10, 0x00, 0x14, 0x00, 0x0b, 0x08, 0x00, 0, 0, 0, 0]);
                out.extend(sized(&[0xa5; 256]));
            }
            EkKind::P256 => {
                out.extend([0x00, 0x10, 0x00, 0x18, 0x00, 0x0b, 0x00, 0x03, 0x00, 0x10]);
                out.extend([sized(&[1; 32]), sized(&[2; 31])].concat());
            }
            EkKind::P384 => {
                out.extend([0x00, 0x10, 0x00, 0x10, 0x00, 0x04, 0x00, 0x10]);
                out.extend([sized(&[1; 48]), sized(&[2; 48])].concat());
            }
        }
        out
    }

    #[test]
    fn what_is_no_key_of_a_device_identity_is_refused() {
        for kind in EkKind::ALL {
            let good = sized(&area(kind, TCG));
            let der = InitialKey::from_public(&good).unwrap().to_der();
            let whole = match der[1] {
                short @ ..=0x7f => 2 + usize::from(short),
                _ => 4 + usize::from(u16::from_be_bytes([der[2], der[3]])),
            };
            assert_eq!(der.len(), whole, "{kind:?}: the outer SEQUENCE is all there is");
            for (what, attributes) in [
                ("restricted", TCG | 0x1_0000),
                ("decrypts", TCG | 0x2_0000),
                ("does not sign", TCG & !0x4_0000),
                ("can leave its TPM", TCG & !0x2),
                ("was made elsewhere", TCG & !0x20),
            ] {
                assert!(InitialKey::from_public(&sized(&area(kind, attributes))).is_err(), "{kind:?} {what}");
            }
            for len in 0..good.len() {
                assert!(InitialKey::from_public(&good[..len]).is_err(), "{kind:?} cut to {len}");
            }
            assert!(InitialKey::from_public(&[good, vec![0]].concat()).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_makes_another_name_or_no_key(at in 2usize..400, with: u8) {
            for kind in EkKind::ALL {
                let mut bytes = sized(&area(kind, TCG));
                let at = at % bytes.len();
                let before = InitialKey::from_public(&bytes).unwrap();
                let same = std::mem::replace(&mut bytes[at], with) == with;
                if let Ok(key) = InitialKey::from_public(&bytes) {
                    prop_assert_eq!(key.name() == before.name(), same);
                }
            }
        }
    }
}
