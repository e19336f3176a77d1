//! The signing keys under the storage key: for evidence, for attestation, and the local identity (LDevID).
//!
//! The **evidence key** signs digests, and only while the boot state is approved: its policy is that of the
//! sealed key, PolicyAuthorize(site key), so the TPM itself refuses once a PCR or the epoch has moved, and
//! there is no authorization value that could leak or be guessed. Its Name covers that policy, so whoever
//! knows the site key can tell from the public area alone that no other boot state can have signed.
//! The other way, a value derived from the unsealed key, would spare the TPM one verification of a signature
//! and would let a key that was unsealed once sign for ever.
//!
//! The **attestation key** is restricted: it signs only what the TPM says of itself. Its authorization is
//! empty, since a quote tells no secret and is worth the same whoever asked for it.
//!
//! The **local identity** is unrestricted, since TLS and requests for certificates have bytes of their own
//! signed, and its authorization is empty: it proves that this TPM is there, in whatever state it booted. It
//! opens nothing. Other than the TCG's template it has no policy of its own, so that the attestation key can
//! certify it without one (TCG TPM 2.0 Keys for Device Identity and Attestation §7.3).
//!
//! Pure: templates and public areas as bytes. All keys are fixed to this TPM and were made by it.

use super::ecdsa;
use super::error::TpmError;
use super::hex;
use super::policy::{Name, POLICY_REF, PolicyDigest, SiteKeyPublic};
use super::reader::Reader;
use super::site_key::{PUBLIC_LABEL, SPKI_PREFIX, encode_pem};

/// fixedTPM | fixedParent | sensitiveDataOrigin | noDA | sign (TPMA_OBJECT, Part 2 §8.3). Without
/// userWithAuth an empty password cannot sign. Without adminWithPolicy it can do what the ADMIN role allows:
/// have the key certified, and change an authorization value that opens nothing.
const EVIDENCE_ATTRIBUTES: u32 = 0x2 | 0x10 | 0x20 | 0x400 | 0x4_0000;
/// As the evidence key, and userWithAuth | restricted.
const ATTESTATION_ATTRIBUTES: u32 = EVIDENCE_ATTRIBUTES | 0x40 | 0x1_0000;

/// As the attestation key, and not restricted.
const LOCAL_ATTRIBUTES: u32 = EVIDENCE_ATTRIBUTES | 0x40;

/// Public half of the key that signs evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceKey(PublicArea);

impl EvidenceKey {
    /// Reads a TPM2B_PUBLIC and checks that it is a key that only boot states approved by `site_key` can use.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when it is any other key.
    pub fn from_public(public: &[u8], site_key: &SiteKeyPublic) -> Result<EvidenceKey, TpmError> {
        let head = evidence_head(site_key);
        PublicArea::read(public, &head, "evidence key").map(EvidenceKey)
    }

    /// Its TPM Name, which covers attributes and policy.
    pub fn name(&self) -> Name {
        self.0.name
    }

    /// SubjectPublicKeyInfo in DER (RFC 5480 §2).
    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_der()
    }

    /// SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> String {
        self.0.to_pem()
    }

    /// Whether `signature`, in DER as [`super::Tpm::sign`] returns it, is this key's over `digest`.
    pub fn verifies(&self, digest: &[u8; 32], signature: &[u8]) -> bool {
        ecdsa::der_signs(signature, &self.0.point, digest)
    }

    pub(super) fn point(&self) -> &[u8; 65] {
        &self.0.point
    }
}

/// Public half of the key that signs quotes and certifies the evidence key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationKey(PublicArea);

impl AttestationKey {
    /// Reads a TPM2B_PUBLIC and checks that it is a restricted signing key, fixed to its TPM.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when it is any other key.
    pub fn from_public(public: &[u8]) -> Result<AttestationKey, TpmError> {
        PublicArea::read(public, &attestation_head(), "attestation key").map(AttestationKey)
    }

    /// Its TPM Name; a maker's credential is bound to it.
    pub fn name(&self) -> Name {
        self.0.name
    }

    /// SubjectPublicKeyInfo in DER (RFC 5480 §2).
    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_der()
    }

    /// SubjectPublicKeyInfo in PEM, as `tpm2_checkquote -u` takes it.
    pub fn to_pem(&self) -> String {
        self.0.to_pem()
    }

    pub(super) fn point(&self) -> &[u8; 65] {
        &self.0.point
    }
}

/// Public half of the local identity (LDevID of IEEE 802.1AR).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalKey(PublicArea);

impl LocalKey {
    /// Reads a TPM2B_PUBLIC and checks that it is an unrestricted signing key, fixed to its TPM.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when it is any other key.
    pub fn from_public(public: &[u8]) -> Result<LocalKey, TpmError> {
        PublicArea::read(public, &local_head(), "local identity").map(LocalKey)
    }

    /// Its TPM Name; the attestation key certifies it.
    pub fn name(&self) -> Name {
        self.0.name
    }

    /// SubjectPublicKeyInfo in DER (RFC 5480 §2), as its certificate has it.
    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_der()
    }

    /// The uncompressed point.
    pub fn point(&self) -> &[u8; 65] {
        &self.0.point
    }
}

/// TPMT_PUBLIC to make an evidence key from, marshalled.
pub(super) fn evidence_template(site_key: &SiteKeyPublic) -> Vec<u8> {
    [evidence_head(site_key), vec![0; 4]].concat() // x and y are empty: the TPM chooses
}

/// TPMT_PUBLIC to make an attestation key from, marshalled.
pub(super) fn attestation_template() -> Vec<u8> {
    [attestation_head(), vec![0; 4]].concat()
}

