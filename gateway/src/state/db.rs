//! The database file: opened by one process, checked before it is believed, committed in full.

use std::ops::Deref;
use std::path::Path;

use hal::store::{Fuse, Store};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Params, Row, Statement, TransactionBehavior};

use super::{Lock, StateError, schema};

/// The open state of this gateway.
#[derive(Debug)]
pub struct Db {
    conn: Connection,
    fuse: Fuse,
    store: Store,
    _lock: Lock,
}

impl Db {
    /// Opens `state.db` in the locked directory. `store` is the store of that directory.
    ///
    /// A missing file is made only where there never was one (`state.created` says so). A file that is
    /// cut short or altered is an error; it is never replaced.
    pub fn open(lock: Lock, store: &Store) -> Result<Db, StateError> {
        Db::open_where(false, lock, store)
    }

    /// As [`Db::open`], for a caller who may know that there was a database: `state.created` can be taken away with it.
    pub fn open_where(has_run: bool, lock: Lock, store: &Store) -> Result<Db, StateError> {
        let path = lock.dir().join(DATABASE);
        let marked = store.open_file(CREATED)?.is_some();
        let created = marked || has_run;
        if created && !path.exists() {
            return Err(StateError::Gone { path });
        }
        if created && size_of(&path) < SMALLEST {
            // SQLite would take the rest for a new, empty database.
            let found = format!("it has {} bytes", size_of(&path));
            return Err(StateError::Damaged { path, found });
        }
        if !path.exists() {
            // Made here so that it is private: SQLite gives its log files the same mode.
            store.write_atomic(DATABASE, b"")?;
        }
        let fuse = store.fuse().clone();
        let mut conn = connect(&path)?;
        let version = schema::version(&conn).map_err(|e| StateError::sqlite("open the state", e))?;
        if created && version == 0 {
            return Err(StateError::Damaged { path, found: "it holds no tables".to_owned() });
        }
        schema::migrate(&mut conn, &fuse).map_err(|e| damaged(&path, e))?;
        conn.pragma_update(None, "foreign_keys", true)
            .map_err(|e| StateError::sqlite("open the state", e))?;
        if !marked {
            let settled = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            settled.map_err(|e| StateError::sqlite("settle the new state", e))?;
            store.write_atomic(
                CREATED,
                b"state.db was made; should it be missing, restore it from a backup\n",
            )?;
        }
        store.set_aside(RESERVE, RESERVE_BYTES).or_else(|e| if e.is_full() { Ok(()) } else { Err(e) })?;
        Ok(Db { conn, fuse, store: store.clone(), _lock: lock })
    }

    /// Read access to what is committed.
    pub fn rows(&self) -> Rows<'_> {
        Rows { conn: &self.conn }
    }

    /// Runs `change` in one transaction: all of it is durable on `Ok`, none of it happened on `Err`.
    /// `doing` completes "cannot ...".
    pub fn write<T>(
        &mut self,
        doing: &'static str,
        change: impl FnOnce(&Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let failed = |e| StateError::sqlite(doing, e);
        let inner = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let value = change(&Tx { rows: Rows { conn: &inner } })?;
        self.fuse.step("commit")?;
        inner.commit().map_err(failed)?;
        Ok(value)
    }

    /// As [`Db::write`], for what must not be lost to a full disk: alarms and the record of a delivery
    /// past its point of no return. When there is no room the reserve is spent and the change tried again.
    pub fn write_with_reserve<T>(
        &mut self,
        doing: &'static str,
        change: impl Fn(&Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match self.write(doing, &change) {
            Err(e) if e.is_full() && self.store.remove(RESERVE)? => self.write(doing, &change),
            other => other,
        }
    }

    /// Whether the reserve is set aside.
    pub fn has_reserve(&self) -> bool {
        self.store.open_file(RESERVE).is_ok_and(|file| file.is_some())
    }

    /// Sets the reserve aside again, once there is room; false while there is none.
    pub fn restore_reserve(&self) -> Result<bool, StateError> {
        match self.store.set_aside(RESERVE, RESERVE_BYTES) {
            Ok(()) => Ok(true),
            Err(e) if e.is_full() => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.conn
    }
}

/// Read access to the tables.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    conn: &'a Connection,
}

/// An open transaction; reads see what it has written. Made by [`Db::write`] only.
#[derive(Debug)]
pub struct Tx<'a> {
    rows: Rows<'a>,
}

