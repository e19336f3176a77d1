//! What one box's database gives to the box that takes its place.
//!
//! Cases with their stories, receipts, identities, habits, soaks and the alarms of controllers go over. Releases and
//! deliveries do not: the other box may have used them since the backup was made, and a delivery is begun by a person.
//! What was under way is ended, and whoever is owed something is named. Break-glass documents that were used go over as
//! ended: on the spare they open nothing again.

use std::path::Path;

use hal::clock::Wall;

use super::db::connect;
use super::{Db, StateError, Tx, case, schema};
use case::{CaseNumber, CaseState};

/// Numbers that are left out after the newest case of a backup: the other box may have given some of them since.
pub const CASES_LEFT_OUT: i64 = 1000;

/// Tables that go over whole, in an order in which none refers to what is not there yet.
const TABLES: [&str; 6] = ["cases", "story", "receipts", "identities", "learned", "soaks"];

impl Db {
    /// Writes the database as it is now into a new file.
    pub fn snapshot(&self, to: &Path) -> Result<(), StateError> {
        let to = to.display().to_string();
        self.rows().all("copy the state", "VACUUM INTO ?1", [to], |_| Ok(())).map(drop)
    }

    /// Takes over a database that [`Db::snapshot`] wrote, which is brought to today's version first, and in the same
    /// transaction does what `also` says. Gives the cases that were under way, with their controllers; those whose old
    /// firmware was destroyed already are marked. May be done again: it replaces what it brought before.
    pub fn take_over(
        &mut self,
        from: &Path,
        now: Wall,
        also: impl FnOnce(&Tx<'_>) -> Result<(), StateError>,
    ) -> Result<Vec<(CaseNumber, String, bool)>, StateError> {
        let failed = |e| StateError::sqlite("take over a state", e);
        let mut old = connect(from)?;
        if schema::version(&old).map_err(failed)? == 0 {
            // SQLite takes what is empty for a new database, and all that is here would go.
            return Err(StateError::Damaged {
                path: from.to_owned(),
                found: "it holds no tables".to_owned(),
            });
        }
        schema::migrate(&mut old, &hal::store::Fuse::never())?;
        drop(old);
        let name = from.display().to_string();
        self.connection_mut().execute("ATTACH DATABASE ?1 AS old", [name]).map_err(failed)?;
        let taken = self.write("take over a state", |tx| {
            copy(tx)?;
            let left = end_what_was_under_way(tx, now)?;
            also(tx)?;
            Ok(left)
        });
        let detached = self.connection_mut().execute("DETACH DATABASE old", []).map_err(failed);
        let taken = taken?;
        detached.map(|_| taken)
    }
}

fn copy(tx: &Tx<'_>) -> Result<(), StateError> {
    let doing = "take over a state";
    for table in TABLES.iter().rev() {
        tx.run(doing, &format!("DELETE FROM main.{table}"), [])?;
    }
    for table in TABLES {
        tx.run(doing, &format!("INSERT INTO main.{table} SELECT * FROM old.{table}"), [])?;
    }
    // The gateway's own alarms are of the other box; its controllers' are of this one now.
    tx.run(doing, "INSERT OR REPLACE INTO main.alarms SELECT * FROM old.alarms WHERE source <> ''", [])?;
    // What opened the other box opens this one no more; what this one accepted itself stays as it is.
    tx.run(doing, "INSERT OR IGNORE INTO main.break_glass SELECT * FROM old.break_glass", [])?;
    let ended = "UPDATE main.break_glass SET ended = accepted
                 WHERE ended IS NULL AND id IN (SELECT id FROM old.break_glass)";
    tx.run(doing, ended, [])?;
    // A receipt that is owed cannot be signed any more: the key for it is gone.
    tx.run(doing, "UPDATE main.receipts SET state = 'open' WHERE state = 'waiting'", [])?;
    tx.run(doing, "UPDATE main.soaks SET state = 'ended' WHERE state = 'open'", [])?;
    let sql = "SELECT coalesce(max(seq), 0) FROM (SELECT seq FROM old.sqlite_sequence WHERE name = 'cases'
               UNION ALL SELECT max(number) FROM main.cases)";
    let last: i64 = tx.first(doing, sql, [], |row| Ok(row.get(0)?))?.unwrap_or(0);
    tx.run(doing, "DELETE FROM main.sqlite_sequence WHERE name = 'cases'", [])?;
    let next = last.saturating_add(CASES_LEFT_OUT);
    tx.run(doing, "INSERT INTO main.sqlite_sequence (name, seq) VALUES ('cases', ?1)", [next]).map(drop)
}

