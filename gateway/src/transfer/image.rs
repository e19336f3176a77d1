//! A verified image as the engine sees it: bytes by offset, each checked again as it is read.

use firmware_verifier::document::{Recorded, Unverified};
use firmware_verifier::{Digest, Evidence, Verified};

use super::event::{CaseId, Refusal};

/// Image bytes at rest. An implementation proves every block against the digest before serving it.
pub trait Image: Send {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset`. The whole range lies inside the image.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), ImageError>;
}

/// The stored bytes cannot be read, or are no longer those that were verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored image cannot be used: {0}")]
pub struct ImageError(pub String);

/// What lets an image in. None of these can be made here, copied or stored.
#[derive(Debug)]
pub enum Warrant {
    /// The verifier's proof.
    Verified(Verified),
    /// Nobody verifies it: approvers let it in as everyday logic.
    Recorded(Recorded),
    /// Nobody has verified it: the site key has broken the glass.
    BreakGlass(Unverified),
}

impl Warrant {
    /// The image.
    pub fn digest(&self) -> Digest {
        match self {
            Warrant::Verified(verified) => verified.digest(),
            Warrant::Recorded(recorded) => recorded.digest(),
            Warrant::BreakGlass(unverified) => unverified.digest(),
        }
    }

    /// That it may go in, and who stands behind it.
    pub fn words(&self) -> String {
        match self {
            Warrant::Verified(verified) => format!("verified and released: {}", verified.backing()),
            Warrant::Recorded(_) | Warrant::BreakGlass(_) => format!("released, {}", self.backing()),
        }
    }

    /// Who stands behind it and how, in words that call nothing verified or signed that is not.
    pub fn backing(&self) -> String {
        match self {
            Warrant::Verified(verified) => verified.backing(),
            Warrant::Recorded(recorded) => recorded.backing(),
            Warrant::BreakGlass(unverified) => unverified.backing(),
        }
    }
}

/// An image that may be delivered: what lets it in and the bytes that speaks of.
pub struct Released {
    /// Delivering consumes it.
    pub warrant: Warrant,
    /// What each stage saw when it was made, for the receipt.
    pub evidence: Vec<Evidence>,
    /// The bytes, re-hashed as they are read.
    pub image: Box<dyn Image>,
}

impl std::fmt::Debug for Released {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Released").field("digest", &self.warrant.digest()).finish_non_exhaustive()
    }
}

/// Where a chunk differs from the image it should belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The byte at `offset` is `found`; the image has `expected`.
    Byte {
        /// From the start of the image.
        offset: u64,
        /// As sent by the station.
        found: u8,
        /// As verified.
        expected: u8,
    },
    /// Bytes after the end of the image that are not the profile's padding.
    BeyondEnd {
        /// From the start of the image.
        offset: u64,
        /// Image length.
        len: u64,
    },
    /// The stored image could not be read.
    Unreadable(ImageError),
}

impl Released {
    /// Compares a chunk with the image at `offset`. Past the end only `padding` is equal, and no more of
    /// it than `granule` bytes: the rest of a last block.
    pub fn compare(&mut self, offset: u64, data: &[u8], padding: Padding) -> Result<(), Mismatch> {
        let len = self.image.len();
        let inside = usize::try_from(len.saturating_sub(offset)).map_or(data.len(), |n| n.min(data.len()));
        let (body, tail) = data.split_at(inside);
        let mut buf = [0u8; MAX_COMPARE];
        for (n, part) in body.chunks(MAX_COMPARE).enumerate() {
            let at = offset + (n * MAX_COMPARE) as u64;
            let expected = &mut buf[..part.len()];
            self.image.read_at(at, expected).map_err(Mismatch::Unreadable)?;
            if part != expected
                && let Some(i) = (0..part.len()).find(|&i| part[i] != expected[i])
            {
                return Err(Mismatch::Byte { offset: at + i as u64, found: part[i], expected: expected[i] });
            }
        }
        let end = offset.saturating_add(data.len() as u64);
        let within_block = end <= len.saturating_add(padding.granule.saturating_sub(1));
        if tail.is_empty() || (within_block && tail.iter().all(|b| *b == padding.byte)) {
            Ok(())
        } else {
            Err(Mismatch::BeyondEnd { offset: offset.max(len), len })
        }
    }
}

/// How a tool fills up its last block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// The fill byte.
    pub byte: u8,
    /// Block size in bytes; a last block may hold up to `granule - 1` fill bytes.
    pub granule: u64,
}

impl Mismatch {
    /// The refusal this difference leads to.
    pub fn refusal(&self, case: Option<CaseId>) -> Refusal {
        use crate::reasons::{BEYOND_IMAGE, BYTES_DIFFER, VAULT_ALTERED};
        match self {
            Mismatch::Byte { offset, found, expected } => Refusal {
                code: BYTES_DIFFER,
                case,
                found: format!("byte {found:#04x} at offset {offset}"),
                expected: format!("{expected:#04x}, as in the released image"),
            },
            Mismatch::BeyondEnd { offset, len } => Refusal {
                code: BEYOND_IMAGE,
                case,
                found: format!("bytes at offset {offset}"),
                expected: format!("at most {len} bytes, then padding"),
            },
            Mismatch::Unreadable(e) => Refusal {
                code: VAULT_ALTERED,
                case,
                found: e.0.clone(),
                expected: "the bytes that were verified".into(),
            },
        }
    }
}

/// Bytes compared in one go; no chunk of Modbus is longer.
const MAX_COMPARE: usize = 256;
