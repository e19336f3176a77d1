//! An advisory database on disk, of which only what is asked for is read.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use firmware_verifier::Digest;
use firmware_verifier::advisory::database::{Database, DatabaseError, ReadAt};

mod intake;
mod kept;

pub use intake::{DatabaseIntake, IntakeError};
pub use kept::KeptFile;

/// Where the database that is gone by lies in the data folder.
pub const DIR: &str = "advisories";
/// Largest database that a gateway goes by: half a million holes. The table of its blocks takes 2 MiB then.
pub const MAX_IMPORT: u64 = 256 << 20;

/// The name that the database of this digest has in the data folder.
pub fn file_name(database: &Digest) -> String {
    format!("{}.db", database.to_hex())
}

/// A file of which parts are read.
#[derive(Debug)]
pub struct AdvisoryFile {
    file: File,
    len: u64,
}

impl AdvisoryFile {
    /// The file, whose length is taken once: one that shrinks afterwards cannot be read on.
    pub fn new(file: File) -> Result<AdvisoryFile, DatabaseError> {
        let len = file.metadata()?.len();
        Ok(AdvisoryFile { file, len })
    }

    /// The database in `file`.
    pub fn database(file: File) -> Result<Database<AdvisoryFile>, DatabaseError> {
        Database::open(AdvisoryFile::new(file)?)
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
