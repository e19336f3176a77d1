//! Table `receipts`: what each case has gathered for its receipt, and whether that is signed.
//!
//! What was known before an update is written when its case opens and, with the verdict, in the transaction that uses
//! the release: a receipt can be made after a crash at any later point. The columns hold JSON of the judge.

use hal::clock::Wall;
use rusqlite::Row;

use super::case::CaseNumber;
use super::column::{At, Count, named};
use super::{Rows, StateError, Tx};

pub(super) const TABLE: &str = "
    CREATE TABLE receipts (
        number   INTEGER PRIMARY KEY REFERENCES cases ON DELETE CASCADE,
        before   TEXT,
        verdict  TEXT,
        after    TEXT,
        ended    INTEGER,
        entry    INTEGER,
        state    TEXT NOT NULL
    ) STRICT;
    CREATE INDEX receipts_to_sign ON receipts (number) WHERE state = 'waiting';";

/// Where a receipt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptState {
    /// The update has not landed, or never will.
    Open,
    /// It has; the TPM is asked to sign.
    Waiting,
    /// Signed.
    Signed,
}

/// What is known for the receipt of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// The case.
    pub case: CaseNumber,
    /// What the controller said of itself when the case opened.
    pub before: Option<String>,
    /// The verdict, the release and what else was known when the image was let through.
    pub verdict: Option<String>,
    /// What the controller said of itself when it was read back.
    pub after: Option<String>,
    /// When the update landed.
    pub ended: Option<Wall>,
    /// The entry of the audit log that says so.
    pub entry: Option<u64>,
    /// Where it stands.
    pub state: ReceiptState,
}

/// A case opens.
pub fn open(tx: &Tx<'_>, case: CaseNumber, before: Option<&str>) -> Result<(), StateError> {
    let sql = "INSERT OR IGNORE INTO receipts (number, before, state) VALUES (?1, ?2, 'open')";
    tx.run("open a receipt", sql, (case.row(), before)).map(drop)
}

/// The image is let through; said again it replaces what was said before, until the update has landed.
pub fn gather(tx: &Tx<'_>, case: CaseNumber, verdict: &str) -> Result<(), StateError> {
    open(tx, case, None)?;
    let sql = "UPDATE receipts SET verdict = ?2 WHERE number = ?1 AND state = 'open'";
    tx.run("keep a verdict", sql, (case.row(), verdict)).map(drop)
}

/// The update has landed, and a person's release was used for it: from now on a receipt is owed. False when there is
/// none to make.
pub fn land(tx: &Tx<'_>, case: CaseNumber, after: Option<&str>, now: Wall) -> Result<bool, StateError> {
    let sql = "UPDATE receipts SET state = 'waiting', after = ?2, ended = ?3
               WHERE number = ?1 AND state = 'open' AND verdict IS NOT NULL
               AND EXISTS (SELECT 1 FROM release_uses WHERE number = ?1)";
    Ok(tx.run("owe a receipt", sql, (case.row(), after, At(now)))? > 0)
}

/// Which entry of the audit log is about the case.
pub fn set_entry(tx: &Tx<'_>, case: CaseNumber, entry: u64) -> Result<(), StateError> {
    let entry = i64::try_from(entry).unwrap_or(i64::MAX);
    let sql = "UPDATE receipts SET entry = ?2 WHERE number = ?1";
    tx.run("name an audit entry", sql, (case.row(), entry)).map(drop)
}

/// It is signed.
pub fn signed(tx: &Tx<'_>, case: CaseNumber) -> Result<(), StateError> {
    let sql = "UPDATE receipts SET state = 'signed' WHERE number = ?1";
    tx.run("record a receipt", sql, [case.row()]).map(drop)
}

/// There is more to say: a signed receipt is signed again. False when it was not signed yet.
pub fn again(tx: &Tx<'_>, case: CaseNumber) -> Result<bool, StateError> {
    let sql = "UPDATE receipts SET state = 'waiting' WHERE number = ?1 AND state = 'signed'";
    Ok(tx.run("have a receipt signed again", sql, [case.row()])? > 0)
}

/// What a case has gathered.
pub fn get(rows: &Rows<'_>, case: CaseNumber) -> Result<Option<Gathered>, StateError> {
    rows.first("read a receipt", "SELECT * FROM receipts WHERE number = ?1", [case.row()], make)
}

