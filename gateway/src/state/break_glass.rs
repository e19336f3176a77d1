//! Table `break_glass`: every break-glass document that was ever acted on, whole, and where it stands.
//!
//! A row is written before anything is done on the document's word, and never removed: while this table
//! remembers it, the document is not taken again. The document is checked anew at each use; what stands beside it here
//! opens nothing.

use hal::clock::Wall;
use rusqlite::Row;

use super::column::{At, clip};
use super::{Rows, StateError, Tx};

pub(super) const TABLE: &str = "
    CREATE TABLE break_glass (
        id       TEXT PRIMARY KEY NOT NULL,
        plc      TEXT NOT NULL,
        document TEXT NOT NULL,
        given_by TEXT NOT NULL,
        accepted INTEGER NOT NULL,
        until    INTEGER NOT NULL,
        ended    INTEGER,
        closed   INTEGER,
        closing  TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX break_glass_in_force ON break_glass (plc) WHERE ended IS NULL;";

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenGlass {
    /// Its one-shot number.
    pub id: String,
    /// The controller.
    pub plc: String,
    /// The DSSE envelope.
    pub document: String,
    /// Who brought it.
    pub by: String,
    /// When it was accepted.
    pub accepted: Wall,
    /// When it ends by itself.
    pub until: Wall,
    /// When it ended. It is never in force again, whatever the clock says later.
    pub ended: Option<Wall>,
    /// When a person closed it.
    pub closed: Option<Wall>,
    /// Who closed it and why.
    pub closing: Option<String>,
}

/// Accepts a document; false when it was accepted before.
pub fn accept(tx: &Tx<'_>, new: &BrokenGlass) -> Result<bool, StateError> {
    let sql = "INSERT OR IGNORE INTO break_glass VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, NULL, NULL)";
    let row = (&new.id, &new.plc, &new.document, &new.by, At(new.accepted), At(new.until));
    Ok(tx.run("accept break-glass", sql, row)? > 0)
}

/// It is over; false when it was before.
pub fn end(tx: &Tx<'_>, id: &str, now: Wall) -> Result<bool, StateError> {
    let sql = "UPDATE break_glass SET ended = ?2 WHERE id = ?1 AND ended IS NULL";
    Ok(tx.run("end break-glass", sql, (id, At(now)))? > 0)
}

/// A person closes what is over; false when there is nothing to close.
pub fn close(tx: &Tx<'_>, id: &str, text: &str, now: Wall) -> Result<bool, StateError> {
    let sql = "UPDATE break_glass SET closed = ?3, closing = ?2
               WHERE id = ?1 AND ended IS NOT NULL AND closed IS NULL";
    Ok(tx.run("close break-glass", sql, (id, clip(text, TEXT_CHARS), At(now)))? > 0)
}

/// The document with this number.
pub fn get(rows: &Rows<'_>, id: &str) -> Result<Option<BrokenGlass>, StateError> {
    rows.first("read break-glass", "SELECT * FROM break_glass WHERE id = ?1", [id], make)
}

/// What has not ended, oldest first.
pub fn in_force(rows: &Rows<'_>) -> Result<Vec<BrokenGlass>, StateError> {
    let sql = "SELECT * FROM break_glass WHERE ended IS NULL ORDER BY accepted, id";
    rows.all("list what is in force", sql, [], make)
}

/// The newest, at most `limit`.
pub fn newest(rows: &Rows<'_>, limit: u32) -> Result<Vec<BrokenGlass>, StateError> {
    let sql = "SELECT * FROM break_glass ORDER BY accepted DESC, id LIMIT ?1";
    rows.all("list break-glass", sql, [limit], make)
}

/// What nobody has closed, of one controller.
pub fn unclosed(rows: &Rows<'_>, plc: &str) -> Result<Vec<BrokenGlass>, StateError> {
    let sql = "SELECT * FROM break_glass WHERE plc = ?1 AND closed IS NULL ORDER BY accepted, id";
    rows.all("list break-glass", sql, [plc], make)
}

fn make(row: &Row<'_>) -> Result<BrokenGlass, StateError> {
    Ok(BrokenGlass {
        id: row.get(0)?,
        plc: row.get(1)?,
        document: row.get(2)?,
        by: row.get(3)?,
        accepted: row.get::<_, At>(4)?.0,
        until: row.get::<_, At>(5)?.0,
        ended: row.get::<_, Option<At>>(6)?.map(|at| at.0),
        closed: row.get::<_, Option<At>>(7)?.map(|at| at.0),
        closing: row.get(8)?,
    })
}

const TEXT_CHARS: usize = 400;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::state::testing::{Dir, at};

    /// One that is in force from 1 to 100.
    pub(in crate::state) fn row() -> BrokenGlass {
        BrokenGlass {
            id: "07".repeat(16),
            plc: "pump-3".into(),
            document: "{}".into(),
            by: "uid 0".into(),
            accepted: at(1),
            until: at(100),
            ended: None,
            closed: None,
            closing: None,
        }
    }

    #[test]
    fn a_document_is_accepted_once_also_after_it_has_ended_and_after_a_restart() {
        let dir = Dir::new();
        let mut db = dir.open();
        let id = row().id;
        assert!(db.write("test", |tx| accept(tx, &row())).unwrap());
        assert!(!db.write("test", |tx| accept(tx, &row())).unwrap());
        assert_eq!(in_force(&db.rows()).unwrap(), [row()]);
        assert!(!db.write("test", |tx| close(tx, &id, "done", at(5))).unwrap(), "in force");
        assert!(db.write("test", |tx| end(tx, &id, at(100))).unwrap());
        assert!(!db.write("test", |tx| end(tx, &id, at(200))).unwrap());
        assert!(db.write("test", |tx| close(tx, &id, "done", at(300))).unwrap());
        drop(db);
        let mut db = dir.open();
        assert!(!db.write("test", |tx| accept(tx, &row())).unwrap());
        assert_eq!(in_force(&db.rows()).unwrap(), []);
        assert_eq!(unclosed(&db.rows(), "pump-3").unwrap(), []);
        let kept = get(&db.rows(), &id).unwrap().unwrap();
        assert_eq!(
            (kept.ended, kept.closed, kept.closing.as_deref()),
            (Some(at(100)), Some(at(300)), Some("done"))
        );
        assert_eq!(newest(&db.rows(), 5).unwrap(), [kept]);
    }
}
