use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::ffi::{self, ErrorCode};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql};

use crate::query::Conn;
use crate::queue::Queue;
use crate::sql::{Key, Shape, expand};
use crate::work::{Kind, Shared, Work};
use crate::{DbError, Dialect, Row, Sql, Synchronous, Tx, Value};

/// Closures that share one commit at most.
const GROUP: usize = 256;
/// A group takes no more closures after this time.
const GROUP_TIME: Duration = Duration::from_millis(4);
/// How long another process (a CLI command) may hold the write lock.
const BUSY: Duration = Duration::from_secs(10);

pub(crate) struct SqliteConn {
    conn: Connection,
    texts: RefCell<HashMap<Key, Arc<str>>>,
}

impl SqliteConn {
    pub(crate) fn open(path: &Path, synchronous: Synchronous) -> Result<Self, DbError> {
        let open = || -> rusqlite::Result<Connection> {
            let conn = Connection::open(path)?;
            conn.busy_timeout(BUSY)?;
            conn.set_prepared_statement_cache_capacity(1_024);
            // Plans do not depend on bound values: with them, ANALYZE's samples would make SQLite
            // prepare a statement anew for almost every call.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            // No mmap: a reader would unmap the file after each commit of the writer and fault every
            // page in again, which costs more than it saves.
            let level = match synchronous {
                Synchronous::Full => "FULL",
                Synchronous::Normal => "NORMAL",
                Synchronous::Off => "OFF",
            };
            conn.execute_batch(&format!(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = {level};
                 PRAGMA foreign_keys = ON;
                 PRAGMA temp_store = MEMORY;
                 PRAGMA cache_size = -16000;
                 PRAGMA wal_autocheckpoint = 4000;
                 PRAGMA journal_size_limit = 67108864;"
            ))?;
            Ok(conn)
        };
        let conn = open().map_err(|e| DbError::unavailable(format_args!("SQLite: {e}")))?;
        Ok(Self { conn, texts: RefCell::default() })
    }

    pub(crate) fn script(&self, text: &str) -> Result<(), DbError> {
        self.conn.execute_batch(text).map_err(|e| self.error("script", &e))
    }

    /// A fixed text (BEGIN, COMMIT) through the statement cache.
    fn fixed(&self, text: &str) -> Result<(), DbError> {
        let run = || self.conn.prepare_cached(text)?.raw_execute();
        run().map(drop).map_err(|e| self.error("transaction", &e))
    }