/// At most `limit` receipts that wait for the TPM, oldest first.
pub fn waiting(rows: &Rows<'_>, limit: u32) -> Result<Vec<Gathered>, StateError> {
    let sql = "SELECT * FROM receipts WHERE state = 'waiting' ORDER BY number LIMIT ?1";
    rows.all("read the receipts to sign", sql, [limit], make)
}

/// Cases whose receipt is signed, oldest first.
pub fn signed_cases(rows: &Rows<'_>) -> Result<Vec<CaseNumber>, StateError> {
    let sql = "SELECT number FROM receipts WHERE state = 'signed' ORDER BY number";
    rows.all("read the signed receipts", sql, [], |row| Ok(CaseNumber::from_row(row.get(0)?)))
}

fn make(row: &Row<'_>) -> Result<Gathered, StateError> {
    Ok(Gathered {
        case: CaseNumber::from_row(row.get(0)?),
        before: row.get(1)?,
        verdict: row.get(2)?,
        after: row.get(3)?,
        ended: row.get::<_, Option<At>>(4)?.map(|at| at.0),
        entry: row.get::<_, Option<Count>>(5)?.map(|n| n.0),
        state: named("receipts.state", STATES, row.get_ref(6)?.as_str()?)?,
    })
}

const STATES: &[(ReceiptState, &str)] =
    &[(ReceiptState::Open, "open"), (ReceiptState::Waiting, "waiting"), (ReceiptState::Signed, "signed")];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::case::{self, CaseState};
    use crate::state::release;
    use crate::state::release::tests::terms;
    use crate::state::testing::{Dir, at, open_case, staged};

    #[test]
    fn a_receipt_is_owed_once_for_an_update_that_used_a_release_and_landed() {
        let dir = Dir::new();
        let mut db = dir.open();
        let (used, unused) = (open_case(&mut db, "p", None), open_case(&mut db, "p", None));
        let image = staged(b"fw");
        db.write("test", |tx| {
            release::add(tx, &image, "p", &terms(2), at(1))?;
            open(tx, used, Some("before"))?;
            open(tx, unused, None)?;
            gather(tx, unused, "verdict")
        })
        .unwrap();
        let land =
            |db: &mut crate::state::Db, case| db.write("test", |tx| land(tx, case, Some("after"), at(9)));
        assert!(!land(&mut db, unused).unwrap(), "nobody's release was used");
        db.write("test", |tx| release::consume_use(tx, image.digest(), "p", used).map(drop)).unwrap();
        assert!(!land(&mut db, used).unwrap(), "no verdict");
        db.write("test", |tx| gather(tx, used, "verdict")).unwrap();
        assert_eq!(waiting(&db.rows(), 9).unwrap(), []);
        assert!(land(&mut db, used).unwrap());
        assert!(!land(&mut db, used).unwrap(), "once");
        db.write("test", |tx| gather(tx, used, "another").and_then(|()| set_entry(tx, used, 7))).unwrap();
        let owed = waiting(&db.rows(), 9).unwrap();
        assert_eq!((owed.len(), owed[0].case, owed[0].entry), (1, used, Some(7)));
        assert_eq!(owed[0].verdict.as_deref(), Some("verdict"), "what was known when it was let through");
        assert_eq!((owed[0].before.as_deref(), owed[0].ended), (Some("before"), Some(at(9))));
        db.write("test", |tx| case::settle(tx, used, CaseState::Done, None)).unwrap();
        assert_eq!(db.write("test", |tx| case::prune(tx, 0)).unwrap(), 0, "owed receipts are not forgotten");
        db.write("test", |tx| signed(tx, used)).unwrap();
        assert_eq!(waiting(&db.rows(), 9).unwrap(), []);
        assert_eq!(get(&db.rows(), used).unwrap().unwrap().state, ReceiptState::Signed);
        assert_eq!(db.write("test", |tx| case::prune(tx, 0)).unwrap(), 0, "nor are signed ones");
        db.write("test", |tx| case::settle(tx, unused, CaseState::Refused, None)).unwrap();
        assert_eq!(db.write("test", |tx| case::prune(tx, 0)).unwrap(), 1, "the one that was refused is");
        assert!(get(&db.rows(), used).unwrap().is_some());
        assert_eq!(signed_cases(&db.rows()).unwrap(), [used]);
    }
}
