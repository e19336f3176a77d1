//! [`SimDisk`]: a disk in memory that can lose power.
//!
//! It keeps what was made durable apart from what was only written. Names follow an ordered journal, as
//! on ext4 and XFS: a directory fsync makes every earlier change of a name durable too, and a rename is
//! all or nothing. Contents follow no order at all. Directories themselves are durable once made.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, Entry, Name};

/// A simulated disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// How much of what was never made durable survives a power cut by luck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerCut {
    /// Creates, renames and removes that reached the journal, from the oldest on.
    pub names: usize,
    /// Bytes of each file that were written after its last fsync and reached the disk: a torn write.
    pub bytes: usize,
}

impl PowerCut {
    /// Nothing survives that was not made durable.
    pub const CLEAN: PowerCut = PowerCut { names: 0, bytes: 0 };
    /// Every name survives and no content does: the empty file after a rename without fsync.
    pub const NAMES_ONLY: PowerCut = PowerCut { names: usize::MAX, bytes: 0 };
}

#[derive(Debug, Default)]
struct State {
    dirs: BTreeSet<String>,
    names: BTreeMap<Name, u64>,
    durable_names: BTreeMap<Name, u64>,
    journal: Vec<Change>,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    capacity: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    /// How many of `bytes`, from the start, were made durable; files only grow.
    durable: usize,
}

#[derive(Debug, Clone)]
enum Change {
    Create(Name, u64),
    Rename(Name, Name, u64),
    Remove(Name),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<Name, u64>) {
        match self {
            Change::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Change::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Change::Remove(name) => {
                names.remove(name);
            }
        }
    }

    fn touches(&self, dir: &str) -> bool {
        match self {
            Change::Create(name, _) | Change::Remove(name) => name.dir() == dir,
            Change::Rename(from, to, _) => from.dir() == dir || to.dir() == dir,
        }
    }
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.journal.push(change);
    }

    fn find(&self, name: &Name) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.files.get(id)).map(|f| f.bytes.len() as u64).sum()
    }
}

impl SimDisk {
    /// An empty disk without a size limit.
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// Makes the disk hold `bytes` in all; writes beyond fail as on a full disk.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = Some(bytes);
    }

    /// The disk as the next start finds it when power goes now. `self` is left as it was.
    pub fn power_cut(&self, cut: PowerCut) -> SimDisk {
        let state = self.lock();
        let mut names = state.durable_names.clone();
        for change in state.journal.iter().take(cut.names) {
            change.apply(&mut names);
        }
        let mut files = BTreeMap::new();
        for id in names.values() {
            let mut content = state.files.get(id).cloned().unwrap_or_default();
            content.bytes.truncate(content.durable.saturating_add(cut.bytes));
            content.durable = content.bytes.len();
            files.insert(*id, content);
        }
        let after = State {
            dirs: state.dirs.clone(),
            durable_names: names.clone(),
            names,
            journal: Vec::new(),
            files,
            next_file: state.next_file,
            capacity: state.capacity,
        };
        SimDisk { state: Arc::new(Mutex::new(after)) }
    }

    /// Changes one bit of a file behind everybody's back. False when there is no such byte.
    pub fn flip(&self, name: &str, offset: usize) -> bool {
        let mut state = self.lock();
        let id = Name::parse(name).ok().and_then(|name| state.find(&name).ok());
        let byte = id.and_then(|id| state.files.get_mut(&id)).and_then(|f| f.bytes.get_mut(offset));
        byte.map(|b| *b ^= 1).is_some()
    }

    /// Cuts a file short behind everybody's back.
    pub fn truncate(&self, name: &str, len: usize) {
        let mut state = self.lock();
        let id = Name::parse(name).ok().and_then(|name| state.find(&name).ok());
        if let Some(file) = id.and_then(|id| state.files.get_mut(&id)) {
            file.bytes.truncate(len);
            file.durable = file.durable.min(len);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, id: u64) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), id })
    }
}

impl Disk for SimDisk {
    fn make_dir(&self, dir: &str) -> io::Result<()> {
        self.lock().dirs.insert(dir.to_owned());
        Ok(())
    }

    fn create(&self, name: &Name) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !name.dir().is_empty() && !state.dirs.contains(name.dir()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, Content::default());
        state.change(Change::Create(name.clone(), id));
        drop(state);
        Ok(self.handle(id))
    }

    fn open(&self, name: &Name) -> io::Result<Box<dyn DiskFile>> {
        let id = self.lock().find(name)?;
        Ok(self.handle(id))
    }

    fn append(&self, name: &Name) -> io::Result<Box<dyn DiskFile>> {
        self.open(name)
    }

    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        let mut state = self.lock();
        let id = state.find(from)?;
        state.change(Change::Rename(from.clone(), to.clone(), id));
        Ok(())
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        let mut state = self.lock();
        state.find(name)?;
        state.change(Change::Remove(name.clone()));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let state = &mut *self.lock();
        let upto = state.journal.iter().rposition(|c| c.touches(dir)).map_or(0, |last| last + 1);
        for change in state.journal.drain(..upto) {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<Entry>> {
        let state = self.lock();
        let size = |id| state.files.get(id).map_or(0, |f| f.bytes.len() as u64);
        let here = state.names.iter().filter(|(name, _)| name.dir() == dir);
        Ok(here.map(|(name, id)| Entry { file: name.file().to_owned(), size: size(id) }).collect())
    }

    fn free(&self) -> io::Result<u64> {
        let state = self.lock();
        Ok(state.capacity.map_or(u64::MAX, |all| all.saturating_sub(state.used())))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let room = state.capacity.map_or(usize::MAX, |all| {
            usize::try_from(all.saturating_sub(state.used())).unwrap_or(usize::MAX)
        });
        let file = state.files.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        // Like a real disk: what fits is written before the error.
        file.bytes.extend(bytes.iter().take(room));
        if bytes.len() > room { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        let have = self.size()?;
        let more = usize::try_from(len.saturating_sub(have)).map_err(|_| io::ErrorKind::StorageFull)?;
        self.append(&vec![0; more])
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let file = state.files.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        file.durable = file.bytes.len();
        Ok(())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.lock();
        let file = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(file.bytes.len());
        let rest = &file.bytes[from..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        Ok(state.files.get(&self.id).map_or(0, |f| f.bytes.len() as u64))
    }
}
