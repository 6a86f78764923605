//! Events through the public interface, on both engines.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mela_base::{DAY_MS, Event, HOUR_MS, Internal, MINUTE_MS};
use mela_bus::{
    Bus, Delivered, EventRow, Handler, MAX_ATTEMPTS, MIGRATIONS, STATEMENTS, emit, emit_all,
    own_statements,
};
use mela_db::{Db, DbError, check_statements};
use mela_testkit::{TestDb, on_both};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Brewed {
    pot: String,
    cups: u32,
}

impl Event for Brewed {
    const TOPIC: &'static str = "tea.brewed";
    fn key(&self) -> String {
        self.pot.clone()
    }
}

/// Notes what it gets; fails or panics or hangs as told.
#[derive(Default)]
struct Guest {
    got: Mutex<Vec<(String, u32)>>,
    tries: AtomicUsize,
    failing: AtomicUsize,
    panics: bool,
    hangs: bool,
    came: Notify,
}

#[async_trait]
impl Handler for Guest {
    async fn handle(&self, event: &Delivered) -> Result<(), Internal> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        self.came.notify_one();
        assert!(!self.panics, "spilled");
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let less = |n: usize| n.checked_sub(1);
        if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Err(Internal::new("too hot"));
        }
        let brewed: Brewed = event.decode()?;
        self.got.lock().push((brewed.pot, brewed.cups));
        tokio::task::yield_now().await;
        Ok(())
    }
}

fn bus(t: &TestDb, db: Db) -> (Bus, Arc<Guest>) {
    with(t, db, Guest::default())
}

fn with(t: &TestDb, db: Db, guest: Guest) -> (Bus, Arc<Guest>) {
    let (bus, guest) = (Bus::new(db, t.env.clone()), Arc::new(guest));
    bus.subscribe("test.guest", &[Brewed::TOPIC], guest.clone());
    (bus, guest)
}

async fn brew(t: &TestDb, pot: &str, cups: u32, fail: bool) {
    let (env, event) = (t.env.clone(), Brewed { pot: pot.to_owned(), cups });
    let result: Result<(), DbError> =
        t.db.write("tea.brew", move |tx| {
            emit(tx, &env, &event)?;
            if fail { Err(DbError::Other("no".into())) } else { Ok(()) }
        })
        .await;
    assert_eq!(result.is_err(), fail);
}

