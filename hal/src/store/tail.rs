//! Appending to a file that is never replaced: a journal, whose reader knows a torn end when it sees one.

use std::io;

use super::disk::{DiskFile, Name};
use super::{Store, StoreError};

/// The end of a file that grows. What was written before the last [`Tail::sync`] that succeeded survives a
/// power cut; of what came later a part may, from its beginning on.
///
/// After a write or a sync that failed nobody knows what is on the disk, so every later call fails too:
/// read the file again and replace it by what is good.
#[derive(Debug)]
pub struct Tail {
    store: Store,
    name: Name,
    file: Box<dyn DiskFile>,
    len: u64,
    synced: bool,
    failed: bool,
}

impl Tail {
    pub(super) fn new(store: Store, name: Name, file: Box<dyn DiskFile>, len: u64) -> Tail {
        // Who wrote what is there may have died before a sync: the next one is not skipped.
        Tail { store, name, file, len, synced: false, failed: false }
    }

    /// Appends `bytes`; durable after the next [`Tail::sync`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.usable("append to")?;
        self.store.fuse.step("append")?;
        (self.synced, self.failed) = (false, true);
        self.file.append(bytes).map_err(|e| StoreError::io("append to", &self.name, e))?;
        self.len += bytes.len() as u64;
        self.failed = false;
        Ok(())
    }

    /// Makes everything written so far durable.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.usable("fsync")?;
        if !self.synced {
            self.store.fuse.step("fsync")?;
            self.failed = true;
            self.file.sync().map_err(|e| StoreError::io("fsync", &self.name, e))?;
            (self.synced, self.failed) = (true, false);
        }
        Ok(())
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.len
    }

    fn usable(&self, doing: &'static str) -> Result<(), StoreError> {
        if !self.failed {
            return Ok(());
        }
        let source = io::Error::other("an earlier write to it failed, and what it holds is not known");
        Err(StoreError::io(doing, &self.name, source))
    }
}
