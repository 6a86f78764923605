//! What providers send us. Bodies are handed on as raw bytes: signatures are over bytes.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use mela_payments_api::{PaymentError, WebhookAck};

use crate::Edge;
use crate::problem::problem;
use crate::request::op;

/// A payment gateway's webhook: verified and stored before the answer, processed after it.
pub(crate) async fn payment(
    State(edge): State<Arc<Edge>>,
    Path(gateway): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let op = op(&headers, &edge.services.identity);
    let pairs: Vec<(String, String)> = headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect();
    match edge.services.payments.webhook(&op, &gateway, &pairs, &body).await {
        Ok(WebhookAck::Accepted) => (StatusCode::OK, "accepted\n").into_response(),
        Ok(WebhookAck::Duplicate) => (StatusCode::OK, "seen before\n").into_response(),
        Err(error) => problem(&error),
    }
}

/// The courier's webhook.
pub(crate) async fn shipway(
    State(edge): State<Arc<Edge>>,
    Path(secret): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let op = op(&headers, &edge.services.identity);
    match edge.services.shipping.webhook(&op, &secret, &body).await {
        Ok(()) => (StatusCode::OK, "accepted\n").into_response(),
        Err(error) => problem(&error),
    }
}

/// The gateway sends the shopper's browser back with a form; the browser goes on to the order's page.
pub(crate) async fn callback(
    State(edge): State<Arc<Edge>>,
    Path(gateway): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let op = op(&headers, &edge.services.identity);
    let Ok(fields) = serde_urlencoded::from_bytes::<Vec<(String, String)>>(&body) else {
        return problem(&PaymentError::Malformed("expected form fields"));
    };
    match edge.services.payments.callback(&op, &gateway, &fields).await {
        Ok(back) => {
            let outcome = if back.paid { "paid" } else { "failed" };
            see_other(&format!("/#/orders/{}?payment={outcome}", back.order_id))
        }
        // A person looks at this: lead them back to the shop instead of showing JSON.
        Err(PaymentError::GatewayUnavailable) => see_other("/#/orders?payment=unknown"),
        Err(error) => problem(&error),
    }
}

fn see_other(to: &str) -> Response {
    let location = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