impl<'a> Deref for Tx<'a> {
    type Target = Rows<'a>;
    fn deref(&self) -> &Rows<'a> {
        &self.rows
    }
}

impl Rows<'_> {
    /// The rows of `sql`, each made by `make`.
    pub(super) fn all<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        mut make: impl FnMut(&Row<'_>) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let mut statement = self.prepare(doing, sql)?;
        let mut rows = statement.query(params).map_err(|e| StateError::sqlite(doing, e))?;
        let mut values = Vec::new();
        while let Some(row) = rows.next().map_err(|e| StateError::sqlite(doing, e))? {
            values.push(make(row)?);
        }
        Ok(values)
    }

    /// The first row of `sql`, if there is one.
    pub(super) fn first<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        make: impl FnMut(&Row<'_>) -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        Ok(self.all(doing, sql, params, make)?.into_iter().next())
    }

    fn prepare(&self, doing: &'static str, sql: &str) -> Result<rusqlite::CachedStatement<'_>, StateError> {
        self.conn.prepare_cached(sql).map_err(|e| StateError::sqlite(doing, e))
    }
}

impl Tx<'_> {
    /// Carries out one statement and says how many rows it changed.
    pub(super) fn run(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
    ) -> Result<usize, StateError> {
        let mut statement = self.prepare(doing, sql)?;
        Statement::execute(&mut statement, params).map_err(|e| StateError::sqlite(doing, e))
    }

    /// The row id of the last insert.
    pub(super) fn last_id(&self) -> i64 {
        self.conn.last_insert_rowid()
    }
}

pub(super) fn connect(path: &Path) -> Result<Connection, StateError> {
    let failed = |e| damaged(path, StateError::sqlite("open the state", e));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    // Until it is found whole, closing it changes nothing: the log may be what a repair needs.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    // A read-only mount or an odd file system keeps another mode: better no start than half a promise.
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(StateError::BadValue { column: "pragma journal_mode", found: mode });
    }
    conn.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    // Foreign keys are on only after the migrations: a step may rebuild a table others refer to.
    conn.pragma_update(None, "trusted_schema", false).map_err(failed)?;
    conn.pragma_update(None, "cell_size_check", true).map_err(failed)?;
    let found: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found != "ok" {
        return Err(StateError::Damaged { path: path.to_owned(), found });
    }
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
    // SQLite reads what is missing of the last page as zeros.
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let (expected, size) = (pragma("page_count")? * pragma("page_size")?, size_of(path));
    if size < expected.cast_unsigned() {
        let found = format!("it has {size} bytes of {expected}");
        return Err(StateError::Damaged { path: path.to_owned(), found });
    }
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
    Ok(conn)
}

/// Bytes in a file; 0 when it cannot be told.
fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// What SQLite says of a file that is not as it wrote it, in an operator's words.
fn damaged(path: &Path, error: StateError) -> StateError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        StateError::Sqlite { source, .. }
            if matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)) =>
        {
            StateError::Damaged { path: path.to_owned(), found: source.to_string() }
        }
        other => other,
    }
}

const DATABASE: &str = "state.db";
const CREATED: &str = "state.created";
/// Bytes of the smallest page SQLite knows.
const SMALLEST: u64 = 512;
const RESERVE: &str = "reserve";
/// Room for about 10,000 alarms with their outbox rows.
const RESERVE_BYTES: u64 = 4 << 20;
