//! Live data: the `graphql-transport-ws` protocol (enisdenjo/graphql-ws, PROTOCOL.md).
//!
//! Memory per socket is bounded: messages have a largest size, operations a largest number, and
//! what waits for a slow client is a short queue; when it is full, the operations and the reading of
//! further messages wait too, and a client that takes nothing for long is let go.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_graphql::Variables;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use mela_base::Op;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::context::Request;
use crate::http::{Endpoint, caller_with_token, complete};
use crate::persisted::Document;
use crate::signals::outcome;

/// Time for the client to say `connection_init`.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent client is pinged, so that dead connections are noticed.
const PING_EVERY: Duration = Duration::from_secs(25);
/// Pings without any answer after which a client is gone.
const MAX_SILENT_PINGS: u32 = 3;
/// Time for a client to take one message.
const TAKE_WITHIN: Duration = Duration::from_secs(30);
/// For how long the messages of a client that was closed are still read, and thrown away.
const READ_ON: Duration = Duration::from_secs(2);
/// Operations at once on one socket.
const MAX_OPERATIONS: usize = 50;
/// Messages waiting for a slow client before its operations wait too.
const OUTBOX: usize = 64;
/// Largest message from a client, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// A message up to this size is read, to refuse it with a reason; a larger one ends the connection.
const MAX_READ: usize = 4 * MAX_MESSAGE;

/// Whom the socket belongs to, as far as the handshake tells.
pub(crate) struct Peer {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) device: Option<Arc<str>>,
    pub(crate) request_id: Arc<str>,
}

/// A message from the client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClientMessage {
    ConnectionInit {
        #[serde(default)]
        payload: Option<Value>,
    },
    Ping {
        #[serde(default)]
        payload: Option<Value>,
    },
    Pong {},
    Subscribe {
        id: String,
        payload: Operation,
    },
    Complete {
        id: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    query: String,
    #[serde(default)]
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<serde_json::Map<String, Value>>,
}

/// Accepts the socket, if the client speaks the protocol.
pub(crate) fn accept(endpoint: Arc<Endpoint>, upgrade: WebSocketUpgrade, peer: Peer) -> Response {
    let upgrade = upgrade.protocols(["graphql-transport-ws"]);
    let upgrade = upgrade.max_message_size(MAX_READ).max_frame_size(MAX_READ);
    upgrade.on_upgrade(move |socket| async move {
        let known = socket.protocol().is_some_and(|p| p == "graphql-transport-ws");
        let (sink, stream) = socket.split();
        let (out, outbox) = mpsc::channel(OUTBOX);
        let writer = tokio::spawn(write(sink, outbox));
        let running = Arc::default();
        let session = Session { endpoint, peer, out, op: None, token: None, running };
        if known {
            session.run(stream).await;
        } else {
            session.close(Close::new(4406, "speak graphql-transport-ws")).await;
            drop(session);
        }
        // The writer ends once everything that could send is gone.
        let _ = writer.await;
    })
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut outbox: mpsc::Receiver<Message>) {
    while let Some(message) = outbox.recv().await {
        let last = matches!(message, Message::Close(_));
        let sent = timeout(TAKE_WITHIN, sink.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) || last {
            break;
        }
    }
    let _ = timeout(TAKE_WITHIN, sink.close()).await;
}

/// Operations that run, by the client's id. The number tells an operation from a later one with the
/// same id.
type Running = Arc<Mutex<HashMap<String, (u64, AbortHandle)>>>;

struct Session {
    endpoint: Arc<Endpoint>,
    peer: Peer,
    out: mpsc::Sender<Message>,
    /// Set by `connection_init`.
    op: Option<Op>,
    /// With which it was said.
    token: Option<String>,
    running: Running,
}

/// The socket must be closed with this code and reason.
struct Close(u16, String);

impl Close {
    /// A close frame holds 123 bytes of reason.
    fn new(code: u16, reason: impl ToString) -> Self {
        let mut reason = reason.to_string();
        reason.truncate(reason.floor_char_boundary(120));
        Self(code, reason)
    }
}

