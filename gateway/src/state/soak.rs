//! Table `soaks`: what was watched after each accepted update, and whether it locks the controller.
//!
//! A soak is opened when the controller has taken an image, and ends by itself. When the signals of the
//! controller changed meanwhile, it locks the controller for further updates until a person lifts the lock;
//! the image to go back to is the one exception.

use hal::clock::Wall;
use rusqlite::Row;

use super::case::CaseNumber;
use super::column::{At, clip, name_of, named};
use super::{Rows, StateError, Tx};
use crate::vault::ImageDigest;

pub(super) const TABLE: &str = "
    CREATE TABLE soaks (
        number  INTEGER PRIMARY KEY,
        plc     TEXT NOT NULL,
        digest  BLOB NOT NULL CHECK (length(digest) = 32),
        back_to BLOB CHECK (length(back_to) = 32),
        opened  INTEGER NOT NULL,
        ends    INTEGER NOT NULL,
        state   TEXT NOT NULL,
        signal  TEXT,
        text    TEXT,
        updated INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX soaks_by_plc ON soaks (plc, number);";

/// Where a soak stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoakState {
    /// Signals are watched.
    Open,
    /// It ended, and nothing that matters had changed. Final.
    Quiet,
    /// Another update, or a lost signal, ended it before its time. Final.
    Ended,
    /// Something changed: the controller is locked.
    Changed,
    /// Something had changed, and a person has lifted the lock. Final.
    Lifted,
}

/// One soak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soak {
    /// Case of the update.
    pub case: CaseNumber,
    /// The controller.
    pub plc: String,
    /// The image it took.
    pub digest: ImageDigest,
    /// The image it ran before, where this gateway delivered that one, too.
    pub back_to: Option<ImageDigest>,
    /// When it was opened.
    pub opened: Wall,
    /// When it ends by itself.
    pub ends: Wall,
    /// Where it stands.
    pub state: SoakState,
    /// The signal that changed.
    pub signal: Option<String>,
    /// What changed, or who lifted the lock and why.
    pub text: Option<String>,
    /// When this was last written.
    pub updated: Wall,
}

/// Opens the soak of an update; one that is still open for the controller ends. Opening it again changes
/// nothing.
pub fn open(
    tx: &Tx<'_>,
    case: CaseNumber,
    plc: &str,
    digest: &ImageDigest,
    ends: Wall,
    now: Wall,
) -> Result<bool, StateError> {
    let back_to = last_good(tx, plc, digest)?;
    let sql =
        "UPDATE soaks SET state = 'ended', updated = ?3 WHERE plc = ?1 AND number <> ?2 AND state = 'open'";
    tx.run("end a soak", sql, (plc, case.row(), At(now)))?;
    let sql = "INSERT OR IGNORE INTO soaks VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'open', NULL, NULL, ?5)";
    Ok(tx.run("open a soak", sql, (case.row(), plc, digest, back_to, At(now), At(ends)))? > 0)
}

/// Ends an open soak; false when it was not open.
pub fn end(
    tx: &Tx<'_>,
    case: CaseNumber,
    state: SoakState,
    text: &str,
    now: Wall,
) -> Result<bool, StateError> {
    let sql = "UPDATE soaks SET state = ?2, text = ?3, updated = ?4 WHERE number = ?1 AND state = 'open'";
    let row = (case.row(), name_of(STATES, state), clip(text, TEXT_CHARS), At(now));
    Ok(tx.run("end a soak", sql, row)? > 0)
}

/// Signal `signal` changed during an open soak: the controller is locked. False when the soak was not open.
pub fn changed(
    tx: &Tx<'_>,
    case: CaseNumber,
    signal: &str,
    text: &str,
    now: Wall,
) -> Result<bool, StateError> {
    let sql = "UPDATE soaks SET state = 'changed', signal = ?2, text = ?3, updated = ?4
               WHERE number = ?1 AND state = 'open'";
    let row = (case.row(), clip(signal, TEXT_CHARS), clip(text, TEXT_CHARS), At(now));
    Ok(tx.run("lock a controller", sql, row)? > 0)
}

/// A person lifts the lock; false when the controller is not locked.
pub fn lift(tx: &Tx<'_>, plc: &str, text: &str, now: Wall) -> Result<bool, StateError> {
    let sql = "UPDATE soaks SET state = 'lifted', text = text || ?2, updated = ?3
               WHERE plc = ?1 AND state = 'changed'";
    let text = clip(&format!("; lifted: {text}"), TEXT_CHARS);
    Ok(tx.run("lift a lock", sql, (plc, text, At(now)))? > 0)
}

/// The soak of a case.
pub fn get(rows: &Rows<'_>, case: CaseNumber) -> Result<Option<Soak>, StateError> {
    rows.first("read a soak", "SELECT * FROM soaks WHERE number = ?1", [case.row()], make)
}

