//! Streaming a large file in: it has no name until it is whole and durable.

use super::disk::{DiskFile, Name};
use super::{Store, StoreError};

/// A file on its way in. Dropped without [`Intake::commit`], it is removed.
#[derive(Debug)]
pub struct Intake {
    store: Store,
    name: Name,
    file: Box<dyn DiskFile>,
    len: u64,
    synced: bool,
    committed: bool,
}

impl Intake {
    pub(super) fn new(store: Store, name: Name, file: Box<dyn DiskFile>) -> Intake {
        Intake { store, name, file, len: 0, synced: false, committed: false }
    }

    /// Appends `bytes`. After an error the content is unknown: drop the intake.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.fuse.step("write")?;
        self.synced = false;
        self.file.append(bytes).map_err(|e| StoreError::io("write", &self.name, e))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Makes the content durable while it still has no name, so that what belongs beside it can be
    /// written before the commit.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if !self.synced {
            self.store.fuse.step("fsync")?;
            self.file.sync().map_err(|e| StoreError::io("fsync", &self.name, e))?;
            self.synced = true;
        }
        Ok(())
    }

    /// Names the file, replacing what had the name. On return it is durable.
    pub fn commit(self, name: &str) -> Result<(), StoreError> {
        let name = Name::parse(name)?;
        self.commit_as(&name)
    }

    pub(super) fn commit_as(mut self, name: &Name) -> Result<(), StoreError> {
        self.sync()?;
        // When the rename worked and the directory fsync failed, the drop finds no temporary name: fine.
        self.store.rename_name(&self.name, name)?;
        self.committed = true;
        Ok(())
    }

    pub(super) fn allocate(&mut self, len: u64) -> Result<(), StoreError> {
        self.store.fuse.step("allocate")?;
        self.synced = false;
        self.file.allocate(len).map_err(|e| StoreError::io("set room aside for", &self.name, e))
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        // A failure here leaves a temporary file, which the next start sweeps away.
        if !self.committed && self.store.fuse.step("remove").is_ok() {
            let _ = self.store.disk.remove(&self.name);
        }
    }
}
