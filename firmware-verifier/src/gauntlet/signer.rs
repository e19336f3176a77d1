//! The signature stage: which anchors may have signed, whether one did, and whether it was allowed to.
//!
//! A raw Ed25519 signature names nobody, so each candidate hashes the image along; their number is
//! limited, those for the product first. Others are tried only to say whose key it was.

use hal::clock::Wall;

use super::Fault;
use super::lane::Hashes;
use crate::identity::Product;
use crate::reasons;
use crate::signature::SignatureFile;
use crate::signature::ed25519::{SIGNATURE_LEN, SignatureFault, StrictStream};
use crate::signature::minisign::{Minisign, MinisignFault, MinisignStream};
use crate::trust::threshold::{THRESHOLD, distinct_keys};
use crate::trust::{Anchor, KeyKind, TrustStore};
use crate::verdict::{Rejection, VerifierError};

/// Most anchors tried for one raw Ed25519 signature: each costs one SHA-512 of the image.
pub const MAX_CANDIDATES: usize = 16;

/// A signature on its way through the image.
pub(super) enum SignerCheck {
    /// Decided before the first byte.
    Settled(Fault),
    Ed25519(Vec<(Anchor, StrictStream)>),
    Minisign {
        signature: Minisign,
        candidates: Vec<Anchor>,
        hash: Box<MinisignStream>,
    },
}

impl SignerCheck {
    /// Finds who may have signed.
    pub(super) fn new(
        signature: Option<SignatureFile>,
        anchors: &TrustStore,
        product: &Product,
    ) -> SignerCheck {
        let started = match signature {
            None => Err(no_signature()),
            Some(SignatureFile::Ed25519(raw)) => ed25519(&raw, anchors, product),
            Some(SignatureFile::Minisign(signature)) => minisign(signature, anchors),
        };
        started.unwrap_or_else(SignerCheck::Settled)
    }

    /// What hashes the image, in two halves: the first is the longer one.
    pub(super) fn hashes(&mut self) -> (Hashes<'_>, Hashes<'_>) {
        match self {
            SignerCheck::Settled(_) => (Hashes::None, Hashes::None),
            SignerCheck::Ed25519(streams) => {
                let half = streams.len().div_ceil(2);
                let (first, second) = streams.split_at_mut(half);
                (Hashes::Ed25519(first), Hashes::Ed25519(second))
            }
            SignerCheck::Minisign { hash, .. } => (Hashes::Minisign(hash), Hashes::None),
        }
    }

    /// The anchor that signed and was allowed to.
    pub(super) fn finish(self, product: &Product, now: Wall) -> Result<Anchor, Fault> {
        let signers = match self {
            SignerCheck::Settled(fault) => return Err(fault),
            SignerCheck::Ed25519(streams) => ed25519_signers(streams)?,
            SignerCheck::Minisign { signature, candidates, hash } => {
                minisign_signers(&signature, candidates, hash)?
            }
        };
        let (mut allowed, mut faults) = (Vec::new(), Vec::new());
        for signer in signers {
            match allow(&signer, product, now) {
                Ok(()) => allowed.push(signer),
                Err(fault) => faults.push(fault),
            }
        }
        let enough = distinct_keys(&allowed) >= THRESHOLD;
        match (allowed.into_iter().next(), faults.into_iter().next()) {
            (Some(signer), _) if enough => Ok(signer),
            (_, Some(fault)) => Err(fault),
            (_, None) => Err(mismatch("a signature by no trusted key".to_owned())),
        }
    }
}

/// Candidates for a raw signature: those for the product, then others up to the limit.
fn ed25519(raw: &[u8; SIGNATURE_LEN], anchors: &TrustStore, product: &Product) -> Result<SignerCheck, Fault> {
    let keys = anchors.anchors().iter().filter(|a| a.key().kind() == KeyKind::Ed25519);
    let (mine, others): (Vec<&Anchor>, Vec<&Anchor>) = keys.partition(|a| a.scope().covers(product));
    if mine.len() > MAX_CANDIDATES {
        let (found, max) = (mine.len(), MAX_CANDIDATES);
        return Err(VerifierError::TooManyCandidates { found, max }.into());
    }
    let candidates: Vec<&Anchor> = mine.into_iter().chain(others).take(MAX_CANDIDATES).collect();
    if candidates.is_empty() {
        let found = "a detached Ed25519 signature, and no Ed25519 key among the trust anchors".to_owned();
        return Err(unknown(found));
    }
    let start = |a: &Anchor| {
        let key = a.key().edwards().ok_or(SignatureFault::Key)?;
        StrictStream::new(key, raw).map(|stream| (a.clone(), stream))
    };
    candidates.into_iter().map(start).collect::<Result<_, _>>().map(SignerCheck::Ed25519).map_err(not_strict)
}

