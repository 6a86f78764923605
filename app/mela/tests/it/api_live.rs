//! Live data: `graphql-transport-ws` as PROTOCOL.md of enisdenjo/graphql-ws says, and its limits.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::server::{PATIENCE, Server};

/// A client's end of a socket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What came.
#[derive(Debug, PartialEq)]
pub(crate) enum Got {
    Json(Value),
    Closed(u16, String),
    Gone,
}

impl Socket {
    pub(crate) async fn connect(server: &Server, path: &str, protocol: Option<&str>) -> Self {
        let url = format!("{}{path}", server.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        if let Some(protocol) = protocol {
            let protocol = protocol.parse().unwrap();
            request.headers_mut().insert("sec-websocket-protocol", protocol);
        }
        Self(connect_async(request).await.unwrap().0)
    }

    async fn graphql(server: &Server) -> Self {
        Self::connect(server, "/graphql", Some("graphql-transport-ws")).await
    }

    /// Connected and acknowledged, with a token or without.
    async fn ready(server: &Server, token: Option<&str>) -> Self {
        let mut socket = Self::graphql(server).await;
        let payload = token.map(|t| json!({ "authorization": format!("Bearer {t}") }));
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.next().await, Got::Json(json!({ "type": "connection_ack" })));
        socket
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.send(Message::Text(message.to_string().into())).await;
    }

    pub(crate) async fn next(&mut self) -> Got {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            return match next.expect("a message in time") {
                Some(Ok(Message::Text(text))) => Got::Json(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    Got::Closed(frame.code.into(), frame.reason.to_string())
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                None | Some(Ok(Message::Close(None)) | Err(_)) => Got::Gone,
                Some(Ok(other)) => panic!("{other:?}"),
            };
        }
    }

    pub(crate) async fn json(&mut self) -> Value {
        match self.next().await {
            Got::Json(json) => json,
            other => panic!("{other:?}"),
        }
    }

    /// Reads until the socket is closed; gives the code.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Got::Json(_) => {}
                Got::Closed(code, reason) => {
                    assert!(!reason.is_empty(), "{code} without a reason");
                    return code;
                }
                Got::Gone => panic!("the connection ended without a close code"),
            }
        }
    }
}

fn subscribe(id: &str, query: &str) -> Value {
    json!({ "type": "subscribe", "id": id, "payload": { "query": query } })
}

#[tokio::test]
async fn the_protocol() {
    let server = Server::start(&[]);
    let token = server.guest().await;
    // Waits ten seconds by nature, so it waits beside the rest.
    let silent = async {
        let mut socket = Socket::graphql(&server).await;
        // Pings before the hello are answered and change nothing.
        socket.say(json!({ "type": "ping", "payload": { "n": 1 } })).await;
        assert_eq!(socket.json().await, json!({ "type": "pong", "payload": { "n": 1 } }));
        let began = tokio::time::Instant::now();
        assert_eq!(socket.closed().await, 4408);
        assert!(began.elapsed() > Duration::from_secs(5));
    };
    let rest = async {
        conversation(&server, &token).await;
        refusals(&server).await;
        watching(&server, &token).await;
        logged_out(&server).await;
        bounds(&server, &token).await;
    };
    tokio::join!(silent, rest);
}

