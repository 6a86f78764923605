use std::ops::{Deref, DerefMut};

use crate::pg::PgConn;
use crate::sql::{Shape, column_types, fixed_count, row_types};
use crate::sqlite::SqliteConn;
use crate::{DbError, Dialect, FromValue, Sql, Value};

/// SQLite takes this many parameters in one statement; Postgres twice as many.
const MAX_PARAMS: usize = 32_766;
/// Rows of one multi-row statement.
const MAX_ROWS: usize = 512;
/// Values of one IN list.
const MAX_LIST: usize = 1_024;

/// One row. Columns are read by position, in the order of the SELECT or RETURNING list.
pub struct Row {
    pub(crate) statement: &'static str,
    pub(crate) values: Box<[Value]>,
}

impl Row {
    /// The column as `T`; another type, a NULL where none is expected and a column that is not
    /// there are a [`DbError::Type`].
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, DbError> {
        let value = self.values.get(column);
        value.and_then(T::from_value).ok_or_else(|| {
            DbError::Type(format!(
                "{} column {column} is {}, not {}",
                self.statement,
                value.map_or("missing", Value::kind),
                std::any::type_name::<T>()
            ))
        })
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// Shows the statement only: rows can be personal data.
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({}, {} columns)", self.statement, self.values.len())
    }
}

pub(crate) enum Conn<'a> {
    Sqlite(&'a SqliteConn),
    Postgres(&'a mut PgConn),
}

/// Reads. What a store's read functions take as `&mut Query<'_>`.
pub struct Query<'a> {
    pub(crate) conn: Conn<'a>,
    pub(crate) statements: u64,
    /// The first statement that failed: Postgres refuses everything after it, so SQLite does too.
    pub(crate) failed: Option<DbError>,
}

impl Query<'_> {
    /// The engine, for the few statements that must differ.
    pub fn dialect(&self) -> Dialect {
        match self.conn {
            Conn::Sqlite(_) => Dialect::Sqlite,
            Conn::Postgres(_) => Dialect::Postgres,
        }
    }

    /// All rows.
    pub fn all(&mut self, sql: &Sql, params: &[Value]) -> Result<Vec<Row>, DbError> {
        self.rows(sql, &Shape::Plain, &params.iter().collect::<Vec<_>>(), true)
    }

    /// The row, if there is one; more than one is [`DbError::NotOne`].
    pub fn opt(&mut self, sql: &Sql, params: &[Value]) -> Result<Option<Row>, DbError> {
        let mut rows = self.all(sql, params)?;
        if rows.len() > 1 {
            return Err(DbError::NotOne(sql.name));
        }
        Ok(rows.pop())
    }

    /// The row; none or more than one is [`DbError::NotOne`].
    pub fn one(&mut self, sql: &Sql, params: &[Value]) -> Result<Row, DbError> {
        self.opt(sql, params)?.ok_or(DbError::NotOne(sql.name))
    }

    /// The rows of a statement with `{list}`, an IN list whose values follow the fixed parameters.
    /// The list is padded to a power of two with its last value, so that few texts get prepared;
    /// a long one runs in several statements; an empty one gives no rows and runs nothing.
    /// Rows come in no order across statements: sort them afterwards if order matters.
    pub fn all_in(
        &mut self,
        sql: &Sql,
        fixed: &[Value],
        list: &[Value],
    ) -> Result<Vec<Row>, DbError> {
        let mut out = Vec::new();
        for chunk in list.chunks(MAX_LIST) {
            let len = chunk.len().next_power_of_two();
            let pad = std::iter::repeat_n(&chunk[chunk.len() - 1], len - chunk.len());
            let params: Vec<&Value> = fixed.iter().chain(chunk).chain(pad).collect();
            out.extend(self.rows(sql, &Shape::List { fixed: fixed.len(), len }, &params, true)?);
        }
        Ok(out)
    }

    /// Runs what must be possible before any statement, and keeps the first failure.
    fn guarded<T>(
        &mut self,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        if let Some(first) = &self.failed {
            return Err(DbError::other(format_args!(
                "a statement of this transaction had failed before ({first}); use Tx::attempt to go on after a failure"
            )));
        }
        self.statements += 1;
        let result = f(&mut self.conn);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    fn rows(
        &mut self,
        sql: &Sql,
        shape: &Shape,
        params: &[&Value],
        keep: bool,
    ) -> Result<Vec<Row>, DbError> {
        self.guarded(|conn| match conn {
            Conn::Sqlite(c) => c.rows(sql, shape, params, keep),
            Conn::Postgres(c) => c.rows(sql, shape, params, keep),
        })
    }

    fn execute(
        &mut self,
        sql: &Sql,
        shape: &Shape,
        params: &[&Value],
        keep: bool,
    ) -> Result<u64, DbError> {
        self.guarded(|conn| match conn {
            Conn::Sqlite(c) => c.execute(sql, shape, params, keep),
            Conn::Postgres(c) => c.execute(sql, shape, params, keep),
        })
    }

    fn script(&mut self, text: &str) -> Result<(), DbError> {
        match &mut self.conn {
            Conn::Sqlite(c) => c.script(text),
            Conn::Postgres(c) => c.script(text),
        }
    }
}

/// A transaction: reads and writes. What a store's write functions take as `&mut Tx<'_>`.
pub struct Tx<'a> {
    pub(crate) query: Query<'a>,
    pub(crate) wakes: u8,
    depth: u32,
}

