use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mela_base::{Env, Id, Timestamp};
use tokio::runtime::Runtime;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Statement};

use crate::query::Conn;
use crate::queue::Queue;
use crate::sql::{Key, Shape, expand};
use crate::sqlite::wrong_count;
use crate::work::{Kind, Shared, Work};
use crate::{DbError, Dialect, Row, Sql, Tx, Value};

/// Prepared statements of one connection; above it the cache starts anew.
const STATEMENTS: usize = 2_048;
/// Tries of a write that collides.
const TRIES: u32 = 10;
/// µs from 1970 to 2000, where Postgres begins to count.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// Where to connect and how.
#[derive(Clone)]
pub(crate) struct PgConfig {
    pub(crate) url: String,
    pub(crate) schema: Option<String>,
}

impl PgConfig {
    /// Connects without TLS: the database is reached by a unix socket or a private network.
    /// Only on a thread that runs no other runtime.
    pub(crate) fn connect(&self) -> Result<PgConn, DbError> {
        let mut config: tokio_postgres::Config =
            self.url.parse().map_err(|_| DbError::unavailable("the Postgres URL is malformed"))?;
        config.application_name("mela").connect_timeout(Duration::from_secs(5));
        // Reads are statements on their own; only BEGIN READ WRITE may change anything.
        let mut setup = "SET TIME ZONE 'UTC'; SET lock_timeout = '10s'; SET statement_timeout = '60s';
             SET idle_in_transaction_session_timeout = '60s'; SET default_transaction_read_only = on;"
            .to_owned();
        if let Some(schema) = &self.schema {
            setup.push_str(&format!("SET search_path TO \"{}\";", schema.replace('"', "")));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| DbError::unavailable(format_args!("no runtime for Postgres: {e}")))?;
        let connected = runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await?;
            // Driven whenever this thread waits for an answer. Its error is the client's as well.
            tokio::spawn(async move { drop(connection.await) });
            client.batch_execute(&setup).await.map(|()| client)
        });
        let client = connected.map_err(|e| {
            DbError::unavailable(format_args!("cannot connect to Postgres: {}", reason(&e)))
        })?;
        Ok(PgConn { runtime, client, statements: HashMap::new(), begin: None, broken: false })
    }
}

pub(crate) struct PgConn {
    runtime: Runtime,
    client: Client,
    statements: HashMap<Key, Statement>,
    /// The BEGIN of a transaction that has not said anything yet. It goes out together with the
    /// first statement, which saves a round trip; a transaction that says nothing costs nothing.
    begin: Option<&'static str>,
    /// Not to be used again.
    broken: bool,
}

impl PgConn {
    fn send<T>(
        &mut self,
        name: &str,
        request: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, DbError> {
        let (begin, client) = (self.begin.take(), &self.client);
        let result = self.runtime.block_on(async {
            match begin {
                None => request(client).await,
                Some(begin) => {
                    let begin = client.batch_execute(begin);
                    let (begun, result) = tokio::join!(biased; begin, request(client));
                    begun.and(result)
                }
            }
        });
        result.map_err(|e| self.failed(name, &e))
    }

    pub(crate) fn script(&mut self, text: &str) -> Result<(), DbError> {
        self.send("script", async |client| client.batch_execute(text).await)
    }

    fn dead(&self) -> bool {
        self.broken || self.client.is_closed()
    }

    fn prepare(&mut self, sql: &Sql, shape: &Shape, keep: bool) -> Result<Statement, DbError> {
        let key = Key::new(sql, shape);
        if let Some(statement) = self.statements.get(&key) {
            return Ok(statement.clone());
        }
        let text = expand(sql, Dialect::Postgres, shape)?;
        let statement = self.send(sql.name, async |client| client.prepare(&text).await)?;
        if keep {
            if self.statements.len() >= STATEMENTS {
                self.statements.clear();
            }
            self.statements.insert(key, statement.clone());
        }
        Ok(statement)
    }

    fn ready(
        &mut self,
        sql: &Sql,
        shape: &Shape,
        given: usize,
        keep: bool,
    ) -> Result<Statement, DbError> {
        let statement = self.prepare(sql, shape, keep)?;
        if statement.params().len() != given {
            return Err(wrong_count(sql, statement.params().len(), given));
        }
        Ok(statement)
    }

    pub(crate) fn rows(
        &mut self,
        sql: &Sql,
        shape: &Shape,
        params: &[&Value],
        keep: bool,
    ) -> Result<Vec<Row>, DbError> {
        let statement = self.ready(sql, shape, params.len(), keep)?;
        let bound: Vec<Bound<'_>> = params.iter().map(|v| Bound(v)).collect();
        let refs: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|b| b as _).collect();
        let rows = self.send(sql.name, async |client| client.query(&statement, &refs).await)?;
        rows.iter()
            .map(|row| {
                let values = (0..row.len())
                    .map(|i| {
                        row.try_get::<_, Raw>(i).map(|raw| raw.0).map_err(|_| {
                            let ty = row.columns()[i].type_();
                            DbError::Type(format!("{} column {i} is a {ty}", sql.name))
                        })
                    })
                    .collect::<Result<_, _>>()?;
                Ok(Row { statement: sql.name, values })
            })
            .collect()
    }