impl Session {
    async fn run(mut self, mut stream: SplitStream<WebSocket>) {
        if let Some(close) = self.serve(&mut stream).await {
            self.close(close).await;
            // A connection that is closed with unread messages is reset, and the client never
            // learns why.
            let rest = async { while let Some(Ok(_)) = stream.next().await {} };
            let _ = timeout(READ_ON, rest).await;
        }
        for (_, (_, task)) in self.running.lock().drain() {
            task.abort();
        }
    }

    /// Reads until the end. Returns how to close, or `None` if the client is gone.
    async fn serve(&mut self, stream: &mut SplitStream<WebSocket>) -> Option<Close> {
        let mut stopping = self.endpoint.stopping.clone();
        let out = self.out.clone();
        let deadline = Instant::now() + INIT_TIMEOUT;
        let mut silent = 0;
        loop {
            let until = if self.op.is_none() { deadline } else { Instant::now() + PING_EVERY };
            let received = tokio::select! {
                received = timeout_at(until, stream.next()) => received,
                () = out.closed() => return None,
                () = stopped(&mut stopping) => {
                    return Some(Close::new(1001, "the server restarts; connect again"));
                }
            };
            let message = match received {
                Err(_) if self.op.is_none() => {
                    return Some(Close::new(4408, "Connection initialisation timeout"));
                }
                Err(_) if silent == MAX_SILENT_PINGS => return None,
                Err(_) => {
                    if let Err(close) = self.still_welcome() {
                        return Some(close);
                    }
                    silent += 1;
                    self.out.send(Message::Ping(bytes::Bytes::new())).await.ok()?;
                    continue;
                }
                Ok(None | Some(Err(_) | Ok(Message::Close(_)))) => return None,
                Ok(Some(Ok(message))) => message,
            };
            silent = 0;
            let handled = match message {
                Message::Text(text) if text.len() > MAX_MESSAGE => {
                    let limit = MAX_MESSAGE / 1024;
                    Err(Close::new(1009, format_args!("a message is at most {limit} KiB")))
                }
                Message::Text(text) => match self.still_welcome() {
                    Ok(()) => self.handle(&text).await,
                    Err(close) => Err(close),
                },
                Message::Binary(_) => Err(Close::new(4400, "messages are JSON text")),
                // Whoever only answers pings is asked too.
                _ => self.still_welcome(),
            };
            if let Err(close) = handled {
                return Some(close);
            }
        }
    }

    /// A socket lives longer than its token: whoever has logged out, lost a role or let the token
    /// run out must say anew who they are.
    fn still_welcome(&self) -> Result<(), Close> {
        caller_with_token(&self.endpoint, self.token.as_deref())
            .map(drop)
            .map_err(|e| Close::new(4403, format_args!("Forbidden: {e}")))
    }