async fn conversation(server: &Server, token: &str) {
    let mut socket = Socket::ready(server, Some(token)).await;
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.json().await, json!({ "type": "pong" }));
    socket.say(json!({ "type": "pong", "payload": {} })).await;

    // A query is one `next` and `complete`; its id is free at once.
    for _ in 0..50 {
        socket.say(subscribe("q", "{ shop { name } }")).await;
        let next = socket.json().await;
        assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!("q")));
        assert_eq!(next["payload"]["data"]["shop"]["name"], "Mela");
        assert_eq!(socket.json().await, json!({ "type": "complete", "id": "q" }));
    }
    // Who asks is known from the first message.
    socket.say(subscribe("me", "{ me { guest } }")).await;
    assert_eq!(socket.json().await["payload"]["data"]["me"]["guest"], true);
    assert_eq!(socket.json().await["type"], "complete");

    // What cannot run is one `error`, with a code.
    let long = format!("{{ ...f0 }} {} fragment f40 on Query {{ shop {{ name }} }}", {
        let doubled = |i| format!("fragment f{i} on Query {{ ...f{0} ...f{0} }} ", i + 1);
        (0..40).map(doubled).collect::<String>()
    });
    for (query, code) in [
        ("{ shop {", "INVALID_DOCUMENT"),
        ("{ nothing }", "INVALID_DOCUMENT"),
        ("query($x: Int!) { shop { name } }", "INVALID_DOCUMENT"),
        (&long, "QUERY_TOO_HEAVY"),
        (&format!("{{ {} }}", "shop { ".repeat(100)), "QUERY_TOO_HEAVY"),
        ("subscription { orderMoved(orderId: \"nonsense\") { id } }", "INVALID_ID"),
    ] {
        socket.say(subscribe("e", query)).await;
        let error = socket.json().await;
        let payload =
            if error["type"] == "next" { &error["payload"]["errors"] } else { &error["payload"] };
        assert_eq!(payload[0]["extensions"]["code"], code, "{query}: {error}");
        assert_eq!(error["id"], "e");
        if error["type"] == "next" {
            assert_eq!(socket.json().await["type"], "complete");
        }
    }
    // Completing what does not run is allowed: the two may have crossed on the way.
    socket.say(json!({ "type": "complete", "id": "e" })).await;
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.json().await, json!({ "type": "pong" }));
}

async fn refusals(server: &Server) {
    // Another sub-protocol, or none.
    for protocol in [None, Some("graphql-ws"), Some("nonsense")] {
        let url = format!("{}/graphql", server.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        // The client may refuse first, as it was not given what it asked for.
        if let Ok((socket, _)) = connect_async(request).await {
            assert_eq!(Socket(socket).closed().await, 4406, "{protocol:?}");
        } else {
            assert!(protocol.is_some());
        }
    }
    // A wrong token.
    for payload in [
        json!({ "authorization": "Bearer nonsense" }),
        json!({ "Authorization": "x".repeat(5_000) }),
        json!({ "authorization": "Bearer " }),
    ] {
        let mut socket = Socket::graphql(server).await;
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.closed().await, 4403, "{payload}");
    }
    // Not allowed before the hello.
    let mut socket = Socket::graphql(server).await;
    socket.say(subscribe("1", "{ shop { name } }")).await;
    assert_eq!(socket.closed().await, 4401);
    // Not a message of the protocol.
    for bad in [
        "",
        "nonsense",
        "[]",
        "null",
        "1",
        "{}",
        "{\"type\":1}",
        "{\"type\":\"start\",\"id\":\"1\"}",
        "{\"type\":\"subscribe\"}",
        "{\"type\":\"subscribe\",\"id\":\"1\"}",
        "{\"type\":\"subscribe\",\"id\":1,\"payload\":{\"query\":\"{a}\"}}",
        "{\"type\":\"subscribe\",\"id\":\"\",\"payload\":{\"query\":\"{a}\"}}",
        "{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":{}}",
        "{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":{\"query\":\"{a}\",\"variables\":[]}}",
        "{\"type\":\"complete\"}",
        "{\"type\":\"connection_ack\"}",
    ] {
        let mut socket = Socket::ready(server, None).await;
        socket.send(Message::Text(bad.into())).await;
        assert_eq!(socket.closed().await, 4400, "{bad}");
    }
    let deep = format!("{{\"type\":\"ping\",\"payload\":{}", "[".repeat(10_000));
    let mut socket = Socket::ready(server, None).await;
    socket.send(Message::Text(deep.into())).await;
    assert_eq!(socket.closed().await, 4400);
    let mut socket = Socket::ready(server, None).await;
    socket.send(Message::Binary(vec![1, 2, 3].into())).await;
    assert_eq!(socket.closed().await, 4400);
    // A second hello.
    let mut socket = Socket::ready(server, None).await;
    socket.say(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.closed().await, 4429);
}

