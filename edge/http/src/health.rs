//! Is it alive, is it ready, what does it do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use mela_telemetry::Metrics;

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

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State((readiness, _)): State<(Readiness, Metrics)>) -> Response {
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

pub(crate) async fn metrics(State((_, metrics)): State<(Readiness, Metrics)>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
        .into_response()
}