fn end_what_was_under_way(tx: &Tx<'_>, now: Wall) -> Result<Vec<(CaseNumber, String, bool)>, StateError> {
    let sql = "SELECT number FROM old.deliveries WHERE phase IN ('past-no-return', 'delivered')";
    let past = tx.all("take over a state", sql, [], |row| Ok(CaseNumber::from_row(row.get(0)?)))?;
    let mut left = Vec::new();
    for one in case::unsettled(tx)? {
        let begun = past.contains(&one.number);
        let text = match begun {
            true => {
                "the gateway was replaced while this was past the point of no return: look at the controller"
            }
            false => "the gateway was replaced; this went no further here",
        };
        case::tell(tx, one.number, now, text)?;
        case::settle(tx, one.number, CaseState::Aborted, None)?;
        left.push((one.number, one.plc, begun));
    }
    Ok(left)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::{Dir, at, open_case, staged};
    use super::super::{break_glass, delivery, meta, release};
    use super::*;

    /// A database with a case that ended, one past its point of no return, and a release.
    fn old() -> (Dir, std::path::PathBuf) {
        let dir = Dir::new();
        let mut db = dir.open();
        let done = open_case(&mut db, "pump", None);
        let image = staged(b"image");
        let open = open_case(&mut db, "valve", Some(*image.digest()));
        db.write("test", |tx| {
            case::settle(tx, done, CaseState::Done, None)?;
            case::settle(tx, open, CaseState::Delivering, None)?;
            delivery::begin(tx, open, "valve", image.digest(), at(1))?;
            delivery::advance(tx, open, delivery::Phase::PastNoReturn, at(2))?;
            meta::put(tx, "of-the-old-box", b"1")
        })
        .unwrap();
        let to = dir.path("copy.db");
        db.snapshot(&to).unwrap();
        (dir, to)
    }

    #[test]
    fn what_was_done_goes_over_and_what_was_under_way_ends() {
        let (_old, copy) = old();
        let dir = Dir::new();
        let mut db = dir.open();
        for _ in 0..2 {
            let left = db.take_over(&copy, at(9), |tx| meta::put(tx, "mark", b"2")).unwrap();
            assert_eq!(
                left.iter().map(|(_, plc, past)| (plc.as_str(), *past)).collect::<Vec<_>>(),
                [("valve", true)]
            );
        }
        let states: Vec<CaseState> =
            case::list(&db.rows(), None, 9).unwrap().iter().map(|c| c.state).collect();
        assert_eq!(states, [CaseState::Aborted, CaseState::Done]);
        assert_eq!(delivery::open_deliveries(&db.rows()).unwrap().len(), 0);
        assert_eq!(release::list(&db.rows()).unwrap().len(), 0);
        let value = |key: &str| meta::get(&db.rows(), key).unwrap();
        assert_eq!((value("of-the-old-box"), value("mark")), (None, Some(b"2".to_vec())));
        let next = open_case(&mut db, "pump", None);
        assert_eq!(
            next.as_u64(),
            2 + CASES_LEFT_OUT.unsigned_abs() + 1,
            "numbers the other box may have given"
        );
        drop(db);
        assert_eq!(case::list(&dir.open().rows(), None, 9).unwrap().len(), 3, "it is durable");
    }

    #[test]
    fn a_break_glass_document_that_opened_the_old_box_opens_its_spare_no_more() {
        let used = break_glass::BrokenGlass { plc: "pump".into(), ..break_glass::tests::row() };
        let dir = Dir::new();
        let mut db = dir.open();
        assert!(db.write("test", |tx| break_glass::accept(tx, &used)).unwrap());
        let copy = dir.path("copy.db");
        db.snapshot(&copy).unwrap();
        let spare = Dir::new();
        let mut db = spare.open();
        for _ in 0..2 {
            db.take_over(&copy, at(9), |_| Ok(())).unwrap();
            assert!(!db.write("test", |tx| break_glass::accept(tx, &used)).unwrap());
            assert_eq!(break_glass::in_force(&db.rows()).unwrap(), []);
        }
        assert_eq!(break_glass::unclosed(&db.rows(), "pump").unwrap().len(), 1, "a person closes it");
    }

    #[test]
    fn what_is_no_state_changes_nothing() {
        let dir = Dir::new();
        let mut db = dir.open();
        open_case(&mut db, "pump", None);
        let bad = dir.path("bad.db");
        for bytes in [&b""[..], b"no database", &[0; 4096]] {
            std::fs::write(&bad, bytes).unwrap();
            assert!(db.take_over(&bad, at(9), |_| Ok(())).is_err(), "{} bytes", bytes.len());
        }
        let (_old, copy) = old();
        let refused =
            db.take_over(&copy, at(9), |_| Err(StateError::NoCase { number: CaseNumber::from_u64(7) }));
        assert!(refused.is_err());
        assert_eq!(case::list(&db.rows(), None, 9).unwrap().len(), 1);
        db.take_over(&copy, at(9), |_| Ok(())).unwrap();
    }
}
