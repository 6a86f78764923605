//! The queue through the public interface, on both engines.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mela_base::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};
use mela_db::{Db, DbError, check_statements};
use mela_jobs::{
    Job, JobError, JobHandler, Jobs, MIGRATIONS, NewJob, STATEMENTS, enqueue, enqueue_all,
    own_statements,
};
use mela_testkit::{TestDb, on_both};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{Notify, watch};

const KIND: &str = "test.wash";

type Answer = Box<dyn Fn(&Job) -> Result<(), JobError> + Send + Sync>;

struct Washer {
    answer: Answer,
    ran: Mutex<Vec<i64>>,
    tries: AtomicUsize,
    hangs: bool,
    came: Notify,
    go_on: Notify,
}

impl Washer {
    fn new(hangs: bool, answer: Answer) -> Self {
        let (came, go_on) = (Notify::new(), Notify::new());
        Self { answer, ran: Mutex::default(), tries: AtomicUsize::new(0), hangs, came, go_on }
    }
}

#[async_trait]
impl JobHandler for Washer {
    async fn run(&self, job: &Job) -> Result<(), JobError> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        self.came.notify_one();
        if self.hangs {
            self.go_on.notified().await;
        }
        (self.answer)(job)?;
        self.ran.lock().push(job.payload["n"].as_i64().unwrap_or(-1));
        Ok(())
    }

    fn max_attempts(&self) -> i64 {
        3
    }
}

fn jobs(t: &TestDb, db: Db, hangs: bool, answer: Answer) -> (Jobs, Arc<Washer>) {
    let jobs = Jobs::new(db, t.env.clone());
    let washer = Arc::new(Washer::new(hangs, answer));
    jobs.register(KIND, washer.clone());
    (jobs, washer)
}

fn good(t: &TestDb) -> (Jobs, Arc<Washer>) {
    jobs(t, t.db.clone(), false, Box::new(|_| Ok(())))
}

async fn put(t: &TestDb, n: i64, run_at: Timestamp, unique_key: Option<&str>) -> bool {
    let unique_key = unique_key.map(str::to_owned);
    let (env, job) =
        (t.env.clone(), NewJob { kind: KIND, payload: json!({"n": n}), run_at, unique_key });
    t.db.write("test.put", move |tx| enqueue(tx, &env, &job)).await.unwrap()
}

#[test]
fn statements() {
    for t in TestDb::both(&[MIGRATIONS]) {
        let all: Vec<_> = STATEMENTS.iter().copied().chain(own_statements(t.dialect())).collect();
        assert_eq!(check_statements(&t.db, &all), Vec::<String>::new());
    }
}

#[tokio::test]
async fn runs_when_due_and_with_its_transaction_only() {
    on_both(&[MIGRATIONS], async |t| {
        let (jobs, washer) = good(&t);
        let (env, now) = (t.env.clone(), t.env.now());
        let undone: Result<(), DbError> =
            t.db.write("test.undone", move |tx| {
                let payload = json!({"n": 9});
                enqueue(tx, &env, &NewJob { kind: KIND, payload, run_at: now, unique_key: None })?;
                Err(DbError::Other("no".into()))
            })
            .await;
        assert!(undone.is_err());
        put(&t, 2, now.plus_ms(HOUR_MS), None).await;
        put(&t, 1, now, None).await;
        assert_eq!(jobs.drain().await, Ok(1));
        assert_eq!(jobs.pending().await, Ok(1));
        t.clock.advance_ms(HOUR_MS);
        assert_eq!(jobs.drain().await, Ok(1));
        assert_eq!(*washer.ran.lock(), [1, 2]);
        assert_eq!(jobs.pending().await, Ok(0));
    })
    .await;
}

#[tokio::test]
async fn a_unique_key_admits_one_until_it_is_done() {
    on_both(&[MIGRATIONS], async |t| {
        let (jobs, washer) = good(&t);
        let now = t.env.now();
        assert!(put(&t, 1, now, Some("k")).await);
        assert!(!put(&t, 2, now, Some("k")).await);
        assert!(put(&t, 3, now, Some("other")).await);
        jobs.drain().await.unwrap();
        assert!(put(&t, 4, now, Some("k")).await);
        jobs.drain().await.unwrap();
        let mut ran = washer.ran.lock().clone();
        ran.sort_unstable();
        assert_eq!(ran, [1, 3, 4]);
    })
    .await;
}

