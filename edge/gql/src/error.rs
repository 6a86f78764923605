//! The one place where a module's error becomes a GraphQL error.

use async_graphql::{Error, ErrorExtensions};
use mela_base::{ErrorKind, Fault};

/// Turns a module's error into `{ message, extensions { code, kind, field, retryAfterS } }`. An
/// internal error's context goes to the log here and nowhere else.
pub(crate) fn fault(error: impl Fault) -> Error {
    if error.kind() == ErrorKind::Internal {
        tracing::error!(error = ?error, "internal error");
    }
    Error::new(error.to_string()).extend_with(|_, e| {
        e.set("code", error.code());
        e.set("kind", kind(error.kind()));
        if let Some(field) = error.field() {
            e.set("field", field);
        }
        if let Some(seconds) = error.retry_after_s() {
            e.set("retryAfterS", seconds);
        }
    })
}

/// A refusal by the edge itself.
pub(crate) fn invalid(code: &'static str, field: &str, message: &str) -> Error {
    Error::new(message).extend_with(|_, e| {
        e.set("code", code);
        e.set("kind", kind(ErrorKind::Invalid));
        e.set("field", field);
    })
}

/// The caller is no member of staff.
pub(crate) fn denied() -> Error {
    Error::new("this part of the API is for staff; log in with a staff account").extend_with(
        |_, e| {
            e.set("code", "STAFF_ONLY");
            e.set("kind", kind(ErrorKind::Denied));
        },
    )
}

fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "NOT_FOUND",
        ErrorKind::Conflict => "CONFLICT",
        ErrorKind::Invalid => "INVALID",
        ErrorKind::Denied => "DENIED",
        ErrorKind::Unauthenticated => "UNAUTHENTICATED",
        ErrorKind::Exhausted => "EXHAUSTED",
        ErrorKind::Unavailable => "UNAVAILABLE",
        ErrorKind::Internal => "INTERNAL",
    }
}