    pub(crate) fn execute(
        &mut self,
        sql: &Sql,
        shape: &Shape,
        params: &[&Value],
        keep: bool,
    ) -> Result<u64, DbError> {
        let statement = self.ready(sql, shape, params.len(), keep)?;
        let bound: Vec<Bound<'_>> = params.iter().map(|v| Bound(v)).collect();
        let refs: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|b| b as _).collect();
        self.send(sql.name, async |client| client.execute(&statement, &refs).await)
    }

    pub(crate) fn check(&mut self, sql: &Sql, shape: &Shape) -> Result<(), DbError> {
        self.prepare(sql, shape, false).map(drop)
    }

    fn failed(&mut self, name: &str, e: &tokio_postgres::Error) -> DbError {
        // After a migration under a running server, the old plans are of no use.
        if e.as_db_error().is_some_and(|d| d.message().contains("cached plan")) {
            self.statements.clear();
            return DbError::Serialization;
        }
        let error = error(name, e);
        let shut = e.as_db_error().is_some_and(|d| d.code().code().starts_with("57P"));
        if shut || e.as_db_error().is_none() && error.is_unavailable() {
            self.broken = true;
        }
        error
    }
}

fn reason(e: &tokio_postgres::Error) -> String {
    match e.as_db_error() {
        Some(d) => format!("{} ({})", d.message(), d.code().code()),
        None => e.source().map_or_else(|| e.to_string(), ToString::to_string),
    }
}

fn error(name: &str, e: &tokio_postgres::Error) -> DbError {
    let Some(d) = e.as_db_error() else {
        if e.is_closed() || e.source().is_some_and(|s| s.is::<std::io::Error>()) {
            return DbError::unavailable("the connection to Postgres was lost");
        }
        // Our own encoder says which types did not fit, never the value.
        let source = e.source().map(ToString::to_string).unwrap_or_default();
        return DbError::Type(format!("{name}: {e}: {source}"));
    };
    let code = d.code().code();
    let constraint = || d.constraint().unwrap_or_default().to_owned();
    match code {
        "23505" => DbError::Unique { constraint: constraint() },
        "23514" => DbError::Check { constraint: constraint() },
        "23503" => DbError::ForeignKey,
        "40001" | "40P01" => DbError::Serialization,
        "42804" => DbError::Type(format!("{name}: {}", d.message())),
        _ => match &code[..2] {
            "08" | "53" | "57" | "58" | "55" => {
                DbError::unavailable(format_args!("Postgres: {name}: {} ({code})", d.message()))
            }
            // A data exception quotes the value.
            "22" => DbError::other(format_args!("{name}: data exception {code}")),
            _ => DbError::other(format_args!("{name}: {} ({code})", d.message())),
        },
    }
}

