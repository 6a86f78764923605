use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mela_base::Id;
use mela_db::{DbError, Sql, Tx, Wake, params};
use mela_testkit::{TestDb, on_both};

use crate::{POT_ADD, POT_COUNT, POT_N, POT_PLUS, SET};

const LID_ADD: Sql = Sql::new("test.lid_add", "INSERT INTO lid (pot_id, colour) VALUES (?1, ?2)");

async fn count(t: &TestDb) -> i64 {
    t.db.read("t", |q| q.one(&POT_COUNT, &[])?.get::<i64>(0)).await.unwrap()
}

async fn pot(t: &TestDb, name: &'static str) -> Id {
    let id: Id = t.env.new_id();
    t.db.write("t", move |tx| tx.exec(&POT_ADD, &params![id, name, 0])).await.unwrap();
    id
}

#[derive(Debug, PartialEq)]
enum Refused {
    SoldOut,
    Db(DbError),
}

impl From<DbError> for Refused {
    fn from(e: DbError) -> Self {
        Self::Db(e)
    }
}

#[tokio::test]
async fn an_error_of_the_module_undoes_and_comes_back_untouched() {
    on_both(&[SET], async |t| {
        let id: Id = t.env.new_id();
        let result =
            t.db.write("t", move |tx| {
                tx.exec(&POT_ADD, &params![id, "a", 1])?;
                Err::<(), _>(Refused::SoldOut)
            })
            .await;
        assert_eq!(result, Err(Refused::SoldOut));
        assert_eq!(count(&t).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_thread_lives_on() {
    on_both(&[SET], async |t| {
        let id: Id = t.env.new_id();
        for _ in 0..8 {
            let result =
                t.db.write("test.boom", move |tx| -> Result<(), DbError> {
                    tx.exec(&POT_ADD, &params![id, "a", 1])?;
                    panic!("boom")
                })
                .await;
            assert_eq!(result, Err(DbError::Other("test.boom panicked".into())));
            let read = t.db.read("r", |_| -> Result<(), DbError> { panic!("boom") }).await;
            assert!(read.is_err());
        }
        assert_eq!(count(&t).await, 0);
        pot(&t, "a").await;
        assert_eq!(count(&t).await, 1);
        assert_eq!(t.db.stats().operations["test.boom"].errors, 8);
    })
    .await;
}

#[tokio::test]
async fn constraints_have_one_name_on_both_engines() {
    on_both(&[SET], async |t| {
        let id = pot(&t, "a").await;
        let other: Id = t.env.new_id();
        let add = |id: Id, name: &'static str, n: i64| {
            t.db.write("t", move |tx| tx.exec(&POT_ADD, &params![id, name, n]))
        };
        let error = add(other, "a", 0).await.unwrap_err();
        assert!(error.is_unique() && error.is_unique_named("pot_name"), "{error:?}");
        let error = add(id, "b", 0).await.unwrap_err();
        assert!(error.is_unique_named("pot_pkey"), "{error:?}");
        let error = add(other, "b", -1).await.unwrap_err();
        assert!(error.is_check() && error.is_check_named("pot_n_not_negative"), "{error:?}");
        let lid = |id: Id, colour: &'static str| {
            t.db.write("t", move |tx| tx.exec(&LID_ADD, &params![id, colour]))
        };
        assert_eq!(lid(other, "red").await, Err(DbError::ForeignKey));
        lid(id, "red").await.unwrap();
        let second = pot(&t, "second").await;
        let error = lid(second, "red").await.unwrap_err();
        assert!(error.is_unique_named("lid_colour_key"), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_failed_statement_spoils_its_transaction_even_if_it_is_swallowed() {
    on_both(&[SET], async |t| {
        pot(&t, "a").await;
        let ids: [Id; 3] = std::array::from_fn(|_| t.env.new_id());
        let swallow = move |tx: &mut Tx<'_>| {
            tx.exec(&POT_ADD, &params![ids[0], "b", 1])?;
            let _ = tx.exec(&POT_ADD, &params![ids[1], "a", 1]);
            Ok::<_, DbError>(())
        };
        assert!(t.db.write("t", swallow).await.unwrap_err().is_unique());
        assert_eq!(count(&t).await, 1);
        let go_on = move |tx: &mut Tx<'_>| {
            tx.exec(&POT_ADD, &params![ids[0], "b", 1])?;
            let tried = tx.attempt(|tx| {
                tx.exec(&POT_ADD, &params![ids[1], "c", 1])?;
                tx.exec(&POT_ADD, &params![ids[2], "a", 1])
            });
            assert!(tried.is_err_and(|e| e.is_unique()));
            tx.attempt(|tx| tx.exec(&POT_PLUS, &params!["b", 5]))
        };
        assert_eq!(t.db.write("t", go_on).await, Ok(1));
        assert_eq!(count(&t).await, 2);
        let n = t.db.read("t", |q| q.one(&POT_N, &params!["b"])?.get::<i64>(0)).await;
        assert_eq!(n, Ok(6));
    })
    .await;
}

#[tokio::test]
async fn concurrent_counters_lose_nothing() {
    on_both(&[SET], async |t| {
        pot(&t, "a").await;
        let second = t.another();
        let adds: Vec<_> = (0..200)
            .map(|i| {
                let db = if i % 2 == 0 { t.db.clone() } else { second.clone() };
                tokio::spawn(async move {
                    db.write("t", |tx| tx.exec(&POT_PLUS, &params!["a", 1])).await.unwrap();
                })
            })
            .collect();
        for add in adds {
            add.await.unwrap();
        }
        let n = t.db.read("t", |q| q.one(&POT_N, &params!["a"])?.get::<i64>(0)).await;
        assert_eq!(n, Ok(200));
    })
    .await;
}

/// A write commits between two reads of a snapshot, which see the same.
#[tokio::test]
async fn a_snapshot_stands_still() {
    on_both(&[SET], async |t| {
        pot(&t, "a").await;
        let second = t.another();
        let written = AtomicBool::new(false);
        let seen =
            t.db.read_snapshot("t", move |q| {
                let first = q.one(&POT_N, &params!["a"])?.get::<i64>(0)?;
                if !written.swap(true, Ordering::SeqCst) {
                    second.write_blocking("w", |tx| tx.exec(&POT_PLUS, &params!["a", 7]))?;
                }
                Ok::<_, DbError>((first, q.one(&POT_N, &params!["a"])?.get::<i64>(0)?))
            })
            .await;
        assert_eq!(seen, Ok((0, 0)));
        let n = t.db.read("t", |q| q.one(&POT_N, &params!["a"])?.get::<i64>(0)).await;
        assert_eq!(n, Ok(7));
    })
    .await;
}

#[tokio::test]
async fn a_read_cannot_write() {
    on_both(&[SET], async |t| {
        let sneaky: Sql =
            Sql::new("test.sneaky", "INSERT INTO anything (k, i) VALUES (1, 1) RETURNING k");
        assert!(t.db.read("t", move |q| q.all(&sneaky, &[])).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn wakes_after_the_commit_only() {
    on_both(&[SET], async |t| {
        let mut outbox = t.db.woken(Wake::Outbox);
        let jobs = t.db.woken(Wake::Jobs);
        let id: Id = t.env.new_id();
        let write = |fail: bool| {
            t.db.write("t", move |tx| {
                tx.wake(Wake::Outbox);
                tx.exec(&POT_ADD, &params![id, "a", if fail { -1 } else { 0 }])
            })
        };
        assert!(write(true).await.is_err());
        assert!(!outbox.has_changed().unwrap());
        write(false).await.unwrap();
        outbox.changed().await.unwrap();
        assert!(!jobs.has_changed().unwrap());
    })
    .await;
}

#[tokio::test]
async fn closed_means_unavailable_and_what_was_queued_is_answered() {
    on_both(&[SET], async |t| {
        let t = Arc::new(t);
        pot(&t, "a").await;
        let adds: Vec<_> = (0..50)
            .map(|_| {
                let t = t.clone();
                tokio::spawn(async move {
                    t.db.write("t", |tx| tx.exec(&POT_PLUS, &params!["a", 1])).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        t.db.close().await;
        let mut done = 0;
        for add in adds {
            match add.await.unwrap() {
                Ok(1) => done += 1,
                Err(e) => assert!(e.is_unavailable(), "{e}"),
                other => panic!("{other:?}"),
            }
        }
        let n = t.another().read("t", |q| q.one(&POT_N, &params!["a"])?.get::<i64>(0)).await;
        assert_eq!(n, Ok(done));
        assert!(t.db.read("t", |q| q.all(&POT_COUNT, &[])).await.unwrap_err().is_unavailable());
    })
    .await;
}
