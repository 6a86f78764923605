//! Every request gets an id, which the answer carries and every log line names.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use mela_base::{Actor, Env, Op};
use mela_identity_api::Identity;
use mela_telemetry::accept_request_id;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// State of [`request_ids`].
#[derive(Clone)]
pub struct RequestIds(pub Env);

/// Middleware: takes over a proxy's `x-request-id` if it is harmless, else makes one.
pub async fn request_ids(
    State(ids): State<RequestIds>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    let id =
        given.and_then(accept_request_id).unwrap_or_else(|| mela_telemetry::request_id(&ids.0));
    let value = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"));
    request.headers_mut().insert(REQUEST_ID.clone(), value.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID.clone(), value);
    response
}

/// Who calls a plain route: by bearer token if there is a good one, else anonymous.
pub(crate) fn op(headers: &HeaderMap, identity: &Arc<dyn Identity>) -> Op {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let actor = header("authorization")
        .and_then(|v| v.strip_prefix("Bearer "))
        .and_then(|token| identity.authenticate(token).ok())
        .unwrap_or(Actor::Anonymous);
    Op { request_id: header("x-request-id").unwrap_or("-").into(), actor, ip: None, device: None }
}

/// The first value of a name in a query string.
pub(crate) fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = serde_urlencoded::from_str::<Vec<(String, String)>>(query?).ok()?;
    pairs.into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
}
