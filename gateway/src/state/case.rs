//! Tables `cases` and `story`: one transfer and what became of it, line by line.

use hal::clock::Wall;
use hal::reason::ReasonCode;
use rusqlite::Row;

use super::column::{At, Code, Count, clip, name_of, named};
use super::{Rows, StateError, Tx};
use crate::vault::ImageDigest;

// AUTOINCREMENT: a number is never given twice, also when the newest case is deleted.
pub(super) const TABLE: &str = "
    CREATE TABLE cases (
        number  INTEGER PRIMARY KEY AUTOINCREMENT,
        plc     TEXT NOT NULL,
        station TEXT NOT NULL,
        way     TEXT NOT NULL,
        class   TEXT NOT NULL,
        opened  INTEGER NOT NULL,
        digest  BLOB CHECK (length(digest) = 32),
        state   TEXT NOT NULL,
        code    INTEGER,
        told    INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX cases_by_plc ON cases (plc, number);
    CREATE TABLE story (
        number INTEGER NOT NULL REFERENCES cases ON DELETE CASCADE,
        line   INTEGER NOT NULL,
        at     INTEGER NOT NULL,
        text   TEXT NOT NULL,
        PRIMARY KEY (number, line)
    ) STRICT, WITHOUT ROWID;";

/// A case number, printed as `C-000123`. Never given twice by one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseNumber(i64);

/// Where a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseState {
    /// The image is coming in or being judged.
    Open,
    /// Its release waits for people to approve it.
    Held,
    /// Accepted and in the vault; someone must ask for delivery.
    Ready,
    /// On its way into the controller.
    Delivering,
    /// Delivered. Final.
    Done,
    /// Refused. Final.
    Refused,
    /// Broken off by a station, a controller or a deadline. Final.
    Aborted,
}

/// What is known when a case is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// The controller.
    pub plc: String,
    /// Where the image comes from: a station's address, `usb`, `cli`.
    pub station: String,
    /// How the route keeps the promise: `match`, `stage`, `hold-commit`, `opaque`.
    pub way: String,
    /// What is transferred: `firmware`, `program`, `safety`.
    pub class: String,
    /// The image, where it is known already.
    pub digest: Option<ImageDigest>,
}

/// One case and its story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its number.
    pub number: CaseNumber,
    /// The controller.
    pub plc: String,
    /// Where the image came from.
    pub station: String,
    /// How the route keeps the promise.
    pub way: String,
    /// What is transferred.
    pub class: String,
    /// When it was opened.
    pub opened: Wall,
    /// The image, once known.
    pub digest: Option<ImageDigest>,
    /// Where it stands.
    pub state: CaseState,
    /// Why, where there is a reason.
    pub code: Option<ReasonCode>,
    /// What happened, in order. Of a long story the middle is left out.
    pub story: Vec<Line>,
    /// Lines left out of the story.
    pub left_out: u64,
}

/// One line of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Wall,
    /// What happened.
    pub text: String,
}

/// Opens a case.
pub fn open(tx: &Tx<'_>, new: &NewCase, now: Wall) -> Result<CaseNumber, StateError> {
    let sql =
        "INSERT INTO cases (plc, station, way, class, opened, digest, state) VALUES (?1,?2,?3,?4,?5,?6,?7)";
    let state = name_of(STATES, CaseState::Open);
    let station = clip(&new.station, LINE_CHARS);
    let row = (&new.plc, station, &new.way, &new.class, At(now), new.digest, state);
    tx.run("open a case", sql, row)?;
    Ok(CaseNumber(tx.last_id()))
}

/// Adds a line to the story, also of a case that has ended.
pub fn tell(tx: &Tx<'_>, number: CaseNumber, now: Wall, text: &str) -> Result<(), StateError> {
    let doing = "add to a case's story";
    let sql = "UPDATE cases SET told = told + 1 WHERE number = ?1 RETURNING told";
    let line = tx.first(doing, sql, [number.0], |row| Ok(row.get::<_, i64>(0)?))?;
    let line = line.ok_or(StateError::NoCase { number })?;
    let text = clip(text, LINE_CHARS);
    tx.run(doing, "INSERT INTO story VALUES (?1, ?2, ?3, ?4)", (number.0, line, At(now), text))?;
    // The beginning says what it was, the end what became of it.
    let (first, last) = (STORY_LINES / 2, STORY_LINES - STORY_LINES / 2);
    let sql = "DELETE FROM story WHERE number = ?1 AND line > ?2 AND line <= ?3";
    tx.run(doing, sql, (number.0, first, line - last)).map(drop)
}

