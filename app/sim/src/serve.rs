//! The HTTP listener.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::{any, get};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

use crate::world::World;

/// Put into a response's extensions: close the connection without a word instead of answering.
#[derive(Clone)]
pub(crate) struct CloseUnanswered;

/// Largest body of a call.
pub(crate) const MAX_BODY: usize = 1 << 20;
const MAX_CONNECTIONS: usize = 4096;

pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/", get(crate::ui::page))
        .route("/v1/{*path}", any(crate::razorpay::http::entry))
        .route("/v2/{*path}", any(crate::razorpay::http::entry))
        .route("/shipway/api/{*path}", any(crate::shipway::http::entry))
        .route("/shipway/labels/{awb}", get(crate::shipway::http::label))
        .route("/i/{id}", get(crate::razorpay::page::short_url))
        .route("/sms/send", any(crate::sms::send))
        .nest("/_sim", crate::control::routes())
        .fallback(crate::razorpay::http::unknown)
        .with_state(world)
}

/// Accepts until told to stop, then lets open calls finish for up to two seconds.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let next = async {
            let seat = room.clone().acquire_owned().await;
            (seat, listener.accept().await)
        };
        let (seat, accepted) = tokio::select! {
            next = next => next,
            _ = stopped.changed() => break,
        };
        let Ok(seat) = seat else { break };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "simulator could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service =
            hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let router = router.clone();
                async move {
                    let Ok(response): Result<Response, Infallible> =
                        router.oneshot(request.map(Body::new)).await;
                    match response.extensions().get::<CloseUnanswered>() {
                        Some(_) => {
                            Err(std::io::Error::other("closed without an answer, as a fault asked"))
                        }
                        None => Ok(response),
                    }
                }
            });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(60))
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let _seat = seat;
            tokio::select! {
                // A broken connection is the caller's affair, or one of our own faults.
                _ = connection => {}
                // Ends only when the simulators were dropped without a shutdown.
                _ = stopped.wait_for(|_| false) => {}
            }
        });
    }
    let _ = tokio::time::timeout(Duration::from_secs(2), graceful.shutdown()).await;
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(body).unwrap_or_else(|_| b"{}".to_vec());
    reply(status, "application/json", bytes)
}

/// An HTML answer.
pub(crate) fn html(status: StatusCode, page: String) -> Response {
    reply(status, "text/html; charset=utf-8", page.into_bytes())
}

/// An answer that browsers may not guess about.
pub(crate) fn reply(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

/// Text that is safe inside HTML, attribute values included.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
