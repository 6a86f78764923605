//! Faults by request: the next calls of an operation are slow, lost, refused or cut.
//!
//! The one that matters most is the fault *after* the work is done: the provider has committed and
//! the caller never learns it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::serve::CloseUnanswered;
use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    /// Only slow.
    Latency,
    /// Nothing is done and nothing is answered.
    TimeoutBefore,
    /// The work is done and nothing is answered.
    TimeoutAfter,
    /// Nothing is done, 500.
    ErrorBefore,
    /// The work is done, 500.
    ErrorAfter,
    /// Nothing is done, 429.
    TooManyRequests,
    /// The work is done, the answer is cut in the middle.
    TruncatedJson,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// `razorpay`, `shipway`, `sms`, `mail`.
    provider: String,
    /// Such as `order.create`; `*` means every operation.
    #[serde(default = "every")]
    operation: String,
    kind: FaultKind,
    /// How many calls; 0 means until reset.
    #[serde(default = "one")]
    count: u32,
    /// Hits a matching call with this probability.
    #[serde(default = "always")]
    probability: f64,
    /// Added before the work, with any kind.
    #[serde(default)]
    latency_ms: u64,
    /// How long a lost call hangs before the connection is closed; 0 closes at once.
    #[serde(default = "half_a_minute")]
    hang_ms: u64,
}

fn every() -> String {
    "*".into()
}
fn one() -> u32 {
    1
}
fn always() -> f64 {
    1.0
}
fn half_a_minute() -> u64 {
    30_000
}

/// What a call is in for.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kind: FaultKind,
    pub(crate) latency: Duration,
    pub(crate) hang: Duration,
}

/// The two refusals every provider words in its own way.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    ServerError,
    TooManyRequests,
}

const MAX_FAULTS: usize = 100;
const LONGEST_MS: u64 = 600_000;

#[derive(Default)]
pub(crate) struct Faults {
    list: Mutex<Vec<Fault>>,
    active: AtomicUsize,
    fired: AtomicU64,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> Result<(), String> {
        const PROVIDERS: [&str; 4] = ["razorpay", "shipway", "sms", "mail"];
        if !PROVIDERS.contains(&fault.provider.as_str()) {
            return Err(format!("provider must be one of {PROVIDERS:?}"));
        }
        if !(0.0..=1.0).contains(&fault.probability) {
            return Err("probability must be between 0 and 1".into());
        }
        if fault.latency_ms.max(fault.hang_ms) > LONGEST_MS {
            return Err(format!("latency_ms and hang_ms must be at most {LONGEST_MS}"));
        }
        let mut list = self.list.lock();
        if list.len() >= MAX_FAULTS {
            return Err(format!("{MAX_FAULTS} faults are set already; DELETE /_sim/faults first"));
        }
        list.push(fault);
        self.active.store(list.len(), Ordering::Release);
        Ok(())
    }

    pub(crate) fn clear(&self) {
        self.list.lock().clear();
        self.active.store(0, Ordering::Release);
    }

    pub(crate) fn list(&self) -> Vec<Fault> {
        self.list.lock().clone()
    }

    pub(crate) fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }

    /// The first fault that matches, counted down.
    pub(crate) fn take(&self, world: &World, provider: &str, operation: &str) -> Option<Plan> {
        if self.active.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut list = self.list.lock();
        let at = list.iter().position(|f| {
            f.provider == provider
                && (f.operation == "*" || f.operation == operation)
                && (f.probability >= 1.0 || world.ids.chance(f.probability))
        })?;
        let fault = &mut list[at];
        let plan = Plan {
            kind: fault.kind,
            latency: Duration::from_millis(fault.latency_ms),
            hang: Duration::from_millis(fault.hang_ms),
        };
        if fault.count == 1 {
            list.remove(at);
            self.active.store(list.len(), Ordering::Release);
        } else if fault.count > 1 {
            fault.count -= 1;
        }
        self.fired.fetch_add(1, Ordering::Relaxed);
        Some(plan)
    }
}

/// Does `work` for one call, or does not, as the faults of the moment demand.
pub(crate) async fn run(
    world: &World,
    provider: &str,
    operation: &str,
    refuse: fn(Refusal) -> Response,
    work: impl FnOnce() -> Response,
) -> Response {
    let Some(plan) = world.faults.take(world, provider, operation) else {
        return work();
    };
    if !plan.latency.is_zero() {
        tokio::time::sleep(plan.latency).await;
    }
    match plan.kind {
        FaultKind::Latency => work(),
        FaultKind::TimeoutBefore => lost(plan.hang).await,
        FaultKind::TimeoutAfter => {
            drop(work());
            lost(plan.hang).await
        }
        FaultKind::ErrorBefore => refuse(Refusal::ServerError),
        FaultKind::ErrorAfter => {
            drop(work());
            refuse(Refusal::ServerError)
        }
        FaultKind::TooManyRequests => refuse(Refusal::TooManyRequests),
        FaultKind::TruncatedJson => cut(work()).await,
    }
}

async fn lost(hang: Duration) -> Response {
    tokio::time::sleep(hang).await;
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(CloseUnanswered);
    response
}

async fn cut(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half = whole.slice(..whole.len() / 2);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(half.len()));
    Response::from_parts(parts, Body::from(half))
}
