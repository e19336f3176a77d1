//! What the state could not do.

use std::path::PathBuf;

use hal::store::{Blown, StoreError};

use super::case::{CaseNumber, CaseState};
use crate::vault::{ImageDigest, hex};

/// A state operation that failed. After an error from a write nothing of it was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process has the state open.
    #[error("the state in {} is in use by {}; talk to it over its socket or stop it first", dir.display(), holder(*pid))]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// The process, where it said so.
        pid: Option<u32>,
    },
    /// The lock file could not be used.
    #[error("cannot lock the state in {}", dir.display())]
    Lock {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database was made once and is no longer there.
    #[error("{} is gone; restore it from a backup (starting afresh would forget releases and cases)", path.display())]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// The database is not what was written.
    #[error("{} is damaged ({found}); restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// The database was written by a later version of Headgate.
    #[error(
        "the state has version {found}, this program knows versions up to {known}; install the newer one"
    )]
    Newer {
        /// Version in the file.
        found: u32,
        /// Latest version this program knows.
        known: u32,
    },
    /// A row holds a value that this program never writes.
    #[error("state: {column} holds {found:?}, which is no such value")]
    BadValue {
        /// Table and column.
        column: &'static str,
        /// What was found.
        found: String,
    },
    /// No room on the disk.
    #[error("cannot {doing}: the disk is full")]
    Full {
        /// What was attempted.
        doing: &'static str,
    },
    /// SQLite refused.
    #[error("cannot {doing}")]
    Sqlite {
        /// What was attempted.
        doing: &'static str,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A durable file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A test cut the power here.
    #[error(transparent)]
    Cut(#[from] Blown),

    /// No such case.
    #[error("there is no case {number}")]
    NoCase {
        /// The number asked for.
        number: CaseNumber,
    },
    /// A case that has ended changes no more.
    #[error("case {number} has ended ({state:?})")]
    Ended {
        /// The case.
        number: CaseNumber,
        /// How it ended.
        state: CaseState,
    },
    /// A case is about another controller or image than the row that names it.
    #[error("case {number} is about another controller or image")]
    OtherCase {
        /// The case.
        number: CaseNumber,
    },
    /// No such release.
    #[error("image {} is not released for {plc}", hex(digest))]
    NoRelease {
        /// The image.
        digest: ImageDigest,
        /// The controller.
        plc: String,
    },
    /// A release without uses left.
    #[error("the release of image {} for {plc} is used up", hex(digest))]
    UsedUp {
        /// The image.
        digest: ImageDigest,
        /// The controller.
        plc: String,
    },
    /// A controller takes one delivery at a time.
    #[error("{plc} has another delivery open, of case {case}")]
    Busy {
        /// The controller.
        plc: String,
        /// The case of the open delivery.
        case: CaseNumber,
    },
    /// No delivery, or one past the step asked for.
    #[error("case {case} has no delivery that can do this")]
    NoDelivery {
        /// The case.
        case: CaseNumber,
    },
}

impl StateError {
    /// Whether making room would help.
    pub fn is_full(&self) -> bool {
        match self {
            StateError::Full { .. } => true,
            StateError::Store(e) => e.is_full(),
            _ => false,
        }
    }

    pub(super) fn sqlite(doing: &'static str, source: rusqlite::Error) -> StateError {
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StateError::Full { doing },
            _ => StateError::Sqlite { doing, source },
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// A column that does not hold what its reader expects.
impl From<rusqlite::Error> for StateError {
    fn from(source: rusqlite::Error) -> StateError {
        StateError::sqlite("read a row of the state", source)
    }
}

impl From<rusqlite::types::FromSqlError> for StateError {
    fn from(source: rusqlite::types::FromSqlError) -> StateError {
        rusqlite::Error::from(source).into()
    }
}
