//! The signature stage: which anchors may have signed, whether one did, and whether it was allowed to.
//!
//! A raw Ed25519 signature names nobody, so each candidate hashes the image along; their number is
//! limited, those for the product first. Others are tried only to say whose key it was. Only vendors' keys
//! count for an image; an image without any signature may have the site's word instead, and is told apart.

use hal::clock::Wall;

use super::Fault;
use super::by_digest::{ByDigest, Kind, Says};
use super::certified::CertifiedCheck;
use super::lane::Hashes;
use super::papers::MAX_SIGNATURE_FILES;
use super::sigstore::SigstoreCheck;
use crate::digest::Digest;
use crate::document::{DocumentError, Signed, Vouch};
use crate::identity::{Product, Slot};
use crate::reasons;
use crate::signature::SignatureFile;
use crate::signature::ed25519::{SIGNATURE_LEN, SignatureFault, StrictStream};
use crate::signature::minisign::{Minisign, MinisignFault, MinisignStream};
use crate::trust::{Anchor, KeyKind, PublicKey, Role, Signing, TrustStore};
use crate::verdict::{Basis, Rejection, VerifierError};

/// Most anchors tried for all raw Ed25519 signatures of an image: each costs one SHA-512 of the image.
pub const MAX_CANDIDATES: usize = 16;

/// Everything that may show who stands behind the image.
pub(super) struct SignerCheck {
    files: Vec<FileCheck>,
    /// The site's word, for an image without any signature.
    vouch: Option<Result<Signed<Vouch>, DocumentError>>,
}

/// One signature on its way through the image.
enum FileCheck {
    /// Decided before the first byte.
    Settled(Fault),
    Ed25519(Vec<(Anchor, StrictStream)>),
    Minisign {
        signature: Minisign,
        candidates: Vec<Anchor>,
        hash: Box<MinisignStream>,
    },
    ByDigest(Box<ByDigest>),
    Certified(Box<CertifiedCheck>),
    Sigstore(Box<SigstoreCheck>),
}

/// Who signed, by what.
#[derive(Debug, Clone)]
pub(super) struct Backing {
    pub(super) signers: Vec<Anchor>,
    pub(super) basis: Basis,
    /// When the site's word ends.
    pub(super) until: Option<Wall>,
}

impl SignerCheck {
    /// Finds who may have signed. Streams are shared out, so that many files cost no more than one.
    pub(super) fn new(
        signatures: Vec<SignatureFile>,
        vouch: Option<Result<Signed<Vouch>, DocumentError>>,
        anchors: &TrustStore,
        product: &Product,
    ) -> SignerCheck {
        if signatures.len() > MAX_SIGNATURE_FILES {
            let (found, max) = (signatures.len(), MAX_SIGNATURE_FILES);
            let fault = Fault::from(VerifierError::TooManySignatures { found, max });
            return SignerCheck { files: vec![FileCheck::Settled(fault)], vouch: None };
        }
        let raw = signatures.iter().filter(|s| matches!(s, SignatureFile::Ed25519(_))).count();
        let share = MAX_CANDIDATES / raw.max(1);
        let start = |signature| match signature {
            SignatureFile::Ed25519(raw) => ed25519(&raw, anchors, product, share),
            SignatureFile::Minisign(signature) => minisign(signature, anchors),
            SignatureFile::Ecdsa(signature) => by_digest(Kind::Ecdsa(signature), anchors),
            SignatureFile::Cosign(bundle) => by_digest(Kind::Cosign(bundle), anchors),
            SignatureFile::Statement(envelope) => by_digest(Kind::Statement(envelope), anchors),
            SignatureFile::Sigstore(bundle) => {
                Ok(FileCheck::Sigstore(Box::new(SigstoreCheck::new(*bundle, anchors)?)))
            }
            SignatureFile::Cms(cms) => {
                Ok(FileCheck::Certified(Box::new(CertifiedCheck::new(*cms, anchors)?)))
            }
        };
        let settle = |signature| start(signature).unwrap_or_else(FileCheck::Settled);
        SignerCheck { files: signatures.into_iter().map(settle).collect(), vouch }
    }

