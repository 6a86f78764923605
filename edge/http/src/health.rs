//! Is it alive, is it ready, what does it do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use mela_telemetry::Metrics;

use crate::MoreMetrics;

/// Tells load balancers whether to send traffic. Not ready while starting and while draining.
#[derive(Clone)]
pub struct Readiness {
    serving: Arc<AtomicBool>,
    check: Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync>,
}

impl Readiness {
    /// Ready once [`Readiness::set`] says so and as long as `check` finds nothing; `check` must be
    /// cheap (a flag, not a query).
    pub fn new(check: impl Fn() -> Result<(), &'static str> + Send + Sync + 'static) -> Self {
        Self { serving: Arc::default(), check: Arc::new(check) }
    }

    /// Serving or not.
    pub fn set(&self, serving: bool) {
        self.serving.store(serving, Ordering::SeqCst);
    }
}

/// What these handlers share.
#[derive(Clone)]
pub(crate) struct Ops {
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    pub(crate) more: MoreMetrics,
}

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(Ops { readiness, .. }): State<Ops>) -> Response {
    if !readiness.serving.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n").into_response();
    }
    match (readiness.check)() {
        Ok(()) => "ready\n".into_response(),
        Err(what) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {what}\n")).into_response()
        }
    }
}

pub(crate) async fn metrics(State(Ops { metrics, more, .. }): State<Ops>) -> Response {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], metrics.render() + &more()).into_response()
}
