//! Policy digests and Names computed in software, byte for byte as the TPM computes them.
//!
//! Nothing here talks to a TPM, so a signer on another machine can recompute what it signs. TPM 2.0
//! Library Part 3 §23 gives the digests, Part 1 §16 the Names. All hashes are SHA-256.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::error::TpmError;
use super::hex;
use super::pcr::PcrValues;

/// The policy reference signed with every approval: it separates approvals from whatever else a key signs.
pub const POLICY_REF: &str = "headgate-pcr-v1";
/// NV index of the epoch counter (owner range; avoids the TCG's 0x01C0xxxx and the platform's).
pub const EPOCH_INDEX: u32 = 0x0180_1000;
/// NV index of the state counter (owner range).
pub const STATE_INDEX: u32 = 0x0180_1001;
/// Persistent handle of the storage root key (TCG TPM v2.0 Provisioning Guidance §7.5.1).
pub const SRK_HANDLE: u32 = 0x8100_0001;

const CC_POLICY_NV: u32 = 0x149;
const CC_POLICY_AUTHORIZE: u32 = 0x16a;
const CC_POLICY_PCR: u32 = 0x17f;
const ALG_SHA256: [u8; 2] = [0x00, 0x0b];
/// Counter (bit 4) | OWNERWRITE | OWNERREAD | AUTHREAD | NO_DA. Reading takes an empty authorization, which
/// PolicyNV needs at boot; not ORDERLY, whose value jumps after a power cut.
const COUNTER_ATTRIBUTES: u32 = 0x10 | 0x2 | 0x2_0000 | 0x4_0000 | 0x200_0000;
/// Set by the TPM at the first increment; part of the Name.
const NV_WRITTEN: u32 = 0x2000_0000;

/// A TPM Name: algorithm 0x000b followed by the SHA-256 of the public area.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(#[serde(with = "hex")] pub [u8; 34]);

impl Name {
    /// The Name of a marshalled public area (TPMT_PUBLIC or TPMS_NV_PUBLIC).
    pub(super) fn of(public_area: &[u8]) -> Name {
        let mut name = [0; 34];
        name[..2].copy_from_slice(&ALG_SHA256);
        name[2..].copy_from_slice(&sha256(&[public_area]));
        Name(name)
    }

