//! What was learned, over a restart: one CBOR file for each signal, through the durable store.

use hal::store::Store;
use sensor_monitor::channel::{Channel, Stored};
use sensor_monitor::monitor::Monitor;

/// Folder of the data folder.
pub const DIR: &str = "signals";

/// Reads what was kept. What cannot be read, or was kept by another version, is learned anew; which signals those are,
/// and what is wrong.
pub(super) fn resume(store: &Store, monitor: &mut Monitor) -> Vec<(usize, String)> {
    let learns = |c: &Channel| c.spec().learning.is_some();
    let ids: Vec<(String, bool)> =
        monitor.channels().iter().map(|c| (c.spec().id.clone(), learns(c))).collect();
    let mut lost = Vec::new();
    for (signal, (id, _)) in ids.into_iter().enumerate().filter(|(_, (_, learns))| *learns) {
        let stored = match store.read(&name(&id), MAX_KEPT) {
            Ok(None) => continue,
            Ok(Some(bytes)) => serde_cbor::from_slice::<Stored>(&bytes).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        let resumed = stored.and_then(|stored| match monitor.resume(stored, &id) {
            true => Ok(()),
            false => Err("it is damaged, or was kept for another signal or by another version".into()),
        });
        if let Err(e) = resumed {
            tracing::warn!(signal = %id, error = %e, "what was learned cannot be read; it is learned anew");
            lost.push((signal, format!("{id}: {}: {e}; it is learned anew", name(&id))));
        }
    }
    lost
}

/// Writes what is new.
pub(super) fn keep(store: &Store, monitor: &mut Monitor) {
    for stored in monitor.take_learned() {
        let written = serde_cbor::to_vec(&stored)
            .map_err(|e| e.to_string())
            .and_then(|bytes| store.write_atomic(&name(stored.id()), &bytes).map_err(|e| e.to_string()));
        if let Err(e) = written {
            tracing::warn!(signal = %stored.id(), error = %e, "what was learned could not be kept");
        }
    }
}

fn name(id: &str) -> String {
    format!("{DIR}/{id}.cbor")
}

/// Largest file read.
const MAX_KEPT: u64 = 4 << 20;