/// Moves a case on, with the reason where there is one. A case that has ended stays as it is: repeating
/// its end is fine, another one is an error.
pub fn settle(
    tx: &Tx<'_>,
    number: CaseNumber,
    state: CaseState,
    code: Option<ReasonCode>,
) -> Result<(), StateError> {
    let found = state_of(tx, number)?;
    if found.ended() && found != state {
        return Err(StateError::Ended { number, state: found });
    }
    let sql = "UPDATE cases SET state = ?2, code = coalesce(?3, code) WHERE number = ?1";
    tx.run("move a case on", sql, (number.0, name_of(STATES, state), code.map(Code))).map(drop)
}

/// Says which image a case is about. It can be said once.
pub fn set_digest(tx: &Tx<'_>, number: CaseNumber, digest: &ImageDigest) -> Result<(), StateError> {
    let sql = "UPDATE cases SET digest = ?2 WHERE number = ?1 AND (digest IS NULL OR digest = ?2)";
    match tx.run("name a case's image", sql, (number.0, digest))? {
        0 => state_of(tx, number).and(Err(StateError::OtherCase { number })),
        _ => Ok(()),
    }
}

/// One case with its story.
pub fn get(rows: &Rows<'_>, number: CaseNumber) -> Result<Option<Case>, StateError> {
    let sql = format!("SELECT {COLUMNS} FROM cases WHERE number = ?1");
    let Some(mut case) = rows.first("read a case", &sql, [number.0], make)? else { return Ok(None) };
    let sql = "SELECT at, text FROM story WHERE number = ?1 ORDER BY line";
    case.story = rows.all("read a case's story", sql, [number.0], |row| {
        Ok(Line { at: row.get::<_, At>(0)?.0, text: row.get(1)? })
    })?;
    case.left_out = case.left_out.saturating_sub(case.story.len() as u64);
    Ok(Some(case))
}

/// The newest `limit` cases below `before`, newest first, without their stories.
pub fn list(rows: &Rows<'_>, before: Option<CaseNumber>, limit: u32) -> Result<Vec<Case>, StateError> {
    let sql = format!("SELECT {COLUMNS} FROM cases WHERE number < ?1 ORDER BY number DESC LIMIT ?2");
    rows.all("list cases", &sql, (before.map_or(i64::MAX, |n| n.0), limit), make)
}

/// At most `limit` cases that were opened before `to` and told of at or after `from`, oldest first, without their
/// stories.
pub fn between(rows: &Rows<'_>, from: Wall, to: Wall, limit: u32) -> Result<Vec<Case>, StateError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM cases WHERE opened < ?2
         AND (SELECT max(at) FROM story WHERE story.number = cases.number) >= ?1 ORDER BY number LIMIT ?3"
    );
    rows.all("list cases", &sql, (At(from), At(to), limit), make)
}

/// Where old cases were forgotten: when the oldest of those was opened that have no receipt and are kept.
pub fn forgotten_before(rows: &Rows<'_>) -> Result<Option<Wall>, StateError> {
    let sql = "SELECT opened FROM cases WHERE number > 1 AND NOT EXISTS (SELECT 1 FROM cases WHERE number = 1)
               AND number NOT IN (SELECT number FROM receipts WHERE state = 'signed') ORDER BY number LIMIT 1";
    rows.first("read the oldest case", sql, [], |row| Ok(row.get::<_, At>(0)?.0))
}

/// The cases that have not ended, oldest first, without their stories.
pub fn unsettled(rows: &Rows<'_>) -> Result<Vec<Case>, StateError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM cases WHERE state IN ('open','held','ready','delivering') ORDER BY number"
    );
    rows.all("list cases", &sql, [], make)
}