    /// What hashes the image, in two halves: the first is the longer one.
    pub(super) fn hashes(&mut self) -> (Vec<Hashes<'_>>, Vec<Hashes<'_>>) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for file in &mut self.files {
            match file {
                FileCheck::Settled(_)
                | FileCheck::ByDigest(_)
                | FileCheck::Certified(_)
                | FileCheck::Sigstore(_) => {}
                FileCheck::Ed25519(streams) => {
                    let half = streams.len().div_ceil(2);
                    let (long, short) = streams.split_at_mut(half);
                    first.push(Hashes::Ed25519(long));
                    second.push(Hashes::Ed25519(short));
                }
                FileCheck::Minisign { hash, .. } => first.push(Hashes::Minisign(hash)),
            }
        }
        (first, second)
    }

    /// Whose signatures hold, of the image with this digest.
    pub(super) fn finish(self, image: &Digest, now: Wall) -> Holding {
        let (mut signers, mut faults) = (Vec::new(), Vec::new());
        let none = self.files.is_empty();
        for file in self.files {
            let by = |signed: Result<Vec<Anchor>, Fault>| {
                signed.map(|anchors| anchors.into_iter().map(Signing::by).collect::<Vec<_>>())
            };
            let signed = match file {
                FileCheck::Settled(fault) => Err(fault),
                FileCheck::Ed25519(streams) => by(ed25519_signers(streams)),
                FileCheck::Minisign { signature, candidates, hash } => {
                    by(minisign_signers(&signature, candidates, hash))
                }
                FileCheck::ByDigest(check) => by(check.signers(image, Says::GivenOut)),
                FileCheck::Certified(check) => check.signers(image, now),
                FileCheck::Sigstore(check) => by(check.signers(image, Says::GivenOut, now)),
            };
            match signed {
                Ok(signed) => signers.extend(signed),
                Err(fault) => faults.push(fault),
            }
        }
        Holding { signers, faults, vouch: self.vouch.filter(|_| none) }
    }
}

/// All whose signature holds, whether or not it counts.
pub(super) struct Holding {
    pub(super) signers: Vec<Signing>,
    faults: Vec<Fault>,
    vouch: Option<Result<Signed<Vouch>, DocumentError>>,
}

impl Holding {
    /// Signatures that were checked elsewhere.
    pub(super) fn of(signed: Result<Vec<Anchor>, Fault>) -> Holding {
        match signed {
            Ok(signed) => {
                let signers = signed.into_iter().map(Signing::by).collect();
                Holding { signers, faults: vec![], vouch: None }
            }
            Err(fault) => Holding { signers: vec![], faults: vec![fault], vouch: None },
        }
    }

    /// Those whose signature counts, when they are enough.
    pub(super) fn decide(
        self,
        store: &TrustStore,
        (slot, product): (&Slot, &Product),
        digest: &Digest,
        now: Wall,
    ) -> Result<Backing, Fault> {
        if let Some(vouch) = self.vouch {
            return vouched(vouch, slot, digest);
        }
        let (mut allowed, mut faults) = (Vec::new(), Vec::new());
        for signer in self.signers {
            match allow(signer.anchor(), product, now) {
                Ok(()) => allowed.push(signer),
                Err(fault) => faults.push(fault),
            }
        }
        let fault = faults.into_iter().chain(self.faults).next();
        match (store.thresholds().of_product(product).check_signings(&allowed), fault) {
            (Ok(()), _) => {
                Ok(Backing { signers: each_once(allowed), basis: Basis::VendorSigned, until: None })
            }
            (Err(_), Some(fault)) if allowed.is_empty() => Err(fault),
            (Err(_), None) if allowed.is_empty() => Err(no_signature()),
            (Err(too_few), _) => {
                let expected = format!("signatures by {} distinct keys for {product}", too_few.need);
                let found = format!("good signatures by {} distinct key(s)", too_few.have);
                Err(Rejection::new(reasons::SIGNERS_TOO_FEW, found, expected).into())
            }
        }
    }
}

/// The anchors behind signatures, in their order.
fn each_once(signings: Vec<Signing>) -> Vec<Anchor> {
    let mut anchors: Vec<Anchor> = Vec::new();
    for signing in signings {
        if anchors.iter().all(|anchor| anchor.id() != signing.anchor().id()) {
            anchors.push(signing.anchor().clone());
        }
    }
    anchors
}

