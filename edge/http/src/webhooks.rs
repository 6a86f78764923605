//! What providers send us. Bodies are handed on as raw bytes: signatures are over bytes.

use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use mela_base::ids::OrderId;
use mela_payments_api::{PaymentError, WebhookAck};

use crate::problem::{document, problem};
use crate::request::{op, query_value};
use crate::{Edge, MAX_HOOK_BYTES};

/// A payment gateway's webhook: verified and stored before the answer, processed after it.
pub(crate) async fn payment(
    State(edge): State<Arc<Edge>>,
    Path(gateway): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return cut_off(&rejection),
    };
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
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return cut_off(&rejection),
    };
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
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return cut_off(&rejection),
    };
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

/// The shopper left the gateway's page without paying: the browser goes on to the order, which can
/// be paid again. Nothing is changed; the gateway says itself how the payment ended.
pub(crate) async fn cancel(RawQuery(query): RawQuery) -> Response {
    let order = query_value(query.as_deref(), "order").and_then(|o| o.parse::<OrderId>().ok());
    match order {
        Some(order) => see_other(&format!("/#/orders/{order}?payment=cancelled")),
        None => document(
            StatusCode::BAD_REQUEST,
            "INVALID_ID",
            "`order` is the id of an order, such as ord_…; open your orders in the shop",
        ),
    }
}

/// The body is too large, or did not come to its end.
fn cut_off(rejection: &BytesRejection) -> Response {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => document(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            &format!("a request body is at most {} KiB", MAX_HOOK_BYTES / 1024),
        ),
        _ => document(
            StatusCode::BAD_REQUEST,
            "BODY_UNREADABLE",
            "the request body could not be read to its end; send it again",
        ),
    }
}

fn see_other(to: &str) -> Response {
    let location = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
