//! A data directory for tests: opened, dropped without ceremony, opened again.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use hal::clock::Wall;
use hal::store::{Fuse, RealDisk, SimDisk, Store};

use super::case::{self, CaseNumber, NewCase};
use super::{Db, Lock, StateError};
use crate::vault::{ImageDigest, Limits, Sidecar, StagedImage, Vault};

pub(super) struct Dir(pub(super) tempfile::TempDir);

impl Dir {
    pub(super) fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    pub(super) fn open(&self) -> Db {
        self.open_with(Fuse::never()).unwrap()
    }

    pub(super) fn open_with(&self, fuse: Fuse) -> Result<Db, StateError> {
        let lock = Lock::take(self.0.path())?;
        let store = Store::open(RealDisk::open(self.0.path()).unwrap(), &[], fuse)?;
        Db::open(lock, &store)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

pub(super) fn at(ms: i64) -> Wall {
    Wall::trusted(ms)
}

/// An image that a vault vouches for.
pub(super) fn staged(content: &[u8]) -> StagedImage {
    let store = Store::open(SimDisk::new(), Vault::DIRS, Fuse::never()).unwrap();
    let vault = Vault::open(store, Limits { keep_free: 0, ..Limits::default() }).unwrap();
    let mut intake = vault.intake(1 << 20).unwrap();
    intake.write(content).unwrap();
    intake.finish(&Sidecar::default()).unwrap()
}

/// A case about `plc`.
pub(super) fn open_case(db: &mut Db, plc: &str, digest: Option<ImageDigest>) -> CaseNumber {
    let new = NewCase {
        plc: plc.to_owned(),
        station: "10.0.0.9".to_owned(),
        way: "stage".to_owned(),
        class: "firmware".to_owned(),
        digest,
    };
    db.write("test", |tx| case::open(tx, &new, at(1))).unwrap()
}
