//! What tests share: private Postgres, databases, a driven clock.
//!
//! ```no_run
//! # use mela_db::{DbError, MigrationSet, Sql, params};
//! # const SET: MigrationSet = MigrationSet { module: "m", migrations: &[] };
//! # const GET: Sql = Sql::new("m.get", "SELECT 1");
//! # async fn doc() {
//! mela_testkit::on_both(&[SET], async |t| {
//!     let row = t.db.read("m.get", |q| q.one(&GET, &params![])).await.unwrap();
//!     assert_eq!(row.get::<i64>(0), Ok(1));
//!     t.clock.advance_ms(1_000);
//! })
//! .await;
//! # }
//! ```

// Only tests and benches use this crate: without its database a test can but fail.
#![allow(clippy::expect_used)]

mod database;
mod postgres;
mod stub;

pub use database::{TestDb, on_both};
pub use postgres::{PrivatePostgres, shared_postgres};
pub use stub::{Reply, Request, Stub};

/// A file or folder of the shared data beside the workspace. Panics with what to do if the
/// folder is missing: a test must not pass because its input is not there.
pub fn shared_data(path: &str) -> std::path::PathBuf {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let full = root.join(path);
    assert!(
        full.exists(),
        "shared data `{path}` is missing: put the data folder beside the workspace as ../shared/data"
    );
    full
}
