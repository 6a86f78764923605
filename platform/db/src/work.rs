use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::sync::watch;

use crate::stats::{OpStats, Stats};
use crate::{DbError, Tx};

/// What a closure needs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Statements one by one; SQLite gives a snapshot all the same.
    Read,
    /// All statements see one state.
    Snapshot,
    /// A transaction.
    Write,
}

/// A closure with its reply, its types hidden.
pub(crate) trait Job: Send {
    /// Runs the closure (again, if it was run before) and keeps its result. Whether it was `Ok`.
    fn run(&mut self, name: &'static str, tx: &mut Tx<'_>) -> bool;
    /// Answers the caller. `outcome` is the commit's; an error of the closure itself goes first.
    fn finish(self: Box<Self>, outcome: Result<(), DbError>);
}

pub(crate) struct Task<T, E, F, R> {
    pub(crate) f: F,
    pub(crate) result: Option<Result<T, E>>,
    pub(crate) reply: R,
}

impl<T, E, F, R> Job for Task<T, E, F, R>
where
    T: Send,
    E: From<DbError> + Send,
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send,
    R: FnOnce(Result<T, E>) + Send,
{
    fn run(&mut self, name: &'static str, tx: &mut Tx<'_>) -> bool {
        let result = match catch_unwind(AssertUnwindSafe(|| (self.f)(tx))) {
            // A failed statement that the closure swallowed would be a silent rollback.
            Ok(Ok(_)) if tx.query.failed.is_some() => {
                Err(E::from(tx.query.failed.clone().unwrap_or(DbError::Serialization)))
            }
            Ok(result) => result,
            Err(_) => Err(E::from(DbError::other(format_args!("{name} panicked")))),
        };
        let ok = result.is_ok();
        self.result = Some(result);
        ok
    }

    fn finish(self: Box<Self>, outcome: Result<(), DbError>) {
        let Self { result, reply, .. } = *self;
        let answer = match (result, outcome) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(error)) => Err(E::from(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(E::from(DbError::unavailable("the closure did not run"))),
        };
        // The caller may have gone away; then nobody wants the answer.
        let _ = catch_unwind(AssertUnwindSafe(|| reply(answer)));
    }
}

/// One queued closure.
pub(crate) struct Work {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    pub(crate) queued: Instant,
    pub(crate) op: Arc<OpStats>,
    pub(crate) job: Box<dyn Job>,
}

/// What all threads of one database share.
pub(crate) struct Shared {
    pub(crate) stats: Stats,
    pub(crate) outbox: watch::Sender<u64>,
    pub(crate) jobs: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self { stats: Stats::default(), outbox: watch::Sender::new(0), jobs: watch::Sender::new(0) }
    }

    /// Tells those whom a committed transaction asked to wake.
    pub(crate) fn wake(&self, wakes: u8) {
        for (bit, sender) in [(1, &self.outbox), (2, &self.jobs)] {
            if wakes & bit != 0 {
                sender.send_modify(|n| *n = n.wrapping_add(1));
            }
        }
    }

    /// Runs the closure of `work` on `tx` and counts its statements.
    pub(crate) fn run(&self, work: &mut Work, tx: &mut Tx<'_>) -> bool {
        let ok = work.job.run(work.name, tx);
        self.stats.ran(&work.op, tx.query.statements);
        ok
    }

    pub(crate) fn retried(&self, work: &Work) {
        work.op.retries.fetch_add(1, Relaxed);
    }

    pub(crate) fn finish(&self, work: Work, ok: bool, outcome: Result<(), DbError>) {
        self.stats.ended(&work.op, work.queued.elapsed(), ok && outcome.is_ok());
        work.job.finish(outcome);
    }
}