    async fn handle(&mut self, text: &str) -> Result<(), Close> {
        let message: ClientMessage = serde_json::from_str(text)
            .map_err(|e| Close::new(4400, format_args!("invalid message: {e}")))?;
        match message {
            ClientMessage::ConnectionInit { payload } => self.init(payload.as_ref()).await,
            ClientMessage::Ping { payload } => {
                let mut pong = json!({ "type": "pong" });
                if let Some(payload) = payload {
                    pong["payload"] = payload;
                }
                self.send(&pong).await;
                Ok(())
            }
            ClientMessage::Pong {} => Ok(()),
            ClientMessage::Subscribe { id, .. } if id.is_empty() => {
                Err(Close::new(4400, "invalid message: `id` is empty"))
            }
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, payload).await,
            ClientMessage::Complete { id } => {
                if let Some((_, task)) = self.running.lock().remove(&id) {
                    task.abort();
                }
                Ok(())
            }
        }
    }

    async fn init(&mut self, payload: Option<&Value>) -> Result<(), Close> {
        if self.op.is_some() {
            return Err(Close::new(4429, "Too many initialisation requests"));
        }
        // Browsers cannot set headers on a socket, so the token comes here.
        let token = payload
            .and_then(|p| p.get("authorization").or_else(|| p.get("Authorization")))
            .and_then(Value::as_str)
            .map(|t| t.strip_prefix("Bearer ").unwrap_or(t));
        let actor = caller_with_token(&self.endpoint, token)
            .map_err(|e| Close::new(4403, format_args!("Forbidden: {e}")))?;
        self.token = token.map(str::to_owned);
        self.op = Some(Op {
            request_id: self.peer.request_id.clone(),
            actor,
            ip: self.peer.ip,
            device: self.peer.device.clone(),
        });
        self.send(&json!({ "type": "connection_ack" })).await;
        Ok(())
    }

    async fn subscribe(&mut self, id: String, operation: Operation) -> Result<(), Close> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(op) = self.op.clone() else {
            return Err(Close::new(4401, "Unauthorized"));
        };
        {
            let running = self.running.lock();
            if running.contains_key(&id) {
                return Err(Close::new(4409, format_args!("Subscriber for {id} already exists")));
            }
            if running.len() >= MAX_OPERATIONS {
                let reason = format!("at most {MAX_OPERATIONS} operations on one socket");
                return Err(Close::new(4429, reason));
            }
        }
        let document = match self.endpoint.documents.parse(&operation.query) {
            Ok(document) => document,
            Err(heavy) => {
                let extensions = json!({ "code": "QUERY_TOO_HEAVY", "kind": "INVALID",
                    "requestId": &*op.request_id });
                let errors = json!([{ "message": heavy.0, "extensions": extensions }]);
                self.send(&json!({ "type": "error", "id": id, "payload": errors })).await;
                return Ok(());
            }
        };
        // What does not parse goes to the engine as text, which says where it is wrong.
        let text = if document.is_some() { "" } else { operation.query.as_str() };
        let request_id = op.request_id.clone();
        let mut request = async_graphql::Request::new(text).data(Arc::new(Request::new(op)));
        if let Some(document) = &document {
            request.set_parsed_query((*document.parsed).clone());
        }
        if let Some(variables) = operation.variables {
            request = request.variables(Variables::from_json(Value::Object(variables)));
        }
        request.operation_name = operation.operation_name;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let run = Run {
            id: id.clone(),
            number,
            endpoint: self.endpoint.clone(),
            out: self.out.clone(),
            running: self.running.clone(),
            request_id,
        };
        // Under the lock, so that a task that ends at once finds itself in the list.
        let mut running = self.running.lock();
        let task = tokio::spawn(run.run(document, request));
        running.insert(id, (number, task.abort_handle()));
        Ok(())
    }

    async fn send(&self, message: &Value) {
        let _ = self.out.send(Message::Text(message.to_string().into())).await;
    }

    async fn close(&self, Close(code, reason): Close) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from(reason) };
        let _ = self.out.send(Message::Close(Some(frame))).await;
    }
}

/// One operation.
struct Run {
    id: String,
    number: u64,
    endpoint: Arc<Endpoint>,
    out: mpsc::Sender<Message>,
    running: Running,
    request_id: Arc<str>,
}

impl Run {
    async fn run(self, document: Option<Document>, request: async_graphql::Request) {
        let name = request.operation_name.clone();
        let mut watch = document
            .map(|document| self.endpoint.signals.of(&document.parsed, name.as_deref()).start());
        let mut answers = self.endpoint.schema.execute_stream(request);
        while let Some(mut answer) = answers.next().await {
            // How long the first answer took; what follows comes when it happens.
            if let Some(watch) = watch.take() {
                watch.end(outcome(&answer.errors));
            }
            let refused = matches!(answer.data, async_graphql::Value::Null)
                && !answer.errors.is_empty()
                && answer.errors.iter().all(|e| e.path.is_empty());
            for error in &mut answer.errors {
                complete(error, refused, &self.request_id);
            }
            if refused {
                return self.end("error", Some(json!(answer.errors))).await;
            }
            let message = json!({ "type": "next", "id": self.id, "payload": answer });
            if self.out.send(Message::Text(message.to_string().into())).await.is_err() {
                return;
            }
        }
        self.end("complete", None).await;
    }

    /// Frees the id before the client hears that it may use it again.
    async fn end(&self, kind: &str, payload: Option<Value>) {
        {
            let mut running = self.running.lock();
            if running.get(&self.id).is_some_and(|(number, _)| *number == self.number) {
                running.remove(&self.id);
            }
        }
        let mut message = json!({ "type": kind, "id": self.id });
        if let Some(payload) = payload {
            message["payload"] = payload;
        }
        let _ = self.out.send(Message::Text(message.to_string().into())).await;
    }
}

/// Returns once the server stops. A function of its own, because the guard that the channel hands
/// out must not live across an await.
async fn stopped(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