/// An unsigned image that the site stands behind.
fn vouched(
    vouch: Result<Signed<Vouch>, DocumentError>,
    slot: &Slot,
    digest: &Digest,
) -> Result<Backing, Fault> {
    let signed = match vouch {
        Ok(signed) => signed,
        Err(DocumentError::Clock { now }) => {
            let anchor = "a document that vouches for the image".to_owned();
            return Err(VerifierError::ClockUntrusted { anchor, now }.into());
        }
        Err(error) => {
            let expected = "a vouch document of the site that counts here and now".to_owned();
            return Err(Rejection::new(error.code(), error.to_string(), expected).into());
        }
    };
    let Vouch { controllers, image } = signed.content();
    if image != digest || !controllers.contains(slot) {
        let controllers: Vec<&str> = controllers.iter().map(Slot::as_str).collect();
        let found = format!("a vouch document for {image} on {}", controllers.join(", "));
        return Err(
            Rejection::new(reasons::VOUCH_ELSEWHERE, found, format!("one for {digest} on {slot}")).into()
        );
    }
    Ok(Backing {
        signers: signed.signers().to_vec(),
        basis: Basis::SiteVouched,
        until: Some(signed.document().expires.wall()),
    })
}

/// Candidates for a raw signature: those for the product, then others up to `max`.
fn ed25519(
    raw: &[u8; SIGNATURE_LEN],
    anchors: &TrustStore,
    product: &Product,
    max: usize,
) -> Result<FileCheck, Fault> {
    let keys = anchors.anchors().iter().filter(|a| is_kind(a, KeyKind::Ed25519));
    let (mine, others): (Vec<&Anchor>, Vec<&Anchor>) = keys.partition(|a| is_for(a, product));
    if mine.len() > max {
        let found = mine.len();
        return Err(VerifierError::TooManyCandidates { found, max }.into());
    }
    let candidates: Vec<&Anchor> = mine.into_iter().chain(others).take(max).collect();
    if candidates.is_empty() {
        let found = "a detached Ed25519 signature, and no Ed25519 key among the trust anchors".to_owned();
        return Err(unknown(found));
    }
    let start = |a: &Anchor| {
        let key = a.key().and_then(PublicKey::edwards).ok_or(SignatureFault::Key)?;
        StrictStream::new(key, raw).map(|stream| (a.clone(), stream))
    };
    candidates.into_iter().map(start).collect::<Result<_, _>>().map(FileCheck::Ed25519).map_err(not_strict)
}

/// Candidates for a minisign signature: the anchors with its key number.
fn minisign(signature: Minisign, anchors: &TrustStore) -> Result<FileCheck, Fault> {
    let kind = KeyKind::Minisign { key_number: *signature.key_number() };
    let candidates: Vec<Anchor> = anchors.anchors().iter().filter(|a| is_kind(a, kind)).cloned().collect();
    if candidates.is_empty() {
        let number = signature.key_number_text();
        return Err(unknown(format!("a signature by minisign key {number}, which is no trust anchor")));
    }
    Ok(FileCheck::Minisign { signature, candidates, hash: Box::default() })
}

fn by_digest(signature: Kind, anchors: &TrustStore) -> Result<FileCheck, Fault> {
    Ok(FileCheck::ByDigest(Box::new(ByDigest::new(signature, anchors)?)))
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
        let Some(key) = anchor.key() else { continue };
        match signature.verify(key, &hash) {
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

fn is_kind(anchor: &Anchor, kind: KeyKind) -> bool {
    anchor.key().is_some_and(|key| key.kind() == kind)
}

/// Only vendors sign images.
fn is_for(anchor: &Anchor, product: &Product) -> bool {
    anchor.role() == Role::Vendor && anchor.scope().covers(product)
}

/// Whether the anchor whose signature is good may sign for `product` now.
fn allow(anchor: &Anchor, product: &Product, now: Wall) -> Result<(), Fault> {
    if !is_for(anchor, product) {
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

pub(super) fn no_signature() -> Fault {
    let expected = "a signature of the image by a trust anchor".to_owned();
    Rejection::new(reasons::NO_SIGNATURE, "an image without a signature".to_owned(), expected).into()
}

pub(super) fn unknown(found: String) -> Fault {
    let expected = "a signature by one of the trust anchors".to_owned();
    Rejection::new(reasons::SIGNER_UNKNOWN, found, expected).into()
}

pub(super) fn mismatch(found: String) -> Fault {
    let expected = "a signature of exactly these bytes by a trust anchor".to_owned();
    Rejection::new(reasons::SIGNATURE_MISMATCH, found, expected).into()
}

fn not_strict(fault: SignatureFault) -> Fault {
    let expected = "a signature as RFC 8032 tools make it".to_owned();
    Rejection::new(reasons::SIGNATURE_NOT_STRICT, fault.to_string(), expected).into()
}
