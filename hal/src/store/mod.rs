//! Durable files: the one path by which anything of Headgate's reaches the disk and stays there.
//!
//! A [`Store`] writes to a temporary file, fsyncs it, renames it and fsyncs the directory, in that order
//! and nowhere else. It never overwrites in place and never retries a failed fsync: after one, what the
//! kernel still holds is unknown (the page may be marked clean), so the write has failed.
//!
//! Invariant: whenever the power goes, every name reads its old content or its new content, whole. A file that
//! grows by [`Store::append`] is the one exception: it reads what was synced, and a part of what came after.

mod disk;
mod fuse;
mod intake;
mod real;
mod sim;
mod tail;
#[cfg(test)]
mod torture;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use disk::{Disk, DiskFile, Entry, Name};
pub use fuse::{Blown, Fuse};
pub use intake::Intake;
pub use real::RealDisk;
pub use sim::{PowerCut, SimDisk};
pub use tail::Tail;

/// A durable file operation that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A name that could leave the store's directory.
    #[error("{found:?} is not a name the store takes (letters, digits, '.', '_', '-', one directory)")]
    Name {
        /// The first 40 characters of what was given.
        found: String,
    },
    /// No room. The old content is still there.
    #[error("cannot {doing} {name}: the disk is full; free some room or remove images from the vault")]
    Full {
        /// What was attempted.
        doing: &'static str,
        /// On which name.
        name: String,
    },
    /// A file larger than its reader is willing to hold.
    #[error("{name} is {found} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Which file.
        name: String,
        /// Its size in bytes.
        found: u64,
        /// The most that was allowed.
        limit: u64,
    },
    /// The operating system refused.
    #[error("cannot {doing} {name}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A test cut the power here.
    #[error(transparent)]
    Cut(#[from] Blown),
}

impl StoreError {
    /// Whether making room would help.
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Full { .. })
    }

    fn io(doing: &'static str, name: &impl ToString, source: io::Error) -> StoreError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { doing, name: name.to_string() }
            }
            _ => StoreError::Io { doing, name: name.to_string(), source },
        }
    }
}

/// Durable files in one directory and the directories directly below it. Clones share the disk.
///
/// Only one process may have a store open on a directory: opening removes temporary files.
#[derive(Debug, Clone)]
pub struct Store {
    disk: Arc<dyn Disk>,
    fuse: Fuse,
}

impl Store {
    /// Opens the store, makes `dirs` and removes what an earlier crash left half written.
    pub fn open(disk: impl Disk + 'static, dirs: &[&str], fuse: Fuse) -> Result<Store, StoreError> {
        let store = Store { disk: Arc::new(disk), fuse };
        for dir in dirs {
            if !disk::part(dir) {
                return Err(StoreError::Name { found: dir.chars().take(40).collect() });
            }
            store.disk.make_dir(dir).map_err(|e| StoreError::io("make directory", dir, e))?;
        }
        store.sync_dir("")?;
        for dir in [""].iter().chain(dirs) {
            store.sweep(dir)?;
        }
        Ok(store)
    }

    /// Replaces the content of `name`; on return it is durable.
    pub fn write_atomic(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let name = Name::parse(name)?;
        let mut intake = self.intake(name.dir())?;
        intake.write(bytes)?;
        intake.commit_as(&name)
    }

