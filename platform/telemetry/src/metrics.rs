use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mela_base::ErrorKind;
use parking_lot::RwLock;

use crate::process;

/// All metrics of a process. Cheap to clone; all clones are the same registry.
///
/// Register once, keep the handle: `let op = metrics.operation("orders.place")`. Registering the
/// same series again gives the same handle.
#[derive(Clone, Default)]
pub struct Metrics(Arc<RwLock<BTreeMap<&'static str, Family>>>);

struct Family {
    help: &'static str,
    kind: &'static str,
    /// By rendered labels: `operation="orders.place"`.
    series: BTreeMap<String, Series>,
}

#[derive(Clone)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Sampled(Arc<dyn Fn() -> f64 + Send + Sync>),
    Histogram(Histogram),
    Operation(Arc<OperationData>),
}

/// A number that only grows.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The number.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds in µs; chosen around what our targets name (1 ms, 10 ms, 100 ms, 1 s).
const BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// How long things took.
#[derive(Clone, Default)]
pub struct Histogram(Arc<HistogramData>);

#[derive(Default)]
struct HistogramData {
    /// The last one counts what is above all bounds.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one that took `time`.
    pub fn observe(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.0.buckets[bucket].fetch_add(1, Relaxed);
        self.0.sum_us.fetch_add(us, Relaxed);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|b| b.load(Relaxed)).sum()
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As wanted.
    Ok,
    /// Refused or failed.
    Error(ErrorKind),
    /// The caller went away, or the request was given up.
    Dropped,
}

impl<T, E: mela_base::Fault> From<&Result<T, E>> for Outcome {
    fn from(result: &Result<T, E>) -> Self {
        result.as_ref().map_or_else(|e| Self::Error(e.kind()), |_| Self::Ok)
    }
}

const OUTCOMES: [&str; 10] = [
    "ok",
    "not_found",
    "conflict",
    "invalid",
    "denied",
    "unauthenticated",
    "exhausted",
    "unavailable",
    "internal",
    "dropped",
];

impl Outcome {
    fn index(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::Error(ErrorKind::NotFound) => 1,
            Self::Error(ErrorKind::Conflict) => 2,
            Self::Error(ErrorKind::Invalid) => 3,
            Self::Error(ErrorKind::Denied) => 4,
            Self::Error(ErrorKind::Unauthenticated) => 5,
            Self::Error(ErrorKind::Exhausted) => 6,
            Self::Error(ErrorKind::Unavailable) => 7,
            Self::Error(ErrorKind::Internal) => 8,
            Self::Dropped => 9,
        }
    }
}

/// Traffic, errors, latency and running calls of one operation.
#[derive(Clone)]
pub struct Operation(Arc<OperationData>);

#[derive(Default)]
struct OperationData {
    outcomes: [AtomicU64; OUTCOMES.len()],
    seconds: Histogram,
    running: AtomicI64,
}

impl Operation {
    /// A call begins. Dropped without [`Running::end`], it counts as [`Outcome::Dropped`].
    pub fn start(&self) -> Running {
        self.0.running.fetch_add(1, Relaxed);
        Running { data: Arc::clone(&self.0), since: Instant::now(), outcome: Outcome::Dropped }
    }

    /// How many calls ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.0.outcomes[outcome.index()].load(Relaxed)
    }
}

/// A call under way.
#[must_use = "dropping it at once counts a dropped call"]
pub struct Running {
    data: Arc<OperationData>,
    since: Instant,
    outcome: Outcome,
}

impl Running {
    /// The call ended.
    pub fn end(mut self, outcome: impl Into<Outcome>) {
        self.outcome = outcome.into();
    }

    /// For how long it has run.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.data.running.fetch_sub(1, Relaxed);
        self.data.outcomes[self.outcome.index()].fetch_add(1, Relaxed);
        self.data.seconds.observe(self.since.elapsed());
    }
}

const REQUESTS: &str = "mela_requests_total";
const SECONDS: &str = "mela_request_seconds";
const RUNNING: &str = "mela_requests_running";

impl Metrics {
    /// A family has at most this many series; what comes later shares one with the labels' values
    /// `other`. So a caller who can choose a label cannot fill the memory.
    pub const MAX_SERIES: usize = 1_000;

    /// The signals of an operation, named `module.verb` (`orders.place`).
    pub fn operation(&self, name: &str) -> Operation {
        let made = self.register(
            REQUESTS,
            "counter",
            "Calls by operation and outcome.",
            &[("operation", name)],
            || Series::Operation(Arc::default()),
        );
        match made {
            Series::Operation(data) => Operation(data),
            _ => Operation(Arc::default()),
        }
    }

