//! Signatures that are checked when the image's SHA-256 is known: none of them reads the image again.

use serde::de::IgnoredAny;

use super::Fault;
use super::signer::{mismatch, unknown};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::reasons;
use crate::sbom;
use crate::signature::cosign::CosignBundle;
use crate::signature::ecdsa::EcdsaSignature;
use crate::statement::{PAYLOAD_TYPE, RELEASING, Statement, StatementError};
use crate::trust::{Anchor, KeyKind, PublicKey, TrustStore};
use crate::verdict::Rejection;

/// A signature, and who may have made it.
pub(super) struct ByDigest {
    signature: Kind,
    candidates: Vec<Anchor>,
}

pub(super) enum Kind {
    Ecdsa(EcdsaSignature),
    Cosign(CosignBundle),
    Statement(Envelope),
}

impl ByDigest {
    pub(super) fn new(signature: Kind, anchors: &TrustStore) -> Result<ByDigest, Fault> {
        let documents = matches!(signature, Kind::Statement(_));
        let may = |anchor: &&Anchor| match anchor.key().map(PublicKey::kind) {
            Some(KeyKind::EcdsaP256) => true,
            Some(KeyKind::Ed25519) => documents,
            Some(KeyKind::Minisign { .. }) | None => false,
        };
        let candidates: Vec<Anchor> = anchors.anchors().iter().filter(may).cloned().collect();
        match (candidates.is_empty(), documents) {
            (false, _) => Ok(ByDigest { signature, candidates }),
            (true, false) => {
                Err(unknown("an ECDSA P-256 signature, and no P-256 key among the trust anchors".to_owned()))
            }
            (true, true) => Err(unknown(
                "a DSSE envelope, and no Ed25519 or P-256 key among the trust anchors".to_owned(),
            )),
        }
    }

    /// Whose signature of this image it is; a statement must say `says` of it.
    pub(super) fn signers(self, image: &Digest, says: Says) -> Result<Vec<Anchor>, Fault> {
        let ByDigest { signature, candidates } = self;
        match signature {
            Kind::Ecdsa(signature) => ecdsa(&signature, candidates, image),
            Kind::Cosign(bundle) => {
                let signers = ecdsa(bundle.signature(), candidates, image)?;
                match signers.iter().find(|anchor| !has_key(anchor, |key| bundle.log_agrees(key, image))) {
                    Some(anchor) => Err(elsewhere(anchor, image)),
                    None => Ok(signers),
                }
            }
            Kind::Statement(envelope) => statement(&envelope, candidates, image, says),
        }
    }
}

fn ecdsa(signature: &EcdsaSignature, candidates: Vec<Anchor>, image: &Digest) -> Result<Vec<Anchor>, Fault> {
    let tried = candidates.len();
    let signers: Vec<Anchor> =
        candidates.into_iter().filter(|a| has_key(a, |key| signature.is_by(key, image))).collect();
    match signers.is_empty() {
        true => Err(mismatch(format!(
            "an ECDSA signature that is not of this image by any of {tried} keys tried"
        ))),
        false => Ok(signers),
    }
}

/// The signature first: what nobody trusted has signed is not read.
fn statement(
    envelope: &Envelope,
    candidates: Vec<Anchor>,
    image: &Digest,
    says: Says,
) -> Result<Vec<Anchor>, Fault> {
    let tried = candidates.len();
    let signed = envelope.verify(candidates.iter().filter_map(Anchor::key));
    let signers: Vec<Anchor> =
        candidates.into_iter().filter(|a| has_key(a, |key| signed.contains(key))).collect();
    if signers.is_empty() {
        return Err(mismatch(format!("a DSSE envelope that none of {tried} keys tried has signed")));
    }
    says.check(envelope.payload_type(), envelope.payload(), image).map(|()| signers)
}

/// What a statement that somebody trusted has signed must say of the image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// That it is given out.
    GivenOut,
    /// What it is made of.
    Parts,
}

impl Says {
    /// Whether this payload says it of this image.
    pub(super) fn check(self, payload_type: &str, payload: &[u8], image: &Digest) -> Result<(), Fault> {
        if payload_type != PAYLOAD_TYPE {
            let found = format!("a signed envelope of type {:?}", clip(payload_type));
            return Err(other_kind(found, format!("type {PAYLOAD_TYPE}")));
        }
        let statement = Statement::<IgnoredAny>::read(payload).map_err(damaged)?;
        if !statement.is_about(image) {
            return Err(mismatch(format!("a signed statement about {}", statement.subjects_text())));
        }
        let (said, expected) = match self {
            Says::GivenOut => (statement.releases(), format!("one of {}", RELEASING.join(", "))),
            Says::Parts => (statement.lists_parts(), sbom::PREDICATE.to_owned()),
        };
        let kind = clip(statement.predicate_type());
        if said { Ok(()) } else { Err(other_kind(format!("a signed statement of type {kind:?}"), expected)) }
    }
}

fn other_kind(found: String, expected: String) -> Fault {
    Rejection::new(reasons::STATEMENT_OTHER_KIND, found, expected).into()
}

fn damaged(error: StatementError) -> Fault {
    let expected = "an in-toto statement about the image".to_owned();
    Rejection::new(reasons::SIGNATURE_FILE_DAMAGED, error.to_string(), expected).into()
}

fn elsewhere(anchor: &Anchor, image: &Digest) -> Fault {
    let found = format!("a good signature by {anchor}, beside a log entry of another image or key");
    let expected = format!("a log entry of {image} by that key, or none");
    Rejection::new(reasons::LOG_ENTRY_ELSEWHERE, found, expected).into()
}

fn has_key(anchor: &Anchor, is: impl FnOnce(&PublicKey) -> bool) -> bool {
    anchor.key().is_some_and(is)
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