const INBOX: &str = "subscription { inboxMessage { title } }";

async fn watching(server: &Server, token: &str) {
    // Somebody without a session has no inbox.
    let mut socket = Socket::ready(server, None).await;
    socket.say(subscribe("1", INBOX)).await;
    let refused = socket.json().await;
    let errors = if refused["type"] == "error" {
        &refused["payload"]
    } else {
        &refused["payload"]["errors"]
    };
    assert!(errors[0]["extensions"]["code"].is_string(), "{refused}");

    // An id in use is refused, one that was given back is not.
    let mut socket = Socket::ready(server, Some(token)).await;
    for _ in 0..20 {
        socket.say(subscribe("1", INBOX)).await;
        socket.say(json!({ "type": "complete", "id": "1" })).await;
    }
    socket.say(subscribe("1", INBOX)).await;
    socket.say(subscribe("1", INBOX)).await;
    assert_eq!(socket.closed().await, 4409);
}

/// Sockets outlive tokens, not sessions.
async fn logged_out(server: &Server) {
    let token = server.guest().await;
    let mut live = Socket::ready(server, Some(&token)).await;
    live.say(subscribe("1", INBOX)).await;
    let mut play = Socket::connect(server, "/play", None).await;
    play.say(json!({ "t": "hello", "token": token })).await;
    assert_eq!(play.json().await["t"], "welcome");

    server.data(Some(&token), "mutation { logout }", json!({})).await;
    live.say(json!({ "type": "ping" })).await;
    assert_eq!(live.closed().await, 4403);
    play.say(json!({ "t": "ping", "n": 1 })).await;
    assert_eq!(play.closed().await, 4401);
}

async fn bounds(server: &Server, token: &str) {
    // Too many operations at once.
    let mut socket = Socket::ready(server, Some(token)).await;
    for i in 0..51 {
        socket.say(subscribe(&i.to_string(), INBOX)).await;
    }
    assert_eq!(socket.closed().await, 4429);
    // Too large a message; far too large a message.
    let mut socket = Socket::ready(server, None).await;
    socket.say(json!({ "type": "ping", "payload": "x".repeat(70_000) })).await;
    assert_eq!(socket.closed().await, 1009);
    let mut socket = Socket::ready(server, None).await;
    let _ = socket.0.send(Message::Text("x".repeat(2_000_000).into())).await;
    assert!(matches!(socket.next().await, Got::Gone | Got::Closed(..)));
    // Somebody who asks and does not read is not read from any more, so nothing piles up.
    let mut socket = Socket::ready(server, None).await;
    let ping = json!({ "type": "ping", "payload": "x".repeat(60_000) }).to_string();
    let mut sent = 0;
    while sent < 2_000 {
        let message = Message::Text(ping.clone().into());
        match tokio::time::timeout(Duration::from_secs(2), socket.0.send(message)).await {
            Ok(result) => result.unwrap(),
            Err(_) => break,
        }
        sent += 1;
    }
    assert!(sent < 1_000, "took {sent} messages of 60 kB that nobody read the answers to");
    // Others do not notice.
    assert_eq!(server.data(None, "{ shop { name } }", json!({})).await["shop"]["name"], "Mela");
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let mut server = Server::start(&[]);
    let token = server.guest().await;
    let mut live = Socket::ready(&server, Some(&token)).await;
    live.say(subscribe("1", INBOX)).await;
    let mut fresh = Socket::graphql(&server).await;
    server.terminate();
    assert_eq!(live.closed().await, 1001);
    assert_eq!(fresh.closed().await, 1001);
    assert!(server.ended().success());
}
