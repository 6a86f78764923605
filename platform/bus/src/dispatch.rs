use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mela_base::{DAY_MS, MINUTE_MS, SECOND_MS, Timestamp};
use mela_db::{DbError, Dialect, Value, Wake};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::bus::{Consumer, Delivered, Inner};
use crate::store::{self, Failure};
use crate::{Bus, MAX_ATTEMPTS};

/// Events of one round.
const BATCH: i64 = 256;
/// Handlers that run at the same time.
const CONCURRENCY: usize = 64;
/// After this time a round is taken to have died with its process.
const LEASE_MS: i64 = 5 * MINUTE_MS;
/// One handler's time.
const HANDLER_TIME: Duration = Duration::from_secs(60);
/// How often to look for what other processes wrote, when nothing wakes us.
const POLL: Duration = Duration::from_millis(250);
/// How long delivered events are kept.
const KEEP_MS: i64 = DAY_MS;

impl Bus {
    /// Dispatches and tells the live receivers until `shutdown` becomes true. What is being handled
    /// then is finished first.
    pub async fn run(&self, shutdown: watch::Receiver<bool>) {
        tokio::join!(self.run_dispatcher(shutdown.clone()), self.run_live(shutdown));
    }

    /// Only tells the live receivers: for a process without the worker role.
    pub async fn run_live(&self, mut shutdown: watch::Receiver<bool>) {
        let mut woken = self.0.db.woken(Wake::Outbox);
        while !*shutdown.borrow_and_update() {
            woken.mark_unchanged();
            let told = self.0.tell_live().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "live events cannot be read");
                0
            });
            if told == 0 && !wait(&mut shutdown, &mut woken).await {
                return;
            }
        }
    }

    async fn run_dispatcher(&self, mut shutdown: watch::Receiver<bool>) {
        // SQLite has one process that dispatches: what is claimed was claimed by one that died, and
        // a paid order must not wait for the lease. Handlers bear a repeat.
        if self.0.db.dialect() == Dialect::Sqlite
            && let Err(error) = self.0.db.write("bus.release", store::release).await
        {
            tracing::warn!(%error, "claimed events wait for their lease");
        }
        let mut woken = self.0.db.woken(Wake::Outbox);
        let mut swept = self.0.env.now();
        while !*shutdown.borrow_and_update() {
            woken.mark_unchanged();
            let tried = self.0.round().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "events cannot be dispatched");
                0
            });
            let now = self.0.env.now();
            if now.since_ms(swept) >= MINUTE_MS {
                swept = now;
                if let Err(error) = self.sweep().await {
                    tracing::warn!(%error, "old events cannot be swept");
                }
            }
            if tried == 0 && !wait(&mut shutdown, &mut woken).await {
                return;
            }
        }
    }

    /// Delivers what is open and what is due again, once, and tells the live receivers. Returns
    /// how many deliveries were tried: 0 means that nothing is left to do now.
    pub async fn dispatch_once(&self) -> Result<usize, DbError> {
        let tried = self.0.round().await?;
        self.0.tell_live().await?;
        Ok(tried)
    }

    /// Deletes delivered events that are older than a day, in chunks.
    pub async fn sweep(&self) -> Result<u64, DbError> {
        let before = self.0.env.now().plus_ms(-KEEP_MS);
        let mut swept = 0;
        loop {
            let some =
                self.0.db.write("bus.sweep", move |tx| store::sweep(tx, before, 500)).await?;
            swept += some;
            if some < 500 {
                return Ok(swept);
            }
        }
    }
}

/// False when it is time to stop.
async fn wait(shutdown: &mut watch::Receiver<bool>, woken: &mut watch::Receiver<u64>) -> bool {
    tokio::select! {
        stop = shutdown.changed() => stop.is_ok(),
        // The sender lives in the database that we hold.
        _ = woken.changed() => true,
        () = tokio::time::sleep(POLL) => true,
    }
}

