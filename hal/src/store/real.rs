//! [`RealDisk`]: a directory of this machine's file system.
//!
//! Files are 0600 and directories 0700. Symbolic links are never followed at the last step of a name.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags};

use super::disk::{Disk, DiskFile, Entry, Name};

/// The file system below one root directory.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Uses `root`, making it (0700) when it is not there.
    pub fn open(root: &Path) -> io::Result<RealDisk> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        Ok(RealDisk { root: root.to_owned() })
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.root.join(name.dir()).join(name.file())
    }
}

impl Disk for RealDisk {
    fn make_dir(&self, dir: &str) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(self.root.join(dir)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn create(&self, name: &Name) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(0o600);
        Ok(Box::new(RealFile(options.open(self.path(name))?)))
    }

    fn open(&self, name: &Name) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        Ok(Box::new(RealFile(options.open(self.path(name))?)))
    }

    fn append(&self, name: &Name) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        Ok(Box::new(RealFile(options.open(self.path(name))?)))
    }

    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.root.join(dir))?.sync_all()
    }

    fn list(&self, dir: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.root.join(dir))? {
            let entry = entry?;
            let meta = match entry.metadata() {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue, // removed since it was listed
                other => other?,
            };
            // A name that is not UTF-8 is none of ours.
            if let (true, Ok(file)) = (meta.is_file(), entry.file_name().into_string()) {
                entries.push(Entry { file, size: meta.len() });
            }
        }
        Ok(entries)
    }

    fn free(&self) -> io::Result<u64> {
        let room = rustix::fs::statvfs(&self.root)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len)?)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::store::{Fuse, Store, StoreError};

    #[test]
    fn files_are_private_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let store = Store::open(RealDisk::open(&root).unwrap(), &["vault"], Fuse::never()).unwrap();
        store.write_atomic("vault/a", b"old").unwrap();
        store.write_atomic("vault/a", b"new").unwrap();
        assert_eq!(store.read("vault/a", 3).unwrap(), Some(b"new".to_vec()));
        let mode = |p: &str| root.join(p).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode("vault"), mode("vault/a")), (0o700, 0o700, 0o600));

        symlink(root.join("vault/a"), root.join("vault/link")).unwrap();
        assert!(matches!(store.read("vault/link", 10), Err(StoreError::Io { .. })));
        assert_eq!(store.list("vault").unwrap().len(), 1);
        assert!(store.free().unwrap() > 0);
    }

    #[test]
    fn a_file_grows_over_two_openings_and_a_link_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(RealDisk::open(dir.path()).unwrap(), &[], Fuse::never()).unwrap();
        for (part, size) in [(&b"one"[..], 3), (b"two", 6)] {
            let mut tail = store.append("log").unwrap();
            tail.write(part).unwrap();
            tail.sync().unwrap();
            assert_eq!(tail.size(), size);
        }
        assert_eq!(store.read("log", 6).unwrap(), Some(b"onetwo".to_vec()));
        let mode = dir.path().join("log").metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        symlink(dir.path().join("log"), dir.path().join("link")).unwrap();
        assert!(matches!(store.append("link"), Err(StoreError::Io { .. })));
    }

    #[test]
    fn a_start_sweeps_away_what_a_crash_left_half_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("vault")).unwrap();
        for left in [".tmp-1-2", "vault/.tmp-9-9", "vault/kept"] {
            std::fs::write(dir.path().join(left), b"half").unwrap();
        }
        let store = Store::open(RealDisk::open(dir.path()).unwrap(), &["vault"], Fuse::never()).unwrap();
        assert_eq!(store.list("").unwrap(), []);
        assert_eq!(store.list("vault").unwrap(), [Entry { file: "kept".into(), size: 4 }]);
    }

    #[test]
    fn a_reserve_holds_real_blocks_until_it_is_spent() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(RealDisk::open(dir.path()).unwrap(), &[], Fuse::never()).unwrap();
        store.set_aside("reserve", 1 << 20).unwrap();
        store.set_aside("reserve", 1 << 20).unwrap();
        let meta = dir.path().join("reserve").metadata().unwrap();
        assert_eq!(meta.len(), 1 << 20);
        assert!(std::os::unix::fs::MetadataExt::blocks(&meta) * 512 >= 1 << 20);
        assert!(store.remove("reserve").unwrap());
        assert!(!store.remove("reserve").unwrap());
    }
}