/// Candidates for a minisign signature: the anchors with its key number.
fn minisign(signature: Minisign, anchors: &TrustStore) -> Result<SignerCheck, Fault> {
    let kind = KeyKind::Minisign { key_number: *signature.key_number() };
    let candidates: Vec<Anchor> =
        anchors.anchors().iter().filter(|a| a.key().kind() == kind).cloned().collect();
    if candidates.is_empty() {
        let number = signature.key_number_text();
        return Err(unknown(format!("a signature by minisign key {number}, which is no trust anchor")));
    }
    Ok(SignerCheck::Minisign { signature, candidates, hash: Box::default() })
}

fn ed25519_signers(streams: Vec<(Anchor, StrictStream)>) -> Result<Vec<Anchor>, Fault> {
    let tried = streams.len();
    let signed = |(anchor, stream): (Anchor, StrictStream)| stream.finish().is_ok().then_some(anchor);
    let signers: Vec<Anchor> = streams.into_iter().filter_map(signed).collect();
    if signers.is_empty() {
        return Err(mismatch(format!("a signature that is not of this image by any of {tried} keys tried")));
    }
    Ok(signers)
}

fn minisign_signers(
    signature: &Minisign,
    candidates: Vec<Anchor>,
    hash: Box<MinisignStream>,
) -> Result<Vec<Anchor>, Fault> {
    let hash = hash.finish();
    let mut signers = Vec::new();
    let mut worst = None;
    for anchor in candidates {
        match signature.verify(anchor.key(), &hash) {
            Ok(()) => signers.push(anchor),
            Err(fault) => worst = Some(minisign_fault(fault, &anchor)),
        }
    }
    match worst {
        Some(fault) if signers.is_empty() => Err(fault),
        _ => Ok(signers),
    }
}

fn minisign_fault(fault: MinisignFault, anchor: &Anchor) -> Fault {
    match fault {
        MinisignFault::Image(SignatureFault::Mismatch) => {
            mismatch(format!("a minisign signature with the key number of {anchor}, but not of this image"))
        }
        MinisignFault::Comment(SignatureFault::Mismatch) => {
            let found = format!("a trusted comment that is not signed by {anchor}");
            let expected = "the trusted comment as the signer wrote it".to_owned();
            Rejection::new(reasons::TRUSTED_COMMENT_CHANGED, found, expected).into()
        }
        MinisignFault::Image(fault) | MinisignFault::Comment(fault) => not_strict(fault),
    }
}

/// Whether the anchor whose signature is good may sign for `product` now.
fn allow(anchor: &Anchor, product: &Product, now: Wall) -> Result<(), Fault> {
    if !anchor.scope().covers(product) {
        let found = format!("a good signature by {anchor}");
        let expected = format!("a signature by a key for {product}");
        return Err(Rejection::new(reasons::SIGNER_NOT_ALLOWED, found, expected).into());
    }
    let (from, until) = (anchor.valid_from(), anchor.valid_until());
    if (from.is_some() || until.is_some()) && !now.trusted {
        return Err(VerifierError::ClockUntrusted { anchor: anchor.to_string(), now }.into());
    }
    let found = format!("a good signature by {anchor}, and the time is {now}");
    if let Some(from) = from.filter(|from| now.ms < from.ms) {
        let expected = format!("a time from {from} on");
        return Err(Rejection::new(reasons::SIGNER_NOT_YET_VALID, found, expected).into());
    }
    if let Some(until) = until.filter(|until| now.ms >= until.ms) {
        let expected = format!("a time before {until}");
        return Err(Rejection::new(reasons::SIGNER_EXPIRED, found, expected).into());
    }
    Ok(())
}

fn no_signature() -> Fault {
    let expected = "a signature of the image by a trust anchor".to_owned();
    Rejection::new(reasons::NO_SIGNATURE, "an image without a signature".to_owned(), expected).into()
}

fn unknown(found: String) -> Fault {
    let expected = "a signature by one of the trust anchors".to_owned();
    Rejection::new(reasons::SIGNER_UNKNOWN, found, expected).into()
}

fn mismatch(found: String) -> Fault {
    let expected = "a signature of exactly these bytes by a trust anchor".to_owned();
    Rejection::new(reasons::SIGNATURE_MISMATCH, found, expected).into()
}

fn not_strict(fault: SignatureFault) -> Fault {
    let expected = "a signature as RFC 8032 tools make it".to_owned();
    Rejection::new(reasons::SIGNATURE_NOT_STRICT, fault.to_string(), expected).into()
}
