//! A sysfs or procfs tree, read in bounded pieces.
//!
//! What the kernel shows is text that a driver wrote, so nothing is trusted: a file is read up to
//! [`MAX_TEXT`] bytes and a directory up to [`MAX_ENTRIES`] names. What is absent is `None`, never an error.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::SourceError;

/// Most bytes of one file. A sysfs attribute has at most one page; procfs tables are longer.
pub const MAX_TEXT: usize = 65_536;
/// Most names taken from one directory.
pub const MAX_ENTRIES: usize = 1024;

/// The files below one root directory.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Uses `root`, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Tree {
        Tree { root: root.into() }
    }

    /// The tree below `path` in this one.
    #[must_use]
    pub fn below(&self, path: &str) -> Tree {
        Tree { root: self.root.join(path) }
    }

    /// Where `path` is on the machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The text of a file without white space at its ends; `None` when there is no such file.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot be read, is longer than [`MAX_TEXT`], or is not UTF-8.
    pub fn text(&self, path: &str) -> Result<Option<String>, SourceError> {
        let full = self.path(path);
        let name = || full.display().to_string();
        let Some(file) = open(&full)? else { return Ok(None) };
        let mut bytes = Vec::new();
        match file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes) {
            Err(e) if is_absent(&e) => return Ok(None),
            other => other.map_err(|e| SourceError::io(name(), e))?,
        };
        if bytes.len() > MAX_TEXT {
            return Err(SourceError::unexpected(name(), "a longer file", "at most 65536 bytes"));
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(_) => Err(SourceError::unexpected(name(), &String::from_utf8_lossy(&bytes), "UTF-8 text")),
        }
    }

    /// The file as one finite number; `None` when there is no such file.
    ///
    /// # Errors
    /// As [`Tree::text`], and when it holds anything else.
    pub fn number(&self, path: &str) -> Result<Option<f64>, SourceError> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(SourceError::unexpected(self.path(path).display().to_string(), &text, "a number")),
        }
    }

    /// Writes one value to an attribute that exists.
    ///
    /// # Errors
    /// [`SourceError::Io`] when it does not exist or refuses the value.
    pub fn write(&self, path: &str, value: &str) -> Result<(), SourceError> {
        let full = self.path(path);
        let mut options = OpenOptions::new();
        options.write(true).truncate(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let written = options.open(&full).and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(|e| SourceError::io(format!("{} = {value}", full.display()), e))
    }

    /// Names in a directory, sorted; empty when there is none. Names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot be listed or holds more than [`MAX_ENTRIES`] names.
    pub fn names(&self, path: &str) -> Result<Vec<String>, SourceError> {
        let full = self.path(path);
        let name = || full.display().to_string();
        let entries = match std::fs::read_dir(&full) {
            Err(e) if is_absent(&e) => return Ok(Vec::new()),
            other => other.map_err(|e| SourceError::io(name(), e))?,
        };
        let mut names = Vec::new();
        for entry in entries.take(MAX_ENTRIES + 1) {
            let entry = entry.map_err(|e| SourceError::io(name(), e))?;
            names.extend(entry.file_name().into_string().ok());
        }
        if names.len() > MAX_ENTRIES {
            return Err(SourceError::unexpected(name(), "more names", "at most 1024 names"));
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Opens without waiting, should it be a FIFO.
fn open(path: &Path) -> Result<Option<File>, SourceError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    match options.open(path) {
        Err(e) if is_absent(&e) => Ok(None),
        other => other.map(Some).map_err(|e| SourceError::io(path.display().to_string(), e)),
    }
}

/// No such file, or the device behind it has gone (ENODEV, ENXIO) or does not have this value (ENODATA).
fn is_absent(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let gone = [Errno::NODEV, Errno::NXIO, Errno::NODATA].map(|e| Some(e.raw_os_error()));
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || gone.contains(&error.raw_os_error())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hostile_files_are_refused_and_absent_ones_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::new(dir.path());
        std::fs::write(tree.path("good"), " 1.5e3\n").unwrap();
        std::fs::write(tree.path("long"), vec![b'1'; MAX_TEXT + 1]).unwrap();
        std::fs::write(tree.path("longest"), vec![b'1'; MAX_TEXT]).unwrap();
        std::fs::write(tree.path("binary"), [0xFF, 0xFE]).unwrap();
        std::fs::write(tree.path("infinite"), "inf").unwrap();
        std::fs::write(tree.path("empty"), "").unwrap();
        assert_eq!(tree.number("good").unwrap(), Some(1500.0));
        assert_eq!(tree.number("none").unwrap(), None);
        assert_eq!(tree.text("good/below").unwrap(), None);
        assert_eq!(tree.text("longest").unwrap().unwrap().len(), MAX_TEXT);
        for bad in ["long", "binary", "infinite", "empty"] {
            assert!(tree.number(bad).is_err(), "{bad}");
        }
        assert!(tree.text(".").is_err(), "a directory is no text");
        assert!(tree.write("none", "1").is_err(), "an attribute is never made");
        assert_eq!(tree.names("").unwrap().len(), 6);
        assert!(tree.names("none").unwrap().is_empty());
    }

    #[test]
    fn a_fifo_without_a_writer_does_not_hold_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap();
        assert!(made.success());
        assert_eq!(Tree::new(dir.path()).text("fifo").unwrap().as_deref(), Some(""));
    }
}
