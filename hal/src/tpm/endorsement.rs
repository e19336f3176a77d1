//! Endorsement keys: what the TPM's maker has certified, and the proof that our key lives beside one.
//!
//! An endorsement key is derived from the TPM's seed by a template of the TCG, so it is made again whenever it
//! is asked for and never kept. Its certificate lies in NV, written by the maker (TCG EK Credential Profile
//! for TPM 2.0, §2.2.1). Whether that certificate leads to a maker one trusts is for the verifier to judge;
//! here it is only compared with the key.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::device::{at, pinned_srk};
use super::error::TpmError;
use super::esys::{Esys, Handle, Hierarchy, SessionKind};
use super::record::Provisioned;

/// Longest certificate taken, bytes; NV indices of a TPM seldom hold 2 kB.
pub(super) const CERTIFICATE_MAX: u16 = 4096;

/// Templates of endorsement keys (TCG EK Credential Profile, Annex B), each with its certificate's NV index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EkKind {
    /// L-1: RSA 2048; certificate at 0x01C00002.
    Rsa2048,
    /// L-2: ECC P-256; certificate at 0x01C0000A.
    P256,
    /// H-3: ECC P-384; certificate at 0x01C00016.
    P384,
}

/// An endorsement key whose certificate is in the TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorsement {
    /// Which template.
    pub kind: EkKind,
    /// The maker's X.509 certificate in DER.
    pub certificate: Vec<u8>,
    /// TPM2B_PUBLIC of the key, as `tpm2_makecredential -u` takes it; the certificate is about this key.
    pub public: Vec<u8>,
}

impl EkKind {
    /// All kinds, those that cost least first.
    pub const ALL: [EkKind; 3] = [EkKind::P256, EkKind::P384, EkKind::Rsa2048];

    /// Its name, in files and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            EkKind::Rsa2048 => "rsa2048",
            EkKind::P256 => "p256",
            EkKind::P384 => "p384",
        }
    }

    /// NV index of the certificate.
    pub const fn certificate_index(self) -> u32 {
        match self {
            EkKind::Rsa2048 => 0x01c0_0002,
            EkKind::P256 => 0x01c0_000a,
            EkKind::P384 => 0x01c0_0016,
        }
    }

    /// TPMT_PUBLIC, marshalled.
    pub(super) fn template(self) -> Vec<u8> {
        let (kind, name_alg, attributes, policy) = match self {
            EkKind::Rsa2048 => (0x0001u16, 0x000bu16, ATTRIBUTES_L, &POLICY_A[..]),
            EkKind::P256 => (0x0023, 0x000b, ATTRIBUTES_L, &POLICY_A[..]),
            EkKind::P384 => (0x0023, 0x000c, ATTRIBUTES_H, &POLICY_B_SHA384[..]),
        };
        let mut out = [kind.to_be_bytes(), name_alg.to_be_bytes()].concat();
        out.extend(attributes.to_be_bytes());
        out.extend((policy.len() as u16).to_be_bytes());
        out.extend(policy);
        // AES-128-CFB or AES-256-CFB for what it protects, no scheme; then the key and its unique field.
        match self {
            EkKind::Rsa2048 => {
                out.extend([0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x08, 0x00, 0, 0, 0, 0]);
                out.extend([0x01, 0x00]);
                out.extend([0; 256]);
            }
            EkKind::P256 => {
                out.extend([0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x00, 0x03, 0x00, 0x10]);
                for _ in 0..2 {
                    out.extend([0, 32]);
                    out.extend([0; 32]);
                }
            }
            EkKind::P384 => {
                out.extend([0x00, 0x06, 0x01, 0x00, 0x00, 0x43, 0x00, 0x10, 0x00, 0x04, 0x00, 0x10]);
                out.extend([0; 4]);
            }
        }
        out
    }

    /// Bytes of the key that a certificate holds as they are: the modulus, or x.
    fn in_certificate(self, public: &[u8]) -> Option<&[u8]> {
        let (from_end, len) = match self {
            EkKind::Rsa2048 => (256, 256),
            EkKind::P256 => (32 + 2 + 32, 32),
            EkKind::P384 => (48 + 2 + 48, 48),
        };
        public.get(public.len().checked_sub(from_end)?..)?.get(..len)
    }
}

