use std::sync::mpsc;

use mela_base::Id;
use mela_db::{DbError, Value, params};
use mela_testkit::TestDb;
use parking_lot::Mutex;

use crate::{POT_ADD, POT_COUNT, SET};

/// While one closure holds the writer, others queue up and share the next commit; those that
/// fail take nothing of the others with them.
#[tokio::test]
async fn a_group_commits_once_and_isolates_failures() {
    let t = TestDb::sqlite(&[SET]);
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let db = t.db.clone();
    let holder = tokio::spawn(async move {
        db.write("hold", move |_| {
            let _ = held.lock().recv();
            Ok::<_, DbError>(())
        })
        .await
    });
    while t.db.stats().queued > 0 || !t.db.stats().operations.contains_key("hold") {
        tokio::task::yield_now().await;
    }
    let before = t.db.stats();
    let writes: Vec<_> = (0..90)
        .map(|i| {
            let (db, id) = (t.db.clone(), t.env.new_id::<Id>());
            tokio::spawn(async move {
                db.write("t", move |tx| {
                    tx.exec(&POT_ADD, &params![id, format!("p{i}"), 1])?;
                    match i % 3 {
                        0 => Ok(()),
                        1 => Err(DbError::Other("refused".into())),
                        _ => tx.exec(&POT_ADD, &params![id, "twice", 1]).map(drop),
                    }
                })
                .await
            })
        })
        .collect();
    while t.db.stats().queued < 90 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    holder.await.unwrap().unwrap();
    for (i, write) in writes.into_iter().enumerate() {
        assert_eq!(write.await.unwrap().is_ok(), i % 3 == 0);
    }
    let count = t.db.read("t", |q| q.one(&POT_COUNT, &[])?.get::<i64>(0)).await;
    assert_eq!(count, Ok(30));
    let groups: u64 = t.db.stats().groups.iter().sum::<u64>() - before.groups.iter().sum::<u64>();
    assert!(groups < 90, "90 writes took {groups} commits");
}

/// An answered write is in the file: another connection sees it at once.
#[tokio::test]
async fn answers_come_after_the_commit() {
    let t = TestDb::sqlite(&[SET]);
    let second = t.another();
    for i in 0..50_i64 {
        let id: Id = t.env.new_id();
        let params: Vec<Value> = vec![id.into(), format!("p{i}").into(), i.into()];
        t.db.write("t", move |tx| tx.exec(&POT_ADD, &params)).await.unwrap();
        let seen = second.read("t", |q| q.one(&POT_COUNT, &[])?.get::<i64>(0)).await;
        assert_eq!(seen, Ok(i + 1));
    }
}