/// The last case of a controller in which an image was let in; a release that was held lets none in.
pub fn last_done(rows: &Rows<'_>, plc: &str) -> Result<Option<CaseNumber>, StateError> {
    let sql = "SELECT number FROM cases WHERE plc = ?1 AND state = 'done' AND number NOT IN
               (SELECT number FROM held) ORDER BY number DESC LIMIT 1";
    rows.first("read a controller's last case", sql, [plc], |row| Ok(CaseNumber(row.get(0)?)))
}

/// Deletes ended cases that are not among the newest `keep`, with their stories and uses. One whose delivery is still
/// open stays, and one with a receipt does, signed or owed: a peer can fill the list with refusals, but what a person
/// released is evidence for years, and so are the approvals of a release.
pub fn prune(tx: &Tx<'_>, keep: u32) -> Result<usize, StateError> {
    let sql = "DELETE FROM cases WHERE state IN ('done','refused','aborted') AND number <=
               (SELECT number FROM cases ORDER BY number DESC LIMIT 1 OFFSET ?1)
               AND number NOT IN (SELECT number FROM deliveries WHERE phase <> 'confirmed')
               AND number NOT IN (SELECT number FROM receipts WHERE state IN ('waiting', 'signed'))
               AND number NOT IN (SELECT number FROM held WHERE released IS NOT NULL)";
    tx.run("forget old cases", sql, [keep])
}

/// Where a case stands.
pub fn state_of(rows: &Rows<'_>, number: CaseNumber) -> Result<CaseState, StateError> {
    let sql = "SELECT state FROM cases WHERE number = ?1";
    let state = rows.first("read a case", sql, [number.0], |row| {
        named("cases.state", STATES, row.get_ref(0)?.as_str()?)
    })?;
    state.ok_or(StateError::NoCase { number })
}

impl CaseState {
    /// Whether nothing follows.
    pub fn ended(self) -> bool {
        matches!(self, CaseState::Done | CaseState::Refused | CaseState::Aborted)
    }
}

impl CaseNumber {
    /// The case called `number` on the wire side, where numbers are never negative.
    pub fn from_u64(number: u64) -> CaseNumber {
        CaseNumber(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// The bare number.
    pub fn as_u64(self) -> u64 {
        self.0.unsigned_abs()
    }

    pub(super) fn row(self) -> i64 {
        self.0
    }

    pub(super) fn from_row(number: i64) -> CaseNumber {
        CaseNumber(number)
    }
}

impl std::fmt::Display for CaseNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "C-{:06}", self.0)
    }
}

/// Reads `C-000123`, with or without leading zeros.
impl std::str::FromStr for CaseNumber {
    type Err = NotACase;
    fn from_str(text: &str) -> Result<CaseNumber, NotACase> {
        let digits = text.strip_prefix("C-").ok_or(NotACase)?;
        let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let number = digits.parse().ok().filter(|n| decimal && *n > 0);
        number.map(CaseNumber).ok_or(NotACase)
    }
}

/// Text that is no case number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a case number looks like C-000123")]
pub struct NotACase;

fn make(row: &Row<'_>) -> Result<Case, StateError> {
    Ok(Case {
        number: CaseNumber(row.get(0)?),
        plc: row.get(1)?,
        station: row.get(2)?,
        way: row.get(3)?,
        class: row.get(4)?,
        opened: row.get::<_, At>(5)?.0,
        digest: row.get(6)?,
        state: named("cases.state", STATES, row.get_ref(7)?.as_str()?)?,
        code: row.get::<_, Option<Code>>(8)?.map(|code| code.0),
        story: Vec::new(),
        left_out: row.get::<_, Count>(9)?.0,
    })
}

const COLUMNS: &str = "number, plc, station, way, class, opened, digest, state, code, told";

const STATES: &[(CaseState, &str)] = &[
    (CaseState::Open, "open"),
    (CaseState::Held, "held"),
    (CaseState::Ready, "ready"),
    (CaseState::Delivering, "delivering"),
    (CaseState::Done, "done"),
    (CaseState::Refused, "refused"),
    (CaseState::Aborted, "aborted"),
];