#[test]
fn statements() {
    for t in TestDb::both(&[MIGRATIONS]) {
        let all: Vec<_> = STATEMENTS.iter().copied().chain(own_statements(t.dialect())).collect();
        assert_eq!(check_statements(&t.db, &all), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_commits_arrives_once_and_what_does_not_never() {
    on_both(&[MIGRATIONS], async |t| {
        let (bus, guest) = bus(&t, t.db.clone());
        brew(&t, "lost", 1, true).await;
        assert!(bus.drained().await.unwrap());
        let before = t.db.statement_count();
        brew(&t, "blue", 2, false).await;
        assert_eq!(t.db.statement_count() - before, 1, "one INSERT on the write path");
        assert!(!bus.drained().await.unwrap());
        assert_eq!(bus.dispatch_once().await, Ok(1));
        assert_eq!(bus.dispatch_once().await, Ok(0));
        assert_eq!(*guest.got.lock(), [("blue".to_owned(), 2)]);
        assert!(bus.drained().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn events_of_a_key_stay_in_order() {
    on_both(&[MIGRATIONS], async |t| {
        let (bus, guest) = bus(&t, t.db.clone());
        let env = t.env.clone();
        t.db.write("tea.brew", move |tx| {
            let event = |i: u32| Brewed { pot: format!("pot{}", i % 7), cups: i };
            let rows: Result<Vec<_>, _> = (0..600).map(|i| EventRow::new(&event(i))).collect();
            emit_all(tx, &env, &rows?)
        })
        .await
        .unwrap();
        while bus.dispatch_once().await.unwrap() > 0 {}
        let mut last: HashMap<String, u32> = HashMap::new();
        let got = guest.got.lock();
        assert_eq!(got.len(), 600);
        for (pot, cups) in got.iter() {
            let before = last.insert(pot.clone(), *cups);
            assert!(before.is_none_or(|b| b < *cups), "{pot}: {before:?} then {cups}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_failure_comes_again_later_and_stops_nobody_else() {
    on_both(&[MIGRATIONS], async |t| {
        let (bus, guest) = bus(&t, t.db.clone());
        let other = Arc::new(Guest::default());
        bus.subscribe("test.other", &["*"], other.clone());
        guest.failing.store(2, Ordering::SeqCst);
        brew(&t, "blue", 2, false).await;
        bus.dispatch_once().await.unwrap();
        assert_eq!((guest.got.lock().len(), other.got.lock().len()), (0, 1));
        assert_eq!(bus.dispatch_once().await, Ok(0), "not before its time");
        for _ in 0..2 {
            t.clock.advance_ms(MINUTE_MS);
            bus.dispatch_once().await.unwrap();
        }
        assert_eq!((guest.got.lock().len(), other.got.lock().len()), (1, 1));
        assert!(bus.drained().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_hopeless_event_waits_for_a_replay() {
    on_both(&[MIGRATIONS], async |t| {
        let (bus, guest) = with(&t, t.db.clone(), Guest { panics: true, ..Guest::default() });
        brew(&t, "blue", 2, false).await;
        for _ in 0..MAX_ATTEMPTS + 5 {
            bus.dispatch_once().await.unwrap();
            t.clock.advance_ms(HOUR_MS);
        }
        assert_eq!(guest.tries.load(Ordering::SeqCst) as i64, MAX_ATTEMPTS);
        let dead = bus.dead(10).await.unwrap();
        assert_eq!((dead.len(), dead[0].attempts), (1, MAX_ATTEMPTS));
        assert_eq!(
            (dead[0].consumer.as_str(), dead[0].last_error.as_str()),
            ("test.guest", "panicked")
        );
        assert!(!bus.drained().await.unwrap());
        t.clock.advance_ms(2 * DAY_MS);
        assert_eq!(bus.sweep().await, Ok(0), "it is still needed");

        let healthy = Arc::new(Guest::default());
        bus.subscribe("test.guest", &[Brewed::TOPIC], healthy.clone());
        assert_eq!(bus.replay(dead[0].event.seq, "nobody").await, Ok(false));
        assert_eq!(bus.replay(dead[0].event.seq, "test.guest").await, Ok(true));
        bus.dispatch_once().await.unwrap();
        assert_eq!(healthy.got.lock().len(), 1);
        assert!(bus.drained().await.unwrap());
        brew(&t, "newest", 1, false).await;
        assert_eq!(bus.sweep().await, Ok(1));
    })
    .await;
}

#[tokio::test]
async fn two_processes_share_the_work_and_both_hear_everything_live() {
    on_both(&[MIGRATIONS], async |t| {
        let (first, guest_1) = bus(&t, t.db.clone());
        let (second, guest_2) = bus(&t, t.another());
        let (mut live_1, mut live_2) = (first.live(), second.live());
        // The first look says from where on to listen.
        first.dispatch_once().await.unwrap();
        second.dispatch_once().await.unwrap();
        // Writes and dispatching at the same time.
        let write = async {
            for i in 0..400 {
                brew(&t, if i % 2 == 0 { "a" } else { "b" }, i, false).await;
            }
        };
        let dispatch = async {
            for _ in 0..40 {
                let (a, b) = tokio::join!(first.dispatch_once(), second.dispatch_once());
                a.unwrap();
                b.unwrap();
            }
        };
        tokio::join!(write, dispatch);
        let mut heard = [Vec::new(), Vec::new()];
        // Another test's transaction may hold back the horizon of Postgres for a moment.
        while !first.drained().await.unwrap() || heard.iter().any(|h| h.len() < 400) {
            let (a, b) = tokio::join!(first.dispatch_once(), second.dispatch_once());
            a.unwrap();
            b.unwrap();
            for (live, heard) in [&mut live_1, &mut live_2].into_iter().zip(&mut heard) {
                while let Ok(event) = live.try_recv() {
                    heard.push(event.decode::<Brewed>().unwrap().cups);
                }
            }
        }
        for heard in &mut heard {
            heard.sort_unstable();
            assert_eq!(*heard, (0..400).collect::<Vec<_>>());
        }
        let mut all: Vec<u32> =
            guest_1.got.lock().iter().chain(guest_2.got.lock().iter()).map(|g| g.1).collect();
        all.sort_unstable();
        assert_eq!(all, (0..400).collect::<Vec<_>>(), "each once");
    })
    .await;
}

#[tokio::test]
async fn what_a_dead_process_had_taken_is_delivered_by_another() {
    on_both(&[MIGRATIONS], async |t| {
        let (first, hanging) = with(&t, t.db.clone(), Guest { hangs: true, ..Guest::default() });
        brew(&t, "blue", 2, false).await;
        let dying = tokio::spawn({
            let first = first.clone();
            async move { first.dispatch_once().await }
        });
        hanging.came.notified().await;
        dying.abort();
        let (second, guest) = bus(&t, t.another());
        assert_eq!(second.dispatch_once().await, Ok(0));
        t.clock.advance_ms(10 * MINUTE_MS);
        assert_eq!(second.dispatch_once().await, Ok(1));
        assert_eq!(guest.got.lock().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn runs_by_itself_until_it_is_stopped() {
    on_both(&[MIGRATIONS], async |t| {
        let (bus, guest) = bus(&t, t.db.clone());
        let mut live = bus.live();
        let (stop, shutdown) = watch::channel(false);
        let running = tokio::spawn({
            let bus = bus.clone();
            async move { bus.run(shutdown).await }
        });
        brew(&t, "warm-up", 0, false).await;
        guest.came.notified().await;
        // Live begins with the first look, which is done by the second event at the latest.
        let mut heard = None;
        while heard.is_none() {
            brew(&t, "blue", 1, false).await;
            guest.came.notified().await;
            heard = live.try_recv().ok();
        }
        assert_eq!(heard.unwrap().topic, Brewed::TOPIC);
        stop.send(true).unwrap();
        running.await.unwrap();
    })
    .await;
}

/// Retries of a consumer that no process has any more (an older version's) must not fill the
/// rounds of those that are there.
#[tokio::test]
async fn retries_of_a_consumer_that_is_gone_hold_up_nobody() {
    on_both(&[MIGRATIONS], async |t| {
        let old = Bus::new(t.db.clone(), t.env.clone());
        let gone = Guest::default();
        gone.failing.store(usize::MAX, Ordering::SeqCst);
        old.subscribe("test.gone", &["*"], Arc::new(gone));
        let env = t.env.clone();
        t.db.write("tea.brew", move |tx| {
            let event = |i: u32| Brewed { pot: format!("pot{i}"), cups: i };
            let rows: Result<Vec<_>, _> = (0..300).map(|i| EventRow::new(&event(i))).collect();
            emit_all(tx, &env, &rows?)
        })
        .await
        .unwrap();
        while old.dispatch_once().await.unwrap() > 0 {}

        t.clock.advance_ms(MINUTE_MS);
        let (new, guest) = bus(&t, t.db.clone());
        guest.failing.store(1, Ordering::SeqCst);
        brew(&t, "blue", 2, false).await;
        new.dispatch_once().await.unwrap();
        t.clock.advance_ms(MINUTE_MS);
        assert_eq!(new.dispatch_once().await, Ok(1));
        assert_eq!(*guest.got.lock(), [("blue".to_owned(), 2)]);
    })
    .await;
}
