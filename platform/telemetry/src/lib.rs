//! Logs, metrics, request ids.
//!
//! - [`init`] sends log lines to standard error, for people or as JSON, from a thread of their own:
//!   a slow reader of the log never slows a request.
//! - [`Metrics`] is a handle that is passed in, never a global. Series are registered once and
//!   their handles kept; counting is one relaxed atomic addition.
//! - [`request_id`] names a request in every line and answer.
//! - [`personal_data_in`] and [`test_capture`] let the tests of every crate prove that nothing
//!   personal is logged.

mod log;
mod metrics;
mod personal;
mod process;

pub use log::{Capture, LogFormat, LogGuard, TelemetryError, init, test_capture};
pub use metrics::{Counter, Gauge, Histogram, Metrics, Operation, Outcome, Running};
pub use personal::{PersonalData, personal_data_in};

use std::sync::Arc;

use mela_base::{Env, Id};

/// A new request id: `req_` and 26 letters and digits.
pub fn request_id(env: &Env) -> Arc<str> {
    format!("req_{}", env.new_id::<Id>()).into()
}

/// The id that a proxy in front gave the request, if it can be taken over: 8 to 64 letters, digits,
/// `-` and `_`, and nothing that looks like personal data.
pub fn accept_request_id(text: &str) -> Option<Arc<str>> {
    let plain = text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
    ((8..=64).contains(&text.len()) && plain && personal_data_in(text).is_none())
        .then(|| text.into())
}
