use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use mela_base::Env;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::pg::{self, PgConfig, PgConn};
use crate::query::Conn;
use crate::queue::{Queue, Refused};
use crate::sqlite::{self, SqliteConn};
use crate::work::{Job, Kind, Shared, Task, Work};
use crate::{DbError, DbStats, Dialect, MigrationSet, Query, Tx, Wake, migrate};

/// How far SQLite forces a commit to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// A commit survives a power cut. The default; group commit pays for it.
    #[default]
    Full,
    /// A power cut may lose the last commits, never the database.
    Normal,
    /// For tests only.
    Off,
}

/// Where the database is and how many threads serve it.
#[derive(Clone)]
pub struct DbConfig {
    /// `sqlite:path/to/file.db`, `postgres://user@host/db` (also `postgresql://`; a unix socket is
    /// `postgres://user@%2Fpath%2Fto%2Fdir/db`).
    pub url: String,
    /// SQLite's reader threads.
    pub readers: usize,
    /// Postgres' connections, each with a thread.
    pub connections: usize,
    /// SQLite's durability.
    pub synchronous: Synchronous,
    /// The Postgres schema, if it is not the default one.
    pub schema: Option<String>,
    /// Closures that may wait; more are refused as unavailable.
    pub queue: usize,
}

impl DbConfig {
    /// The defaults for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            readers: 2,
            connections: 16,
            synchronous: Synchronous::Full,
            schema: None,
            queue: 16_384,
        }
    }

    fn engine(&self) -> Result<EngineConfig, DbError> {
        if let Some(path) = self.url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(':') {
                return Err(DbError::other(
                    "a SQLite database needs a file: `sqlite:path/to/file.db`",
                ));
            }
            return Ok(EngineConfig::Sqlite(PathBuf::from(path)));
        }
        if self.url.starts_with("postgres://") || self.url.starts_with("postgresql://") {
            let (url, schema) = (self.url.clone(), self.schema.clone());
            return Ok(EngineConfig::Postgres(PgConfig { url, schema }));
        }
        Err(DbError::other("a database URL begins with `sqlite:` or `postgres://`"))
    }
}

/// Without the URL, which may hold a password.
impl std::fmt::Debug for DbConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = self.url.split(':').next().unwrap_or_default();
        f.debug_struct("DbConfig")
            .field("engine", &engine)
            .field("readers", &self.readers)
            .field("connections", &self.connections)
            .field("synchronous", &self.synchronous)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

enum EngineConfig {
    Sqlite(PathBuf),
    Postgres(PgConfig),
}

/// A database, cheap to clone. Dropping the last clone stops its threads.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    config: DbConfig,
    dialect: Dialect,
    env: Env,
    reads: Arc<Queue<Work>>,
    writes: Arc<Queue<Work>>,
    shared: Arc<Shared>,
    stopping: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
        // Files of SQLite are complete when the last handle is gone. A thread of our own that
        // drops the last handle cannot wait for itself.
        let threads = std::mem::take(&mut *self.threads.lock());
        let own = std::thread::current().id();
        if self.dialect == Dialect::Sqlite && threads.iter().all(|t| t.thread().id() != own) {
            for thread in threads {
                let _ = thread.join();
            }
        }
    }
}

impl Inner {
    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.reads.close();
        self.writes.close();
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Db({:?})", self.0.dialect)
    }
}

impl Db {
    /// Opens the database (a SQLite file is made) and starts its threads. Fails if it cannot be
    /// reached. Runs no migration: see [`Db::migrate`].
    pub fn open(config: &DbConfig, env: Env) -> Result<Self, DbError> {
        let shared = Arc::new(Shared::new());
        let stopping = Arc::new(AtomicBool::new(false));
        let reads = Arc::new(Queue::new(config.queue));
        let mut threads = Vec::new();
        let (dialect, writes) = match config.engine()? {
            EngineConfig::Sqlite(path) => {
                let writes = Arc::new(Queue::new(config.queue));
                let open = || SqliteConn::open(&path, config.synchronous);
                let (conn, queue, s) = (open()?, writes.clone(), shared.clone());
                threads.push(spawn("db-writer", move || sqlite::writer(&conn, &queue, &s))?);
                for _ in 0..config.readers.max(1) {
                    let conn = open()?;
                    conn.script("PRAGMA query_only = ON")?;
                    let (queue, s) = (reads.clone(), shared.clone());
                    threads.push(spawn("db-reader", move || sqlite::reader(&conn, &queue, &s))?);
                }
                (Dialect::Sqlite, writes)
            }
            EngineConfig::Postgres(pg) => {
                let mut first = Some(apart(|| pg.connect())?);
                for _ in 0..config.connections.max(1) {
                    let (conn, pg, env) = (first.take(), pg.clone(), env.clone());
                    let (queue, s, stop) = (reads.clone(), shared.clone(), stopping.clone());
                    threads.push(spawn("db-postgres", move || {
                        pg::worker(conn, &pg, &env, &queue, &s, &stop);
                    })?);
                }
                (Dialect::Postgres, reads.clone())
            }
        };
        let threads = Mutex::new(threads);
        let config = config.clone();
        Ok(Self(Arc::new(Inner { config, dialect, env, reads, writes, shared, stopping, threads })))
    }