/// Who is told at once, in this process, after the transaction has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The event dispatcher.
    Outbox,
    /// The job workers.
    Jobs,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(conn: Conn<'a>) -> Self {
        Self { query: Query { conn, statements: 0, failed: None }, wakes: 0, depth: 0 }
    }

    /// Runs a statement; returns how many rows it changed.
    pub fn exec(&mut self, sql: &Sql, params: &[Value]) -> Result<u64, DbError> {
        self.query.execute(sql, &Shape::Plain, &params.iter().collect::<Vec<_>>(), true)
    }

    /// Runs a statement with `{rows}` for many rows at once: `INSERT INTO t (a, b) VALUES {rows}`,
    /// or `WITH v(a, b) AS (VALUES {rows ID, BIGINT}) UPDATE t SET … FROM v WHERE …`. Outside of
    /// an INSERT the columns' types must be told, in the words of the migrations. The numbers of
    /// the rows' parameters follow the fixed ones. Long lists run in several statements.
    pub fn exec_rows(
        &mut self,
        sql: &Sql,
        fixed: &[Value],
        rows: &[Vec<Value>],
    ) -> Result<u64, DbError> {
        let mut changed = 0;
        for (shape, params, keep) in chunks(sql, fixed, rows)? {
            changed += self.query.execute(sql, &shape, &params, keep)?;
        }
        Ok(changed)
    }

    /// Like [`Tx::exec_rows`] with RETURNING.
    pub fn all_rows(
        &mut self,
        sql: &Sql,
        fixed: &[Value],
        rows: &[Vec<Value>],
    ) -> Result<Vec<Row>, DbError> {
        let mut out = Vec::new();
        for (shape, params, keep) in chunks(sql, fixed, rows)? {
            out.extend(self.query.rows(sql, &shape, &params, keep)?);
        }
        Ok(out)
    }

    /// Runs `f` in a savepoint: if it fails, what it wrote is undone and the transaction goes on.
    /// Costs two statements; a guarded UPDATE or ON CONFLICT is usually better.
    pub fn attempt<T, E: From<DbError>>(
        &mut self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let name = format!("attempt_{}", self.depth);
        self.query.script(&format!("SAVEPOINT {name}"))?;
        self.depth += 1;
        let wakes = self.wakes;
        let result = {
            // Lifetimes: a Tx over a reborrow, so that `f` can take any Tx.
            let mut inner = Tx::new(match &mut self.query.conn {
                Conn::Sqlite(c) => Conn::Sqlite(c),
                Conn::Postgres(c) => Conn::Postgres(c),
            });
            inner.depth = self.depth;
            let result = f(&mut inner);
            self.wakes |= inner.wakes;
            self.query.statements += inner.query.statements;
            // A lost connection or a collision is beyond what a savepoint can undo.
            if let Some(error @ (DbError::Serialization | DbError::Unavailable(_))) =
                &inner.query.failed
            {
                self.query.failed = Some(error.clone());
            }
            match (result, inner.query.failed) {
                (Ok(_), Some(error)) => Err(E::from(error)),
                (result, _) => result,
            }
        };
        self.depth -= 1;
        if self.query.failed.is_none() {
            if result.is_err() {
                self.wakes = wakes;
                self.query.script(&format!("ROLLBACK TO SAVEPOINT {name}"))?;
            }
            self.query.script(&format!("RELEASE SAVEPOINT {name}"))?;
        }
        result
    }

    /// Asks that `who` is woken as soon as this transaction has committed.
    pub fn wake(&mut self, who: Wake) {
        self.wakes |= 1 << who as u8;
    }

    pub(crate) fn check(&mut self, sql: &Sql) -> Result<(), DbError> {
        let fixed = fixed_count(sql.text);
        let shape = if sql.text.contains("{list}") {
            Shape::List { fixed, len: 1 }
        } else if sql.text.contains("{rows") {
            Shape::Rows { fixed, rows: 1, types: row_types(sql.text) }
        } else {
            Shape::Plain
        };
        self.attempt(|tx| match &mut tx.query.conn {
            Conn::Sqlite(c) => c.check(sql, &shape),
            Conn::Postgres(c) => c.check(sql, &shape),
        })
    }
}

type Chunk<'v> = (Shape, Vec<&'v Value>, bool);

fn chunks<'v>(
    sql: &Sql,
    fixed: &'v [Value],
    rows: &'v [Vec<Value>],
) -> Result<Vec<Chunk<'v>>, DbError> {
    let Some(columns) = rows.first().map(Vec::len) else { return Ok(Vec::new()) };
    if columns == 0 || rows.iter().any(|r| r.len() != columns) || fixed.len() + columns > MAX_PARAMS
    {
        return Err(DbError::other(format_args!("{}: rows of different lengths", sql.name)));
    }
    let types = column_types(sql, rows, columns);
    if types.chars().count() != columns {
        return Err(DbError::other(format_args!("{}: not as many values as types", sql.name)));
    }
    let per_chunk = MAX_ROWS.min((MAX_PARAMS - fixed.len()) / columns).max(1);
    Ok(rows
        .chunks(per_chunk)
        .map(|chunk| {
            let params = fixed.iter().chain(chunk.iter().flatten()).collect();
            let shape = Shape::Rows { fixed: fixed.len(), rows: chunk.len(), types: types.clone() };
            // The odd rest of a long import is not worth a place in the statement cache.
            (shape, params, chunk.len() <= 64 || chunk.len() == per_chunk)
        })
        .collect())
}

impl<'a> Deref for Tx<'a> {
    type Target = Query<'a>;

    fn deref(&self) -> &Query<'a> {
        &self.query
    }
}

impl<'a> DerefMut for Tx<'a> {
    fn deref_mut(&mut self) -> &mut Query<'a> {
        &mut self.query
    }
}
