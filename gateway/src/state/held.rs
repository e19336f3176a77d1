//! Tables `held` and `approvals`: releases that wait for signatures, and what was signed for them.
//!
//! A held release is a case in the state `held`. What its approvers signed is kept as they signed it: whoever
//! uses the release counts the signatures again, with the keys that are trusted then. Invariant: a row says
//! `released` in the transaction that writes the release, and names that very release by its time.

use hal::clock::Wall;
use rusqlite::Row;

use super::case::CaseNumber;
use super::column::At;
use super::{Rows, StateError, Tx};
use crate::vault::ImageDigest;

pub(super) const TABLES: &str = "
    CREATE TABLE held (
        number   INTEGER PRIMARY KEY REFERENCES cases ON DELETE CASCADE,
        plc      TEXT NOT NULL,
        digest   BLOB NOT NULL CHECK (length(digest) = 32),
        id       BLOB NOT NULL CHECK (length(id) = 16),
        terms    TEXT NOT NULL,
        ticket   TEXT NOT NULL,
        asked_by TEXT NOT NULL,
        expires  INTEGER NOT NULL,
        released INTEGER
    ) STRICT;
    CREATE INDEX held_by_image ON held (plc, digest);
    CREATE TABLE approvals (
        number   INTEGER NOT NULL REFERENCES held ON DELETE CASCADE,
        key      TEXT NOT NULL,
        name     TEXT NOT NULL,
        at       INTEGER NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (number, key)
    ) STRICT, WITHOUT ROWID;";

/// A release that waits, or that waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its case.
    pub case: CaseNumber,
    /// The controller.
    pub plc: String,
    /// The image.
    pub digest: ImageDigest,
    /// One-shot number that its approvals carry: a case number that is given again by a database that was
    /// put back is not the case they were signed for.
    pub id: [u8; 16],
    /// Conditions of the release, JSON of the judge.
    pub terms: String,
    /// Downgrade ticket that came along; empty where none did.
    pub ticket: String,
    /// Who asked for the release.
    pub asked_by: String,
    /// When nobody need approve it any more.
    pub expires: Wall,
    /// When it was released.
    pub released: Option<Wall>,
}

/// One key under one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The key's id.
    pub key: String,
    /// The name that its anchor had.
    pub name: String,
    /// When it came.
    pub at: Wall,
    /// The signed document.
    pub document: String,
}

/// A release begins to wait; its case is there.
pub fn add(tx: &Tx<'_>, held: &Held) -> Result<(), StateError> {
    let sql = "INSERT INTO held VALUES (?1,?2,?3,?4,?5,?6,?7,?8,NULL)";
    let Held { case, plc, digest, id, terms, ticket, asked_by, expires, .. } = held;
    tx.run("hold a release", sql, (case.row(), plc, digest, id, terms, ticket, asked_by, At(*expires)))
        .map(drop)
}

/// Keeps what a key has signed. What it signs later takes the place of what it signed before.
pub fn sign(tx: &Tx<'_>, case: CaseNumber, approval: &Approval) -> Result<(), StateError> {
    let sql = "INSERT OR REPLACE INTO approvals VALUES (?1,?2,?3,?4,?5)";
    let Approval { key, name, at, document } = approval;
    tx.run("keep an approval", sql, (case.row(), key, name, At(*at), document)).map(drop)
}

/// It is released: `at` is the time of the release.
pub fn released(tx: &Tx<'_>, case: CaseNumber, at: Wall) -> Result<(), StateError> {
    let sql = "UPDATE held SET released = ?2 WHERE number = ?1";
    tx.run("release what was held", sql, (case.row(), At(at))).map(drop)
}

/// What a case holds, or held.
pub fn get(rows: &Rows<'_>, case: CaseNumber) -> Result<Option<Held>, StateError> {
    let sql = format!("SELECT {COLUMNS} FROM held WHERE number = ?1");
    rows.first("read a held release", &sql, [case.row()], make)
}

/// Everything that waits, oldest first.
pub fn waiting(rows: &Rows<'_>) -> Result<Vec<Held>, StateError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM held WHERE number IN (SELECT number FROM cases WHERE state = 'held')
         ORDER BY number"
    );
    rows.all("list held releases", &sql, [], make)
}

/// What the release of an image that was given at `at` was held as.
pub fn of_release(
    rows: &Rows<'_>,
    plc: &str,
    digest: &ImageDigest,
    at: Wall,
) -> Result<Option<Held>, StateError> {
    let sql = format!("SELECT {COLUMNS} FROM held WHERE plc = ?1 AND digest = ?2 AND released = ?3");
    rows.first("read a held release", &sql, (plc, digest, At(at)), make)
}

