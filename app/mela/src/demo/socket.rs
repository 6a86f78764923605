//! The two sockets of a shopper's app: the game, and live data.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mela_play_api::protocol::{ClientMessage, Phase, ServerMessage, Standing};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::demo::client::Failed;

/// Longest wait for the next message.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects; `protocol` is a WebSocket sub-protocol.
    pub(crate) async fn connect(url: &str, protocol: Option<&str>) -> Result<Self, Failed> {
        let url = url.replacen("http", "ws", 1);
        let mut request = url.into_client_request().map_err(|e| e.to_string())?;
        if let Some(protocol) = protocol.and_then(|p| p.parse().ok()) {
            request.headers_mut().insert("sec-websocket-protocol", protocol);
        }
        let (socket, _) = connect_async(request).await.map_err(|e| e.to_string())?;
        Ok(Self(socket))
    }

    async fn send(&mut self, message: &impl serde::Serialize) -> Result<(), Failed> {
        let text = serde_json::to_string(message).map_err(|e| e.to_string())?;
        self.0.send(Message::Text(text.into())).await.map_err(|e| e.to_string())
    }

    async fn next<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Failed> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match next.map_err(|_| "no message came in time".to_owned())? {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"));
                }
                Some(Ok(Message::Close(frame))) => return Err(format!("closed: {frame:?}")),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("the connection ended".to_owned()),
            }
        }
    }
}

/// Plays a quiz round to its end; returns the standings and the player's own row. `right` says the
/// right answer to a question, as somebody who knows the answer would.
pub(crate) async fn play_quiz(
    shop: &str,
    token: &str,
    right: impl Fn(&str) -> Option<String>,
) -> Result<(Vec<Standing>, Standing), Failed> {
    let mut socket = Socket::connect(&format!("{shop}/play"), None).await?;
    socket.send(&ClientMessage::Hello { token: token.to_owned(), resume: None }).await?;
    let mut me = None;
    let mut seat = None;
    loop {
        match socket.next::<ServerMessage>().await? {
            ServerMessage::Welcome { person, .. } => {
                me = Some(person);
                socket.send(&ClientMessage::Join { game: "quiz".to_owned() }).await?;
            }
            ServerMessage::Joined { players, .. } => {
                seat = players.iter().find(|p| p.person == me).map(|p| p.seat);
            }
            ServerMessage::State {
                match_id,
                phase: Phase::Question { index, text, choices, .. },
                ..
            } => {
                let answer = right(&text);
                let choice = choices.iter().position(|c| Some(c) == answer.as_ref()).unwrap_or(0);
                let choice = u32::try_from(choice).unwrap_or(0);
                socket.send(&ClientMessage::Input { match_id, question: index, choice }).await?;
            }
            ServerMessage::Result { standings, .. } => {
                let own = standings.iter().find(|s| Some(s.seat) == seat).cloned();
                let own = own.ok_or_else(|| "the result has no row for the player".to_owned())?;
                return Ok((standings, own));
            }
            ServerMessage::Error { code, message } => return Err(format!("{code} {message}")),
            _ => {}
        }
    }
}

/// A live subscription over `graphql-transport-ws`.
pub(crate) struct Live(Socket);

impl Live {
    pub(crate) async fn subscribe(
        shop: &str,
        token: &str,
        query: &str,
        variables: Value,
    ) -> Result<Self, Failed> {
        let mut socket =
            Socket::connect(&format!("{shop}/graphql"), Some("graphql-transport-ws")).await?;
        let payload = json!({ "authorization": format!("Bearer {token}") });
        socket.send(&json!({ "type": "connection_init", "payload": payload })).await?;
        let ack: Value = socket.next().await?;
        if ack["type"] != "connection_ack" {
            return Err(format!("expected connection_ack, got {ack}"));
        }
        let payload = json!({ "query": query, "variables": variables });
        socket.send(&json!({ "type": "subscribe", "id": "1", "payload": payload })).await?;
        Ok(Self(socket))
    }

    /// The next piece of data; `None` once the stream is complete.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failed> {
        loop {
            let message: Value = self.0.next().await?;
            match message["type"].as_str() {
                Some("next") => return Ok(Some(message["payload"]["data"].clone())),
                Some("complete") => return Ok(None),
                Some("error") => return Err(format!("the subscription was refused: {message}")),
                _ => {}
            }
        }
    }
}
