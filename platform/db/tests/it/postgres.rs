use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use mela_base::Id;
use mela_db::{Db, DbConfig, DbError, Sql, params};
use mela_testkit::TestDb;

use crate::{POT_ADD, POT_N, POT_PLUS, SET};

/// Two transactions lock two rows in opposite order; one is chosen as the victim and runs again.
#[tokio::test]
async fn a_deadlock_is_run_again() {
    let t = TestDb::postgres(&[SET]);
    let ids: [Id; 2] = std::array::from_fn(|_| t.env.new_id());
    t.db.write("t", move |tx| {
        tx.exec(&POT_ADD, &params![ids[0], "a", 0])?;
        tx.exec(&POT_ADD, &params![ids[1], "b", 0])
    })
    .await
    .unwrap();
    let barrier = Arc::new(Barrier::new(2));
    let runs = Arc::new(AtomicUsize::new(0));
    let both = [["a", "b"], ["b", "a"]].map(|order| {
        let (db, barrier, runs) = (t.db.clone(), barrier.clone(), runs.clone());
        tokio::spawn(async move {
            db.write("cross", move |tx| {
                tx.exec(&POT_PLUS, &params![order[0], 1])?;
                if runs.fetch_add(1, Ordering::SeqCst) < 2 {
                    barrier.wait();
                }
                tx.exec(&POT_PLUS, &params![order[1], 1])
            })
            .await
        })
    });
    for one in both {
        one.await.unwrap().unwrap();
    }
    for name in ["a", "b"] {
        let n = t.db.read("t", move |q| q.one(&POT_N, &params![name])?.get::<i64>(0)).await;
        assert_eq!(n, Ok(2));
    }
    // The victim may lock its row again before the other one wakes up, and collide once more.
    let retries = t.db.stats().operations["cross"].retries;
    assert!(retries >= 1);
    assert_eq!(runs.load(Ordering::SeqCst) as u64, 2 + retries);
}

/// The server ends our connections, as a restart would.
#[tokio::test]
async fn lost_connections_are_replaced() {
    let t = TestDb::postgres(&[SET]);
    let id: Id = t.env.new_id();
    t.db.write("t", move |tx| tx.exec(&POT_ADD, &params![id, "a", 0])).await.unwrap();
    const PID: Sql = Sql::new("test.pid", "SELECT pg_backend_pid()");
    for _ in 0..2 {
        let mut pids = Vec::new();
        for _ in 0..32 {
            let pid = t.db.read("t", |q| q.one(&PID, &[])?.get::<i32>(0)).await.unwrap();
            pids.push(pid.to_string());
        }
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN ({})",
            pids.join(",")
        );
        mela_db::postgres_script(&t.config().url, &kill).unwrap();
        for _ in 0..8 {
            t.db.write("t", |tx| tx.exec(&POT_PLUS, &params!["a", 1])).await.unwrap();
        }
    }
    let n = t.db.read("t", |q| q.one(&POT_N, &params!["a"])?.get::<i64>(0)).await;
    assert_eq!(n, Ok(16));
}

#[tokio::test]
async fn no_server_is_unavailable() {
    let t = TestDb::sqlite(&[]);
    let config = DbConfig::new("postgres://nobody@127.0.0.1:1/nothing");
    let opened = Db::open(&config, t.env.clone());
    assert!(matches!(opened, Err(DbError::Unavailable(_))));
    let config = DbConfig::new("mysql://x");
    assert!(Db::open(&config, t.env.clone()).is_err());
}