    fn prepare(
        &self,
        sql: &Sql,
        shape: &Shape,
        keep: bool,
    ) -> Result<CachedStatement<'_>, DbError> {
        let prepared = if *shape == Shape::Plain {
            self.conn.prepare_cached(sql.text)
        } else {
            let key = Key::new(sql, shape);
            let known = self.texts.borrow().get(&key).cloned();
            let text = match known {
                Some(text) => text,
                None => {
                    let text: Arc<str> = expand(sql, Dialect::Sqlite, shape)?.into();
                    if keep {
                        self.texts.borrow_mut().insert(key, text.clone());
                    }
                    text
                }
            };
            self.conn.prepare_cached(&text)
        };
        prepared.map_err(|e| self.error(sql.name, &e))
    }

    fn bound(
        &self,
        sql: &Sql,
        shape: &Shape,
        params: &[&Value],
        keep: bool,
    ) -> Result<CachedStatement<'_>, DbError> {
        let mut statement = self.prepare(sql, shape, keep)?;
        if statement.parameter_count() != params.len() {
            return Err(wrong_count(sql, statement.parameter_count(), params.len()));
        }
        for (i, value) in params.iter().enumerate() {
            statement
                .raw_bind_parameter(i + 1, Bound(value))
                .map_err(|e| self.error(sql.name, &e))?;
        }
        Ok(statement)
    }

    pub(crate) fn rows(
        &self,
        sql: &Sql,
        shape: &Shape,
        params: &[&Value],
        keep: bool,
    ) -> Result<Vec<Row>, DbError> {
        let mut statement = self.bound(sql, shape, params, keep)?;
        let columns = statement.column_count();
        let mut out = Vec::new();
        let mut rows = statement.raw_query();
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(out),
                Err(e) => return Err(self.error(sql.name, &e)),
            };
            let values = (0..columns)
                .map(|i| row.get_ref(i).map_err(|e| self.error(sql.name, &e)).and_then(value))
                .collect::<Result<_, _>>()?;
            out.push(Row { statement: sql.name, values });
        }
    }

    pub(crate) fn execute(
        &self,
        sql: &Sql,
        shape: &Shape,
        params: &[&Value],
        keep: bool,
    ) -> Result<u64, DbError> {
        let mut statement = self.bound(sql, shape, params, keep)?;
        let changed = statement.raw_execute().map_err(|e| self.error(sql.name, &e))?;
        Ok(changed as u64)
    }

    pub(crate) fn check(&self, sql: &Sql, shape: &Shape) -> Result<(), DbError> {
        self.prepare(sql, shape, false).map(drop)
    }

    fn error(&self, name: &str, error: &rusqlite::Error) -> DbError {
        let rusqlite::Error::SqliteFailure(failure, message) = error else {
            // The others speak of types, columns and syntax; the offending text is our own SQL.
            return DbError::other(format_args!("{name}: {error}"));
        };
        let message = message.as_deref().unwrap_or_default();
        let after = message.split_once("failed: ").map_or("", |(_, rest)| rest);
        match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                DbError::Unique { constraint: self.unique_name(after) }
            }
            ffi::SQLITE_CONSTRAINT_ROWID => {
                DbError::Unique { constraint: format!("{}_pkey", table_of(after)) }
            }
            ffi::SQLITE_CONSTRAINT_CHECK => DbError::Check { constraint: after.to_owned() },
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => DbError::ForeignKey,
            ffi::SQLITE_CONSTRAINT_DATATYPE => DbError::Type(format!("{name}: {message}")),
            _ => match failure.code {
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt => {
                    DbError::unavailable(format_args!("SQLite: {name}: {message}"))
                }
                _ => DbError::other(format_args!("{name}: {message}")),
            },
        }
    }

    /// SQLite names the columns (`t.a, t.b`) where Postgres names the index. Finds the index, and
    /// gives the automatic ones the names that Postgres would give them.
    fn unique_name(&self, columns: &str) -> String {
        if let Some(index) = columns.strip_prefix("index '") {
            return index.trim_end_matches('\'').to_owned();
        }
        let table = table_of(columns);
        let names: Vec<&str> =
            columns.split(", ").map(|c| c.rsplit('.').next().unwrap_or(c)).collect();
        let find = || -> rusqlite::Result<Option<(String, String)>> {
            let mut list = self.conn.prepare_cached(
                "SELECT l.name, l.origin, (SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno))
                 FROM pragma_index_list(?1) AS l WHERE l.\"unique\"",
            )?;
            let mut rows = list.query([table])?;
            while let Some(row) = rows.next()? {
                let indexed: Option<String> = row.get(2)?;
                if indexed.as_deref() == Some(names.join(", ").as_str()) {
                    return Ok(Some((row.get(0)?, row.get(1)?)));
                }
            }
            Ok(None)
        };
        match find() {
            Ok(Some((index, origin))) => match origin.as_str() {
                "c" => index,
                "u" => format!("{table}_{}_key", names.join("_")),
                _ => format!("{table}_pkey"),
            },
            // INTEGER PRIMARY KEY has no index of its own.
            _ => format!("{table}_pkey"),
        }
    }
}

fn table_of(columns: &str) -> &str {
    columns.split('.').next().unwrap_or(columns)
}

pub(crate) fn wrong_count(sql: &Sql, wanted: usize, given: usize) -> DbError {
    DbError::other(format_args!("{} takes {wanted} parameters, {given} were given", sql.name))
}

struct Bound<'v>(&'v Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let borrowed = |x| Ok(ToSqlOutput::Borrowed(x));
        match self.0 {
            Value::Null => borrowed(ValueRef::Null),
            Value::Bool(x) => borrowed(ValueRef::Integer((*x).into())),
            Value::Int(x) => borrowed(ValueRef::Integer(*x)),
            Value::Real(x) => borrowed(ValueRef::Real(*x)),
            Value::Text(x) => borrowed(ValueRef::Text(x.as_bytes())),
            Value::Bytes(x) => borrowed(ValueRef::Blob(x)),
            Value::Id(x) => {
                Ok(ToSqlOutput::Owned(rusqlite::types::Value::Blob(x.bytes().to_vec())))
            }
            Value::Time(x) => borrowed(ValueRef::Integer(x.micros())),
            Value::Json(x) => Ok(ToSqlOutput::Owned(rusqlite::types::Value::Text(x.to_string()))),
        }
    }
}

