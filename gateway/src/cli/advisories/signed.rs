//! The document beside a database, which approvers sign: which file it is, and how long one may go by it.

use std::path::Path;

use aws_lc_rs::rand;
use firmware_verifier::Digest;
use firmware_verifier::document::{
    ANY_GATEWAY, AdvisoryRelease, Document, DocumentError, DocumentId, Moment,
};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::reasons::{DOCUMENT_EXPIRED, DOCUMENT_NOT_SIGNED};
use firmware_verifier::trust::PublicKey;
use hal::clock::Wall;
use hal::reason::ReasonCode;

use crate::cli::trust::read_envelope;
use crate::judge::Failure;

/// The document for people to sign.
pub(super) fn draft(
    database: Digest,
    current: Wall,
    days: u16,
    reason: &str,
    now: Wall,
) -> Result<String, Failure> {
    let mut id = [0; DocumentId::LEN];
    rand::fill(&mut id).map_err(|_| Failure::internal("no random numbers"))?;
    let document = Document {
        content: AdvisoryRelease { current: Moment::new(current), database },
        expires: Moment::new(Wall { ms: now.ms + i64::from(days) * 86_400_000, ..now }),
        gateway: ANY_GATEWAY.to_owned(),
        id: DocumentId::from_bytes(id),
        issued: Moment::new(now),
        reason: reason.to_owned(),
    };
    let envelope = document.to_envelope().map_err(|e| Failure::new(e.code(), e.to_string()))?;
    envelope.to_json().map_err(|e| Failure::internal(e.to_string()))
}

/// Checks that one of `keys` signed that one may go by this file now; gives who did, and until when.
pub(super) fn check(
    path: &Path,
    keys: &[PublicKey],
    database: Digest,
    current: Wall,
    now: Wall,
) -> Result<(Vec<String>, Moment), Failure> {
    let fail = |code: ReasonCode, text: String| Failure::new(code, format!("{}: {text}", path.display()));
    let refused = |e: DocumentError| fail(e.code(), e.to_string());
    let envelope = Envelope::parse(read_envelope(path)?.as_bytes()).map_err(|e| refused(e.into()))?;
    let expected = Document::<AdvisoryRelease>::payload_type();
    if envelope.payload_type() != expected {
        return Err(refused(DocumentError::Type { found: envelope.payload_type().to_owned(), expected }));
    }
    let signers: Vec<String> = envelope.verify(keys).keys().map(|key| key.id().to_string()).collect();
    if signers.is_empty() {
        return Err(fail(DOCUMENT_NOT_SIGNED, "signed by none of the keys that were given".into()));
    }
    let document = Document::<AdvisoryRelease>::parse(envelope.payload()).map_err(refused)?;
    let is_of = document.content.is_of(database, current);
    is_of.map_err(|r| fail(r.code, format!("found {}, expected {}", r.found, r.expected)))?;
    if !now.trusted || now.ms >= document.expires.wall().ms || now.ms + SKEW_MS < document.issued.wall().ms {
        let text = format!("counts from {} to {}, and it is {now}", document.issued, document.expires);
        return Err(fail(DOCUMENT_EXPIRED, text));
    }
    Ok((signers, document.expires))
}

/// How far ahead a signer's clock may be.
const SKEW_MS: i64 = 5 * 60 * 1000;
