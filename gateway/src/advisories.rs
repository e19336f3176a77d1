//! An advisory database on disk, of which only what is asked for is read.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use firmware_verifier::advisory::database::{Database, DatabaseError, ReadAt};

/// A file of which parts are read.
#[derive(Debug)]
pub struct AdvisoryFile {
    file: File,
    len: u64,
}

impl AdvisoryFile {
    /// The database in `file`, whose length is taken once: a file that shrinks afterwards cannot be read on.
    pub fn database(file: File) -> Result<Database<AdvisoryFile>, DatabaseError> {
        let len = file.metadata()?.len();
        Database::open(AdvisoryFile { file, len })
    }
}

impl ReadAt for AdvisoryFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), DatabaseError> {
        Ok(self.file.read_exact_at(into, at)?)
    }
}
