//! Why a file is no backup, or not this one.

use std::io;

use firmware_verifier::dsse::DsseError;

/// What is wrong with a backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It cannot be read or written.
    #[error("cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// Another kind of file, or another version of it.
    #[error("no backup of this version of Headgate: {found}; was another file given?")]
    Kind {
        /// What was found.
        found: &'static str,
    },
    /// The manifest is no envelope.
    #[error("its manifest cannot be read: {0}")]
    Envelope(#[from] DsseError),
    /// The manifest holds something else than it should.
    #[error("its manifest cannot be read: {found}")]
    Manifest {
        /// What is wrong.
        found: String,
    },
    /// Nobody signed it, or somebody else.
    #[error("its manifest is not signed by the evidence key that it names; it was edited")]
    Unsigned,
    /// An entry that is none.
    #[error("entry {number} (byte {offset}): {found}")]
    Entry {
        /// From 1.
        number: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        found: String,
    },
    /// The content is not what was signed.
    #[error("its content is {found}, expected {expected}: it was edited, or cut short")]
    Content {
        /// Digest of what was read.
        found: String,
        /// Digest that was signed.
        expected: String,
    },
    /// Something is not in it that every backup has.
    #[error("there is no {what} in it")]
    Missing {
        /// What.
        what: &'static str,
    },
}
