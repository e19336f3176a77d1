//! A database on its way into the data folder: hashed while it is written, nameless until it is whole.

use std::io::Read;

use firmware_verifier::Digest;
use firmware_verifier::digest::DigestStream;
use hal::store::{Intake, Store, StoreError};

use super::{DIR, MAX_IMPORT};

/// Bytes of disk that are left free for the database, the audit log and the alarms.
const KEEP_FREE: u64 = 32 << 20;

/// A database that is being taken in. Dropped unfinished, it leaves nothing behind.
pub struct DatabaseIntake {
    file: Intake,
    digest: DigestStream,
    limit: u64,
}

impl DatabaseIntake {
    /// Begins to take in a file of `len` bytes.
    pub fn new(store: &Store, len: u64) -> Result<DatabaseIntake, IntakeError> {
        if len > MAX_IMPORT {
            return Err(IntakeError::TooLarge { found: len });
        }
        let free = store.free()?;
        if free < len.saturating_add(KEEP_FREE) {
            return Err(IntakeError::Full { free, need: len.saturating_add(KEEP_FREE) });
        }
        Ok(DatabaseIntake { file: store.intake(DIR)?, digest: DigestStream::new(), limit: len })
    }

    /// Takes the next bytes. After an error, drop the intake.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        let found = self.file.size().saturating_add(bytes.len() as u64);
        if found > self.limit {
            return Err(IntakeError::TooLarge { found });
        }
        self.file.write(bytes)?;
        self.digest.update(bytes);
        Ok(())
    }

    /// Takes everything that `reader` has.
    pub fn write_from(&mut self, reader: &mut dyn Read) -> Result<(), IntakeError> {
        let mut piece = vec![0; 64 << 10];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(n) => self.write(piece.get(..n).unwrap_or_default())?,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(IntakeError::Read(e)),
            }
        }
    }

    /// The file, whole, and which it is; [`Intake::commit`] gives it a name.
    pub fn finish(self) -> (Intake, Digest) {
        (self.file, self.digest.finish())
    }
}

/// Why a database is not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// Over the limit.
    #[error(
        "an advisory database of {found} bytes: at most {MAX_IMPORT} are imported; build it from fewer advisories"
    )]
    TooLarge {
        /// Its size.
        found: u64,
    },
    /// No room.
    #[error("{free} bytes are free on the disk, and {need} are needed; make room")]
    Full {
        /// What is free.
        free: u64,
        /// What is needed.
        need: u64,
    },
    /// The disk does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file does not give its bytes.
    #[error("the advisory database cannot be read: {0}")]
    Read(std::io::Error),
}
