//! Sigstore bundles, versions 0.1 to 0.3 (sigstore/protobuf-specs, `sigstore_bundle.proto`), checked offline by
//! `sigstore-verify`: nothing is fetched, the instance's keys come from the trust store.
//!
//! A bundle is signed with a key, which is pinned as any key, or without: then sigstore's authority certified an identity
//! for minutes, and log entry or timestamp show that the signature was made in them. One never stands in for the other.
//! With a key, time and log decide nothing; an entry that comes along must still be of this signature (CVE-2022-36056).
//! The library has its own look at the machine's clock: keys of the instance whose validity begins in the future are not used
//! yet, and log entries of the future are refused.

use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{
    Artifact, Bundle, DerPublicKey, Sha256Hash, SignatureContent, TimestampVerificationData,
    VerificationMaterialContent,
};
use sigstore_verify::{
    CertificateError, Error, PublicKeyVerificationPolicy, TransparencyLogError, VerificationPolicy, Verifier,
};

use super::der_scan;
use super::ecdsa::EcdsaSignature;
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::trust::credential::trusted_root;
use crate::trust::{Keyless, PublicKey};

/// A bundle, read but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigstoreBundle {
    json: String,
    by_key: bool,
    envelope: Option<(String, Vec<u8>)>,
}

impl SigstoreBundle {
    /// Reads the JSON.
    pub(crate) fn parse(json: &str) -> Result<SigstoreBundle, SigstoreFault> {
        let bundle = Bundle::from_json(json).map_err(|e| SigstoreFault(clip(&e.to_string())))?;
        bounded(&bundle)?;
        let by_key =
            matches!(bundle.verification_material.content, VerificationMaterialContent::PublicKey(_));
        let envelope = match &bundle.content {
            SignatureContent::DsseEnvelope(envelope) => {
                Some((envelope.payload_type.clone(), envelope.payload.as_bytes().to_vec()))
            }
            SignatureContent::MessageSignature(_) => None,
            _ => return Err(SigstoreFault("its content is of a new kind".to_owned())),
        };
        Ok(SigstoreBundle { json: json.to_owned(), by_key, envelope })
    }

    /// Whether a key has signed it, and not an identity.
    pub fn by_key(&self) -> bool {
        self.by_key
    }

    /// Type and payload of the envelope, where it is a statement that was signed and not the image.
    pub fn envelope(&self) -> Option<(&str, &[u8])> {
        self.envelope.as_ref().map(|(kind, payload)| (kind.as_str(), payload.as_slice()))
    }

    /// Whether this key has signed the image, or a statement that names it.
    pub fn check_key(&self, key: &PublicKey, image: &Digest) -> Result<(), SigstoreRefusal> {
        let spki = key.to_spki().filter(|_| self.by_key).ok_or(SigstoreRefusal::OtherSigner)?;
        let mut bundle = self.bundle()?;
        if bundle.verification_material.tlog_entries.is_empty() {
            return offline(&bundle.content, key, image);
        }
        // Nobody here trusts whoever made them, and with a key nothing depends on them.
        bundle.verification_material.timestamp_verification_data = TimestampVerificationData::default();
        let policy = PublicKeyVerificationPolicy::new(DerPublicKey::from(spki)).skip_tlog_unsafe();
        let nobody = TrustedRoot::from_json(NOBODY).map_err(|e| SigstoreRefusal::other(&e))?;
        let verifier = Verifier::new(&nobody).map_err(|e| SigstoreRefusal::of(&e))?;
        verifier.verify(artifact(image), &bundle, &policy).map(drop).map_err(|e| SigstoreRefusal::of(&e))
    }

    /// Whether this identity has signed the image, or a statement that names it, while its certificate was valid.
    pub fn check_identity(&self, pinned: &Keyless, image: &Digest) -> Result<(), SigstoreRefusal> {
        if self.by_key {
            return Err(SigstoreRefusal::OtherSigner);
        }
        let root = trusted_root(pinned.root()).map_err(|e| SigstoreRefusal::Other(clip(&e)))?;
        let verifier = Verifier::new(&root).map_err(|e| SigstoreRefusal::of(&e))?;
        let policy = VerificationPolicy::new(pinned.identity_text(), pinned.issuer());
        let found = verifier.verify(artifact(image), &self.bundle()?, &policy);
        let found = found.map_err(|e| SigstoreRefusal::of(&e))?;
        // A policy of the library that skipped a step would not be an error of it.
        let whole = found.certificate_verified()
            && found.sct_verified()
            && found.tlog_verified()
            && found.identity_policy_checked()
            && !found.verified_timestamps().is_empty();
        if whole {
            Ok(())
        } else {
            Err(SigstoreRefusal::Other("a step of the check was left out".to_owned()))
        }
    }

    fn bundle(&self) -> Result<Bundle, SigstoreRefusal> {
        Bundle::from_json(&self.json).map_err(|e| SigstoreRefusal::other(&e))
    }
}

