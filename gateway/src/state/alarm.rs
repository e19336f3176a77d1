//! Table `alarms`: one row per cause, as ISA-18.2 counts them, so that a flood is a number and not a list.

use hal::clock::Wall;
use hal::reason::ReasonCode;
use rusqlite::Row;

use super::column::{At, Code, Count, clip};
use super::{Rows, StateError, Tx};

// The gateway itself is the source ''.
pub(super) const TABLE: &str = "
    CREATE TABLE alarms (
        source       TEXT NOT NULL,
        code         INTEGER NOT NULL,
        count        INTEGER NOT NULL,
        first        INTEGER NOT NULL,
        last         INTEGER NOT NULL,
        active       INTEGER NOT NULL,
        acknowledged INTEGER NOT NULL,
        latched      INTEGER NOT NULL,
        text         TEXT NOT NULL,
        PRIMARY KEY (source, code)
    ) STRICT, WITHOUT ROWID;";

// Whether the cause is still there: a latched alarm may outlast it, and an acknowledged one must not hide it.
pub(super) const CAUSE: &str = "
    ALTER TABLE alarms ADD COLUMN standing INTEGER NOT NULL DEFAULT 0;
    UPDATE alarms SET standing = active;";

/// What an alarm is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The gateway itself.
    Gateway,
    /// One controller, signal or field bus; no two of them have the same id.
    Named(String),
}

/// One alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// What it is about.
    pub source: Source,
    /// Its cause.
    pub code: ReasonCode,
    /// How often it was raised.
    pub count: u64,
    /// When it was raised first.
    pub first: Wall,
    /// When it was raised last.
    pub last: Wall,
    /// Whether the cause is there, or the alarm outlasts it until a person acknowledges it.
    pub active: bool,
    /// Whether a person has seen this occurrence.
    pub acknowledged: bool,
    /// Whether it stays active until a person acknowledges it.
    pub latched: bool,
    /// Whether the cause is there.
    pub standing: bool,
    /// What to tell the operator.
    pub text: String,
}

/// What kind of thing an alarm tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something happened: it stays until a person acknowledges it.
    Event,
    /// Something is so, until [`clear`].
    State,
    /// Something is so; when it no longer is, the alarm stays until a person acknowledges it.
    Latched,
}

/// Raises an alarm: a new row, or one more count of the row there is. Once latched it stays so. Returns
/// the row after; it is a new occurrence when `acknowledged` is false and `last` is `now`.
pub fn raise(
    tx: &Tx<'_>,
    source: &Source,
    code: ReasonCode,
    kind: Kind,
    text: &str,
    now: Wall,
) -> Result<Alarm, StateError> {
    let sql = "INSERT INTO alarms VALUES (?1, ?2, 1, ?3, ?3, 1, 0, ?4, ?5, ?6)
               ON CONFLICT DO UPDATE SET count = count + 1, last = excluded.last, text = excluded.text,
                   acknowledged = acknowledged AND standing AND excluded.standing, active = 1,
                   latched = latched OR excluded.latched, standing = excluded.standing
               RETURNING *";
    let (latched, standing) = (kind != Kind::State, kind != Kind::Event);
    let row = (source.key(), Code(code), At(now), latched, clip(text, TEXT_CHARS), standing);
    let alarm = tx.first("raise an alarm", sql, row, make)?;
    alarm.ok_or(StateError::BadValue { column: "alarms", found: String::new() })
}

/// A person has seen it: what has no standing cause ends with it. False when there is no such alarm or it was
/// acknowledged before.
pub fn acknowledge(tx: &Tx<'_>, source: &Source, code: ReasonCode) -> Result<bool, StateError> {
    let sql = "UPDATE alarms SET acknowledged = 1, active = standing, latched = latched AND standing
               WHERE source = ?1 AND code = ?2 AND acknowledged = 0";
    Ok(tx.run("acknowledge an alarm", sql, (source.key(), Code(code)))? > 0)
}

/// The cause is gone; a latched alarm that nobody has acknowledged stays active. False when nothing changed.
pub fn clear(tx: &Tx<'_>, source: &Source, code: ReasonCode) -> Result<bool, StateError> {
    let sql = "UPDATE alarms SET standing = 0, active = latched AND NOT acknowledged,
                   latched = latched AND NOT acknowledged
               WHERE source = ?1 AND code = ?2 AND standing = 1";
    Ok(tx.run("clear an alarm", sql, (source.key(), Code(code)))? > 0)
}

