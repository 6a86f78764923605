//! The game socket `/play`: JSON text frames as `mela_play_api::protocol` defines them.
//!
//! The socket reads, limits and closes; what a message means is play's. Memory per connection is
//! kept small: no write buffer, a small read buffer, and nothing queued beyond play's bounded
//! outbox.

mod socket;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::any;
use mela_identity_api::Identity;
use mela_play_api::Play;
use mela_telemetry::{Gauge, Metrics, Operation};
use tokio::sync::watch;

/// Largest message from a client, in bytes.
const MAX_MESSAGE: usize = 4 * 1024;
/// A message up to this size is read, to refuse it with a reason; a larger one ends the connection.
const MAX_READ: usize = 16 * 1024;

/// What every socket shares.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) play: Arc<dyn Play>,
    pub(crate) identity: Arc<dyn Identity>,
    pub(crate) sessions: Gauge,
    pub(crate) messages: Operation,
    /// True once the server stops: every socket says good-bye.
    pub(crate) shutdown: watch::Receiver<bool>,
}

/// The route `/play`.
pub fn router(
    play: Arc<dyn Play>,
    identity: Arc<dyn Identity>,
    metrics: &Metrics,
    shutdown: watch::Receiver<bool>,
) -> Router {
    let shared = Shared {
        play,
        identity,
        sessions: metrics.gauge("mela_play_sessions", "Open game sockets.", &[]),
        messages: metrics.operation("play.message"),
        shutdown,
    };
    Router::new().route("/play", any(upgrade)).with_state(shared)
}

async fn upgrade(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(MAX_READ)
        .max_frame_size(MAX_READ)
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .on_upgrade(move |socket| socket::serve(shared, socket))
}
