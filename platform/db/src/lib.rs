//! One SQL text on two engines: SQLite with group commit, PostgreSQL with retries.
//!
//! A store is a set of named [`Sql`] constants and of functions over [`Query`] (reads) and [`Tx`]
//! (writes). [`Db::read`] and [`Db::write`] run closures over them on the engine's own threads while
//! the async caller awaits the reply: nothing can await, and no network call can happen, inside
//! a transaction. A closure must be short (a few ms) and may run more than once, hence `Fn`: it
//! must have no effect outside of the database.
//!
//! - **SQLite**: reader threads on snapshots; one writer drains its queue into one commit, with
//!   a savepoint per closure, and answers after the commit.
//! - **PostgreSQL**: worker threads with a connection each. [`Db::read`] runs its statements one
//!   by one without a transaction, which saves two round trips; [`Db::read_snapshot`] is for
//!   several statements that must see one state. Writes are READ COMMITTED and are run again when
//!   they collide. A write must guard itself: by a constraint or by `UPDATE … WHERE what must
//!   hold` with a look at the number of rows. What it read before is not locked.
//! - On both, a failed statement spoils its transaction; [`Tx::attempt`] is the way to go on.
//! - No connection uses TLS yet: the database is on a unix socket or a private network.
//!
//! ```
//! use mela_db::{Db, DbConfig, DbError, Migration, MigrationSet, Sql, params};
//! const ADD: Sql = Sql::new("pots.add", "INSERT INTO pot (name, n) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET n = pot.n + excluded.n");
//! const GET: Sql = Sql::new("pots.get", "SELECT n FROM pot WHERE name = ?1");
//! const POTS: MigrationSet = MigrationSet {
//!     module: "pots",
//!     migrations: &[Migration::new("001_init", "CREATE TABLE pot (name TEXT PRIMARY KEY, n BIGINT NOT NULL);")],
//! };
//! # fn main() -> Result<(), DbError> {
//! let file = std::env::temp_dir().join(format!("mela-doc-{}.db", std::process::id()));
//! let db = Db::open(&DbConfig::new(format!("sqlite:{}", file.display())), mela_base::Env::system())?;
//! db.migrate(&[POTS])?;
//! db.write_blocking("pots.add", |tx| tx.exec(&ADD, &params!["tea", 2]))?;
//! let n = db.read_blocking("pots.get", |q| q.one(&GET, &params!["tea"])?.get::<i64>(0))?;
//! assert_eq!(n, 2);
//! # drop(db); let _ = std::fs::remove_file(file);
//! # Ok(()) }
//! ```

mod error;
mod migrate;
mod open;
mod pg;
mod query;
mod queue;
mod sql;
mod sqlite;
mod stats;
mod value;
mod work;

pub use error::DbError;
pub use migrate::{Migration, MigrationSet};
pub use open::{Db, DbConfig, Synchronous, postgres_script};
pub use query::{Query, Row, Tx, Wake};
pub use sql::{Sql, check_statements};
pub use stats::{DbStats, GROUP_BOUNDS, LATENCY_BOUNDS_US, OpSnapshot};
pub use value::{FromValue, Value};

/// The engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, in this process.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// `&params![a, b, c]`: the parameters of a statement, each converted by `Into<Value>`.
#[macro_export]
macro_rules! params {
    ($($x:expr),* $(,)?) => {{
        let params: [$crate::Value; $crate::params!(@count $($x),*)] = [$($crate::Value::from($x)),*];
        params
    }};
    (@count $($x:expr),*) => { <[()]>::len(&[$($crate::params!(@unit $x)),*]) };
    (@unit $x:expr) => { () };
}