/// The soak that locks a controller.
pub fn lock_of(rows: &Rows<'_>, plc: &str) -> Result<Option<Soak>, StateError> {
    let sql = "SELECT * FROM soaks WHERE plc = ?1 AND state = 'changed' ORDER BY number DESC LIMIT 1";
    rows.first("look for a lock", sql, [plc], make)
}

/// Every open soak, oldest first.
pub fn all_open(rows: &Rows<'_>) -> Result<Vec<Soak>, StateError> {
    rows.all("list the soaks", "SELECT * FROM soaks WHERE state = 'open' ORDER BY number", [], make)
}

/// The newest soak of a controller.
pub fn newest(rows: &Rows<'_>, plc: &str) -> Result<Option<Soak>, StateError> {
    let sql = "SELECT * FROM soaks WHERE plc = ?1 ORDER BY number DESC LIMIT 1";
    rows.first("read a soak", sql, [plc], make)
}

/// The newest image of a controller, other than `but`, after which nothing changed.
fn last_good(rows: &Rows<'_>, plc: &str, but: &ImageDigest) -> Result<Option<ImageDigest>, StateError> {
    let sql =
        "SELECT digest FROM soaks WHERE plc = ?1 AND digest <> ?2 AND state IN ('open', 'quiet', 'ended')
               ORDER BY number DESC LIMIT 1";
    rows.first("look for the last good image", sql, (plc, but), |row| Ok(row.get(0)?))
}

fn make(row: &Row<'_>) -> Result<Soak, StateError> {
    Ok(Soak {
        case: CaseNumber::from_row(row.get(0)?),
        plc: row.get(1)?,
        digest: row.get(2)?,
        back_to: row.get(3)?,
        opened: row.get::<_, At>(4)?.0,
        ends: row.get::<_, At>(5)?.0,
        state: named("soaks.state", STATES, row.get_ref(6)?.as_str()?)?,
        signal: row.get(7)?,
        text: row.get(8)?,
        updated: row.get::<_, At>(9)?.0,
    })
}

const STATES: &[(SoakState, &str)] = &[
    (SoakState::Open, "open"),
    (SoakState::Quiet, "quiet"),
    (SoakState::Ended, "ended"),
    (SoakState::Changed, "changed"),
    (SoakState::Lifted, "lifted"),
];
const TEXT_CHARS: usize = 400;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::{Dir, at};

    fn case(n: u64) -> CaseNumber {
        CaseNumber::from_u64(n)
    }

    #[test]
    fn a_change_locks_the_controller_until_a_person_lifts_it() {
        let dir = Dir::new();
        let mut db = dir.open();
        let (good, bad) = ([1; 32], [2; 32]);
        db.write("test", |tx| open(tx, case(1), "p", &good, at(100), at(1))).unwrap();
        assert!(db.write("test", |tx| end(tx, case(1), SoakState::Quiet, "nothing", at(100))).unwrap());
        assert!(db.write("test", |tx| open(tx, case(2), "p", &bad, at(300), at(200))).unwrap());
        assert!(!db.write("test", |tx| open(tx, case(2), "p", &bad, at(900), at(800))).unwrap(), "once");
        assert_eq!(lock_of(&db.rows(), "p").unwrap(), None);
        assert!(db.write("test", |tx| changed(tx, case(2), "shaft", "1410 Hz", at(210))).unwrap());
        assert!(!db.write("test", |tx| changed(tx, case(2), "shaft", "2 Hz", at(220))).unwrap(), "once");
        let lock = lock_of(&db.rows(), "p").unwrap().unwrap();
        assert_eq!((lock.back_to, lock.signal.as_deref()), (Some(good), Some("shaft")));
        assert_eq!(lock_of(&db.rows(), "q").unwrap(), None, "another controller");
        // The way back: its own soak, and the lock stays until a person lifts it.
        db.write("test", |tx| open(tx, case(3), "p", &good, at(500), at(400))).unwrap();
        assert!(lock_of(&db.rows(), "p").unwrap().is_some());
        assert!(db.write("test", |tx| lift(tx, "p", "mended", at(450))).unwrap());
        assert!(!db.write("test", |tx| lift(tx, "p", "again", at(460))).unwrap());
        assert_eq!(lock_of(&db.rows(), "p").unwrap(), None);
    }

    #[test]
    fn a_new_update_ends_the_soak_of_the_one_before() {
        let dir = Dir::new();
        let mut db = dir.open();
        db.write("test", |tx| open(tx, case(1), "p", &[1; 32], at(100), at(1))).unwrap();
        db.write("test", |tx| open(tx, case(2), "p", &[2; 32], at(100), at(2))).unwrap();
        db.write("test", |tx| open(tx, case(3), "q", &[3; 32], at(100), at(3))).unwrap();
        let open: Vec<_> = all_open(&db.rows()).unwrap().iter().map(|s| s.case.as_u64()).collect();
        assert_eq!(open, [2, 3]);
        assert!(!db.write("test", |tx| changed(tx, case(1), "s", "late", at(5))).unwrap());
        assert_eq!(newest(&db.rows(), "p").unwrap().unwrap().back_to, Some([1; 32]));
    }
}
