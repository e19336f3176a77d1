//! What can go wrong with an image at rest.

use std::io;

use hal::store::StoreError;

use super::digest::{ImageDigest, hex};

/// What the vault could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// No such image.
    #[error("no image {} is here", hex(digest))]
    Missing {
        /// The digest asked for.
        digest: ImageDigest,
    },
    /// The stored bytes are not the image they are named after.
    #[error(
        "the stored image {} is damaged (its bytes hash to {}); remove it and stage it again",
        hex(digest),
        hex(found)
    )]
    NotWhole {
        /// The digest it is named after.
        digest: ImageDigest,
        /// The digest of its bytes.
        found: ImageDigest,
    },
    /// The image was right when opened and no longer is.
    #[error("image {} was altered on the disk while open, in the 4 KiB block {block}", hex(digest))]
    Altered {
        /// The image.
        digest: ImageDigest,
        /// The first block found different, from 0.
        block: usize,
    },
    /// The description beside an image cannot be read.
    #[error("the description of image {} cannot be read: {found}", hex(digest))]
    Sidecar {
        /// The image.
        digest: ImageDigest,
        /// What is wrong with it.
        found: String,
    },
    /// More bytes than allowed.
    #[error("{what} has {found} bytes, more than the {limit} allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes, as far as it was seen.
        found: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// The vault holds as much as it may.
    #[error("the vault may hold {limit} {what}; remove images that are no longer needed")]
    Quota {
        /// `bytes` or `images`.
        what: &'static str,
        /// How many it may hold.
        limit: u64,
    },
    /// Taking the image in would leave too little disk for alarms and records.
    #[error("the disk has {free} bytes left and {keep_free} are kept for alarms and records")]
    DiskFull {
        /// Bytes that can still be written.
        free: u64,
        /// Bytes an intake must leave.
        keep_free: u64,
    },
    /// The source of an image failed.
    #[error("cannot read the image to be staged")]
    Import {
        /// Why.
        source: io::Error,
    },
    /// The destination of an export failed.
    #[error("cannot write the exported image")]
    Export {
        /// Why.
        source: io::Error,
    },
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl VaultError {
    /// For an image of `len` bytes, more than any may have.
    pub fn too_large(len: u64) -> VaultError {
        VaultError::TooLarge { what: "the image", found: len, limit: super::IMAGE_LIMIT }
    }

    /// Whether making room would help.
    pub fn is_full(&self) -> bool {
        match self {
            VaultError::DiskFull { .. } | VaultError::Quota { .. } => true,
            VaultError::Store(e) => e.is_full(),
            _ => false,
        }
    }
}