/// Lines kept of one story: a retransmitting station must not fill the disk.
const STORY_LINES: i64 = 200;
/// Characters kept of one line.
const LINE_CHARS: usize = 400;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::{Dir, at, open_case};

    #[test]
    fn numbers_ascend_and_are_never_given_twice() {
        let dir = Dir::new();
        let mut db = dir.open();
        let first = open_case(&mut db, "p", None);
        assert_eq!(first.to_string(), "C-000001");
        for state in [CaseState::Ready, CaseState::Aborted] {
            db.write("test", |tx| settle(tx, first, state, None)).unwrap();
        }
        assert_eq!(db.write("test", |tx| prune(tx, 0)).unwrap(), 1);
        drop(db);
        let mut db = dir.open();
        let second = open_case(&mut db, "p", None);
        assert!(second > first && get(&db.rows(), first).unwrap().is_none());
        assert_eq!(list(&db.rows(), None, 9).unwrap().len(), 1);
        assert_eq!(list(&db.rows(), Some(second), 9).unwrap().len(), 0);
        assert_eq!(unsettled(&db.rows()).unwrap()[0].number, second);
    }

    #[test]
    fn a_case_number_reads_back_as_it_prints() {
        assert_eq!("C-000123".parse(), Ok(CaseNumber(123)));
        assert_eq!("C-1234567".parse(), Ok(CaseNumber(1_234_567)));
        for text in ["", "C-", "C-0", "C-+1", "C--1", "123", "c-1", "C-99999999999999999999"] {
            assert_eq!(text.parse::<CaseNumber>(), Err(NotACase), "{text}");
        }
    }

    #[test]
    fn a_case_that_has_ended_stays_as_it_ended() {
        let dir = Dir::new();
        let mut db = dir.open();
        let n = open_case(&mut db, "p", None);
        let why = Some(ReasonCode(1012));
        for _ in 0..2 {
            db.write("test", |tx| settle(tx, n, CaseState::Refused, why)).unwrap();
        }
        let error = db.write("test", |tx| settle(tx, n, CaseState::Done, None)).unwrap_err();
        assert!(matches!(error, StateError::Ended { state: CaseState::Refused, .. }));
        db.write("test", |tx| tell(tx, n, at(5), "seen")).unwrap();
        let case = get(&db.rows(), n).unwrap().unwrap();
        assert_eq!((case.state, case.code, case.story.len()), (CaseState::Refused, why, 1));
        let error = db.write("test", |tx| tell(tx, CaseNumber(99), at(5), "x")).unwrap_err();
        assert!(matches!(error, StateError::NoCase { number: CaseNumber(99) }));
    }

    #[test]
    fn a_case_is_about_one_image() {
        let dir = Dir::new();
        let mut db = dir.open();
        let n = open_case(&mut db, "p", None);
        db.write("test", |tx| set_digest(tx, n, &[1; 32])).unwrap();
        db.write("test", |tx| set_digest(tx, n, &[1; 32])).unwrap();
        let error = db.write("test", |tx| set_digest(tx, n, &[2; 32])).unwrap_err();
        assert!(matches!(error, StateError::OtherCase { .. }));
    }

    #[test]
    fn a_long_story_keeps_its_beginning_and_its_end() {
        let dir = Dir::new();
        let mut db = dir.open();
        let n = open_case(&mut db, "p", None);
        db.write("test", |tx| {
            (1..=500).try_for_each(|i| tell(tx, n, at(i), &format!("{i} {}", "ä".repeat(900))))
        })
        .unwrap();
        let case = get(&db.rows(), n).unwrap().unwrap();
        let at: Vec<i64> = case.story.iter().map(|line| line.at.ms).collect();
        assert_eq!((at[0], at[99], at[100], at[199]), (1, 100, 401, 500));
        assert_eq!((case.story.len(), case.left_out), (200, 300));
        assert!(case.story.iter().all(|line| line.text.chars().count() <= LINE_CHARS));
    }
}