type Delivery = (Consumer, Arc<Delivered>);
type Outcome = (i64, &'static str, Result<(), String>);

impl Inner {
    async fn round(self: &Arc<Self>) -> Result<usize, DbError> {
        Ok(self.first_deliveries().await? + self.retries().await?)
    }

    async fn first_deliveries(self: &Arc<Self>) -> Result<usize, DbError> {
        let now = self.env.now();
        let lease_end = now.plus_ms(LEASE_MS);
        let claim = move |tx: &mut mela_db::Tx<'_>| store::claim(tx, now, lease_end, BATCH);
        let events = self.db.write("bus.claim", claim).await?;
        if events.is_empty() {
            return Ok(0);
        }
        let seqs: Vec<i64> = events.iter().map(|e| e.seq).collect();
        let mut work = Vec::new();
        let consumers = self.consumers.read().clone();
        for event in events.into_iter().map(Arc::new) {
            for consumer in consumers.iter().filter(|c| c.wants(&event.topic)) {
                work.push((consumer.clone(), event.clone()));
            }
        }
        let mut failures = Vec::new();
        for (seq, consumer, outcome) in deliver(work).await {
            if let Err(error) = outcome {
                tracing::warn!(consumer, seq, error, "event not handled, will be tried again");
                failures.push(self.failure(seq, consumer, 1, error));
            }
        }
        let tried = seqs.len();
        let now = self.env.now();
        let finish = move |tx: &mut mela_db::Tx<'_>| store::finish(tx, now, &seqs, &failures);
        self.db.write("bus.finish", finish).await?;
        Ok(tried)
    }

    async fn retries(self: &Arc<Self>) -> Result<usize, DbError> {
        let now = self.env.now();
        let lease_end = now.plus_ms(LEASE_MS);
        // A consumer that this process does not have is another one's, or another version's: its
        // retries must not fill the round.
        let consumers = self.consumers.read().clone();
        let names: Vec<Value> = consumers.iter().map(|c| Value::from(c.name)).collect();
        let due =
            self.db.read("bus.due", move |q| store::due_retries(q, now, BATCH, &names)).await?;
        let mut work = Vec::new();
        let mut attempts = HashMap::new();
        for again in due {
            let Some(consumer) = consumers.iter().find(|c| c.name == again.consumer) else {
                continue;
            };
            let (seq, name) = (again.event.seq, consumer.name);
            let claim =
                move |tx: &mut mela_db::Tx<'_>| store::claim_retry(tx, seq, name, now, lease_end);
            if self.db.write("bus.claim_retry", claim).await? {
                attempts.insert((seq, name), again.attempts);
                work.push((consumer.clone(), Arc::new(again.event)));
            }
        }
        let tried = work.len();
        for (seq, consumer, outcome) in deliver(work).await {
            match outcome {
                Ok(()) => {
                    let done =
                        move |tx: &mut mela_db::Tx<'_>| store::retry_delivered(tx, seq, consumer);
                    self.db.write("bus.retried", done).await?;
                }
                Err(error) => {
                    let before = attempts.get(&(seq, consumer)).copied().unwrap_or_default();
                    tracing::warn!(
                        consumer,
                        seq,
                        error,
                        attempts = before + 1,
                        "event not handled"
                    );
                    let failure = self.failure(seq, consumer, before + 1, error);
                    let put = move |tx: &mut mela_db::Tx<'_>| {
                        store::finish(tx, now, &[], std::slice::from_ref(&failure))
                    };
                    self.db.write("bus.retry_failed", put).await?;
                }
            }
        }
        Ok(tried)
    }

    /// 1 s, 2 s, 4 s … up to 10 minutes, each with up to a half more.
    fn failure(&self, seq: i64, consumer: &'static str, attempts: i64, error: String) -> Failure {
        let next_at = (attempts < MAX_ATTEMPTS).then(|| -> Timestamp {
            let wait = (SECOND_MS << attempts.clamp(1, 11).saturating_sub(1)).min(10 * MINUTE_MS);
            let jitter = self.env.below(wait.unsigned_abs() / 2 + 1);
            self.env.now().plus_ms(wait + i64::try_from(jitter).unwrap_or_default())
        });
        if next_at.is_none() {
            tracing::error!(consumer, seq, "event given up, replay it by hand");
        }
        Failure { seq, consumer, attempts, next_at, error: error.chars().take(500).collect() }
    }

    async fn tell_live(&self) -> Result<usize, DbError> {
        let mut place = self.place.lock().await;
        let from = match *place {
            Some(place) => place,
            // Nobody listens to what was before the first look.
            None => {
                let head = self.db.read("bus.head", store::head).await?;
                *place = Some(head);
                return Ok(0);
            }
        };
        let (events, next) = self.db.read("bus.tail", move |q| store::tail(q, from, BATCH)).await?;
        *place = Some(next);
        let told = events.len();
        for event in events {
            // No receiver is no error.
            let _ = self.live.send(Arc::new(event));
        }
        Ok(told)
    }
}

/// Runs the handlers: events of one key and consumer one after another, the others side by side.
async fn deliver(work: Vec<Delivery>) -> Vec<Outcome> {
    let mut chains: HashMap<(&'static str, String), Vec<Delivery>> = HashMap::new();
    for (consumer, event) in work {
        chains.entry((consumer.name, event.key.clone())).or_default().push((consumer, event));
    }
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let mut tasks = JoinSet::new();
    for chain in chains.into_values() {
        let permits = permits.clone();
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            let mut outcomes: Vec<Outcome> = Vec::with_capacity(chain.len());
            for (consumer, event) in chain {
                let (name, seq) = (consumer.name, event.seq);
                // A task of its own, so that a panic is one failed delivery.
                let task = tokio::spawn(async move {
                    tokio::time::timeout(HANDLER_TIME, consumer.handler.handle(&event)).await
                });
                outcomes.push(match task.await {
                    Ok(Ok(Ok(()))) => (seq, name, Ok(())),
                    Ok(Ok(Err(error))) => (seq, name, Err(error.context().to_owned())),
                    Ok(Err(_)) => (seq, name, Err("took too long".to_owned())),
                    Err(_) => (seq, name, Err("panicked".to_owned())),
                });
            }
            outcomes
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}
