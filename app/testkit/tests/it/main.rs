//! The test kit itself.

#![allow(clippy::unwrap_used)]

use mela_db::{DbConfig, DbError, Migration, MigrationSet, Sql, params, postgres_script};
use mela_testkit::{PrivatePostgres, TestDb, on_both, shared_postgres};

const SET: MigrationSet = MigrationSet {
    module: "kit",
    migrations: &[Migration::new("001_init", "CREATE TABLE kit (n BIGINT PRIMARY KEY);")],
};
const PUT: Sql = Sql::new("kit.put", "INSERT INTO kit (n) VALUES (?1)");
const COUNT: Sql = Sql::new("kit.count", "SELECT count(*) FROM kit");
const FSYNC: Sql = Sql::new("kit.fsync", "SELECT current_setting('fsync')");

async fn count(t: &TestDb) -> i64 {
    t.db.read("kit.count", |q| q.one(&COUNT, &[])?.get::<i64>(0)).await.unwrap()
}

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    on_both(&[SET], async |a| {
        let b = match a.dialect() {
            mela_db::Dialect::Sqlite => TestDb::sqlite(&[SET]),
            mela_db::Dialect::Postgres => TestDb::postgres(&[SET]),
        };
        a.db.write("kit.put", |tx| tx.exec(&PUT, &params![1])).await.unwrap();
        assert_eq!((count(&a).await, count(&b).await), (1, 0));
    })
    .await;
}

#[test]
fn nothing_is_left_behind() {
    let t = TestDb::sqlite(&[SET]);
    let file = t.config().url.strip_prefix("sqlite:").unwrap().to_owned();
    assert!(std::path::Path::new(&file).exists());
    drop(t);
    assert!(!std::path::Path::new(&file).exists());
    let t = TestDb::postgres(&[SET]);
    let schema = t.config().schema.clone().unwrap();
    let use_it = format!("SELECT 1 FROM {schema}.kit");
    assert_eq!(postgres_script(&t.config().url, &use_it), Ok(()));
    drop(t);
    assert!(postgres_script(&shared_postgres(), &use_it).is_err());
}

#[test]
fn a_server_of_ones_own_stops_when_dropped() {
    let dir = std::env::temp_dir().join(format!("mela-kit-{}", std::process::id()));
    let server = PrivatePostgres::start(&dir, true).unwrap();
    let url = server.url();
    let db = mela_db::Db::open(&DbConfig::new(&url), mela_base::Env::system()).unwrap();
    db.migrate(&[SET]).unwrap();
    let fsync = db.read_blocking("kit.fsync", |q| q.one(&FSYNC, &[])?.get::<String>(0));
    assert_eq!(fsync.as_deref(), Ok("on"));
    drop(server);
    assert!(matches!(postgres_script(&url, "SELECT 1"), Err(DbError::Unavailable(_))));
    let lost = db.write_blocking("kit.put", |tx| tx.exec(&PUT, &params![1]));
    assert!(lost.unwrap_err().is_unavailable());
    // The same folder serves again, with fresh data, even if a killed test has left a server in it.
    let left = PrivatePostgres::start(&dir, false).unwrap();
    let left_url = left.url();
    std::mem::forget(left);
    let again = PrivatePostgres::start(&dir, false).unwrap();
    assert!(postgres_script(&again.url(), "SELECT 1 FROM kit").is_err());
    assert!(postgres_script(&left_url, "SELECT 1").is_err());
    drop(again);
    std::fs::remove_dir_all(dir).unwrap();
}
