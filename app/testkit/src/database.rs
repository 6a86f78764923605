use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mela_base::{Env, ManualClock, Timestamp};
use mela_db::{Db, DbConfig, Dialect, MigrationSet, Synchronous, postgres_script};

use crate::postgres::shared_postgres;

/// A fresh, migrated database with a driven clock and seeded randomness. Gone when dropped.
pub struct TestDb {
    /// The database.
    pub db: Db,
    /// Stands at 2026-01-05 10:00 IST until it is moved.
    pub clock: Arc<ManualClock>,
    /// Of that clock and of seed 1.
    pub env: Env,
    config: DbConfig,
    place: Place,
}

enum Place {
    File(PathBuf),
    Schema(String),
}

/// Unique among the tests of this machine.
fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let random = u32::from_le_bytes(Env::system().random());
    format!("mela_test_{}_{n}_{random:08x}", std::process::id())
}

impl TestDb {
    /// On SQLite, in a file of its own.
    pub fn sqlite(sets: &[MigrationSet]) -> Self {
        let path = std::env::temp_dir().join(format!("{}.db", fresh_name()));
        let mut config = DbConfig::new(format!("sqlite:{}", path.display()));
        // The commit protocol is the same; only the disk is not forced.
        config.synchronous = Synchronous::Off;
        Self::open(config, Place::File(path), sets)
    }

    /// On Postgres, in a schema of its own of the server that all tests share.
    pub fn postgres(sets: &[MigrationSet]) -> Self {
        let url = shared_postgres();
        let schema = fresh_name();
        postgres_script(&url, &format!("CREATE SCHEMA {schema}")).expect("a schema for the test");
        let mut config = DbConfig::new(url);
        config.connections = 4;
        config.schema = Some(schema.clone());
        Self::open(config, Place::Schema(schema), sets)
    }

    /// One on each engine.
    pub fn both(sets: &[MigrationSet]) -> [Self; 2] {
        [Self::sqlite(sets), Self::postgres(sets)]
    }

    fn open(config: DbConfig, place: Place, sets: &[MigrationSet]) -> Self {
        let start = Timestamp::parse_rfc3339("2026-01-05T04:30:00Z").expect("a time");
        let clock = Arc::new(ManualClock::new(start));
        let env = Env::test(clock.clone(), 1);
        let db = Db::open(&config, env.clone()).expect("the test's database opens");
        let test = Self { db, clock, env, config, place };
        test.db.migrate(sets).expect("the migrations apply");
        test
    }

    /// The engine.
    pub fn dialect(&self) -> Dialect {
        self.db.dialect()
    }

    /// How to open this database once more.
    pub fn config(&self) -> &DbConfig {
        &self.config
    }

    /// Another handle with threads and connections of its own, as another process would have.
    pub fn another(&self) -> Db {
        Db::open(&self.config, self.env.clone()).expect("the test's database opens again")
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        match &self.place {
            Place::File(path) => {
                for suffix in ["", "-wal", "-shm"] {
                    let mut file = path.clone().into_os_string();
                    file.push(suffix);
                    let _ = std::fs::remove_file(file);
                }
            }
            Place::Schema(schema) => {
                // Bounded by the lock timeout if some task still holds a transaction.
                let drop = format!("SET lock_timeout = '2s'; DROP SCHEMA {schema} CASCADE");
                let _ = postgres_script(&self.config.url, &drop);
            }
        }
    }
}

/// Says which engine a failing test was on.
struct Name(&'static str);

impl Drop for Name {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the test failed on {}", self.0);
        }
    }
}

/// Runs the body on SQLite, then on Postgres, each with a fresh database.
pub async fn on_both(sets: &[MigrationSet], body: impl AsyncFn(TestDb)) {
    {
        let _name = Name("SQLite");
        body(TestDb::sqlite(sets)).await;
    }
    let _name = Name("Postgres");
    body(TestDb::postgres(sets)).await;
}
