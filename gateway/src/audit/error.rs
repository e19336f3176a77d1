//! What is wrong with a log, and where.

use hal::store::StoreError;

use super::checkpoint::{NoteError, SignatureError};
use super::entry::EntryError;
use super::tree::{Hash, ProofError};

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `entry` or `checkpoint`.
    pub what: &'static str,
    /// Its place in its row, from 0.
    pub index: u64,
    /// Where it begins, in bytes from the beginning of the file.
    pub offset: u64,
    /// The file.
    pub file: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} (byte {} of {})", self.what, self.index, self.offset, self.file)
    }
}

/// A log that is not what was written, or could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A line that is no record.
    #[error("{at}: found {found:?}, expected {expected}")]
    Record {
        /// Where.
        at: Place,
        /// The first 60 characters of it.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A record whose content does not fit its hash.
    #[error("{at} was edited: its bytes hash to {found}, its record says {expected}")]
    Edited {
        /// Where.
        at: Place,
        /// Hash of the bytes.
        found: Hash,
        /// Hash in the record.
        expected: Hash,
    },
    /// A whole record whose content is no entry.
    #[error("{at}: {source}")]
    Entry {
        /// Where.
        at: Place,
        /// What is wrong with it.
        source: EntryError,
    },
    /// Entries in another order, or one left out or put in.
    #[error("{at} calls itself entry {found}: entries were reordered, left out or put in")]
    Order {
        /// Where.
        at: Place,
        /// The number it has.
        found: u64,
    },
    /// A file is missing, or one too many is there.
    #[error(
        "{file} begins with entry {found}, expected {expected}: a file of the log is missing or was changed"
    )]
    Segment {
        /// The file.
        file: String,
        /// The entry its name says.
        found: u64,
        /// The entry that comes next.
        expected: u64,
    },
    /// Entries that a checkpoint covers are gone.
    #[error(
        "the log was cut short: it ends after {entries} entries, and checkpoint {checkpoint} covers {size}"
    )]
    Shorter {
        /// How many whole entries are there.
        entries: u64,
        /// How many there were.
        size: u64,
        /// Which checkpoint says so, from 0.
        checkpoint: u64,
    },
    /// The entries are not those that were signed.
    #[error("one of the entries {from} to {} is not the one that checkpoint {checkpoint} covers: their root is {found}, expected {expected}", to - 1)]
    Root {
        /// First entry that the checkpoint before does not cover.
        from: u64,
        /// Number of entries that the checkpoint covers.
        to: u64,
        /// Which checkpoint, from 0.
        checkpoint: u64,
        /// Root of the entries.
        found: Hash,
        /// Root in the checkpoint.
        expected: Hash,
    },
    /// A checkpoint that cannot be read.
    #[error("{at}: {source}")]
    Checkpoint {
        /// Where.
        at: Place,
        /// What is wrong with it.
        source: NoteError,
    },
    /// A checkpoint that the log's key did not sign.
    #[error("{at}: {source}")]
    Signature {
        /// Where.
        at: Place,
        /// What is wrong with it.
        source: SignatureError,
    },
    /// A checkpoint that covers no more than the one before.
    #[error(
        "{at} covers {found} entries, and the one before covered {previous}: checkpoints were reordered, repeated or put in"
    )]
    Backwards {
        /// Where.
        at: Place,
        /// How many it covers.
        found: u64,
        /// How many the one before did; 0 for the first.
        previous: u64,
    },
    /// The log does not continue a checkpoint that was seen earlier.
    #[error("the log was rolled back: it has {entries} entries, and a checkpoint seen earlier covers {size}")]
    RolledBack {
        /// How many entries there are.
        entries: u64,
        /// How many there were.
        size: u64,
    },
    /// The log is another one than the checkpoint that was seen earlier speaks of.
    #[error(
        "the log was written anew: its first {size} entries have the root {found}, and a checkpoint seen earlier has {expected}"
    )]
    Forked {
        /// Size of the checkpoint.
        size: u64,
        /// Root of the entries.
        found: Hash,
        /// Root in the checkpoint.
        expected: Hash,
    },
    /// A failed write took entries with it that had not been synced.
    #[error("the entries {from} to {} were lost when a write failed; what follows continues at {from}", to - 1)]
    Lost {
        /// The first of them.
        from: u64,
        /// The first that would have followed.
        to: u64,
    },
    /// A signature came that nobody had asked for, or too late.
    #[error("no checkpoint waits for a signature")]
    NothingPending,
    /// The signature that came is not the log's.
    #[error("the checkpoint of {size} entries cannot be kept: {source}")]
    Unsigned {
        /// Its size.
        size: u64,
        /// What is wrong with the signature.
        source: SignatureError,
    },
    /// There is no such entry or checkpoint.
    #[error("{0}")]
    NoSuch(#[from] ProofError),
    /// No checkpoint of this size was kept.
    #[error("no checkpoint covers exactly {size} entries")]
    NoCheckpoint {
        /// The size asked for.
        size: u64,
    },
    /// Whoever takes an export failed.
    #[error("cannot write the export")]
    Export {
        /// Why.
        source: std::io::Error,
    },
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
