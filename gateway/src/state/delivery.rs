//! Table `deliveries`: how far the gateway's own delivery of an image has come.
//!
//! This is the record a restart resumes from. Its phase only moves forward, and each step is durable before
//! the gateway does what the step says: past the point of no return there is no way back but to finish.

use hal::clock::Wall;
use rusqlite::Row;

use super::case::CaseNumber;
use super::column::{At, name_of, named};
use super::{Rows, StateError, Tx};
use crate::vault::ImageDigest;

pub(super) const TABLE: &str = "
    CREATE TABLE deliveries (
        number  INTEGER PRIMARY KEY REFERENCES cases ON DELETE CASCADE,
        plc     TEXT NOT NULL,
        digest  BLOB NOT NULL CHECK (length(digest) = 32),
        phase   TEXT NOT NULL,
        updated INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX one_open_delivery ON deliveries (plc) WHERE phase <> 'confirmed';";

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing destructive was sent; it can be abandoned.
    BeforeNoReturn,
    /// Something destructive may have been sent; it must be finished.
    PastNoReturn,
    /// Every byte and the last step were acknowledged.
    Delivered,
    /// The controller was read back. Final.
    Confirmed,
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its case.
    pub case: CaseNumber,
    /// The controller.
    pub plc: String,
    /// The image.
    pub digest: ImageDigest,
    /// How far it has come.
    pub phase: Phase,
    /// Since when.
    pub updated: Wall,
}

/// Records that a delivery starts. A controller takes one at a time.
pub fn begin(
    tx: &Tx<'_>,
    case: CaseNumber,
    plc: &str,
    digest: &ImageDigest,
    now: Wall,
) -> Result<(), StateError> {
    let doing = "record a delivery";
    let sql = "SELECT number FROM deliveries WHERE plc = ?1 AND phase <> 'confirmed'";
    if let Some(open) = tx.first(doing, sql, [plc], |row| Ok(CaseNumber::from_row(row.get(0)?)))? {
        return Err(StateError::Busy { plc: plc.to_owned(), case: open });
    }
    super::case::state_of(tx, case)?;
    let phase = name_of(PHASES, Phase::BeforeNoReturn);
    let row = (case.row(), plc, digest, phase, At(now));
    tx.run(doing, "INSERT INTO deliveries VALUES (?1, ?2, ?3, ?4, ?5)", row).map(drop)
}

/// Moves a delivery on. Its present phase again is fine; an earlier one is an error.
pub fn advance(tx: &Tx<'_>, case: CaseNumber, phase: Phase, now: Wall) -> Result<(), StateError> {
    let found = get(tx, case)?.ok_or(StateError::NoDelivery { case })?;
    if phase < found.phase {
        return Err(StateError::NoDelivery { case });
    }
    let sql = "UPDATE deliveries SET phase = ?2, updated = ?3 WHERE number = ?1";
    tx.run("record a delivery", sql, (case.row(), name_of(PHASES, phase), At(now))).map(drop)
}

/// Forgets a delivery before its point of no return, and gives back the use of the release it had taken;
/// past that point it is an error.
pub fn abandon(tx: &Tx<'_>, case: CaseNumber) -> Result<(), StateError> {
    if let Some(delivery) = get(tx, case)?.filter(|d| d.phase == Phase::BeforeNoReturn) {
        super::release::give_back(tx, &delivery.digest, &delivery.plc, case)?;
    }
    let sql = "DELETE FROM deliveries WHERE number = ?1 AND phase = ?2";
    match tx.run("abandon a delivery", sql, (case.row(), name_of(PHASES, Phase::BeforeNoReturn)))? {
        0 => Err(StateError::NoDelivery { case }),
        _ => Ok(()),
    }
}

/// The delivery of a case.
pub fn get(rows: &Rows<'_>, case: CaseNumber) -> Result<Option<Delivery>, StateError> {
    rows.first("read a delivery", "SELECT * FROM deliveries WHERE number = ?1", [case.row()], make)
}

/// What a restart has to abandon, resume or confirm, oldest case first.
pub fn open_deliveries(rows: &Rows<'_>) -> Result<Vec<Delivery>, StateError> {
    let sql = "SELECT * FROM deliveries WHERE phase <> 'confirmed' ORDER BY number";
    rows.all("read the open deliveries", sql, [], make)
}

fn make(row: &Row<'_>) -> Result<Delivery, StateError> {
    Ok(Delivery {
        case: CaseNumber::from_row(row.get(0)?),
        plc: row.get(1)?,
        digest: row.get(2)?,
        phase: named("deliveries.phase", PHASES, row.get_ref(3)?.as_str()?)?,
        updated: row.get::<_, At>(4)?.0,
    })
}

const PHASES: &[(Phase, &str)] = &[
    (Phase::BeforeNoReturn, "before-no-return"),
    (Phase::PastNoReturn, "past-no-return"),
    (Phase::Delivered, "delivered"),
    (Phase::Confirmed, "confirmed"),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::{Dir, at, open_case};

    #[test]
    fn a_delivery_moves_forward_only_and_is_open_until_confirmed() {
        let dir = Dir::new();
        let mut db = dir.open();
        let (first, second) = (open_case(&mut db, "p", None), open_case(&mut db, "p", None));
        db.write("test", |tx| begin(tx, first, "p", &[1; 32], at(1))).unwrap();
        let error = db.write("test", |tx| begin(tx, second, "p", &[1; 32], at(1))).unwrap_err();
        assert!(matches!(error, StateError::Busy { case, .. } if case == first));
        db.write("test", |tx| abandon(tx, first)).unwrap();
        db.write("test", |tx| begin(tx, second, "p", &[1; 32], at(2))).unwrap();
        for phase in [Phase::PastNoReturn, Phase::Delivered] {
            db.write("test", |tx| advance(tx, second, phase, at(3))).unwrap();
            drop(db);
            db = dir.open();
            assert_eq!(open_deliveries(&db.rows()).unwrap()[0].phase, phase);
            assert!(db.write("test", |tx| abandon(tx, second)).is_err());
            assert!(db.write("test", |tx| advance(tx, second, Phase::BeforeNoReturn, at(3))).is_err());
        }
        db.write("test", |tx| advance(tx, second, Phase::Confirmed, at(4))).unwrap();
        assert_eq!(open_deliveries(&db.rows()).unwrap(), []);
        db.write("test", |tx| begin(tx, first, "p", &[1; 32], at(5))).unwrap();
    }
}
