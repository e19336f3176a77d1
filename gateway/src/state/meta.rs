//! Table `meta`: small named values, among them the state counter.

use std::collections::BTreeSet;

use super::{Rows, StateError, Tx};

pub(super) const TABLE: &str = "
    CREATE TABLE meta (
        key   TEXT PRIMARY KEY NOT NULL,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;";

/// The value named `key`.
pub fn get(rows: &Rows<'_>, key: &str) -> Result<Option<Vec<u8>>, StateError> {
    rows.first("read a setting", "SELECT value FROM meta WHERE key = ?1", [key], |row| Ok(row.get(0)?))
}

/// Sets the value named `key`.
pub fn put(tx: &Tx<'_>, key: &str, value: &[u8]) -> Result<(), StateError> {
    let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
    tx.run("keep a setting", sql, (key, value)).map(drop)
}

/// How often the guarded state has changed; compared at start with the counter that cannot be set back.
pub fn state_counter(rows: &Rows<'_>) -> Result<u64, StateError> {
    let Some(bytes) = get(rows, COUNTER)? else { return Ok(0) };
    let bytes: [u8; 8] = bytes.try_into().map_err(|bytes| StateError::BadValue {
        column: "meta.state-counter",
        found: format!("{bytes:02x?}"),
    })?;
    Ok(u64::from_be_bytes(bytes))
}

/// Counts one change of the guarded state and gives the new count.
pub fn advance_counter(tx: &Tx<'_>) -> Result<u64, StateError> {
    let next = state_counter(tx)?.saturating_add(1);
    put(tx, COUNTER, &next.to_be_bytes())?;
    Ok(next)
}

/// What was learned of this signal is in a file: that it is gone later is no longer a signal that is new.
pub fn baseline_kept(tx: &Tx<'_>, signal: &str) -> Result<(), StateError> {
    put(tx, &format!("{BASELINE}{signal}"), &[])
}

/// Signals of which what was learned was kept.
pub fn baselines_kept(rows: &Rows<'_>) -> Result<BTreeSet<String>, StateError> {
    let sql = "SELECT substr(key, ?2) FROM meta WHERE substr(key, 1, ?2 - 1) = ?1";
    let first = BASELINE.len() as i64 + 1;
    Ok(rows.all("read settings", sql, (BASELINE, first), |row| Ok(row.get(0)?))?.into_iter().collect())
}

const BASELINE: &str = "baseline:";
const COUNTER: &str = "state-counter";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::Dir;

    #[test]
    fn values_and_the_counter_survive_a_restart() {
        let dir = Dir::new();
        let mut db = dir.open();
        assert_eq!(state_counter(&db.rows()).unwrap(), 0);
        for n in 1..=3 {
            assert_eq!(db.write("test", advance_counter).unwrap(), n);
        }
        db.write("test", |tx| put(tx, "k", b"one").and_then(|()| put(tx, "k", b"two"))).unwrap();
        drop(db);
        let mut db = dir.open();
        assert_eq!(get(&db.rows(), "k").unwrap(), Some(b"two".to_vec()));
        assert_eq!(get(&db.rows(), "none").unwrap(), None);
        assert!(baselines_kept(&db.rows()).unwrap().is_empty());
        for id in ["flow", "pump-3.shaft", "flow"] {
            db.write("test", |tx| baseline_kept(tx, id)).unwrap();
        }
        let kept: Vec<String> = baselines_kept(&db.rows()).unwrap().into_iter().collect();
        assert_eq!(kept, ["flow", "pump-3.shaft"]);
        assert_eq!(state_counter(&db.rows()).unwrap(), 3);
        db.write("test", |tx| put(tx, COUNTER, b"short")).unwrap();
        assert!(matches!(state_counter(&db.rows()), Err(StateError::BadValue { .. })));
    }
}
