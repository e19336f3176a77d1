//! Table `outbox`: messages for the broker, in order, kept until it has them.
//!
//! Bounded by a quota that drops the oldest rows that are no alarms. Alarms are never dropped: one row per
//! cause in `alarms` is what keeps them few.

use hal::clock::Wall;
use rusqlite::Row;

use super::column::{At, Count, name_of, named};
use super::{Rows, StateError, Tx};

// The triggers keep the totals, so that a push need not count the queue.
pub(super) const TABLE: &str = "
    CREATE TABLE outbox (
        id      INTEGER PRIMARY KEY AUTOINCREMENT,
        topic   TEXT NOT NULL,
        payload BLOB NOT NULL,
        kind    TEXT NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER
    ) STRICT;
    CREATE INDEX outbox_droppable ON outbox (id) WHERE kind <> 'alarm';
    CREATE INDEX outbox_expiring ON outbox (expires) WHERE expires IS NOT NULL;
    CREATE TABLE outbox_total (rows INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
    INSERT INTO outbox_total VALUES (0, 0);
    CREATE TRIGGER outbox_in AFTER INSERT ON outbox BEGIN
        UPDATE outbox_total SET rows = rows + 1, bytes = bytes + length(new.payload);
    END;
    CREATE TRIGGER outbox_out AFTER DELETE ON outbox BEGIN
        UPDATE outbox_total SET rows = rows - 1, bytes = bytes - length(old.payload);
    END;";

/// What a message is; alarms outlive the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An alarm. Never dropped, never expires.
    Alarm,
    /// The verdict on an image.
    Verdict,
    /// The state of the gateway or of a controller.
    Status,
    /// Measured values.
    Signal,
}

/// A message to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// MQTT topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// When it is of no use any more.
    pub expires: Option<Wall>,
}

/// A queued message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place in the queue; ascending, never given twice.
    pub id: i64,
    /// What was queued.
    pub message: NewMessage,
    /// When.
    pub created: Wall,
}

/// How much may be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxQuota {
    /// Messages.
    pub rows: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Default for OutboxQuota {
    /// A day of one status a second, or about 64 MB.
    fn default() -> OutboxQuota {
        OutboxQuota { rows: 100_000, bytes: 64 << 20 }
    }
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The place in the queue.
    pub id: i64,
    /// Older messages (or, among alarms only, this one) that were dropped for the quota.
    pub dropped: u64,
}

/// Queues a message and drops what the quota has no room for.
pub fn push(tx: &Tx<'_>, new: &NewMessage, quota: OutboxQuota, now: Wall) -> Result<Pushed, StateError> {
    let doing = "queue a message";
    let expires = new.expires.filter(|_| new.kind != Kind::Alarm).map(At);
    let row = (&new.topic, &new.payload, name_of(KINDS, new.kind), At(now), expires);
    let sql = "INSERT INTO outbox (topic, payload, kind, created, expires) VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.run(doing, sql, row)?;
    let mut pushed = Pushed { id: tx.last_id(), dropped: 0 };
    let sql = "DELETE FROM outbox WHERE id = (SELECT min(id) FROM outbox WHERE kind <> 'alarm')";
    loop {
        let total = total(tx)?;
        if total.rows <= quota.rows && total.bytes <= quota.bytes || tx.run(doing, sql, [])? == 0 {
            return Ok(pushed);
        }
        pushed.dropped += 1;
    }
}

/// The next `n` messages after `after` (0: from the start), in order; expired ones are passed over.
pub fn next_batch(rows: &Rows<'_>, after: i64, n: u32, now: Wall) -> Result<Vec<Message>, StateError> {
    let sql = "SELECT * FROM outbox WHERE id > ?1 AND (expires IS NULL OR expires > ?3) ORDER BY id LIMIT ?2";
    rows.all("read queued messages", sql, (after, n, At(now)), make)
}

/// Takes a message that the broker has out of the queue; false when it is there no more.
pub fn delete(tx: &Tx<'_>, id: i64) -> Result<bool, StateError> {
    Ok(tx.run("take a message out of the queue", "DELETE FROM outbox WHERE id = ?1", [id])? > 0)
}

/// Deletes expired messages and says how many.
pub fn expire(tx: &Tx<'_>, now: Wall) -> Result<usize, StateError> {
    tx.run("drop expired messages", "DELETE FROM outbox WHERE expires <= ?1", [At(now)])
}

