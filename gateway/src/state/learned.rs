//! Table `learned`: process accesses seen in `observe`, from which an allow-list is proposed.

use hal::clock::Wall;

use super::column::{At, Count};
use super::{Rows, StateError, Tx};

pub(super) const TABLE: &str = "
    CREATE TABLE learned (
        plc      TEXT NOT NULL,
        unit     INTEGER NOT NULL,
        function INTEGER NOT NULL,
        start    INTEGER NOT NULL,
        count    INTEGER NOT NULL,
        station  TEXT NOT NULL,
        seen     INTEGER NOT NULL,
        last     INTEGER NOT NULL,
        PRIMARY KEY (plc, unit, function, start, count, station)
    ) STRICT, WITHOUT ROWID;";

/// One kind of process access.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// The controller.
    pub plc: String,
    /// Unit address behind it.
    pub unit: u8,
    /// Function code.
    pub function: u8,
    /// First address.
    pub start: u32,
    /// Number of addresses.
    pub count: u32,
    /// Who asked.
    pub station: String,
}

/// An access and how often it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// The access.
    pub access: Access,
    /// How often it was seen.
    pub seen: u64,
    /// When it was seen last.
    pub last: Wall,
}

/// Accesses kept for one controller; real allow-lists have tens.
pub const LEARNED_LIMIT: u64 = 10_000;

/// Adds what was counted in memory since the last merge and says how many new accesses found no room.
/// Known ones always count on: a scan cannot drive out what was learned before it.
pub fn merge_batch(tx: &Tx<'_>, batch: &[Learned], limit: u64) -> Result<u64, StateError> {
    let doing = "keep learned accesses";
    let mut refused = 0;
    for Learned { access: a, seen, last } in batch {
        let seen = i64::try_from(*seen).unwrap_or(i64::MAX);
        let key = (&a.plc, a.unit, a.function, a.start, a.count, &a.station, seen, At(*last));
        let sql = "UPDATE learned SET seen = seen + ?7, last = max(last, ?8) WHERE plc = ?1 AND unit = ?2
                   AND function = ?3 AND start = ?4 AND count = ?5 AND station = ?6";
        if tx.run(doing, sql, key)? > 0 {
            continue;
        }
        let sql = "INSERT INTO learned SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
                   WHERE (SELECT count(*) FROM learned WHERE plc = ?1) < ?9";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let row = (&a.plc, a.unit, a.function, a.start, a.count, &a.station, seen, At(*last), limit);
        if tx.run(doing, sql, row)? == 0 {
            refused += 1;
        }
    }
    Ok(refused)
}

/// What was learned of one controller, by unit, function and address.
pub fn list(rows: &Rows<'_>, plc: &str) -> Result<Vec<Learned>, StateError> {
    rows.all("list learned accesses", "SELECT * FROM learned WHERE plc = ?1", [plc], |row| {
        Ok(Learned {
            access: Access {
                plc: row.get(0)?,
                unit: row.get(1)?,
                function: row.get(2)?,
                start: row.get(3)?,
                count: row.get(4)?,
                station: row.get(5)?,
            },
            seen: row.get::<_, Count>(6)?.0,
            last: row.get::<_, At>(7)?.0,
        })
    })
}

/// Forgets what was learned of a controller.
pub fn forget(tx: &Tx<'_>, plc: &str) -> Result<usize, StateError> {
    tx.run("forget learned accesses", "DELETE FROM learned WHERE plc = ?1", [plc])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::{Dir, at};

    #[test]
    fn counts_add_up_and_a_scan_cannot_drive_out_what_was_learned() {
        let access = |plc: &str, start| Learned {
            access: Access { plc: plc.into(), unit: 1, function: 3, start, count: 2, station: "s".into() },
            seen: 10,
            last: at(i64::from(start)),
        };
        let dir = Dir::new();
        let mut db = dir.open();
        let mut merge = |batch: &[Learned]| db.write("test", |tx| merge_batch(tx, batch, 3)).unwrap();
        assert_eq!(merge(&[access("p", 1), access("p", 2), access("p", 1)]), 0);
        assert_eq!(merge(&(1..=9).map(|start| access("p", start)).collect::<Vec<_>>()), 6);
        assert_eq!(merge(&[access("q", 1)]), 0, "each controller has its own room");
        let seen: Vec<_> = list(&db.rows(), "p").unwrap().iter().map(|l| (l.access.start, l.seen)).collect();
        assert_eq!(seen, [(1, 30), (2, 20), (3, 10)]);
        assert_eq!(db.write("test", |tx| forget(tx, "p")).unwrap(), 3);
    }
}