/// What was signed for a case, in the order it came.
pub fn approvals(rows: &Rows<'_>, case: CaseNumber) -> Result<Vec<Approval>, StateError> {
    let sql = "SELECT key, name, at, document FROM approvals WHERE number = ?1 ORDER BY at, key";
    rows.all("read approvals", sql, [case.row()], |row| {
        Ok(Approval {
            key: row.get(0)?,
            name: row.get(1)?,
            at: row.get::<_, At>(2)?.0,
            document: row.get(3)?,
        })
    })
}

fn make(row: &Row<'_>) -> Result<Held, StateError> {
    Ok(Held {
        case: CaseNumber::from_row(row.get(0)?),
        plc: row.get(1)?,
        digest: row.get(2)?,
        id: row.get(3)?,
        terms: row.get(4)?,
        ticket: row.get(5)?,
        asked_by: row.get(6)?,
        expires: row.get::<_, At>(7)?.0,
        released: row.get::<_, Option<At>>(8)?.map(|at| at.0),
    })
}

const COLUMNS: &str = "number, plc, digest, id, terms, ticket, asked_by, expires, released";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::case::{self, CaseState};
    use crate::state::release::{self, tests::terms};
    use crate::state::testing::{Dir, at, open_case, staged};

    fn held(case: CaseNumber, digest: ImageDigest) -> Held {
        Held {
            case,
            plc: "p".into(),
            digest,
            id: [7; 16],
            terms: "{}".into(),
            ticket: String::new(),
            asked_by: "uid 7".into(),
            expires: at(100),
            released: None,
        }
    }

    fn approval(key: &str, document: &str) -> Approval {
        Approval { key: key.into(), name: "boss".into(), at: at(5), document: document.into() }
    }

    #[test]
    fn what_waits_is_listed_until_its_case_moves_on_and_its_image_stays() {
        let dir = Dir::new();
        let mut db = dir.open();
        let image = staged(b"fw");
        let case = open_case(&mut db, "p", Some(*image.digest()));
        db.write("test", |tx| {
            case::settle(tx, case, CaseState::Held, None)?;
            add(tx, &held(case, *image.digest()))
        })
        .unwrap();
        drop(db);
        let mut db = dir.open();
        assert_eq!(waiting(&db.rows()).unwrap(), [held(case, *image.digest())]);
        assert_eq!(case::unsettled(&db.rows()).unwrap().len(), 1);
        assert!(release::names_image(&db.rows(), image.digest()).unwrap(), "the vault keeps it");
        assert_eq!(of_release(&db.rows(), "p", image.digest(), at(9)).unwrap(), None, "not released");
        db.write("test", |tx| {
            release::add(tx, &image, "p", &terms(1), at(9))?;
            released(tx, case, at(9))?;
            case::settle(tx, case, CaseState::Done, None)
        })
        .unwrap();
        assert_eq!(waiting(&db.rows()).unwrap(), []);
        let of = |at| of_release(&db.rows(), "p", image.digest(), at).unwrap().map(|held| held.case);
        assert_eq!((of(at(9)), of(at(10))), (Some(case), None), "of this release and of no other");
        let refused = open_case(&mut db, "p", Some([2; 32]));
        db.write("test", |tx| {
            add(tx, &held(refused, [2; 32]))?;
            case::settle(tx, refused, CaseState::Refused, None)?;
            release::withdraw(tx, image.digest(), "p").map(drop)
        })
        .unwrap();
        assert!(!release::names_image(&db.rows(), image.digest()).unwrap());
        open_case(&mut db, "p", None);
        assert_eq!(db.write("test", |tx| case::prune(tx, 0)).unwrap(), 1);
        assert_eq!(get(&db.rows(), refused).unwrap(), None, "what was held goes with its case");
        assert!(get(&db.rows(), case).unwrap().is_some(), "what people approved is evidence");
    }

    #[test]
    fn a_key_has_one_word_in_a_case_its_last() {
        let dir = Dir::new();
        let mut db = dir.open();
        let case = open_case(&mut db, "p", Some([1; 32]));
        let none = db.write("test", |tx| sign(tx, case, &approval("a", "yes")));
        assert!(none.is_err(), "nothing is held");
        db.write("test", |tx| {
            add(tx, &held(case, [1; 32]))?;
            sign(tx, case, &approval("b", "yes"))?;
            sign(tx, case, &approval("a", "yes"))?;
            sign(tx, case, &approval("b", "no"))
        })
        .unwrap();
        let kept = approvals(&db.rows(), case).unwrap();
        assert_eq!(kept, [approval("a", "yes"), approval("b", "no")]);
    }
}