/// What is queued now.
pub fn total(rows: &Rows<'_>) -> Result<OutboxQuota, StateError> {
    let sql = "SELECT rows, bytes FROM outbox_total";
    let total = rows.first("count the queue", sql, [], |row| {
        Ok(OutboxQuota { rows: row.get::<_, Count>(0)?.0, bytes: row.get::<_, Count>(1)?.0 })
    })?;
    total.ok_or(StateError::BadValue { column: "outbox_total", found: "no row".to_owned() })
}

fn make(row: &Row<'_>) -> Result<Message, StateError> {
    Ok(Message {
        id: row.get(0)?,
        message: NewMessage {
            topic: row.get(1)?,
            payload: row.get(2)?,
            kind: named("outbox.kind", KINDS, row.get_ref(3)?.as_str()?)?,
            expires: row.get::<_, Option<At>>(5)?.map(|at| at.0),
        },
        created: row.get::<_, At>(4)?.0,
    })
}

const KINDS: &[(Kind, &str)] =
    &[(Kind::Alarm, "alarm"), (Kind::Verdict, "verdict"), (Kind::Status, "status"), (Kind::Signal, "signal")];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::{Dir, at};

    fn message(kind: Kind, len: usize) -> NewMessage {
        NewMessage { topic: "t".into(), payload: vec![7; len], kind, expires: None }
    }

    #[test]
    fn the_oldest_that_is_no_alarm_goes_first_and_alarms_never() {
        let dir = Dir::new();
        let mut db = dir.open();
        let quota = OutboxQuota { rows: 4, bytes: 100 };
        let kinds = |db: &crate::state::Db| -> Vec<(i64, Kind)> {
            next_batch(&db.rows(), 0, 99, at(0)).unwrap().iter().map(|m| (m.id, m.message.kind)).collect()
        };
        let mut push =
            |kind, len| db.write("test", |tx| push(tx, &message(kind, len), quota, at(1))).unwrap();
        for kind in [Kind::Alarm, Kind::Status, Kind::Alarm, Kind::Signal] {
            assert_eq!(push(kind, 10).dropped, 0);
        }
        assert_eq!(push(Kind::Verdict, 10), Pushed { id: 5, dropped: 1 });
        assert_eq!(push(Kind::Alarm, 75), Pushed { id: 6, dropped: 2 });
        assert_eq!(push(Kind::Alarm, 75), Pushed { id: 7, dropped: 0 });
        assert_eq!(push(Kind::Signal, 1), Pushed { id: 8, dropped: 1 });
        assert_eq!(kinds(&db), [1, 3, 6, 7].map(|id| (id, Kind::Alarm)));
        assert_eq!(total(&db.rows()).unwrap(), OutboxQuota { rows: 4, bytes: 170 });
        drop(db);
        let mut db = dir.open();
        for id in [1, 3, 6, 7] {
            assert!(db.write("test", |tx| delete(tx, id)).unwrap());
        }
        assert!(!db.write("test", |tx| delete(tx, 7)).unwrap());
        assert_eq!(total(&db.rows()).unwrap(), OutboxQuota { rows: 0, bytes: 0 });
        let pushed = db.write("test", |tx| super::push(tx, &message(Kind::Status, 1), quota, at(1))).unwrap();
        assert_eq!(pushed.id, 9, "ids are not given twice");
    }

    #[test]
    fn batches_follow_on_and_pass_over_what_has_expired() {
        let dir = Dir::new();
        let mut db = dir.open();
        for i in 1..=6 {
            let kind = if i == 6 { Kind::Alarm } else { Kind::Status };
            let expires = (i % 2 == 0).then(|| at(100));
            let new = NewMessage { expires, ..message(kind, 1) };
            db.write("test", |tx| push(tx, &new, OutboxQuota::default(), at(i))).unwrap();
        }
        let ids = |db: &crate::state::Db, after, now| -> Vec<i64> {
            next_batch(&db.rows(), after, 3, at(now)).unwrap().iter().map(|m| m.id).collect()
        };
        assert_eq!(ids(&db, 0, 99), [1, 2, 3]);
        assert_eq!(ids(&db, 3, 99), [4, 5, 6]);
        assert_eq!(ids(&db, 0, 100), [1, 3, 5]);
        assert_eq!(ids(&db, 5, 100), [6], "an alarm does not expire");
        assert_eq!(db.write("test", |tx| expire(tx, at(100))).unwrap(), 2);
        assert_eq!(total(&db.rows()).unwrap().rows, 4);
    }
}
