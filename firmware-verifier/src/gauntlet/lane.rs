//! The hashes of one piece of an image, in two halves that a caller may run side by side.
//!
//! Both lanes hold the same bytes, and the gauntlet itself runs a lane that nobody ran: how the work is
//! spread changes when a verdict comes, never what it says.

use crate::digest::DigestStream;
use crate::signature::ed25519::StrictStream;
use crate::signature::minisign::MinisignStream;
use crate::trust::Anchor;

/// Half of the hashing of one piece.
pub struct Lane<'a> {
    bytes: &'a [u8],
    digest: Option<&'a mut DigestStream>,
    signatures: Vec<Hashes<'a>>,
}

impl Lane<'_> {
    /// Does the work. A second call does nothing: no bytes are left.
    pub fn run(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        self.signatures.iter_mut().for_each(|s| s.update(bytes));
    }
}

impl std::fmt::Debug for Lane<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// The lane of the signature, and that of the digest with what the signature can spare.
pub(super) fn lanes<'a>(
    bytes: &'a [u8],
    digest: &'a mut DigestStream,
    (first, second): (Vec<Hashes<'a>>, Vec<Hashes<'a>>),
) -> (Lane<'a>, Lane<'a>) {
    (
        Lane { bytes, digest: None, signatures: first },
        Lane { bytes, digest: Some(digest), signatures: second },
    )
}

/// Hashes that a signature needs of the image.
pub(super) enum Hashes<'a> {
    Ed25519(&'a mut [(Anchor, StrictStream)]),
    Minisign(&'a mut MinisignStream),
}

impl Hashes<'_> {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Hashes::Ed25519(streams) => streams.iter_mut().for_each(|(_, s)| s.update(bytes)),
            Hashes::Minisign(hash) => hash.update(bytes),
        }
    }
}