    /// A counter; its name ends with `_total`.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
    ) -> Counter {
        match self.register(name, "counter", help, labels, || Series::Counter(Counter::default())) {
            Series::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    /// A gauge.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
        match self.register(name, "gauge", help, labels, || Series::Gauge(Gauge::default())) {
            Series::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// A gauge that is asked when it is read: the length of a queue, the age of the oldest job.
    /// `sample` must not block and must not register metrics.
    pub fn sampled(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        sample: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register(name, "gauge", help, labels, || Series::Sampled(Arc::new(sample)));
    }

    /// A histogram of durations; its name ends with `_seconds`.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
    ) -> Histogram {
        match self
            .register(name, "histogram", help, labels, || Series::Histogram(Histogram::default()))
        {
            Series::Histogram(histogram) => histogram,
            _ => Histogram::default(),
        }
    }

    fn register(
        &self,
        name: &'static str,
        kind: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        make: impl FnOnce() -> Series,
    ) -> Series {
        let key = render_labels(labels);
        let known = |families: &BTreeMap<&'static str, Family>| {
            families.get(name).and_then(|f| f.series.get(&key)).cloned()
        };
        if let Some(series) = known(&self.0.read()) {
            return series;
        }
        let mut families = self.0.write();
        let family =
            families.entry(name).or_insert_with(|| Family { help, kind, series: BTreeMap::new() });
        let full = family.series.len() >= Self::MAX_SERIES && !family.series.contains_key(&key);
        let key = if full {
            render_labels(&labels.iter().map(|(l, _)| (*l, "other")).collect::<Vec<_>>())
        } else {
            key
        };
        family.series.entry(key).or_insert_with(make).clone()
    }

    /// Name and type of every metric, sorted: for the test that keeps the list.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, family) in self.0.read().iter() {
            names.push(format!("{name} {}", family.kind));
            if *name == REQUESTS {
                names.push(format!("{RUNNING} gauge"));
                names.push(format!("{SECONDS} histogram"));
            }
        }
        names.extend(process::read().iter().map(|(name, kind, ..)| format!("{name} {kind}")));
        names.sort();
        names
    }

    /// Everything, in the Prometheus text format (version 0.0.4).
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(16_384);
        // Copied out of the lock, because samples call foreign code.
        let families: Vec<_> = {
            let families = self.0.read();
            let copy =
                |(name, f): (&&'static str, &Family)| (*name, f.help, f.kind, f.series.clone());
            families.iter().map(copy).collect()
        };
        for (name, help, kind, series) in &families {
            head(&mut out, name, help, kind);
            for (labels, series) in series {
                match series {
                    Series::Counter(c) => line(&mut out, name, labels, c.get()),
                    Series::Gauge(g) => line(&mut out, name, labels, g.get()),
                    Series::Sampled(sample) => line(&mut out, name, labels, sample()),
                    Series::Histogram(h) => h.render(&mut out, name, labels),
                    Series::Operation(op) => op.render_outcomes(&mut out, labels),
                }
            }
            if *name == REQUESTS {
                operations(&mut out, series);
            }
        }
        for (name, kind, help, value) in process::read() {
            head(&mut out, name, help, kind);
            line(&mut out, name, "", value);
        }
        out
    }
}

fn operations(out: &mut String, series: &BTreeMap<String, Series>) {
    let each = || {
        series.iter().filter_map(|(labels, s)| match s {
            Series::Operation(op) => Some((labels, op)),
            _ => None,
        })
    };
    head(out, SECONDS, "How long calls took.", "histogram");
    each().for_each(|(labels, op)| op.seconds.render(out, SECONDS, labels));
    head(out, RUNNING, "Calls under way.", "gauge");
    each().for_each(|(labels, op)| line(out, RUNNING, labels, op.running.load(Relaxed)));
}

impl OperationData {
    fn render_outcomes(&self, out: &mut String, labels: &str) {
        for (outcome, count) in OUTCOMES.iter().zip(&self.outcomes) {
            let count = count.load(Relaxed);
            if count > 0 || *outcome == "ok" {
                line(out, REQUESTS, &format!("{labels},outcome=\"{outcome}\""), count);
            }
        }
    }
}

impl Histogram {
    fn render(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (i, bucket) in self.0.buckets.iter().enumerate() {
            count += bucket.load(Relaxed);
            let bound = BOUNDS_US.get(i).map_or("+Inf".into(), |us| seconds(*us));
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
        }
        line(out, &format!("{name}_sum"), labels, seconds(self.0.sum_us.load(Relaxed)));
        line(out, &format!("{name}_count"), labels, count);
    }
}

/// µs as decimal seconds, without trailing zeros: `0.0025`.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = if labels.is_empty() {
        writeln!(out, "{name} {value}")
    } else {
        writeln!(out, "{name}{{{labels}}} {value}")
    };
}

fn render_labels(labels: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        let comma = if out.is_empty() { "" } else { "," };
        let value: String = value.chars().take(100).collect();
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{comma}{name}=\"{value}\"");
    }
    out
}