#[tokio::test]
async fn failures_come_again_then_die_and_can_be_replayed() {
    on_both(&[MIGRATIONS], async |t| {
        let (jobs, washer) = jobs(
            &t,
            t.db.clone(),
            false,
            Box::new(|job| match job.payload["n"].as_i64() {
                Some(1) if job.attempts < 3 => Err(JobError::Retry("not yet".into())),
                Some(2) => Err(JobError::Retry("never".into())),
                Some(3) => Err(JobError::Fatal("no such machine".into())),
                Some(4) => panic!("flooded"),
                _ => Ok(()),
            }),
        );
        for n in 1..=4 {
            put(&t, n, t.env.now(), None).await;
        }
        assert_eq!(jobs.drain().await, Ok(4), "a failed one is not due at once");
        for _ in 0..6 {
            t.clock.advance_ms(HOUR_MS);
            jobs.drain().await.unwrap();
        }
        assert_eq!(*washer.ran.lock(), [1]);
        assert_eq!(washer.tries.load(Ordering::SeqCst), 3 + 3 + 1 + 3);
        assert_eq!((jobs.pending().await, jobs.dead_count().await), (Ok(0), Ok(3)));
        let dead = jobs.dead_letters().await.unwrap();
        let mut errors: Vec<_> = dead.iter().map(|d| d.last_error.clone().unwrap()).collect();
        errors.sort();
        assert_eq!(errors, ["never", "no such machine", "panicked"]);

        let mended = Arc::new(Washer::new(false, Box::new(|_| Ok(()))));
        jobs.register(KIND, mended.clone());
        assert_eq!(jobs.replay(dead[0].id).await, Ok(true));
        assert_eq!(jobs.replay(dead[0].id).await, Ok(false));
        assert_eq!(jobs.discard(dead[1].id).await, Ok(true));
        assert_eq!(jobs.drain().await, Ok(1));
        assert_eq!(mended.ran.lock().len(), 1);
        assert_eq!(jobs.dead_count().await, Ok(1));
    })
    .await;
}

#[tokio::test]
async fn later_is_no_failure() {
    on_both(&[MIGRATIONS], async |t| {
        let start = t.env.now();
        let (jobs, washer) = jobs(
            &t,
            t.db.clone(),
            false,
            Box::new(move |job| {
                assert_eq!(job.attempts, 1);
                if job.run_at < start.plus_ms(DAY_MS) {
                    Err(JobError::Later(job.run_at.plus_ms(HOUR_MS)))
                } else {
                    Ok(())
                }
            }),
        );
        put(&t, 1, start, None).await;
        for _ in 0..30 {
            jobs.drain().await.unwrap();
            t.clock.advance_ms(HOUR_MS);
        }
        assert_eq!(washer.tries.load(Ordering::SeqCst), 25);
        assert_eq!((jobs.pending().await, jobs.dead_count().await), (Ok(0), Ok(0)));
    })
    .await;
}

/// The first worker's lease ends while it hangs; the second takes the job and puts it off; then
/// the first one says that it is done.
#[tokio::test]
async fn a_lost_job_is_taken_again_and_the_late_answer_does_not_count() {
    on_both(&[MIGRATIONS], async |t| {
        let (first, hanging) = jobs(&t, t.db.clone(), true, Box::new(|_| Ok(())));
        put(&t, 1, t.env.now(), None).await;
        let late = tokio::spawn(async move { first.run_due_once().await });
        hanging.came.notified().await;
        let at = t.env.now().plus_ms(DAY_MS);
        let (second, washer) = jobs(
            &t,
            t.another(),
            false,
            Box::new(move |job| if job.run == 2 { Err(JobError::Later(at)) } else { Ok(()) }),
        );
        assert_eq!(second.drain().await, Ok(0));
        t.clock.advance_ms(10 * MINUTE_MS);
        assert_eq!(second.drain().await, Ok(1));
        hanging.go_on.notify_one();
        assert_eq!(late.await.unwrap(), Ok(1));
        assert_eq!(second.pending().await, Ok(1), "it is still put off");
        t.clock.advance_ms(DAY_MS);
        assert_eq!(second.drain().await, Ok(1));
        assert_eq!(*washer.ran.lock(), [1]);
        assert_eq!(second.pending().await, Ok(0));
    })
    .await;
}

