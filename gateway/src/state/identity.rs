//! Table `identities`: what each controller last said it is, and whether it changed outside the gate.

use hal::clock::Wall;
use rusqlite::Row;

use super::case::CaseNumber;
use super::column::At;
use super::{Rows, StateError, Tx};

pub(super) const TABLE: &str = "
    CREATE TABLE identities (
        plc      TEXT PRIMARY KEY NOT NULL,
        vendor   TEXT NOT NULL,
        product  TEXT NOT NULL,
        revision TEXT NOT NULL,
        checksum TEXT,
        at       INTEGER NOT NULL,
        by_case  INTEGER,
        changed  INTEGER
    ) STRICT, WITHOUT ROWID;";

/// What a controller said it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Vendor, as the controller words it.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Revision of its firmware.
    pub revision: String,
    /// Checksum of its program, where it can be read.
    pub checksum: Option<String>,
}

/// The last known identity of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The controller.
    pub plc: String,
    /// What it said.
    pub identity: Identity,
    /// When.
    pub at: Wall,
    /// The case that brought the last change, where one did.
    pub by_case: Option<CaseNumber>,
    /// "Changed outside the gate", and when that was noticed first. Stays until a person clears it.
    pub changed: Option<Wall>,
}

/// What a reading means against the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// There was none to compare with.
    First,
    /// As before.
    Same,
    /// Changed, by the case named.
    ByCase,
    /// Changed, and no case did it: the latch is set.
    ChangedOutside {
        /// What the controller said before.
        before: Identity,
    },
}

/// Takes in a reading. `by_case` is the case after whose delivery it was taken, if any.
pub fn observe(
    tx: &Tx<'_>,
    plc: &str,
    seen: &Identity,
    by_case: Option<CaseNumber>,
    now: Wall,
) -> Result<Seen, StateError> {
    let last = get(tx, plc)?;
    let meaning = match &last {
        None => Seen::First,
        Some(known) if known.identity.agrees(seen) => Seen::Same,
        Some(_) if by_case.is_some() => Seen::ByCase,
        Some(known) => Seen::ChangedOutside { before: known.identity.clone() },
    };
    let before = last.as_ref().and_then(|known| known.changed);
    let changed = if matches!(meaning, Seen::ChangedOutside { .. }) { before.or(Some(now)) } else { before };
    let by_case = by_case.or(match meaning {
        Seen::Same => last.as_ref().and_then(|known| known.by_case),
        _ => None,
    });
    // A checksum that could not be read this time is still the one to compare with next time.
    let kept = last.and_then(|known| known.identity.checksum).filter(|_| meaning == Seen::Same);
    let checksum = seen.checksum.clone().or(kept);
    let sql = "INSERT OR REPLACE INTO identities VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let row = (
        plc,
        &seen.vendor,
        &seen.product,
        &seen.revision,
        checksum,
        At(now),
        by_case.map(CaseNumber::row),
        changed.map(At),
    );
    tx.run("record a controller's identity", sql, row)?;
    Ok(meaning)
}

/// The last known identity of one controller.
pub fn get(rows: &Rows<'_>, plc: &str) -> Result<Option<Known>, StateError> {
    rows.first("read a controller's identity", "SELECT * FROM identities WHERE plc = ?1", [plc], make)
}

/// All of them, by controller.
pub fn list(rows: &Rows<'_>) -> Result<Vec<Known>, StateError> {
    rows.all("list identities", "SELECT * FROM identities ORDER BY plc", [], make)
}

/// A person accepts the change; false when the latch was not set.
pub fn clear_latch(tx: &Tx<'_>, plc: &str) -> Result<bool, StateError> {
    let sql = "UPDATE identities SET changed = NULL WHERE plc = ?1 AND changed IS NOT NULL";
    Ok(tx.run("accept a controller's change", sql, [plc])? > 0)
}

impl Identity {
    /// Whether two readings can be of one state. An unread checksum contradicts nothing.
    pub(crate) fn agrees(&self, other: &Identity) -> bool {
        let checksums = self.checksum.as_ref().zip(other.checksum.as_ref());
        (&self.vendor, &self.product, &self.revision) == (&other.vendor, &other.product, &other.revision)
            && checksums.is_none_or(|(a, b)| a == b)
    }
}

fn make(row: &Row<'_>) -> Result<Known, StateError> {
    Ok(Known {
        plc: row.get(0)?,
        identity: Identity {
            vendor: row.get(1)?,
            product: row.get(2)?,
            revision: row.get(3)?,
            checksum: row.get(4)?,
        },
        at: row.get::<_, At>(5)?.0,
        by_case: row.get::<_, Option<i64>>(6)?.map(CaseNumber::from_row),
        changed: row.get::<_, Option<At>>(7)?.map(|at| at.0),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::{Dir, at, open_case};

    fn identity(revision: &str, checksum: Option<&str>) -> Identity {
        let checksum = checksum.map(str::to_owned);
        Identity { vendor: "acme".into(), product: "px".into(), revision: revision.into(), checksum }
    }

    #[test]
    fn a_change_without_a_case_latches_until_a_person_clears_it() {
        let dir = Dir::new();
        let mut db = dir.open();
        let case = open_case(&mut db, "p", None);
        let outside = |before: &Identity| Seen::ChangedOutside { before: before.clone() };
        let (a, b) = (identity("1", Some("aa")), identity("1", Some("bb")));
        let rows = [
            ("first reading", a.clone(), None, Seen::First, None),
            ("the same", a.clone(), None, Seen::Same, None),
            ("checksum not readable", identity("1", None), None, Seen::Same, None),
            ("it was kept: another is a change", b.clone(), None, outside(&a), Some(at(3))),
            ("the latch stays", b.clone(), None, Seen::Same, Some(at(3))),
            ("also over a change by a case", identity("2", None), Some(case), Seen::ByCase, Some(at(3))),
            ("the first time counts", identity("3", None), None, outside(&identity("2", None)), Some(at(3))),
        ];
        for (i, (what, seen, by_case, meaning, latch)) in rows.into_iter().enumerate() {
            let now = at(i as i64);
            assert_eq!(
                db.write("test", |tx| observe(tx, "p", &seen, by_case, now)).unwrap(),
                meaning,
                "{what}"
            );
            drop(db);
            db = dir.open();
            assert_eq!(get(&db.rows(), "p").unwrap().unwrap().changed, latch, "{what}");
        }
        assert!(db.write("test", |tx| clear_latch(tx, "p")).unwrap());
        assert!(!db.write("test", |tx| clear_latch(tx, "p")).unwrap());
        assert_eq!(list(&db.rows()).unwrap().len(), 1);
    }
}
