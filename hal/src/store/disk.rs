//! The edge of the machine: what a disk can do, and the names it may be asked for.
//!
//! A disk holds one root directory and directories directly below it. It promises nothing about
//! durability on its own: content is safe after [`DiskFile::sync`], a name after [`Disk::sync_dir`].

use std::io;

use super::StoreError;

/// A checked name: `file` in the root or `dir/file` one level below it.
///
/// Each part is 1 to 100 of `A-Z a-z 0-9 . _ -` and does not start with a dot, so neither `..` nor a
/// temporary file of the store can be named from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    dir: String,
    file: String,
}

impl Name {
    /// Checks `text`.
    pub fn parse(text: &str) -> Result<Name, StoreError> {
        let (dir, file) = text.split_once('/').unwrap_or(("", text));
        if (dir.is_empty() && text.starts_with('/')) || !(dir.is_empty() || part(dir)) || !part(file) {
            return Err(StoreError::Name { found: text.chars().take(40).collect() });
        }
        Ok(Name { dir: dir.to_owned(), file: file.to_owned() })
    }

    /// The directory, empty for the root.
    pub fn dir(&self) -> &str {
        &self.dir
    }

    /// The last part.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// A name of the store's own, which [`Name::parse`] refuses.
    pub(super) fn temporary(dir: &str, file: String) -> Name {
        Name { dir: dir.to_owned(), file }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.dir.is_empty() {
            write!(f, "{}/", self.dir)?;
        }
        f.write_str(&self.file)
    }
}

/// Whether `text` can be one part of a name.
pub(super) fn part(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// A file as a directory lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last part of its name.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A disk, real or simulated.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Makes `dir` below the root unless it is there.
    fn make_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes a new, empty file; an existing one is an error.
    fn create(&self, name: &Name) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading. The handle stays good when the name goes.
    fn open(&self, name: &Name) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that is there for appending and reading.
    fn append(&self, name: &Name) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file a new name, replacing what had it.
    fn rename(&self, from: &Name, to: &Name) -> io::Result<()>;
    /// Takes a name away.
    fn remove(&self, name: &Name) -> io::Result<()>;
    /// Makes the names in `dir` durable (empty: the root).
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// The regular files in `dir`, in no order.
    fn list(&self, dir: &str) -> io::Result<Vec<Entry>>;
    /// Bytes an ordinary user can still write.
    fn free(&self) -> io::Result<u64>;
}

/// One open file.
pub trait DiskFile: Send + Sync + std::fmt::Debug {
    /// Writes all of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Claims room for `len` bytes in all, so that writing them later cannot run out of disk.
    fn allocate(&mut self, len: u64) -> io::Result<()>;
    /// Makes the content durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Reads at most `buf.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_root_or_meet_a_temporary_file() {
        let long = "a".repeat(101);
        let bad = [
            "", ".", "..", "/", "/a", "a/", "../a", "a/..", "a/../b", "a/b/c", ".tmp-1-1", "vault/.x", "a b",
            "a\0", "a\\b", "ä", &long,
        ];
        for text in bad {
            assert!(matches!(Name::parse(text), Err(StoreError::Name { .. })), "{text:?}");
        }
        for (text, dir, file) in [("state.created", "", "state.created"), ("vault/ab.img", "vault", "ab.img")]
        {
            let name = Name::parse(text).expect("well formed");
            assert_eq!((name.dir(), name.file(), name.to_string().as_str()), (dir, file, text));
        }
    }
}
