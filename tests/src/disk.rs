//! A disk of its own for a gateway's data: it can be full, and it can lose its power.
//!
//! An ext4 file system on a loop device. The file behind it holds what a real disk would hold: writes that
//! nobody has synced are in the kernel's cache above it, so a copy of that file, taken while the gateway is
//! stopped, is what a power cut would leave.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted disk; unmounted when dropped.
pub struct Disk {
    file: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// Makes a disk of `size` bytes and mounts it on the new folder `at`. `None`, with a line that says so,
    /// for a user who may not mount.
    pub fn mount(at: &Path, size: u64) -> Option<Disk> {
        if !is_root() {
            println!("skipped: only root can mount the disk this test needs");
            return None;
        }
        let disk = Disk { file: at.with_extension("disk"), at: at.to_path_buf() };
        let file = std::fs::File::create(&disk.file).expect("writable");
        file.set_len(size).expect("a sparse file");
        run("mkfs.ext4", &["-q", "-F", path(&disk.file)]);
        std::fs::create_dir(at).expect("a new folder");
        disk.attach();
        Some(disk)
    }

    /// Takes the power away: what was not synced when `stopped` was called is gone. Between the two calls of
    /// the caller, the gateway must be stopped and then killed.
    pub fn cut(&self, kill: impl FnOnce()) {
        let left = self.file.with_extension("left");
        run("cp", &["--sparse=always", path(&self.file), path(&left)]);
        kill();
        self.detach();
        std::fs::rename(&left, &self.file).expect("one folder");
        self.attach();
    }

    /// Writes until nothing more fits; gives the file that took the room.
    pub fn fill(&self) -> PathBuf {
        use std::io::Write;
        let ballast = self.at.join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("room for a name");
        for size in [1 << 20, 4096, 512] {
            while file.write_all(&vec![0x55; size]).and_then(|()| file.sync_data()).is_ok() {}
        }
        ballast
    }

    fn attach(&self) {
        run("mount", &["-o", "loop", path(&self.file), path(&self.at)]);
    }

    fn detach(&self) {
        run("umount", &[path(&self.at)]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever still has a file open there is a process of a test that failed.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path")
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
