//! Live data: the `graphql-transport-ws` protocol (enisdenjo/graphql-ws, PROTOCOL.md).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use mela_base::{Actor, Op};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::context::Request;
use crate::http::{Endpoint, caller_with_token, complete};

/// Time for the client to say `connection_init`.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent client is pinged, so that dead connections are noticed.
const PING_EVERY: Duration = Duration::from_secs(25);
/// Operations at once on one socket.
const MAX_OPERATIONS: usize = 50;
/// Messages waiting for a slow client before its operations wait too.
const OUTBOX: usize = 64;
/// Largest message from a client, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

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
    upgrade.protocols(["graphql-transport-ws"]).max_message_size(MAX_MESSAGE).on_upgrade(
        move |socket| async move {
            let known = socket.protocol().is_some_and(|p| p == "graphql-transport-ws");
            let (sink, stream) = socket.split();
            let (out, outbox) = mpsc::channel(OUTBOX);
            let writer = tokio::spawn(write(sink, outbox));
            let session = Session { endpoint, peer, out, op: None, running: HashMap::new() };
            if known {
                session.run(stream).await;
            } else {
                session.close(4406, "speak graphql-transport-ws").await;
            }
            // The writer ends once everything that could send is gone.
            let _ = writer.await;
        },
    )
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut outbox: mpsc::Receiver<Message>) {
    while let Some(message) = outbox.recv().await {
        let last = matches!(message, Message::Close(_));
        if sink.send(message).await.is_err() || last {
            break;
        }
    }
    let _ = sink.close().await;
}

struct Session {
    endpoint: Arc<Endpoint>,
    peer: Peer,
    out: mpsc::Sender<Message>,
    /// Set by `connection_init`.
    op: Option<Op>,
    running: HashMap<String, AbortHandle>,
}

/// The socket must be closed with this code and reason.
struct Close(u16, String);

impl Session {
    async fn run(mut self, mut stream: futures_util::stream::SplitStream<WebSocket>) {
        let deadline = tokio::time::Instant::now() + INIT_TIMEOUT;
        loop {
            let received = match self.op {
                None => tokio::time::timeout_at(deadline, stream.next()).await,
                Some(_) => tokio::time::timeout(PING_EVERY, stream.next()).await,
            };
            let message = match received {
                Err(_) if self.op.is_none() => {
                    self.close(4408, "Connection initialisation timeout").await;
                    break;
                }
                Err(_) => {
                    if self.out.send(Message::Ping(bytes::Bytes::new())).await.is_err() {
                        break;
                    }
                    continue;
                }
                Ok(None | Some(Err(_) | Ok(Message::Close(_)))) => break,
                Ok(Some(Ok(message))) => message,
            };
            let handled = match message {
                Message::Text(text) => self.handle(&text).await,
                Message::Binary(_) => Err(Close(4400, "messages are JSON text".into())),
                _ => Ok(()),
            };
            if let Err(Close(code, reason)) = handled {
                self.close(code, &reason).await;
                break;
            }
        }
        for (_, task) in self.running.drain() {
            task.abort();
        }
    }

    async fn handle(&mut self, text: &str) -> Result<(), Close> {
        let message: ClientMessage = serde_json::from_str(text).map_err(|e| {
            Close(4400, format!("invalid message: {e}").chars().take(100).collect())
        })?;
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
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, payload),
            ClientMessage::Complete { id } => {
                if let Some(task) = self.running.remove(&id) {
                    task.abort();
                }
                Ok(())
            }
        }
    }

    async fn init(&mut self, payload: Option<&Value>) -> Result<(), Close> {
        if self.op.is_some() {
            return Err(Close(4429, "Too many initialisation requests".into()));
        }
        // Browsers cannot set headers on a socket, so the token comes here.
        let token = payload
            .and_then(|p| p.get("authorization").or_else(|| p.get("Authorization")))
            .and_then(Value::as_str)
            .map(|t| t.strip_prefix("Bearer ").unwrap_or(t));
        let actor: Actor = caller_with_token(&self.endpoint, token)
            .map_err(|e| Close(4403, format!("Forbidden: {e}")))?;
        self.op = Some(Op {
            request_id: self.peer.request_id.clone(),
            actor,
            ip: self.peer.ip,
            device: self.peer.device.clone(),
        });
        self.send(&json!({ "type": "connection_ack" })).await;
        Ok(())
    }

    fn subscribe(&mut self, id: String, operation: Operation) -> Result<(), Close> {
        let Some(op) = self.op.clone() else {
            return Err(Close(4401, "Unauthorized".into()));
        };
        self.running.retain(|_, task| !task.is_finished());
        if self.running.contains_key(&id) {
            let reason: String =
                format!("Subscriber for {id} already exists").chars().take(100).collect();
            return Err(Close(4409, reason));
        }
        if self.running.len() >= MAX_OPERATIONS {
            return Err(Close(4429, format!("at most {MAX_OPERATIONS} operations on one socket")));
        }
        let request_id = op.request_id.clone();
        let mut request =
            async_graphql::Request::new(operation.query).data(Arc::new(Request::new(op)));
        if let Some(variables) = operation.variables {
            request =
                request.variables(async_graphql::Variables::from_json(Value::Object(variables)));
        }
        request.operation_name = operation.operation_name;
        let (schema, out) = (self.endpoint.schema.clone(), self.out.clone());
        let task_id = id.clone();
        let task = tokio::spawn(async move {
            let mut answers = schema.execute_stream(request);
            while let Some(mut answer) = answers.next().await {
                let refused = matches!(answer.data, async_graphql::Value::Null)
                    && !answer.errors.is_empty()
                    && answer.errors.iter().all(|e| e.path.is_empty());
                for error in &mut answer.errors {
                    complete(error, refused, &request_id);
                }
                let (kind, payload) =
                    if refused { ("error", json!(answer.errors)) } else { ("next", json!(answer)) };
                let message = json!({ "type": kind, "id": task_id, "payload": payload });
                if out.send(Message::Text(message.to_string().into())).await.is_err() || refused {
                    return;
                }
            }
            let done = json!({ "type": "complete", "id": task_id });
            let _ = out.send(Message::Text(done.to_string().into())).await;
        });
        self.running.insert(id, task.abort_handle());
        Ok(())
    }

    async fn send(&self, message: &Value) {
        let _ = self.out.send(Message::Text(message.to_string().into())).await;
    }

    async fn close(&self, code: u16, reason: &str) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from(reason) };
        let _ = self.out.send(Message::Close(Some(frame))).await;
    }
}