/// TPMT_PUBLIC to make a local identity from, marshalled.
pub(super) fn local_template() -> Vec<u8> {
    [local_head(), vec![0; 4]].concat()
}

fn evidence_head(site_key: &SiteKeyPublic) -> Vec<u8> {
    head(EVIDENCE_ATTRIBUTES, &PolicyDigest::authorize(&site_key.name(), POLICY_REF.as_bytes()).0)
}

fn attestation_head() -> Vec<u8> {
    head(ATTESTATION_ATTRIBUTES, &[])
}

fn local_head() -> Vec<u8> {
    head(LOCAL_ATTRIBUTES, &[])
}

/// TPMT_PUBLIC up to the point: ECC, SHA-256, no symmetric, ECDSA with SHA-256, P-256, no KDF.
fn head(attributes: u32, policy: &[u8]) -> Vec<u8> {
    let mut out = vec![0x00, 0x23, 0x00, 0x0b];
    out.extend(attributes.to_be_bytes());
    out.extend([0, policy.len() as u8]);
    out.extend(policy);
    out.extend([0x00, 0x10, 0x00, 0x18, 0x00, 0x0b, 0x00, 0x03, 0x00, 0x10]);
    out
}

/// A public area known but for its point.
#[derive(Clone, PartialEq, Eq)]
struct PublicArea {
    /// Uncompressed.
    point: [u8; 65],
    name: Name,
}

impl PublicArea {
    fn read(public: &[u8], head: &[u8], what: &'static str) -> Result<PublicArea, TpmError> {
        let read = || {
            let mut outer = Reader::new(public);
            let area = outer.sized().filter(|_| outer.left() == 0)?;
            let mut inner = Reader::new(area.strip_prefix(head)?);
            let (x, y) = (inner.scalar()?, inner.scalar()?);
            let point = <[u8; 65]>::try_from([&[4], &x[..], &y[..]].concat()).ok()?;
            // Only to have it checked against the curve.
            let on_curve = SiteKeyPublic::new(&point).is_ok();
            (inner.left() == 0 && on_curve).then_some(PublicArea { point, name: Name::of(area) })
        };
        read().ok_or_else(|| TpmError::Malformed {
            what,
            found: format!("{} bytes {}", public.len(), hex::encode(public.get(..8).unwrap_or(public))),
            expected: "the TPM2B_PUBLIC of a P-256 key with the attributes and the policy it is made with",
        })
    }

    fn to_der(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.point].concat()
    }

    fn to_pem(&self) -> String {
        encode_pem(&self.to_der(), PUBLIC_LABEL)
    }
}

impl std::fmt::Debug for PublicArea {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::site_key::SiteKey;
    use super::*;

    fn public(head: &[u8], point: &[u8; 65]) -> Vec<u8> {
        let area = [head, &[0, 32], &point[1..33], &[0, 32], &point[33..]].concat();
        [&(area.len() as u16).to_be_bytes(), area.as_slice()].concat()
    }

    #[test]
    fn a_key_with_other_attributes_or_another_policy_is_refused() {
        let (site, other) = (SiteKey::generate().unwrap().public(), SiteKey::generate().unwrap().public());
        let point = SiteKey::generate().unwrap().public();
        let good = public(&evidence_head(&site), point.point());
        let key = EvidenceKey::from_public(&good, &site).unwrap();
        assert_eq!(key.to_der()[26..], *point.point());
        assert_eq!(key.to_pem(), point.to_pem());
        let policy = PolicyDigest::authorize(&site.name(), POLICY_REF.as_bytes()).0;
        let mut off_curve = good.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        for (what, bad) in [
            ("nothing", vec![]),
            ("cut short", good[..good.len() - 1].to_vec()),
            ("a byte behind it", [good.clone(), vec![0]].concat()),
            ("a point off the curve", off_curve),
            ("another site's policy", public(&evidence_head(&other), point.point())),
            ("no policy", public(&head(EVIDENCE_ATTRIBUTES, &[]), point.point())),
            ("userWithAuth", public(&head(EVIDENCE_ATTRIBUTES | 0x40, &policy), point.point())),
            ("not fixedTPM", public(&head(EVIDENCE_ATTRIBUTES & !2, &policy), point.point())),
        ] {
            assert!(EvidenceKey::from_public(&bad, &site).is_err(), "{what}");
        }
        assert!(AttestationKey::from_public(&good).is_err());
        let ak = AttestationKey::from_public(&public(&attestation_head(), point.point())).unwrap();
        assert_ne!(ak.name(), key.name());
        let unrestricted = public(&head(ATTESTATION_ATTRIBUTES & !0x1_0000, &[]), point.point());
        assert!(AttestationKey::from_public(&unrestricted).is_err());
        let local = LocalKey::from_public(&unrestricted).unwrap();
        assert_eq!(local.to_der()[26..], *local.point());
        for (what, bad) in [
            ("restricted", public(&attestation_head(), point.point())),
            ("without userWithAuth", public(&head(EVIDENCE_ATTRIBUTES, &[]), point.point())),
            ("not fixedTPM", public(&head(LOCAL_ATTRIBUTES & !2, &[]), point.point())),
            ("made elsewhere", public(&head(LOCAL_ATTRIBUTES & !0x20, &[]), point.point())),
        ] {
            assert!(LocalKey::from_public(&bad).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_byte_makes_another_key_or_none(at in 0usize..90, with: u8) {
            let point = SiteKey::generate().unwrap().public();
            let mut bytes = public(&attestation_head(), point.point());
            let before = AttestationKey::from_public(&bytes).unwrap();
            let same = std::mem::replace(&mut bytes[at], with) == with;
            if let Ok(key) = AttestationKey::from_public(&bytes) {
                prop_assert_eq!(key == before, same);
            }
        }
    }
}