/// One alarm.
pub fn get(rows: &Rows<'_>, source: &Source, code: ReasonCode) -> Result<Option<Alarm>, StateError> {
    let sql = "SELECT * FROM alarms WHERE source = ?1 AND code = ?2";
    rows.first("read an alarm", sql, (source.key(), Code(code)), make)
}

/// Alarms that are active or not yet acknowledged, newest first.
pub fn standing(rows: &Rows<'_>) -> Result<Vec<Alarm>, StateError> {
    let sql = "SELECT * FROM alarms WHERE active = 1 OR acknowledged = 0 ORDER BY last DESC, source, code";
    rows.all("list alarms", sql, [], make)
}

/// Every alarm there ever was, newest first.
pub fn list(rows: &Rows<'_>) -> Result<Vec<Alarm>, StateError> {
    rows.all("list alarms", "SELECT * FROM alarms ORDER BY last DESC, source, code", [], make)
}

impl Source {
    fn key(&self) -> &str {
        match self {
            Source::Gateway => "",
            Source::Named(plc) => plc,
        }
    }
}

fn make(row: &Row<'_>) -> Result<Alarm, StateError> {
    let source: String = row.get(0)?;
    Ok(Alarm {
        source: if source.is_empty() { Source::Gateway } else { Source::Named(source) },
        code: row.get::<_, Code>(1)?.0,
        count: row.get::<_, Count>(2)?.0,
        first: row.get::<_, At>(3)?.0,
        last: row.get::<_, At>(4)?.0,
        active: row.get(5)?,
        acknowledged: row.get(6)?,
        latched: row.get(7)?,
        text: row.get(8)?,
        standing: row.get(9)?,
    })
}

const TEXT_CHARS: usize = 400;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::{Dir, at};

    #[test]
    fn an_alarm_goes_through_the_states_of_isa_18_2() {
        type Act = fn(&Tx<'_>, &Source, ReasonCode) -> Result<bool, StateError>;
        let event: Act = |tx, s, c| raise(tx, s, c, Kind::Event, "text", at(1)).map(|_| true);
        let state: Act = |tx, s, c| raise(tx, s, c, Kind::State, "text", at(1)).map(|_| true);
        let latched: Act = |tx, s, c| raise(tx, s, c, Kind::Latched, "text", at(2)).map(|_| true);
        // (what, act, its answer, count, active, acknowledged, standing)
        let story: &[(&str, Act, bool, u64, bool, bool, bool)] = &[
            ("raised", state, true, 1, true, false, true),
            ("raised again: counted", state, true, 2, true, false, true),
            ("acknowledged, and still there", acknowledge, true, 2, true, true, true),
            ("acknowledged again: nothing", acknowledge, false, 2, true, true, true),
            ("raised while it stands: stays acknowledged", state, true, 3, true, true, true),
            ("cleared", clear, true, 3, false, true, false),
            ("raised after clearing: a new occurrence", state, true, 4, true, false, true),
            ("cleared, and nobody has seen it", clear, true, 4, false, false, false),
            ("raised latched", latched, true, 5, true, false, true),
            ("clearing does not end a latched one", clear, true, 5, true, false, false),
            ("clearing again: nothing", clear, false, 5, true, false, false),
            ("acknowledging does", acknowledge, true, 5, false, true, false),
            ("raised latched", latched, true, 6, true, false, true),
            ("acknowledged while it stands", acknowledge, true, 6, true, true, true),
            ("then clearing ends it", clear, true, 6, false, true, false),
            ("an event", event, true, 7, true, false, false),
            ("has nothing to clear", clear, false, 7, true, false, false),
            ("and ends when it is acknowledged", acknowledge, true, 7, false, true, false),
            ("another one is not acknowledged", event, true, 8, true, false, false),
        ];
        let dir = Dir::new();
        let mut db = dir.open();
        let (code, plc) = (ReasonCode(7001), Source::Named("p".into()));
        for source in [Source::Gateway, plc] {
            for (what, act, answer, count, active, acknowledged, standing) in story {
                assert_eq!(db.write("test", |tx| act(tx, &source, code)).unwrap(), *answer, "{what}");
                let alarm = get(&db.rows(), &source, code).unwrap().unwrap();
                let found = (alarm.count, alarm.active, alarm.acknowledged, alarm.standing);
                assert_eq!(found, (*count, *active, *acknowledged, *standing), "{what}");
                let listed = super::standing(&db.rows()).unwrap().iter().any(|a| a.source == source);
                assert_eq!(listed, *active || !*acknowledged, "{what}");
            }
        }
        assert_eq!(list(&db.rows()).unwrap().len(), 2);
    }
}
