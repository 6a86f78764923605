use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::RwLock;

/// Upper bounds of the latency histogram in µs; one more bucket holds everything slower.
pub const LATENCY_BOUNDS_US: [u64; 13] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000,
];

/// Upper bounds of the histogram of group sizes; one more bucket holds everything larger.
pub const GROUP_BOUNDS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Counters of one operation (`db.write("orders.place", …)`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpSnapshot {
    /// Calls that ended.
    pub calls: u64,
    /// Calls that ended in an error of any kind, a refused business rule included.
    pub errors: u64,
    /// Statements that were run.
    pub statements: u64,
    /// Re-runs after a collision or a lost connection.
    pub retries: u64,
    /// Sum of latencies, waiting included.
    pub total_us: u64,
    /// Histogram of latencies by [`LATENCY_BOUNDS_US`], not cumulative.
    pub latency: [u64; LATENCY_BOUNDS_US.len() + 1],
}

/// What the database has done so far in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DbStats {
    /// Statements that were run.
    pub statements: u64,
    /// Calls waiting for a thread now.
    pub queued: u64,
    /// Commits on SQLite by the number of closures that shared them, by [`GROUP_BOUNDS`].
    pub groups: [u64; GROUP_BOUNDS.len() + 1],
    /// Per operation.
    pub operations: BTreeMap<&'static str, OpSnapshot>,
}

#[derive(Default)]
pub(crate) struct OpStats {
    calls: AtomicU64,
    errors: AtomicU64,
    statements: AtomicU64,
    pub(crate) retries: AtomicU64,
    total_us: AtomicU64,
    latency: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
}

#[derive(Default)]
pub(crate) struct Stats {
    statements: AtomicU64,
    groups: [AtomicU64; GROUP_BOUNDS.len() + 1],
    operations: RwLock<BTreeMap<&'static str, Arc<OpStats>>>,
}

fn bucket(bounds: &[u64], value: u64) -> usize {
    bounds.iter().position(|b| value <= *b).unwrap_or(bounds.len())
}

impl Stats {
    pub(crate) fn operation(&self, name: &'static str) -> Arc<OpStats> {
        if let Some(op) = self.operations.read().get(name) {
            return op.clone();
        }
        self.operations.write().entry(name).or_default().clone()
    }

    pub(crate) fn ran(&self, op: &OpStats, statements: u64) {
        self.statements.fetch_add(statements, Relaxed);
        op.statements.fetch_add(statements, Relaxed);
    }

    pub(crate) fn ended(&self, op: &OpStats, took: Duration, ok: bool) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        op.calls.fetch_add(1, Relaxed);
        op.errors.fetch_add(u64::from(!ok), Relaxed);
        op.total_us.fetch_add(us, Relaxed);
        op.latency[bucket(&LATENCY_BOUNDS_US, us)].fetch_add(1, Relaxed);
    }

    pub(crate) fn group(&self, size: usize) {
        self.groups[bucket(&GROUP_BOUNDS, size as u64)].fetch_add(1, Relaxed);
    }

    pub(crate) fn statement_count(&self) -> u64 {
        self.statements.load(Relaxed)
    }

    pub(crate) fn snapshot(&self, queued: usize) -> DbStats {
        let load = |a: &AtomicU64| a.load(Relaxed);
        DbStats {
            statements: self.statement_count(),
            queued: queued as u64,
            groups: self.groups.each_ref().map(load),
            operations: self
                .operations
                .read()
                .iter()
                .map(|(name, op)| {
                    let snapshot = OpSnapshot {
                        calls: load(&op.calls),
                        errors: load(&op.errors),
                        statements: load(&op.statements),
                        retries: load(&op.retries),
                        total_us: load(&op.total_us),
                        latency: op.latency.each_ref().map(load),
                    };
                    (*name, snapshot)
                })
                .collect(),
        }
    }
}
