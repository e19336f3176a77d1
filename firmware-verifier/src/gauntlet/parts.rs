//! The SBOM stage: whether a list of parts came along, whether somebody who may sign the image has signed it, and whether
//! it is of this image. The signature comes first: nothing is read of a list that nobody trusted has signed.

use hal::clock::Wall;

use super::by_digest::{ByDigest, Kind, Says};
use super::lane::lanes;
use super::signer::{Holding, SignerCheck};
use super::sigstore::SigstoreCheck;
use super::{Fault, Finding, Seen, Stepped, revocation};
use crate::digest::{Digest, DigestStream};
use crate::identity::{Product, Slot};
use crate::reasons;
use crate::sbom::{Sbom, SbomFile};
use crate::signature::SignatureFile;
use crate::trust::{Anchor, TrustStore};
use crate::verdict::Rejection;

/// What the list is held against.
pub(super) struct Against<'a> {
    pub(super) store: &'a TrustStore,
    pub(super) slot: &'a Slot,
    pub(super) product: &'a Product,
    pub(super) image: Digest,
    pub(super) now: Wall,
}

/// What the stage says, and the list that may be believed.
pub(super) fn check(
    file: Option<SbomFile>,
    required: bool,
    against: &Against<'_>,
) -> (Stepped, Option<Sbom>) {
    let Some(file) = file else { return (absent(required), None) };
    match believed(file, against) {
        Ok((sbom, signers)) => (Ok(Seen::Passed(finding(&sbom, &signers, against))), Some(sbom)),
        Err(fault) => (Err(fault), None),
    }
}

fn absent(required: bool) -> Stepped {
    if !required {
        return Ok(Seen::nothing("no SBOM came along, and the zone of the controller demands none"));
    }
    let expected = "a signed SBOM, as the zone of the controller demands".to_owned();
    Err(Rejection::new(reasons::SBOM_MISSING, "an image without an SBOM".to_owned(), expected).into())
}

/// The list, when enough of those who may sign the image have signed it.
fn believed(file: SbomFile, against: &Against<'_>) -> Result<(Sbom, Vec<Anchor>), Fault> {
    let Against { store, slot, product, image, now } = *against;
    let (holding, of, document) = match file {
        SbomFile::Attested(envelope) => {
            let payload = envelope.payload().to_vec();
            let check = ByDigest::new(Kind::Statement(envelope), store);
            let signed = check.and_then(|check| check.signers(&image, Says::Parts));
            (Holding::of(signed), image, Document::Statement(payload))
        }
        SbomFile::Bundle(bundle) => {
            let (_, payload) = bundle.envelope().ok_or_else(no_statement)?;
            let payload = payload.to_vec();
            let check = SigstoreCheck::new(*bundle, store);
            let signed = check.and_then(|check| check.signers(&image, Says::Parts, now));
            (Holding::of(signed), image, Document::Statement(payload))
        }
        SbomFile::Plain { bytes, signature } => {
            let signature = signature.ok_or_else(unsigned)?;
            let (holding, digest) = signed_file(*signature, &bytes, against);
            (holding, digest, Document::Plain(bytes))
        }
    };
    if let Err(fault) = revocation::check(store, &of, &holding.signers) {
        return Err(of_list(fault));
    }
    let backing = holding.decide(store, (slot, product), &of, now).map_err(of_list)?;
    let sbom = document.read()?;
    sbom_is_of(&sbom, &document, &image)?;
    Ok((sbom, backing.signers))
}

/// Whose signature of the file holds: the same check as that of an image.
fn signed_file(signature: SignatureFile, bytes: &[u8], against: &Against<'_>) -> (Holding, Digest) {
    let mut check = SignerCheck::new(vec![signature], None, against.store, against.product);
    let mut digest = DigestStream::new();
    let (mut first, mut second) = lanes(bytes, &mut digest, check.hashes());
    first.run();
    second.run();
    let digest = digest.finish();
    (check.finish(&digest, against.now), digest)
}

/// A list whose signature holds.
enum Document {
    Plain(Vec<u8>),
    Statement(Vec<u8>),
}

impl Document {
    fn read(&self) -> Result<Sbom, Fault> {
        let read = match self {
            Document::Plain(json) => Sbom::parse(json),
            Document::Statement(payload) => Sbom::of_statement(payload),
        };
        read.map_err(|e| e.rejection().into())
    }
}

/// A statement names the image itself; a plain list must, by the hash of what it is a list of. Neither may name another.
fn sbom_is_of(sbom: &Sbom, document: &Document, image: &Digest) -> Result<(), Fault> {
    let named = sbom.image().and_then(|whole| whole.sha256);
    let found = match (named, document) {
        (Some(named), _) if named == *image => return Ok(()),
        (None, Document::Statement(_)) => return Ok(()),
        (Some(named), _) => format!("an SBOM of {named}"),
        (None, Document::Plain(_)) => "an SBOM that does not say which image it is of".to_owned(),
    };
    let expected = format!("one whose metadata.component has the SHA-256 of {image}");
    Err(Rejection::new(reasons::SBOM_ELSEWHERE, found, expected).into())
}

fn finding(sbom: &Sbom, signers: &[Anchor], against: &Against<'_>) -> Finding {
    let names: Vec<String> = signers.iter().map(Anchor::to_string).collect();
    let excluded = match sbom.excluded() {
        0 => String::new(),
        n => format!(", {n} left out as excluded"),
    };
    let (format, parts, names) = (sbom.format(), sbom.components().len(), names.join(" and "));
    Finding {
        found: format!("{format} of {parts} components{excluded}, signed by {names}"),
        expected: format!("an SBOM of this image, signed for {}", against.product),
    }
}

fn unsigned() -> Fault {
    let expected =
        "a signature by a trust anchor beside it, or a signed statement about the image".to_owned();
    Rejection::new(reasons::SBOM_NOT_SIGNED, "an SBOM without a signature".to_owned(), expected).into()
}

fn no_statement() -> Fault {
    let expected = "a statement about the image, whose predicate is the SBOM".to_owned();
    let found = "a sigstore bundle that signs a file and not a statement".to_owned();
    Rejection::new(reasons::SBOM_NOT_SIGNED, found, expected).into()
}

/// What is wrong with the signature of the list, told apart from what is wrong with that of the image.
fn of_list(fault: Fault) -> Fault {
    match fault {
        Fault::Rejected(r) => {
            let found = format!("an SBOM with {} ({})", r.found, r.code);
            Rejection::new(reasons::SBOM_NOT_SIGNED, found, r.expected).into()
        }
        undecided => undecided,
    }
}
