//! The steps by which an empty file becomes today's database.

use rusqlite::Connection;

use super::{
    StateError, alarm, break_glass, case, delivery, held, identity, learned, meta, outbox, receipt, release,
    soak,
};
use hal::store::Fuse;

/// Step `n` takes the database from `user_version` n to n + 1. A step that has shipped never changes.
pub(super) const STEPS: &[&str] = &[
    meta::TABLE,
    case::TABLE,
    release::TABLE,
    delivery::TABLE,
    identity::TABLE,
    alarm::TABLE,
    outbox::TABLE,
    learned::TABLE,
    soak::TABLE,
    alarm::CAUSE,
    release::GIVER,
    receipt::TABLE,
    held::TABLES,
    break_glass::TABLE,
];

/// Version of a database that has taken every step.
pub(super) const VERSION: u32 = STEPS.len() as u32;

/// The version of the database behind `conn`.
pub(super) fn version(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Takes the missing steps, each in a transaction of its own.
pub(super) fn migrate(conn: &mut Connection, fuse: &Fuse) -> Result<(), StateError> {
    let failed = |e| StateError::sqlite("bring the state to the present version", e);
    let found = version(conn).map_err(failed)?;
    if found > VERSION {
        return Err(StateError::Newer { found, known: VERSION });
    }
    for (step, sql) in (0..).zip(STEPS).skip(found as usize) {
        let tx = conn.transaction().map_err(failed)?;
        tx.execute_batch(sql).map_err(failed)?;
        tx.pragma_update(None, "user_version", step + 1).map_err(failed)?;
        fuse.step("commit a migration")?;
        tx.commit().map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn dump(conn: &Connection) -> Vec<String> {
        let mut rows =
            conn.prepare("SELECT type || name || coalesce(sql, '') FROM sqlite_schema ORDER BY 1").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn each_step_leads_on_from_the_version_before_it() {
        let mut whole = Connection::open_in_memory().unwrap();
        migrate(&mut whole, &Fuse::never()).unwrap();
        for from in 0..=STEPS.len() {
            let mut conn = Connection::open_in_memory().unwrap();
            for sql in &STEPS[..from] {
                conn.execute_batch(sql).unwrap();
            }
            conn.pragma_update(None, "user_version", from as u32).unwrap();
            migrate(&mut conn, &Fuse::never()).unwrap();
            assert_eq!(version(&conn).unwrap(), VERSION);
            assert_eq!(dump(&conn), dump(&whole), "from version {from}");
        }
    }

    #[test]
    fn a_cut_between_steps_goes_on_where_it_stopped() {
        for step in 0..u64::from(VERSION) {
            let mut conn = Connection::open_in_memory().unwrap();
            assert!(matches!(migrate(&mut conn, &Fuse::at(step)), Err(StateError::Cut(_))));
            assert_eq!(u64::from(version(&conn).unwrap()), step);
            migrate(&mut conn, &Fuse::never()).unwrap();
            assert_eq!(version(&conn).unwrap(), VERSION);
        }
    }

    #[test]
    fn a_later_version_is_left_alone() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let error = migrate(&mut conn, &Fuse::never()).unwrap_err();
        assert!(matches!(error, StateError::Newer { known: VERSION, .. }));
    }
}