fn value(v: ValueRef<'_>) -> Result<Value, DbError> {
    Ok(match v {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(x) => Value::Int(x),
        ValueRef::Real(x) => Value::Real(x),
        ValueRef::Text(x) => Value::Text(
            std::str::from_utf8(x)
                .map_err(|_| DbError::Type("a text that is not UTF-8".into()))?
                .to_owned(),
        ),
        ValueRef::Blob(x) => Value::Bytes(x.to_vec()),
    })
}

/// A reader thread: each closure in its own snapshot.
pub(crate) fn reader(conn: &SqliteConn, queue: &Queue<Work>, shared: &Shared) {
    while let Some(mut work) = queue.pop() {
        let (ok, outcome) = match conn.fixed("BEGIN DEFERRED") {
            Err(error) => (false, Err(error)),
            Ok(()) => {
                let mut tx = Tx::new(Conn::Sqlite(conn));
                let ok = shared.run(&mut work, &mut tx);
                (ok, conn.fixed("COMMIT"))
            }
        };
        if outcome.is_err() && !conn.conn.is_autocommit() {
            let _ = conn.fixed("ROLLBACK");
        }
        shared.finish(work, ok, outcome);
    }
}

/// The writer thread: drains its queue into one transaction, a savepoint per closure, and answers
/// after the commit. It never waits for a group to fill: what came in during the last commit
/// is the next group.
pub(crate) fn writer(conn: &SqliteConn, queue: &Queue<Work>, shared: &Shared) {
    while let Some(first) = queue.pop() {
        if let Err(error) = conn.fixed("BEGIN IMMEDIATE") {
            shared.finish(first, false, Err(error));
            continue;
        }
        let started = Instant::now();
        let mut group: Vec<(Work, bool)> = Vec::new();
        let mut wakes = 0;
        let mut next = Some(first);
        let mut broken = None;
        while let Some(mut work) = next {
            let (ok, asked, end) = one(conn, shared, &mut work);
            wakes |= asked;
            group.push((work, ok));
            if let Err(error) = end {
                broken = Some(error);
                break;
            }
            let full = group.len() >= GROUP || started.elapsed() >= GROUP_TIME;
            next = if full { None } else { queue.try_pop() };
        }
        let outcome = match broken {
            None => conn.fixed("COMMIT"),
            Some(error) => Err(error),
        };
        // Nobody may believe in a commit that did not happen.
        let outcome = outcome
            .map_err(|e| DbError::unavailable(format_args!("the group was not committed: {e}")));
        if outcome.is_err() && !conn.conn.is_autocommit() {
            let _ = conn.fixed("ROLLBACK");
        }
        if outcome.is_ok() {
            shared.wake(wakes);
        }
        shared.stats.group(group.len());
        for (work, ok) in group {
            shared.finish(work, ok, outcome.clone());
        }
    }
    let _ = conn.script("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);");
}

/// One closure in its savepoint. The last value is an error if the whole group is lost.
fn one(conn: &SqliteConn, shared: &Shared, work: &mut Work) -> (bool, u8, Result<(), DbError>) {
    if let Err(error) = conn.fixed("SAVEPOINT closure") {
        return (false, 0, Err(error));
    }
    let mut tx = Tx::new(Conn::Sqlite(conn));
    let ok = shared.run(work, &mut tx);
    let wakes = if ok { tx.wakes } else { 0 };
    // A full disk makes SQLite roll back everything by itself.
    if conn.conn.is_autocommit() {
        let why = tx.query.failed.take().unwrap_or(DbError::Serialization);
        return (ok, 0, Err(why));
    }
    let end = if ok { Ok(()) } else { conn.fixed("ROLLBACK TO closure") };
    (ok, wakes, end.and_then(|()| conn.fixed("RELEASE closure")))
}

/// Which queue a closure goes to.
pub(crate) fn is_write(kind: Kind) -> bool {
    kind == Kind::Write
}
