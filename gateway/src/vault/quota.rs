//! How much the vault holds, and what it may still take.

use std::collections::BTreeMap;

use super::{VaultError, digest::ImageDigest};

/// The largest image there is: the block table in memory and every length field are sized for it.
pub const IMAGE_LIMIT: u64 = 64 << 20;

/// What one area may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of images in all.
    pub bytes: u64,
    /// Number of images.
    pub images: usize,
}

/// The limits of a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Images that may be released.
    pub vault: Quota,
    /// Refused images, the oldest of which make room for the newest.
    pub quarantine: Quota,
    /// Bytes of disk an intake leaves free for the database, the audit log and the alarms.
    pub keep_free: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            vault: Quota { bytes: 16 * IMAGE_LIMIT, images: 256 },
            quarantine: Quota { bytes: 2 * IMAGE_LIMIT, images: 32 },
            keep_free: 32 << 20,
        }
    }
}

/// What lies in one area.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) images: BTreeMap<ImageDigest, Kept>,
}

/// One image on a shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) len: u64,
    /// When it was refused, in ms since 1970; 0 in the vault.
    pub(super) at: i64,
}

impl Shelf {
    /// Bytes of images on it.
    pub(super) fn bytes(&self) -> u64 {
        self.images.values().map(|kept| kept.len).sum()
    }

    /// Whether `images` more of `bytes` together stay within `quota`.
    pub(super) fn check(&self, quota: Quota, images: usize, bytes: u64) -> Result<(), VaultError> {
        if self.images.len() + images > quota.images {
            return Err(VaultError::Quota { what: "images", limit: quota.images as u64 });
        }
        if self.bytes().saturating_add(bytes) > quota.bytes {
            return Err(VaultError::Quota { what: "bytes", limit: quota.bytes });
        }
        Ok(())
    }

    /// The image that has been here longest.
    pub(super) fn oldest(&self) -> Option<ImageDigest> {
        self.images.iter().min_by_key(|(digest, kept)| (kept.at, **digest)).map(|(digest, _)| *digest)
    }
}
