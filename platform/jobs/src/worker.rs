use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mela_base::ids::JobId;
use mela_base::{Env, HOUR_MS, Internal, MINUTE_MS, SECOND_MS, Timestamp};
use mela_db::{Db, DbError, Tx, Value, Wake};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::schedule::Every;
use crate::store::{self, Job, NewJob};

/// Attempts before a job is a dead letter, unless its handler says otherwise.
pub const MAX_ATTEMPTS: i64 = 20;
/// Jobs that run at the same time in one process, unless told otherwise.
const CONCURRENCY: usize = 16;
/// How many of these places bulk jobs may take.
const BULK_CONCURRENCY: usize = 2;
/// A job whose process has not renewed its lease for so long is taken by another.
const LEASE_MS: i64 = MINUTE_MS;
/// How often the lease is renewed.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How often to look for what other processes enqueued, when nothing wakes us.
const POLL_MS: i64 = SECOND_MS;

/// Why a job did not finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobError {
    /// Try again after a while. The text is for the operators; no personal data.
    Retry(String),
    /// It will never work: a dead letter at once.
    Fatal(String),
    /// Nothing went wrong, but run again at this time; the attempts begin anew.
    Later(Timestamp),
}

impl From<Internal> for JobError {
    fn from(e: Internal) -> Self {
        Self::Retry(e.context().to_owned())
    }
}

impl From<DbError> for JobError {
    fn from(e: DbError) -> Self {
        Self::Retry(e.to_string())
    }
}

/// Runs the jobs of one kind. At least once each, so twice must be like once.
#[async_trait]
pub trait JobHandler: Send + Sync {
    /// Runs the job.
    async fn run(&self, job: &Job) -> Result<(), JobError>;

    /// How often it is tried before it is a dead letter.
    fn max_attempts(&self) -> i64 {
        MAX_ATTEMPTS
    }

    /// Jobs of this kind come in heaps and nobody waits for a single one (pictures of an import):
    /// they get few of the places, so that an invoice never queues behind thousands of them.
    fn bulk(&self) -> bool {
        false
    }
}

/// The queue and its workers. Cheap to clone.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    db: Db,
    env: Env,
    handlers: RwLock<BTreeMap<&'static str, Arc<dyn JobHandler>>>,
    schedules: RwLock<Vec<(&'static str, Every)>>,
    /// No schedule is due before this time, in µs; 0 is not known.
    schedules_due: AtomicI64,
}

impl Jobs {
    /// A queue over this database, whose migrations include [`crate::MIGRATIONS`].
    pub fn new(db: Db, env: Env) -> Self {
        Self(Arc::new(Inner {
            db,
            env,
            handlers: RwLock::default(),
            schedules: RwLock::default(),
            schedules_due: AtomicI64::new(0),
        }))
    }

    /// Registers the handler of a kind. This process takes only jobs of registered kinds.
    pub fn register(&self, kind: &'static str, handler: Arc<dyn JobHandler>) {
        self.0.handlers.write().insert(kind, handler);
    }

    /// Enqueues a job of `kind` without payload every `ms`, in one process of all. Not while the
    /// job before it is not done.
    pub fn every_ms(&self, kind: &'static str, ms: i64) {
        self.schedule(kind, Every::Ms(ms));
    }

    /// Enqueues a job of `kind` without payload daily at this time of India.
    pub fn daily_ist(&self, kind: &'static str, hour: u8, minute: u8) {
        self.schedule(kind, Every::DailyIst { hour, minute });
    }

    fn schedule(&self, kind: &'static str, every: Every) {
        let mut schedules = self.0.schedules.write();
        schedules.retain(|(k, _)| *k != kind);
        schedules.push((kind, every));
        self.0.schedules_due.store(0, Ordering::SeqCst);
    }

    /// Runs jobs until `shutdown` becomes true; those that run then are finished first.
    pub async fn run(&self, shutdown: watch::Receiver<bool>) {
        self.run_with(shutdown, CONCURRENCY).await;
    }