    /// The whole content, `None` when there is no such file.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(file) = self.open_file(name)? else { return Ok(None) };
        let found = file.size()?;
        let too_large = |found| StoreError::TooLarge { name: name.to_owned(), found, limit };
        let len = usize::try_from(found).map_err(|_| too_large(found))?;
        if found > limit {
            return Err(too_large(found));
        }
        let mut bytes = vec![0; len];
        let mut have = 0;
        while have < bytes.len() {
            match file.read_at(have as u64, &mut bytes[have..])? {
                0 => break, // it shrank while being read
                n => have += n,
            }
        }
        bytes.truncate(have);
        Ok(Some(bytes))
    }

    /// Opens a file for positioned reads, `None` when there is none. The handle outlives the name.
    pub fn open_file(&self, name: &str) -> Result<Option<StoreFile>, StoreError> {
        let name = Name::parse(name)?;
        match self.disk.open(&name) {
            Ok(file) => Ok(Some(StoreFile { name, file })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("open", &name, e)),
        }
    }

    /// Removes a file durably; false when there was none.
    pub fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let name = Name::parse(name)?;
        self.fuse.step("remove")?;
        match self.disk.remove(&name) {
            Ok(()) => self.sync_dir(name.dir()).map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(StoreError::io("remove", &name, e)),
        }
    }

    /// Gives a file a new name, durably, replacing what had it.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.rename_name(&Name::parse(from)?, &Name::parse(to)?)
    }

    /// Starts taking in a file of unknown size, to be named in `dir` or elsewhere.
    pub fn intake(&self, dir: &str) -> Result<Intake, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = Name::temporary(dir, format!("{TEMPORARY}{}-{unique}", std::process::id()));
        self.fuse.step("create")?;
        let file = self.disk.create(&name).map_err(|e| StoreError::io("create", &name, e))?;
        Ok(Intake::new(self.clone(), name, file))
    }

    /// Opens `name` for appending and makes it, empty and with a durable name, where it is not there. Only one
    /// [`Tail`] of a file may be in use.
    pub fn append(&self, name: &str) -> Result<Tail, StoreError> {
        let name = Name::parse(name)?;
        let failed = |e| StoreError::io("open for appending", &name, e);
        let file = match self.disk.append(&name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.fuse.step("create")?;
                self.disk.create(&name).map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
        // Also where it was there: it may have been made just before a cut of the power.
        self.sync_dir(name.dir())?;
        let len = file.size().map_err(failed)?;
        Ok(Tail::new(self.clone(), name, file, len))
    }

    /// Keeps `len` bytes of disk occupied under `name`, to be [`remove`](Store::remove)d when something
    /// that must not fail finds the disk full. Does nothing when they are already kept.
    pub fn set_aside(&self, name: &str, len: u64) -> Result<(), StoreError> {
        let name = Name::parse(name)?;
        if let Ok(file) = self.disk.open(&name)
            && file.size().is_ok_and(|size| size >= len)
        {
            return Ok(());
        }
        let mut intake = self.intake(name.dir())?;
        intake.allocate(len)?;
        intake.commit_as(&name)
    }

    /// The files in `dir` (empty: the root) by name; temporary ones are not shown.
    pub fn list(&self, dir: &str) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.disk.list(dir).map_err(|e| StoreError::io("list", &dir, e))?;
        entries.retain(|e| !e.file.starts_with(TEMPORARY));
        entries.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(entries)
    }

    /// Bytes that can still be written.
    pub fn free(&self) -> Result<u64, StoreError> {
        self.disk.free().map_err(|e| StoreError::io("measure the room below", &"the data directory", e))
    }

    /// The crash points this store passes; callers pass the same ones before their own commits.
    pub fn fuse(&self) -> &Fuse {
        &self.fuse
    }

    fn rename_name(&self, from: &Name, to: &Name) -> Result<(), StoreError> {
        self.fuse.step("rename")?;
        self.disk.rename(from, to).map_err(|e| StoreError::io("rename to", to, e))?;
        self.sync_dir(to.dir())?;
        if from.dir() != to.dir() {
            self.sync_dir(from.dir())?;
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> Result<(), StoreError> {
        self.fuse.step("fsync directory")?;
        let name = || if dir.is_empty() { "the data directory" } else { dir };
        self.disk.sync_dir(dir).map_err(|e| StoreError::io("fsync", &name(), e))
    }

    fn sweep(&self, dir: &str) -> Result<(), StoreError> {
        let entries = self.disk.list(dir).map_err(|e| StoreError::io("list", &dir, e))?;
        for left in entries.into_iter().filter(|e| e.file.starts_with(TEMPORARY)) {
            let name = Name::temporary(dir, left.file);
            self.fuse.step("remove")?;
            self.disk.remove(&name).map_err(|e| StoreError::io("remove", &name, e))?;
        }
        Ok(())
    }
}

/// A file open for positioned reads.
#[derive(Debug)]
pub struct StoreFile {
    name: Name,
    file: Box<dyn DiskFile>,
}

impl StoreFile {
    /// Reads at most `buf.len()` bytes at `offset`; 0 at the end.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, StoreError> {
        loop {
            match self.file.read_at(offset, buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|e| StoreError::io("read", &self.name, e)),
            }
        }
    }

    /// Its size in bytes now.
    pub fn size(&self) -> Result<u64, StoreError> {
        self.file.size().map_err(|e| StoreError::io("measure", &self.name, e))
    }
}

/// What temporary files start with; a [`Name`] cannot.
const TEMPORARY: &str = ".tmp-";