/// The endorsement keys whose certificates are there.
pub(super) fn all(esys: &Esys) -> Result<Vec<Endorsement>, TpmError> {
    let mut found = Vec::new();
    for kind in EkKind::ALL {
        let Some(index) = at(esys, kind.certificate_index())? else { continue };
        let certificate = certificate(esys.nv_read_all(&index, CERTIFICATE_MAX)?)?;
        let ek = esys.create_primary(Hierarchy::Endorsement, &kind.template())?;
        let public = esys.read_public(&ek)?;
        let is_about =
            |key: &[u8]| certificate.windows(key.len()).any(|window| window == key) && !key.is_empty();
        if !kind.in_certificate(&public).is_some_and(is_about) {
            return Err(TpmError::Malformed {
                what: "endorsement certificate",
                found: format!("one about another key, at {:#010x}", kind.certificate_index()),
                expected: "one about the key that the TCG's template derives",
            });
        }
        found.push(Endorsement { kind, certificate, public });
    }
    Ok(found)
}

/// TPM2B_PUBLIC of the endorsement key that every TPM can derive, certified or not: P-256.
pub(super) fn uncertified(esys: &Esys) -> Result<Vec<u8>, TpmError> {
    let ek = esys.create_primary(Hierarchy::Endorsement, &EkKind::P256.template())?;
    esys.read_public(&ek)
}

/// Opens a credential made for `kind` and the attestation key.
pub(super) fn activate(
    esys: &Esys,
    provisioned: &Provisioned,
    kind: EkKind,
    credential: &[u8],
    secret: &[u8],
) -> Result<Zeroizing<Vec<u8>>, TpmError> {
    provisioned.require_schema()?;
    let blobs = provisioned.attestation_blobs()?;
    let srk = pinned_srk(esys, &provisioned.srk_name)?;
    let session = session(esys, &srk, kind)?;
    // The attestation key first: loading it takes a free slot for its parent, too.
    let ak = esys.load(&srk, &blobs.public, &blobs.private)?;
    let ek = esys.create_primary(Hierarchy::Endorsement, &kind.template())?;
    esys.activate_credential(&ak, &ek, &session, credential, secret)
}

/// A session that authorizes the endorsement key and hides the answer: its policy for the low range, its
/// empty authorization for the high range, whose keys take both.
fn session<'a>(esys: &'a Esys, srk: &Handle<'a>, kind: EkKind) -> Result<Handle<'a>, TpmError> {
    if kind == EkKind::P384 {
        return esys.start_session(srk, SessionKind::Hmac);
    }
    let session = esys.start_session(srk, SessionKind::Policy)?;
    esys.policy_secret_endorsement(&session)?;
    Ok(session)
}

/// The certificate without what pads the index behind it: a SEQUENCE says how long it is (X.690 §8.1.3).
pub(super) fn certificate(mut bytes: Vec<u8>) -> Result<Vec<u8>, TpmError> {
    let len = match bytes.as_slice() {
        [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        [0x30, 0x81, low, ..] => 3 + usize::from(*low),
        _ => usize::MAX,
    };
    if len > bytes.len() {
        return Err(TpmError::Malformed {
            what: "certificate in NV",
            found: format!("{} bytes", bytes.len()),
            expected: "a whole X.509 certificate in DER",
        });
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// fixedTPM | fixedParent | sensitiveDataOrigin | adminWithPolicy | restricted | decrypt.
const ATTRIBUTES_L: u32 = 0x0003_00b2;
/// As the low range, and userWithAuth.
const ATTRIBUTES_H: u32 = 0x0003_00f2;
/// PolicyA: PolicySecret(endorsement hierarchy), SHA-256 (Annex B.6.1).
const POLICY_A: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd,
    0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
/// PolicyB: PolicyA OR PolicyAuthorizeNV, SHA-384 (Annex B.6.3).
const POLICY_B_SHA384: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a, 0x07,
    0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca, 0xcb, 0x47,
    0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_behind_a_certificate_is_cut_and_half_of_one_is_refused() {
        let mut long = vec![0x30, 0x82, 0x01, 0x00];
        long.extend([7; 256]);
        let padded = [long.clone(), vec![0xff; 40]].concat();
        assert_eq!(certificate(padded).ok(), Some(long.clone()));
        assert_eq!(certificate(vec![0x30, 0x81, 2, 1, 1, 0]).ok(), Some(vec![0x30, 0x81, 2, 1, 1]));
        for bad in [vec![], vec![0x30], long[..259].to_vec(), vec![0xff; 300]] {
            assert!(certificate(bad).is_err());
        }
    }
}