    /// The engine.
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// Reads. On SQLite all statements see one snapshot; on Postgres each sees the newest state.
    pub async fn read<T, E, F>(&self, name: &'static str, f: F) -> Result<T, E>
    where
        F: Fn(&mut Query<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.call(Kind::Read, name, move |tx: &mut Tx<'_>| f(tx)).await
    }

    /// Reads, all statements from one state on both engines. Costs two round trips on Postgres.
    pub async fn read_snapshot<T, E, F>(&self, name: &'static str, f: F) -> Result<T, E>
    where
        F: Fn(&mut Query<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.call(Kind::Snapshot, name, move |tx: &mut Tx<'_>| f(tx)).await
    }

    /// Runs a transaction. `Ok` is returned after the commit; `Err` from the closure undoes what
    /// it wrote and is returned untouched.
    pub async fn write<T, E, F>(&self, name: &'static str, f: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.call(Kind::Write, name, f).await
    }

    /// [`Db::read`] for the CLI and tests: blocks the thread.
    pub fn read_blocking<T, E, F>(&self, name: &'static str, f: F) -> Result<T, E>
    where
        F: Fn(&mut Query<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.call_blocking(Kind::Read, name, move |tx: &mut Tx<'_>| f(tx))
    }

    /// [`Db::write`] for the CLI and tests: blocks the thread.
    pub fn write_blocking<T, E, F>(&self, name: &'static str, f: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.call_blocking(Kind::Write, name, f)
    }

    async fn call<T, E, F>(&self, kind: Kind, name: &'static str, f: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.submit(kind, name, f, move |result| drop(sender.send(result)));
        receiver.await.unwrap_or_else(|_| Err(E::from(lost())))
    }

    fn call_blocking<T, E, F>(&self, kind: Kind, name: &'static str, f: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.submit(kind, name, f, move |result| drop(sender.send(result)));
        receiver.recv().unwrap_or_else(|_| Err(E::from(lost())))
    }

    fn submit<T, E, F, R>(&self, kind: Kind, name: &'static str, f: F, reply: R)
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        R: FnOnce(Result<T, E>) + Send + 'static,
    {
        let job: Box<dyn Job> = Box::new(Task { f, result: None, reply });
        let op = self.0.shared.stats.operation(name);
        let work = Work { kind, name, queued: Instant::now(), op, job };
        let queue = if sqlite::is_write(kind) { &self.0.writes } else { &self.0.reads };
        if let Err((why, work)) = queue.push(work) {
            let text = match why {
                Refused::Full => "too many calls are waiting",
                Refused::Closed => "closed",
            };
            self.0.shared.finish(work, false, Err(DbError::unavailable(text)));
        }
    }

    /// Applies the migrations that are missing, in the order of `sets`, in one transaction that
    /// excludes other processes that do the same. Returns what was applied (`module/name`).
    pub fn migrate(&self, sets: &[MigrationSet]) -> Result<Vec<String>, DbError> {
        match self.0.config.engine()? {
            EngineConfig::Sqlite(path) => {
                let conn = SqliteConn::open(&path, self.0.config.synchronous)?;
                conn.script("BEGIN IMMEDIATE")?;
                let done = migrate::run(&mut Tx::new(Conn::Sqlite(&conn)), sets, &self.0.env);
                conn.script(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
                done
            }
            EngineConfig::Postgres(pg) => apart(|| {
                let mut conn: PgConn = pg.connect()?;
                conn.script(
                    "BEGIN READ WRITE; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
                     SET LOCAL idle_in_transaction_session_timeout = 0;
                     SELECT pg_advisory_xact_lock(hashtext('mela_migration ' || current_schema()));",
                )?;
                let done = migrate::run(&mut Tx::new(Conn::Postgres(&mut conn)), sets, &self.0.env);
                conn.script(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
                done
            }),
        }
    }

    /// A counter that moves after every commit in this process of a transaction that called
    /// [`Tx::wake`] for `who`. Other processes' commits do not move it: poll as well.
    pub fn woken(&self, who: Wake) -> watch::Receiver<u64> {
        match who {
            Wake::Outbox => self.0.shared.outbox.subscribe(),
            Wake::Jobs => self.0.shared.jobs.subscribe(),
        }
    }

    /// What the database has done so far in this process.
    pub fn stats(&self) -> DbStats {
        let reads = self.0.reads.len();
        let same = Arc::ptr_eq(&self.0.reads, &self.0.writes);
        self.0.shared.stats.snapshot(reads + if same { 0 } else { self.0.writes.len() })
    }

    /// Statements that were run so far: for tests of how much a call costs.
    pub fn statement_count(&self) -> u64 {
        self.0.shared.stats.statement_count()
    }

    /// Refuses new calls, waits until the queued ones are answered, checkpoints SQLite.
    pub async fn close(&self) {
        self.0.stop();
        let threads = std::mem::take(&mut *self.0.threads.lock());
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

fn lost() -> DbError {
    DbError::unavailable("the database's thread ended")
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DbError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(f).map_err(|e| DbError::unavailable(format_args!("cannot start a thread: {e}")))
}

/// The Postgres client has a runtime of its own, which must not be entered inside another one.
fn apart<T: Send>(f: impl FnOnce() -> Result<T, DbError> + Send) -> Result<T, DbError> {
    std::thread::scope(|scope| scope.spawn(f).join())
        .unwrap_or_else(|_| Err(DbError::other("the Postgres client panicked")))
}

/// Runs a script on a Postgres server outside of any [`Db`]: to make and drop schemas and
/// databases, in tests and tools.
pub fn postgres_script(url: &str, script: &str) -> Result<(), DbError> {
    let config = PgConfig { url: url.to_owned(), schema: None };
    apart(|| {
        let mut conn = config.connect()?;
        conn.script("SET default_transaction_read_only = off")?;
        conn.script(script)
    })
}