    /// A Name as the TPM returns it.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when it is not 34 bytes starting with 0x000b.
    pub fn from_tpm(bytes: &[u8]) -> Result<Name, TpmError> {
        match <[u8; 34]>::try_from(bytes) {
            Ok(name) if name[..2] == ALG_SHA256 => Ok(Name(name)),
            _ => Err(TpmError::Malformed {
                what: "Name",
                found: hex::encode(bytes),
                expected: "34 bytes starting with 000b (SHA-256)",
            }),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A policy digest under construction: starts at zero, each assertion extends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyDigest(pub [u8; 32]);

impl PolicyDigest {
    /// TPM2_PolicyPCR over `pcrs` (Part 3 §23.7).
    #[must_use]
    pub fn pcr(self, pcrs: &PcrValues) -> PolicyDigest {
        let selection = pcrs.selection().marshal();
        PolicyDigest(sha256(&[&self.0, &CC_POLICY_PCR.to_be_bytes(), &selection, &pcrs.digest()]))
    }

    /// TPM2_PolicyNV: the index named `index` holds exactly `epoch` (Part 3 §23.9, TPM_EO_EQ, offset 0).
    #[must_use]
    pub fn nv_equals(self, index: &Name, epoch: u64) -> PolicyDigest {
        let args = sha256(&[&epoch.to_be_bytes(), &[0, 0], &[0, 0]]);
        PolicyDigest(sha256(&[&self.0, &CC_POLICY_NV.to_be_bytes(), &args, &index.0]))
    }

    /// TPM2_PolicyAuthorize by the key named `key` with `policy_ref` (Part 3 §23.16). It replaces what came
    /// before, so it takes no digest.
    pub fn authorize(key: &Name, policy_ref: &[u8]) -> PolicyDigest {
        let first = sha256(&[&[0; 32], &CC_POLICY_AUTHORIZE.to_be_bytes(), &key.0]);
        PolicyDigest(sha256(&[&first, policy_ref]))
    }
}

/// `aHash`: what the approver's signature covers (Part 3 §23.16).
pub fn approval_hash(policy: &PolicyDigest, policy_ref: &[u8]) -> [u8; 32] {
    sha256(&[&policy.0, policy_ref])
}

/// TPMS_NV_PUBLIC of the counter at `index`, marshalled: as it is defined, or for good once `written`.
pub(super) fn counter_public(index: u32, written: bool) -> Vec<u8> {
    let attributes = if written { COUNTER_ATTRIBUTES | NV_WRITTEN } else { COUNTER_ATTRIBUTES };
    let mut out = index.to_be_bytes().to_vec();
    out.extend(ALG_SHA256);
    out.extend(attributes.to_be_bytes());
    out.extend([0, 0]); // no authPolicy
    out.extend([0, 8]); // a counter is 8 bytes
    out
}

/// Name of the epoch counter: before its first increment, or for good once `written`.
pub fn epoch_name(written: bool) -> Name {
    Name::of(&counter_public(EPOCH_INDEX, written))
}

/// Name of the state counter: before its first increment, or for good once `written`.
pub fn state_name(written: bool) -> Name {
    Name::of(&counter_public(STATE_INDEX, written))
}

/// Public half of the site key: a point on P-256, uncompressed (`04 || x || y`).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "HexPoint", into = "HexPoint")]
pub struct SiteKeyPublic([u8; 65]);

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct HexPoint(#[serde(with = "hex")] Vec<u8>);

impl SiteKeyPublic {
    /// Takes an uncompressed point and checks that it lies on the curve.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when it does not.
    pub fn new(point: &[u8]) -> Result<SiteKeyPublic, TpmError> {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
        let malformed = || TpmError::Malformed {
            what: "site key",
            found: format!("{} bytes {}", point.len(), hex::encode(point.get(..4).unwrap_or(point))),
            expected: "an uncompressed P-256 point: 04, x, y in 65 bytes",
        };
        let bytes = <[u8; 65]>::try_from(point).map_err(|_| malformed())?;
        if bytes[0] != 4 || ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).is_err() {
            return Err(malformed());
        }
        Ok(SiteKeyPublic(bytes))
    }

    /// The uncompressed point.
    pub fn point(&self) -> &[u8; 65] {
        &self.0
    }

    /// The key's TPM Name, which the sealed object's policy contains.
    pub fn name(&self) -> Name {
        Name::of(&self.template())
    }

    /// TPMT_PUBLIC, marshalled. Frozen: attributes and scheme are part of the Name, so any change here
    /// makes every sealed key unopenable. userWithAuth | sign, ECDSA with SHA-256, no KDF.
    pub(super) fn template(&self) -> Vec<u8> {
        let mut out = vec![0x00, 0x23, 0x00, 0x0b, 0x00, 0x04, 0x00, 0x40, 0x00, 0x00];
        out.extend([0x00, 0x10, 0x00, 0x18, 0x00, 0x0b, 0x00, 0x03, 0x00, 0x10]);
        for half in self.0[1..].chunks(32) {
            out.extend([0, 32]);
            out.extend(half);
        }
        out
    }
}

impl std::fmt::Debug for SiteKeyPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SiteKeyPublic({})", hex::encode(&self.0))
    }
}

impl TryFrom<HexPoint> for SiteKeyPublic {
    type Error = TpmError;
    fn try_from(text: HexPoint) -> Result<SiteKeyPublic, TpmError> {
        SiteKeyPublic::new(&text.0)
    }
}

impl From<SiteKeyPublic> for HexPoint {
    fn from(key: SiteKeyPublic) -> HexPoint {
        HexPoint(key.0.to_vec())
    }
}

/// TPMT_PUBLIC of a sealed key opened only by `policy`, marshalled. fixedTPM | fixedParent |
/// adminWithPolicy | noDA; userWithAuth stays clear, or an empty password would open it.
pub(super) fn sealed_template(policy: &PolicyDigest) -> Vec<u8> {
    let mut out = vec![0x00, 0x08, 0x00, 0x0b, 0x00, 0x00, 0x04, 0x92, 0x00, 32];
    out.extend(policy.0);
    out.extend([0x00, 0x10, 0x00, 0x00]);
    out
}

/// TPMT_PUBLIC of the TCG's ECC P-256 storage root key (Provisioning Guidance, template SRK ECC P-256):
/// restricted decryption key, AES-128-CFB for its children, noDA, 32 zero bytes for x and for y.
pub(super) fn srk_template() -> Vec<u8> {
    let mut out = vec![0x00, 0x23, 0x00, 0x0b, 0x00, 0x03, 0x04, 0x72, 0x00, 0x00];
    out.extend([0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x00, 0x03, 0x00, 0x10]);
    for _ in 0..2 {
        out.extend([0, 32]);
        out.extend([0; 32]);
    }
    out
}

pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The generator of P-256 (SP 800-186 §3.2.1.3): a point everybody has.
    const GENERATOR: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                             4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

    fn generator() -> SiteKeyPublic {
        SiteKeyPublic::new(&hex::decode(GENERATOR).unwrap()).unwrap()
    }

    /// The Name is what `tpm2_loadexternal -G ecc:ecdsa-sha256 -a 'userwithauth|sign'` reports.
    #[test]
    fn the_site_key_template_is_frozen() {
        assert_eq!(
            generator().name().to_string(),
            "000b19366a7e682a0589dc1096b44aab74b7942f84b386b94eab81013d9970daf605"
        );
    }

    #[test]
    fn a_point_off_the_curve_is_refused() {
        let mut point = *generator().point();
        point[64] ^= 1;
        assert!(SiteKeyPublic::new(&point).is_err());
        assert!(SiteKeyPublic::new(&point[..64]).is_err());
        assert!(SiteKeyPublic::new(&[0; 65]).is_err());
    }

    #[test]
    fn every_input_changes_the_policy() {
        let pcrs = |value| PcrValues::new(vec![(7, [value; 32])]).unwrap();
        let index = epoch_name(true);
        let base = PolicyDigest::default().pcr(&pcrs(1)).nv_equals(&index, 1);
        assert_ne!(base, PolicyDigest::default().pcr(&pcrs(2)).nv_equals(&index, 1));
        assert_ne!(base, PolicyDigest::default().pcr(&pcrs(1)).nv_equals(&index, 2));
        assert_ne!(base, PolicyDigest::default().pcr(&pcrs(1)).nv_equals(&epoch_name(false), 1));
        let name = generator().name();
        assert_ne!(PolicyDigest::authorize(&name, b"a"), PolicyDigest::authorize(&name, b"b"));
    }
}