/// The signature itself, where no log was asked.
fn offline(content: &SignatureContent, key: &PublicKey, image: &Digest) -> Result<(), SigstoreRefusal> {
    let good = match content {
        SignatureContent::MessageSignature(of) => {
            let hinted =
                of.message_digest.as_ref().is_none_or(|hint| hint.digest.as_bytes() == image.as_bytes());
            hinted
                && EcdsaSignature::from_der(of.signature.as_bytes()).is_some_and(|der| der.is_by(key, image))
        }
        SignatureContent::DsseEnvelope(of) => {
            let payload = of.payload.as_bytes().to_vec();
            // As much as there is: its size was limited when the bundle was read.
            let envelope = Envelope::within(&of.payload_type, payload, of.payload.as_bytes().len());
            let mut envelope = envelope.map_err(|e| SigstoreRefusal::other(&e))?;
            envelope.attach("", of.signature.sig.as_bytes()).map_err(|e| SigstoreRefusal::other(&e))?;
            envelope.verify([key]).contains(key)
        }
        _ => false,
    };
    if good { Ok(()) } else { Err(SigstoreRefusal::OtherImage("not by this key".to_owned())) }
}

/// Few enough of everything that a library sorts, parses or tries again and again.
fn bounded(bundle: &Bundle) -> Result<(), SigstoreFault> {
    let material = &bundle.verification_material;
    let certificates: Vec<&[u8]> = match &material.content {
        VerificationMaterialContent::Certificate(one) => vec![one.raw_bytes.as_bytes()],
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            certificates.iter().map(|one| one.raw_bytes.as_bytes()).collect()
        }
        _ => vec![],
    };
    let tokens = &material.timestamp_verification_data.rfc3161_timestamps;
    let tokens: Vec<&[u8]> = tokens.iter().map(|token| token.signed_timestamp.as_bytes()).collect();
    let hashes = material.tlog_entries.iter().filter_map(|entry| entry.inclusion_proof.as_ref());
    let longest = hashes.map(|proof| proof.hashes.len()).max().unwrap_or(0);
    for (what, found, max) in [
        ("certificates", certificates.len(), MAX_CERTIFICATES),
        ("log entries", material.tlog_entries.len(), MAX_ENTRIES),
        ("timestamps", tokens.len(), MAX_ENTRIES),
        ("hashes in a proof", longest, MAX_HASHES),
    ] {
        if found > max {
            return Err(SigstoreFault(format!("{found} {what}; at most {max} are read")));
        }
    }
    let odd = |der: &&[u8]| der_scan::check(der, der_scan::FEW).is_err();
    match certificates.iter().chain(&tokens).any(odd) {
        true => Err(SigstoreFault("a certificate or timestamp in it is no plain DER".to_owned())),
        false => Ok(()),
    }
}

/// Most certificates of a chain.
const MAX_CERTIFICATES: usize = 4;
/// Most log entries, and most timestamps.
const MAX_ENTRIES: usize = 8;
/// Most hashes of an inclusion proof: a log of 2^64 entries.
const MAX_HASHES: usize = 64;

fn artifact(image: &Digest) -> Artifact<'static> {
    Artifact::from_digest(Sha256Hash::from(*image.as_bytes()))
}

fn clip(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(300).collect()
}

/// An instance of sigstore without any keys: what a signature with a key is checked with.
const NOBODY: &str = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

/// A bundle that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sigstore bundle that cannot be read: {0}")]
pub struct SigstoreFault(String);

/// Why a bundle does not count for a signer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigstoreRefusal {
    /// Signed with a key where an identity is pinned, the other way round, or by another identity.
    #[error("a sigstore bundle by somebody else")]
    OtherSigner,
    /// By another identity than the one that is pinned, or vouched for by another issuer.
    #[error("a sigstore bundle by another identity: {0}")]
    OtherIdentity(String),
    /// Not of this image.
    #[error("a sigstore bundle that is not of this image: {0}")]
    OtherImage(String),
    /// The entry of something else.
    #[error("a sigstore bundle whose log entry is of something else: {0}")]
    LogEntry(String),
    /// The instance whose keys are pinned did not certify it, or did not log it.
    #[error("a sigstore bundle that the pinned instance does not stand behind: {0}")]
    Instance(String),
    /// The rest.
    #[error("a sigstore bundle that does not verify: {0}")]
    Other(String),
}

impl SigstoreRefusal {
    fn of(error: &Error) -> SigstoreRefusal {
        let text = clip(&error.to_string());
        match error {
            Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => {
                SigstoreRefusal::OtherIdentity(text)
            }
            Error::ArtifactMismatch(_) | Error::SignatureInvalid(_) => SigstoreRefusal::OtherImage(text),
            Error::TransparencyLog(TransparencyLogError::EntryMismatch(_)) => SigstoreRefusal::LogEntry(text),
            Error::Certificate(CertificateError::Malformed(_)) => SigstoreRefusal::Other(text),
            Error::Certificate(_) | Error::TransparencyLog(_) | Error::Timestamp(_) => {
                SigstoreRefusal::Instance(text)
            }
            _ => SigstoreRefusal::Other(text),
        }
    }

    fn other(error: &dyn std::fmt::Display) -> SigstoreRefusal {
        SigstoreRefusal::Other(clip(&error.to_string()))
    }
}