#[tokio::test]
async fn two_processes_take_each_job_once() {
    on_both(&[MIGRATIONS], async |t| {
        let (first, washer_1) = good(&t);
        let (second, washer_2) = jobs(&t, t.another(), false, Box::new(|_| Ok(())));
        let (env, now) = (t.env.clone(), t.env.now());
        t.db.write("test.put", move |tx| {
            let job = |n: i64| NewJob {
                kind: KIND,
                payload: json!({"n": n}),
                run_at: now,
                unique_key: None,
            };
            enqueue_all(tx, &env, &(0..300).map(job).collect::<Vec<_>>())
        })
        .await
        .unwrap();
        let (a, b) = tokio::join!(first.drain(), second.drain());
        assert_eq!(a.unwrap() + b.unwrap(), 300);
        let mut all: Vec<i64> =
            washer_1.ran.lock().iter().chain(washer_2.ran.lock().iter()).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..300).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_schedule_fires_once_across_processes_and_makes_up_for_nothing() {
    on_both(&[MIGRATIONS], async |t| {
        let (first, washer_1) = good(&t);
        let (second, washer_2) = jobs(&t, t.another(), false, Box::new(|_| Ok(())));
        for jobs in [&first, &second] {
            jobs.daily_ist(KIND, 10, 30);
        }
        for _ in 0..48 {
            let (a, b) = tokio::join!(first.drain(), second.drain());
            a.unwrap();
            b.unwrap();
            t.clock.advance_ms(HOUR_MS);
        }
        let ran = || washer_1.ran.lock().len() + washer_2.ran.lock().len();
        assert_eq!(ran(), 2, "from 10:00 on day one to 09:00 on day three");
        t.clock.advance_ms(5 * DAY_MS);
        first.drain().await.unwrap();
        second.drain().await.unwrap();
        assert_eq!(ran(), 3);
    })
    .await;
}

#[tokio::test]
async fn runs_by_itself_until_it_is_stopped() {
    on_both(&[MIGRATIONS], async |t| {
        let (jobs, washer) = good(&t);
        let (stop, shutdown) = watch::channel(false);
        let running = tokio::spawn({
            let jobs = jobs.clone();
            async move { jobs.run_with(shutdown, 2).await }
        });
        for n in 0..20 {
            put(&t, n, t.env.now(), None).await;
        }
        while jobs.pending().await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
        running.await.unwrap();
        assert_eq!(washer.ran.lock().len(), 20);
    })
    .await;
}

/// Bulk work that hangs until the test is over.
struct Heap(AtomicUsize);

#[async_trait]
impl JobHandler for Heap {
    async fn run(&self, _: &Job) -> Result<(), JobError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    fn bulk(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_heap_of_bulk_jobs_leaves_places_to_others() {
    on_both(&[MIGRATIONS], async |t| {
        let (jobs, washer) = jobs(&t, t.db.clone(), false, Box::new(|_| Ok(())));
        let heap = Arc::new(Heap(AtomicUsize::new(0)));
        jobs.register("test.heap", heap.clone());
        let (env, now) = (t.env.clone(), t.env.now());
        t.db.write("test.enqueue", move |tx| {
            for n in 0..20 {
                let kind = if n < 19 { "test.heap" } else { KIND };
                let job =
                    NewJob { kind, payload: json!({ "n": n }), run_at: now, unique_key: None };
                enqueue(tx, &env, &job)?;
            }
            Ok::<_, DbError>(())
        })
        .await
        .unwrap();
        let (_stop, stopping) = watch::channel(false);
        let running = tokio::spawn({
            let jobs = jobs.clone();
            async move { jobs.run_with(stopping, 4).await }
        });
        washer.came.notified().await;
        while washer.ran.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*washer.ran.lock(), [19]);
        assert!(heap.0.load(Ordering::SeqCst) <= 2, "bulk jobs took more than their places");
        running.abort();
    })
    .await;
}

#[tokio::test]
async fn a_schedule_outlives_a_job_that_was_given_up() {
    on_both(&[MIGRATIONS], async |t| {
        let broken = Arc::new(AtomicUsize::new(1));
        let still = broken.clone();
        let (jobs, washer) = jobs(
            &t,
            t.db.clone(),
            false,
            Box::new(move |_| match still.load(Ordering::SeqCst) {
                0 => Ok(()),
                _ => Err(JobError::Fatal("no water".into())),
            }),
        );
        jobs.every_ms(KIND, MINUTE_MS);
        jobs.drain().await.unwrap();
        t.clock.advance_ms(MINUTE_MS);
        assert_eq!(jobs.drain().await, Ok(1));
        assert_eq!(jobs.dead_count().await, Ok(1));
        broken.store(0, Ordering::SeqCst);
        t.clock.advance_ms(MINUTE_MS);
        assert_eq!(jobs.drain().await, Ok(1));
        assert_eq!(jobs.dead_count().await, Ok(0));
        assert_eq!(washer.ran.lock().len(), 1);
    })
    .await;
}

/// A job that ends its process every time (no memory left, say) must not do so for ever.
#[tokio::test]
async fn a_job_whose_processes_die_is_given_up() {
    on_both(&[MIGRATIONS], async |t| {
        let (jobs, washer) = jobs(&t, t.db.clone(), true, Box::new(|_| Ok(())));
        put(&t, 1, t.env.now(), None).await;
        for _ in 0..3 {
            let process = tokio::spawn({
                let jobs = jobs.clone();
                async move { jobs.run_due_once().await }
            });
            washer.came.notified().await;
            process.abort();
            assert!(process.await.is_err());
            t.clock.advance_ms(10 * MINUTE_MS);
        }
        assert_eq!(jobs.run_due_once().await, Ok(1));
        assert_eq!(washer.tries.load(Ordering::SeqCst), 3);
        let dead = jobs.dead_letters().await.unwrap();
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].last_error.as_deref(), Some("every attempt ended with its process"));
        assert_eq!(jobs.pending().await, Ok(0));
    })
    .await;
}
