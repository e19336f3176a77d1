//! Boxes whose place this one took: their audit logs, which no key can continue, and the keys to check them with.
//!
//! Each has a folder of its own below the data folder, with the log in it as it was.

use firmware_verifier::trust::PublicKey;
use hal::store::{RealDisk, Store};

use super::failure::Failure;
use super::{Judge, why};
use crate::audit::checkpoint::LogKey;
use crate::audit::{Log, export};
use crate::backup::Predecessor;
use crate::receipt::envelope;

impl Judge {
    /// Those that there are, by name.
    pub(super) fn predecessors(&self) -> Vec<Predecessor> {
        let Ok(entries) = std::fs::read_dir(self.config.data.join(FOLDER)) else { return Vec::new() };
        let name = |entry: std::fs::DirEntry| Predecessor::parse(entry.file_name().to_str()?);
        let mut found: Vec<Predecessor> = entries.flatten().filter_map(name).collect();
        found.sort();
        found
    }

    /// The files of one.
    pub(super) fn predecessor(&self, of: &Predecessor) -> Result<Store, Failure> {
        let root = self.config.data.join(FOLDER).join(of.as_str());
        let failed = |e: &dyn std::fmt::Display| Failure::internal(format!("{}: {e}", root.display()));
        let disk = RealDisk::open(&root).map_err(|e| failed(&e))?;
        Store::open(disk, Log::DIRS, self.store.fuse().clone()).map_err(|e| failed(&e))
    }

    /// The evidence key of one.
    pub(super) fn predecessor_key(&self, of: &Predecessor) -> Result<PublicKey, Failure> {
        let pem = self.predecessor(of)?.read(KEY, MAX_KEY)?.unwrap_or_default();
        let key = envelope::key_from_pem(&String::from_utf8_lossy(&pem));
        let key = key.map_err(|e| Failure::new(why::AUDIT_LOG, format!("{of}: {KEY}: {e}")))?;
        let digest = crate::vault::from_hex(&crate::receipt::check::id_of(&key));
        match digest.is_some_and(|digest| Predecessor::of(&digest) == *of) {
            true => Ok(key),
            false => Err(Failure::new(why::AUDIT_LOG, format!("{of}: {KEY} is another box's key"))),
        }
    }

    /// The evidence keys of all that can be read.
    pub(super) fn predecessor_keys(&self) -> Vec<PublicKey> {
        self.predecessors().iter().filter_map(|of| self.predecessor_key(of).ok()).collect()
    }

    /// Writes their logs beside an exported one, each in a folder of its own.
    pub(super) fn export_predecessors(&self, to: &std::path::Path) -> Result<usize, Failure> {
        let all = self.predecessors();
        for of in &all {
            let key = self.predecessor_key(of)?;
            let der = crate::receipt::check::der_of(&key);
            let damaged = |e: &dyn std::fmt::Display| Failure::new(why::AUDIT_LOG, format!("{of}: {e}"));
            let name = format!("headgate/{}", self.config.name);
            let key = LogKey::from_spki(&name, &der).map_err(|e| damaged(&e))?;
            let (log, _) = Log::open(self.predecessor(of)?, key, None).map_err(|e| damaged(&e))?;
            let folder = to.join(FOLDER).join(of.as_str());
            let mut sink = |name: &str, bytes: &[u8]| super::book::append(&folder.join(name), bytes);
            export::bundle(&log, &mut sink).map_err(|e| damaged(&e))?;
        }
        Ok(all.len())
    }
}

/// Below the data folder, and in an exported log.
const FOLDER: &str = "predecessors";
/// In the folder of one: its evidence key in PEM.
pub(super) const KEY: &str = "evidence.pem";
/// Largest key file.
pub(super) const MAX_KEY: u64 = 4096;
