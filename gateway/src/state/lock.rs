//! One process at a time: a file lock that names its holder and goes with its process.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::StateError;

/// The right to open the state and the store of one data directory. The kernel gives it back when the
/// process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    dir: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of `dir` (made when it is not there), or says who has it.
    pub fn take(dir: &Path) -> Result<Lock, StateError> {
        let failed = |source| StateError::Lock { dir: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(dir.join(LOCK_FILE)).map_err(failed)?;
        match lock(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StateError::InUse { dir: dir.to_owned(), pid: holder(&mut file) });
            }
            Err(e) => return Err(failed(e.into())),
        }
        // Only for the message above: on a full disk the lock holds all the same.
        let _ = name_holder(&mut file);
        Ok(Lock { dir: dir.to_owned(), _file: file })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Locks, and tries again for a moment: a process that forks holds every lock until its child executes.
fn lock(file: &File) -> Result<(), rustix::io::Errno> {
    let mut tries = 0;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if tries < TRIES => tries += 1,
            other => return other,
        }
        std::thread::sleep(PAUSE);
    }
}

fn name_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

const LOCK_FILE: &str = "state.lock";
/// Tries after the first, and the pause between two.
const TRIES: u32 = 10;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_second_holder_is_told_who_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let error = Lock::take(dir.path()).unwrap_err();
        assert!(matches!(error, StateError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }
}
