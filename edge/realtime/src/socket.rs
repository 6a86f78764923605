//! One connection, from hello to good-bye.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::{SinkExt, StreamExt};
use mela_base::ids::PersonId;
use mela_base::{Actor, Fault};
use mela_play_api::protocol::{ClientMessage, ServerMessage};
use mela_play_api::{Link, PlayError};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{MAX_MESSAGE, Shared};

/// Time for the client to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// A client that has been silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Time for a client to take one message.
const TAKE_WITHIN: Duration = Duration::from_secs(20);
/// For how long the messages of a client that was closed are still read, and thrown away.
const READ_ON: Duration = Duration::from_secs(2);
/// Refusals after which a connection is closed: a client that goes on like this is broken or hostile.
const MAX_REFUSALS: u32 = 50;

/// Why the server ends a connection; codes as in `docs/play-protocol.md`.
struct Close(u16, &'static str);

const BAD_MESSAGE: Close = Close(4400, "that is not a message of the protocol");
const TOO_LARGE: Close = Close(1009, "a message is at most 4 KiB");
const UNAUTHENTICATED: Close = Close(4401, "say hello with a valid access token");
const NO_HELLO: Close = Close(4408, "no hello came in time");
const REPLACED: Close = Close(4409, "connected elsewhere, or too slow to keep up; resume");
const TOO_MANY: Close = Close(4429, "too many refused messages");
const SILENT: Close = Close(4410, "silent for too long; resume");
const GOING_AWAY: Close = Close(1001, "the server restarts; resume");

/// Serves a connection until it ends.
pub(crate) async fn serve(shared: Shared, mut socket: WebSocket) {
    shared.sessions.add(1);
    let close = match hello(&shared, &mut socket).await {
        Ok(Some((actor, person, link))) => {
            let id = link.id;
            let ended = session(&shared, &mut socket, &actor, person, link).await;
            shared.play.disconnect(person, id);
            ended
        }
        Ok(None) => None,
        Err(close) => Some(close),
    };
    if let Some(Close(code, reason)) = close {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let _ = timeout(TAKE_WITHIN, socket.send(Message::Close(Some(frame)))).await;
        // A connection that is closed with unread messages is reset, and the client never learns why.
        let rest = async { while let Some(Ok(_)) = socket.recv().await {} };
        let _ = timeout(READ_ON, rest).await;
    }
    shared.sessions.add(-1);
}

/// Waits for the hello. `None` if the client went away.
async fn hello(
    shared: &Shared,
    socket: &mut WebSocket,
) -> Result<Option<(Actor, PersonId, Link)>, Close> {
    let deadline = Instant::now() + HELLO_WITHIN;
    let mut shutdown = shared.shutdown.clone();
    let text = loop {
        let received = tokio::select! {
            received = timeout_at(deadline, socket.recv()) => received,
            () = stopped(&mut shutdown) => return Err(GOING_AWAY),
        };
        match received {
            Err(_) => return Err(NO_HELLO),
            Ok(None | Some(Err(_) | Ok(Message::Close(_)))) => return Ok(None),
            Ok(Some(Ok(Message::Text(text)))) if text.len() > MAX_MESSAGE => return Err(TOO_LARGE),
            Ok(Some(Ok(Message::Text(text)))) => break text,
            Ok(Some(Ok(Message::Binary(_)))) => return Err(BAD_MESSAGE),
            Ok(Some(Ok(_))) => {}
        }
    };
    let Ok(ClientMessage::Hello { token, resume }) = serde_json::from_str(&text) else {
        return Err(BAD_MESSAGE);
    };
    let actor = match shared.identity.authenticate(&token) {
        Ok(actor) => actor,
        Err(error) => {
            refuse(socket, &error).await;
            return Err(UNAUTHENTICATED);
        }
    };
    let Actor::Person { id: person, .. } = actor else { return Err(UNAUTHENTICATED) };
    match shared.play.connect(person, resume).await {
        Ok(link) => Ok(Some((actor, person, link))),
        Err(error) => {
            refuse(socket, &error).await;
            Err(GOING_AWAY)
        }
    }
}

/// Passes messages both ways. Returns why to close, or `None` if the client is gone.
async fn session(
    shared: &Shared,
    socket: &mut WebSocket,
    actor: &Actor,
    person: PersonId,
    mut link: Link,
) -> Option<Close> {
    let mut shutdown = shared.shutdown.clone();
    let mut silent_at = Instant::now() + SILENCE;
    let mut refusals = 0;
    loop {
        let message = tokio::select! {
            frame = link.frames.next() => {
                let Some(frame) = frame else { return Some(REPLACED) };
                let sent = timeout(TAKE_WITHIN, socket.send(Message::Text((&*frame).into()))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return None;
                }
                continue;
            }
            message = timeout_at(silent_at, socket.recv()) => match message {
                Err(_) => return Some(SILENT),
                Ok(None | Some(Err(_) | Ok(Message::Close(_)))) => return None,
                Ok(Some(Ok(message))) => message,
            },
            () = stopped(&mut shutdown) => return Some(GOING_AWAY),
        };
        silent_at = Instant::now() + SILENCE;
        // Logged out elsewhere: the token of the hello counts for no more than its session.
        if shared.identity.has_ended(actor) {
            return Some(UNAUTHENTICATED);
        }
        let text = match message {
            Message::Text(text) if text.len() > MAX_MESSAGE => return Some(TOO_LARGE),
            Message::Text(text) => text,
            Message::Binary(_) => return Some(BAD_MESSAGE),
            _ => continue,
        };
        let running = shared.messages.start();
        let handled = match serde_json::from_str::<ClientMessage>(&text) {
            Ok(message) => shared.play.handle(person, link.id, message).await,
            Err(error) => Err(PlayError::Invalid { field: "t", message: describe(&error) }),
        };
        running.end(&handled);
        if let Err(error) = handled {
            refusals += 1;
            if refusals > MAX_REFUSALS {
                return Some(TOO_MANY);
            }
            refuse(socket, &error).await;
        }
    }
}

/// Returns once the server stops. A function of its own, because the guard that the channel hands
/// out must not live across an await.
async fn stopped(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// What is wrong with a message, without repeating what it said.
fn describe(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => {
            "no such message, or a field is missing, unknown or of another type".to_owned()
        }
        _ => format!("not JSON at column {}", error.column()),
    }
}

async fn refuse(socket: &mut WebSocket, error: &dyn Fault) {
    if error.kind() == mela_base::ErrorKind::Internal {
        tracing::error!(?error, "internal error on the game socket");
    }
    let message =
        ServerMessage::Error { code: error.code().to_owned(), message: error.to_string() };
    if let Ok(text) = serde_json::to_string(&message) {
        let _ = timeout(TAKE_WITHIN, SinkExt::send(socket, Message::Text(text.into()))).await;
    }
}