#[derive(Debug)]
struct Bound<'v>(&'v Value);

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let integer = |n: i64, out: &mut BytesMut| match *ty {
            Type::INT8 => n.to_sql(ty, out),
            Type::INT4 => i32::try_from(n)?.to_sql(ty, out),
            Type::INT2 => i16::try_from(n)?.to_sql(ty, out),
            Type::FLOAT8 => (n as f64).to_sql(ty, out),
            _ => Err(format!("an int for a {ty}").into()),
        };
        match (self.0, ty) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Bool(x), &Type::BOOL) => x.to_sql(ty, out),
            (Value::Int(x), _) => integer(*x, out),
            (Value::Real(x), &Type::FLOAT8) => x.to_sql(ty, out),
            (Value::Real(x), &Type::FLOAT4) => (*x as f32).to_sql(ty, out),
            (Value::Text(x), &(Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR)) => {
                out.extend_from_slice(x.as_bytes());
                Ok(IsNull::No)
            }
            (Value::Text(x), &Type::JSONB) => {
                out.extend_from_slice(&[1]);
                out.extend_from_slice(x.as_bytes());
                Ok(IsNull::No)
            }
            (Value::Bytes(x), &Type::BYTEA) => {
                out.extend_from_slice(x);
                Ok(IsNull::No)
            }
            (Value::Id(x), &(Type::UUID | Type::BYTEA)) => {
                out.extend_from_slice(&x.bytes());
                Ok(IsNull::No)
            }
            (Value::Time(x), &Type::TIMESTAMPTZ) => {
                (x.micros().saturating_sub(EPOCH_2000)).to_sql(&Type::INT8, out)
            }
            (Value::Json(x), &Type::JSONB) => {
                out.extend_from_slice(&[1]);
                out.extend_from_slice(x.to_string().as_bytes());
                Ok(IsNull::No)
            }
            (Value::Json(x), &(Type::JSON | Type::TEXT)) => {
                out.extend_from_slice(x.to_string().as_bytes());
                Ok(IsNull::No)
            }
            (other, ty) => Err(format!("{} for a {ty}", other.kind()).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

struct Raw(Value);

impl<'r> FromSql<'r> for Raw {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let text = |raw: &[u8]| std::str::from_utf8(raw).map(str::to_owned);
        Ok(Self(match *ty {
            Type::BOOL => Value::Bool(bool::from_sql(ty, raw)?),
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Value::Int(i16::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Value::Real(f64::from_sql(ty, raw)?),
            Type::FLOAT4 => Value::Real(f32::from_sql(ty, raw)?.into()),
            Type::NUMERIC => numeric(raw)?,
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            Type::UUID => Value::Id(Id::from_bytes(raw.try_into()?)),
            Type::TIMESTAMPTZ => {
                let micros = i64::from_sql(&Type::INT8, raw)?;
                Value::Time(Timestamp::from_micros(micros.saturating_add(EPOCH_2000)))
            }
            Type::JSONB => Value::Text(text(raw.get(1..).unwrap_or_default())?),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR | Type::JSON | Type::UNKNOWN => {
                Value::Text(text(raw)?)
            }
            _ => return Err("a type that mela-db does not use".into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// `sum(bigint)` and `avg(bigint)` are NUMERIC. A whole number that fits becomes an int.
fn numeric(raw: &[u8]) -> Result<Value, Box<dyn Error + Sync + Send>> {
    let word = |i: usize| -> Result<u16, Box<dyn Error + Sync + Send>> {
        Ok(u16::from_be_bytes(raw.get(i * 2..i * 2 + 2).ok_or("short numeric")?.try_into()?))
    };
    let digits = usize::from(word(0)?);
    let weight = i32::from(word(1)? as i16);
    let negative = match word(2)? {
        0 => false,
        0x4000 => true,
        _ => return Err("a numeric that is no number".into()),
    };
    let sign = if negative { -1 } else { 1 };
    let whole = i32::try_from(digits)? <= weight + 1;
    if whole && weight < 8 {
        let mut n: i128 = 0;
        for i in 0..=weight {
            let digit = if (i as usize) < digits { word(4 + i as usize)? } else { 0 };
            n = n * 10_000 + i128::from(digit);
        }
        return Ok(Value::Int(i64::try_from(n * sign)?));
    }
    let mut x = 0.0_f64;
    for i in 0..digits {
        x += f64::from(word(4 + i)?) * 10_000_f64.powi(weight - i as i32);
    }
    Ok(Value::Real(x * sign as f64))
}

/// A worker thread: owns one connection and takes one closure at a time.
///
/// READ COMMITTED, not SERIALIZABLE: stores guard with constraints and with
/// `UPDATE … WHERE what must hold`, which re-checks under the row's lock. Under SERIALIZABLE the hot
/// rows of a sale (one stock row, a thousand buyers) would abort and re-run most of the time.
pub(crate) fn worker(
    mut conn: Option<PgConn>,
    config: &PgConfig,
    env: &Env,
    queue: &Queue<Work>,
    shared: &Shared,
    stopping: &AtomicBool,
) {
    // After a failed connect, further closures fail at once for a while: a caller gets an answer
    // within its patience, and a restarting server is not stormed.
    let mut down: Option<(Instant, u32, DbError)> = None;
    while let Some(mut work) = queue.pop() {
        let mut tries = 0;
        let (ok, outcome) = loop {
            tries += 1;
            if conn.as_ref().is_none_or(PgConn::dead) {
                conn = None;
                if let Some((since, times, error)) = &down {
                    let wait = Duration::from_millis(50 << (*times).min(6));
                    if since.elapsed() < wait || stopping.load(Ordering::Relaxed) {
                        break (false, Err(error.clone()));
                    }
                }
                match config.connect() {
                    Ok(fresh) => conn = Some(fresh),
                    Err(error) => {
                        tracing::warn!(%error, "database connection failed");
                        let times = down.as_ref().map_or(1, |d| d.1 + 1);
                        down = Some((Instant::now(), times, error.clone()));
                        break (false, Err(error));
                    }
                }
                down = None;
            }
            let Some(c) = conn.as_mut() else { continue };
            let (ok, outcome, again) = attempt(c, shared, &mut work);
            let lost = c.dead();
            let limit = if lost { 2 } else { TRIES };
            if !again || tries >= limit {
                break (ok, outcome);
            }
            shared.retried(&work);
            if !lost {
                let bound = 500_u64 << tries.min(7);
                std::thread::sleep(Duration::from_micros(bound / 2 + env.below(bound)));
            }
        };
        shared.finish(work, ok, outcome);
    }
}

/// Runs the closure once. The last value says that running it again can help and is safe.
fn attempt(c: &mut PgConn, shared: &Shared, work: &mut Work) -> (bool, Result<(), DbError>, bool) {
    c.begin = match work.kind {
        Kind::Read => None,
        Kind::Snapshot => Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        Kind::Write => Some("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
    };
    let mut tx = Tx::new(Conn::Postgres(c));
    let ok = shared.run(work, &mut tx);
    let wakes = tx.wakes;
    let failed = tx.query.failed.take();
    let again = matches!(failed, Some(DbError::Serialization)) || (failed.is_some() && c.dead());
    let silent = c.begin.take().is_some();
    if silent || work.kind == Kind::Read {
        if ok {
            shared.wake(wakes);
        }
        return (ok, Ok(()), again && !ok);
    }
    if !ok {
        let outcome = c.script("ROLLBACK");
        if outcome.is_err() {
            // A connection in an unknown state must not be used again.
            c.broken = true;
        }
        return (false, Ok(()), again);
    }
    match c.script("COMMIT") {
        Ok(()) => {
            shared.wake(wakes);
            (true, Ok(()), false)
        }
        Err(DbError::Serialization) => (true, Err(DbError::Serialization), true),
        Err(error) if c.dead() => {
            let text = format!(
                "the connection was lost during the commit, which may or may not have happened: {error}"
            );
            (true, Err(DbError::Unavailable(text)), false)
        }
        Err(error) => (true, Err(error), false),
    }
}
