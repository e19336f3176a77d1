//! The site key: signs approvals, away from the gateway.
//!
//! The gateway holds only [`SiteKeyPublic`]; this file serves `headgate site-key` on the signer's machine
//! and the tests. Losing the key means no new boot state can be approved; whoever steals it can approve
//! any.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::approval::{Approval, ApprovalRequest};
use super::error::TpmError;
use super::policy::SiteKeyPublic;

const PRIVATE_LABEL: &str = "PRIVATE KEY";
pub(super) const PUBLIC_LABEL: &str = "PUBLIC KEY";
/// SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point (RFC 5480 §2).
pub(super) const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// An ECDSA P-256 key pair that approves boot states.
#[derive(Debug)]
pub struct SiteKey {
    pair: EcdsaKeyPair,
    public: SiteKeyPublic,
}

impl SiteKey {
    /// Makes a new key from the operating system's random numbers.
    ///
    /// # Errors
    /// [`TpmError::Crypto`] when there are none.
    pub fn generate() -> Result<SiteKey, TpmError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| TpmError::Crypto("making the site key"))?;
        SiteKey::from_pair(pair)
    }

    /// Reads an unencrypted PKCS#8 key in PEM (RFC 7468 §10), as [`SiteKey::to_pem`] or OpenSSL writes it.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when it is no P-256 key in this form.
    pub fn from_pem(pem: &str) -> Result<SiteKey, TpmError> {
        let malformed = |found: String| TpmError::Malformed {
            what: "site key",
            found,
            expected: "a P-256 key as PKCS#8 between BEGIN PRIVATE KEY and END PRIVATE KEY",
        };
        let der = decode_pem(pem, PRIVATE_LABEL).ok_or_else(|| malformed("other text".to_owned()))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .map_err(|rejected| malformed(rejected.to_string()))?;
        SiteKey::from_pair(pair)
    }

    /// The private key as PKCS#8 in PEM; the caller decides where it may lie.
    ///
    /// # Errors
    /// [`TpmError::Crypto`] when it cannot be encoded.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, TpmError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| TpmError::Crypto("encoding the site key"))?;
        Ok(Zeroizing::new(encode_pem(der.as_ref(), PRIVATE_LABEL)))
    }

    /// The public half.
    pub fn public(&self) -> SiteKeyPublic {
        self.public
    }

    /// Approves `request`, having recomputed its digest from the PCRs and the epoch it shows.
    ///
    /// # Errors
    /// [`TpmError::Approval`] when the digest is another one; [`TpmError::Crypto`] when signing fails.
    pub fn sign(&self, request: &ApprovalRequest) -> Result<Approval, TpmError> {
        request.check()?;
        let signed = self
            .pair
            .sign(&SystemRandom::new(), &request.message())
            .map_err(|_| TpmError::Crypto("signing the approval"))?;
        let signature = <[u8; 64]>::try_from(signed.as_ref()).map_err(|_| TpmError::Crypto("signing"))?;
        Ok(Approval { request: request.clone(), site_key: self.public.name(), signature })
    }

    fn from_pair(pair: EcdsaKeyPair) -> Result<SiteKey, TpmError> {
        let public = SiteKeyPublic::new(pair.public_key().as_ref())?;
        Ok(SiteKey { pair, public })
    }
}

impl SiteKeyPublic {
    /// Reads a SubjectPublicKeyInfo in PEM, as `openssl ec -pubout` writes it.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] when it is no P-256 key in this form.
    pub fn from_pem(pem: &str) -> Result<SiteKeyPublic, TpmError> {
        let der = decode_pem(pem, PUBLIC_LABEL);
        match der.as_deref().and_then(|der| der.strip_prefix(&SPKI_PREFIX)) {
            Some(point) => SiteKeyPublic::new(point),
            None => Err(TpmError::Malformed {
                what: "site key",
                found: "other text".to_owned(),
                expected: "a P-256 key, uncompressed, between BEGIN PUBLIC KEY and END PUBLIC KEY",
            }),
        }
    }

    /// SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> String {
        encode_pem(&[&SPKI_PREFIX[..], self.point()].concat(), PUBLIC_LABEL)
    }
}

pub(super) fn encode_pem(der: &[u8], label: &str) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    // Sized once, so that growing leaves no copy of a private key behind.
    let mut pem = String::with_capacity(text.len() + text.len() / 64 + 2 * label.len() + 40);
    pem.push_str(&format!("-----BEGIN {label}-----\n"));
    for start in (0..text.len()).step_by(64) {
        pem.push_str(&text[start..text.len().min(start + 64)]);
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// The bytes between the lines of `label`; text before and after is ignored (RFC 7468 §2).
fn decode_pem(pem: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = pem.split_once(&format!("-----BEGIN {label}-----"))?.1;
    let body = body.split_once(&format!("-----END {label}-----"))?.0;
    let text = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
    STANDARD.decode(text.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::approval::ApprovalRefused;
    use super::super::pcr::PcrValues;
    use super::super::policy::{PolicyDigest, epoch_name};
    use super::*;

    fn request() -> ApprovalRequest {
        let pcrs = PcrValues::new(vec![(0, [1; 32]), (7, [2; 32])]).unwrap();
        ApprovalRequest::new("gate-1", &pcrs, 3, epoch_name(true))
    }

    #[test]
    fn both_halves_survive_pem() {
        let key = SiteKey::generate().unwrap();
        let again = SiteKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(SiteKeyPublic::from_pem(&key.public().to_pem()).unwrap(), key.public());
        assert!(SiteKey::from_pem(&key.public().to_pem()).is_err());
        assert!(SiteKey::from_pem("").is_err());
    }

    #[test]
    fn an_opaque_digest_is_not_signed() {
        let mut opaque = request();
        opaque.policy = PolicyDigest([9; 32]);
        assert!(matches!(
            SiteKey::generate().unwrap().sign(&opaque),
            Err(TpmError::Approval(ApprovalRefused::Policy { .. }))
        ));
    }

    #[test]
    fn an_approval_survives_json_and_every_changed_field_is_noticed() {
        let key = SiteKey::generate().unwrap();
        let approval = key.sign(&request()).unwrap();
        let json = serde_json::to_string(&approval).unwrap();
        let again: Approval = serde_json::from_str(&json).unwrap();
        assert_eq!(again, approval);
        again.verify(&key.public()).unwrap();
        for (from, to) in [
            ("\"epoch\":3", "\"epoch\":4"),
            ("\"pcr\":7", "\"pcr\":8"),
            ("\"pcr\":7", "\"pcr\":24"),
            ("\"pcr\":7", "\"pcr\":0"),
            ("headgate-pcr-v1", "headgate-pcr-v2"),
            ("headgate/approval/v1", "headgate/approval-request/v1"),
            ("\"schema\":1", "\"schema\":2"),
            ("\"gateway\"", "\"extra\":1,\"gateway\""),
            ("gate-1", "gate\\n1"),
        ] {
            assert!(json.contains(from), "{from}");
            assert!(serde_json::from_str::<Approval>(&json.replace(from, to)).is_err(), "{from} to {to}");
        }
    }

    #[test]
    fn another_key_or_a_changed_signature_does_not_verify() {
        let key = SiteKey::generate().unwrap();
        let other = SiteKey::generate().unwrap();
        let mut approval = key.sign(&request()).unwrap();
        assert!(matches!(approval.verify(&other.public()), Err(ApprovalRefused::SiteKey { .. })));
        approval.signature[40] ^= 1;
        assert!(matches!(approval.verify(&key.public()), Err(ApprovalRefused::Signature(_))));
    }
}
