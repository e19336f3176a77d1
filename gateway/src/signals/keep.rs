//! What was learned, over a restart: one CBOR file for each signal, through the durable store.

use std::collections::BTreeSet;

use hal::store::Store;
use sensor_monitor::channel::{Channel, Stored};
use sensor_monitor::monitor::Monitor;

/// Folder of the data folder.
pub const DIR: &str = "signals";

/// Reads what was kept: of which signals it was taken up. What cannot be read, was kept by another version, or is gone
/// although the database knows that it was kept, is learned anew; which signals those are, and what is wrong.
pub(super) fn resume(
    store: &Store,
    kept: &BTreeSet<String>,
    monitor: &mut Monitor,
) -> (Vec<String>, Vec<(usize, String)>) {
    let learns = |c: &Channel| c.spec().learning.is_some();
    let ids: Vec<(String, bool)> =
        monitor.channels().iter().map(|c| (c.spec().id.clone(), learns(c))).collect();
    let (mut taken, mut lost) = (Vec::new(), Vec::new());
    for (signal, (id, _)) in ids.into_iter().enumerate().filter(|(_, (_, learns))| *learns) {
        let stored = match store.read(&name(&id), MAX_KEPT) {
            Ok(None) if !kept.contains(&id) => continue,
            Ok(None) => Err("the file is gone, and nobody had it learned anew".to_owned()),
            Ok(Some(bytes)) => serde_cbor::from_slice::<Stored>(&bytes).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        let resumed = stored.and_then(|stored| match monitor.resume(stored, &id) {
            true => Ok(()),
            false => Err("it is damaged, or was kept for another signal or by another version".into()),
        });
        match resumed {
            Ok(()) => taken.push(id),
            Err(e) => {
                tracing::warn!(signal = %id, error = %e, "what was learned cannot be read; it is learned anew");
                lost.push((signal, format!("{id}: {}: {e}; it is learned anew", name(&id))));
            }
        }
    }
    (taken, lost)
}

/// Writes what is new; of which signals it was written.
pub(super) fn keep(store: &Store, monitor: &mut Monitor) -> Vec<String> {
    let mut kept = Vec::new();
    for stored in monitor.take_learned() {
        let written = serde_cbor::to_vec(&stored)
            .map_err(|e| e.to_string())
            .and_then(|bytes| store.write_atomic(&name(stored.id()), &bytes).map_err(|e| e.to_string()));
        match written {
            Ok(()) => kept.push(stored.id().to_owned()),
            Err(e) => {
                tracing::warn!(signal = %stored.id(), error = %e, "what was learned could not be kept");
            }
        }
    }
    kept
}

fn name(id: &str) -> String {
    format!("{DIR}/{id}.cbor")
}

/// Largest file read.
const MAX_KEPT: u64 = 4 << 20;