    /// [`Jobs::run`] with so many jobs at the same time.
    pub async fn run_with(&self, mut shutdown: watch::Receiver<bool>, concurrency: usize) {
        let concurrency = concurrency.max(1);
        let mut woken = self.0.db.woken(Wake::Jobs);
        let mut running = JoinSet::new();
        let mut bulk = 0_usize;
        while !*shutdown.borrow_and_update() {
            woken.mark_unchanged();
            let mut wait = Duration::from_millis(POLL_MS.unsigned_abs());
            if running.len() < concurrency {
                let places = concurrency - running.len();
                match self.0.take(places, BULK_CONCURRENCY.saturating_sub(bulk)).await {
                    Ok(jobs) if jobs.is_empty() => {
                        wait = self.0.until_due(bulk < BULK_CONCURRENCY).await
                    }
                    Ok(jobs) => {
                        for job in jobs {
                            bulk += usize::from(self.0.is_bulk(&job.kind));
                            running.spawn(self.0.clone().run_one(job));
                        }
                        continue;
                    }
                    Err(error) => tracing::warn!(%error, "jobs cannot be taken"),
                }
            }
            let full = running.len() >= concurrency;
            tokio::select! {
                stop = shutdown.changed() => if stop.is_err() { break },
                Some(ended) = running.join_next() => {
                    bulk -= usize::from(ended.unwrap_or(false)).min(bulk);
                }
                _ = woken.changed(), if !full => {}
                () = tokio::time::sleep(wait), if !full => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Runs what is due now, once, to its end. Returns how many jobs were run.
    pub async fn run_due_once(&self) -> Result<usize, DbError> {
        let jobs = self.0.take(CONCURRENCY, CONCURRENCY).await?;
        let count = jobs.len();
        let mut running = JoinSet::new();
        for job in jobs {
            running.spawn(self.0.clone().run_one(job));
        }
        while running.join_next().await.is_some() {}
        Ok(count)
    }

    /// Runs until nothing is due now. Returns how many jobs were run.
    pub async fn drain(&self) -> Result<usize, DbError> {
        let mut total = 0;
        loop {
            match self.run_due_once().await? {
                0 => return Ok(total),
                some => total += some,
            }
        }
    }

    /// Jobs that wait or run, due or not.
    pub async fn pending(&self) -> Result<i64, DbError> {
        Ok(self.0.db.read("jobs.counts", store::counts).await?.0)
    }

    /// How many jobs were given up.
    pub async fn dead_count(&self) -> Result<i64, DbError> {
        Ok(self.0.db.read("jobs.counts", store::counts).await?.1)
    }

    /// Jobs that were given up, oldest first, a thousand at most.
    pub async fn dead_letters(&self) -> Result<Vec<Job>, DbError> {
        self.0.db.read("jobs.dead", |q| store::dead(q, 1_000)).await
    }

    /// Lets a dead job run again now, with all its attempts. False if there is no such dead job.
    pub async fn replay(&self, id: JobId) -> Result<bool, DbError> {
        let now = self.0.env.now();
        self.0.db.write("jobs.replay", move |tx| store::replay(tx, id, now)).await
    }

    /// Deletes a dead job. False if there is no such dead job.
    pub async fn discard(&self, id: JobId) -> Result<bool, DbError> {
        self.0.db.write("jobs.discard", move |tx| store::discard(tx, id)).await
    }
}

impl Inner {
    fn is_bulk(&self, kind: &str) -> bool {
        self.handlers.read().get(kind).is_some_and(|handler| handler.bulk())
    }

    fn kinds(&self, bulk: bool) -> Vec<Value> {
        let handlers = self.handlers.read();
        handlers.iter().filter(|(_, h)| h.bulk() == bulk).map(|(k, _)| Value::from(*k)).collect()
    }

    /// Takes up to `limit` due jobs, of which up to `bulk_limit` may be bulk.
    async fn take(&self, limit: usize, bulk_limit: usize) -> Result<Vec<Job>, DbError> {
        self.enqueue_scheduled().await?;
        let mut taken = self.take_kinds(self.kinds(false), limit).await?;
        let places = bulk_limit.min(limit - taken.len().min(limit));
        taken.extend(self.take_kinds(self.kinds(true), places).await?);
        Ok(taken)
    }

    async fn take_kinds(&self, kinds: Vec<Value>, limit: usize) -> Result<Vec<Job>, DbError> {
        if kinds.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let now = self.env.now();
        let lease_end = now.plus_ms(LEASE_MS);
        let claim = move |tx: &mut Tx<'_>| store::claim(tx, &kinds, now, lease_end, limit);
        self.db.write("jobs.claim", claim).await
    }

    /// How long nothing will be due, as far as this process can know.
    async fn until_due(&self, bulk_too: bool) -> Duration {
        let mut kinds = self.kinds(false);
        if bulk_too {
            kinds.extend(self.kinds(true));
        }
        let next = self.db.read("jobs.next_due", move |q| store::next_due(q, &kinds)).await;
        let ms = match next {
            Ok(Some(at)) => at.since_ms(self.env.now()) + 1,
            _ => POLL_MS,
        };
        Duration::from_millis(ms.clamp(5, POLL_MS).unsigned_abs())
    }

    async fn enqueue_scheduled(&self) -> Result<(), DbError> {
        let now = self.env.now();
        if now.micros() < self.schedules_due.load(Ordering::SeqCst) {
            return Ok(());
        }
        let schedules = self.schedules.read().clone();
        let env = self.env.clone();
        let next = self
            .db
            .write("jobs.schedule", move |tx| {
                let mut soonest = i64::MAX;
                for (kind, every) in &schedules {
                    let after = every.after(now);
                    let due = store::schedule_next(tx, kind, after)?;
                    if due > now {
                        soonest = soonest.min(due.micros());
                        continue;
                    }
                    soonest = soonest.min(after.micros());
                    if store::schedule_move(tx, kind, due, after)? {
                        let key = format!("schedule:{kind}");
                        let job = NewJob {
                            kind,
                            payload: serde_json::Value::Null,
                            run_at: due,
                            unique_key: Some(key.clone()),
                        };
                        // One that was given up would stand in the way of its schedule for ever.
                        if !store::enqueue(tx, &env, &job)? && store::revive(tx, &key, due)? {
                            tracing::warn!(kind, "a scheduled job that was given up runs again");
                        }
                    }
                }
                Ok::<_, DbError>(soonest)
            })
            .await?;
        self.schedules_due.store(next, Ordering::SeqCst);
        Ok(())
    }

    /// Runs a job to its end; true if it was a bulk one.
    async fn run_one(self: Arc<Self>, job: Job) -> bool {
        let handler = self.handlers.read().get(job.kind.as_str()).cloned();
        let Some(handler) = handler else { return false };
        let bulk = handler.bulk();
        let max_attempts = handler.max_attempts();
        let job = Arc::new(job);
        // Attempts that never came to an outcome: their processes died, perhaps of this job.
        if job.attempts > max_attempts {
            let lost = Err(JobError::Fatal("every attempt ended with its process".to_owned()));
            if let Err(error) = self.settle(job.clone(), lost, max_attempts).await {
                tracing::warn!(%error, kind = job.kind, job = %job.id, "a job's outcome was not kept");
            }
            return bulk;
        }
        // A task of its own, so that a panic is one failed attempt.
        let mut task = tokio::spawn({
            let job = job.clone();
            async move { handler.run(&job).await }
        });
        let outcome = loop {
            tokio::select! {
                ended = &mut task => break ended.unwrap_or_else(|_| Err(JobError::Retry("panicked".to_owned()))),
                () = tokio::time::sleep(HEARTBEAT) => self.heartbeat(&job).await,
            }
        };
        if let Err(error) = self.settle(job.clone(), outcome, max_attempts).await {
            // The lease ends, and the job runs again.
            tracing::warn!(%error, kind = job.kind, job = %job.id, "a job's outcome was not kept");
        }
        bulk
    }

    async fn heartbeat(&self, job: &Job) {
        let (id, run, end) = (job.id, job.run, self.env.now().plus_ms(LEASE_MS));
        let extend = move |tx: &mut Tx<'_>| store::extend(tx, id, run, end);
        match self.db.write("jobs.extend", extend).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(kind = job.kind, job = %id, "another worker has this job"),
            Err(error) => tracing::warn!(%error, job = %id, "a job's lease was not renewed"),
        }
    }

    async fn settle(
        &self,
        job: Arc<Job>,
        outcome: Result<(), JobError>,
        max_attempts: i64,
    ) -> Result<(), DbError> {
        let kind = job.kind.as_str();
        let kept = match outcome {
            Ok(()) => {
                let (id, run) = (job.id, job.run);
                self.db.write("jobs.done", move |tx| store::done(tx, id, run)).await?
            }
            Err(JobError::Later(at)) => {
                let job = job.clone();
                self.db.write("jobs.later", move |tx| store::again(tx, &job, at, &None, 0)).await?
            }
            Err(JobError::Retry(error)) if job.attempts < max_attempts => {
                tracing::warn!(kind, job = %job.id, attempts = job.attempts, error, "job failed, will be tried again");
                let (again, at) = (job.clone(), self.next_try(job.attempts));
                let error = Some(cut(&error));
                let retry =
                    move |tx: &mut Tx<'_>| store::again(tx, &again, at, &error, again.attempts);
                self.db.write("jobs.retry", retry).await?
            }
            Err(JobError::Retry(error) | JobError::Fatal(error)) => {
                tracing::error!(kind, job = %job.id, attempts = job.attempts, error, "job given up, replay it by hand");
                let (dead, error) = (job.clone(), cut(&error));
                self.db.write("jobs.bury", move |tx| store::bury(tx, &dead, &error)).await?
            }
        };
        if !kept {
            tracing::warn!(kind, job = %job.id, "the lease of this job had ended");
        }
        Ok(())
    }

    /// 1 s, 2 s, 4 s … up to an hour, each with up to a half more.
    fn next_try(&self, attempts: i64) -> Timestamp {
        let wait = (SECOND_MS << attempts.clamp(1, 13).saturating_sub(1)).min(HOUR_MS);
        let jitter = self.env.below(wait.unsigned_abs() / 2 + 1);
        self.env.now().plus_ms(wait + i64::try_from(jitter).unwrap_or_default())
    }
}

fn cut(error: &str) -> String {
    error.chars().take(500).collect()
}
