//! The game socket at its edge: what is no message, too much, too late, or from nobody.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::api_live::{Got, Socket};
use crate::server::{Server, text};

async fn connect(server: &Server) -> Socket {
    Socket::connect(server, "/play", None).await
}

async fn welcome(server: &Server, token: &str) -> Socket {
    let mut socket = connect(server).await;
    socket.say(json!({ "t": "hello", "token": token })).await;
    assert_eq!(socket.json().await["t"], "welcome");
    socket
}

/// The next message of this kind.
async fn wait_for(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let message = socket.json().await;
        if message["t"] == kind {
            return message;
        }
    }
}

#[tokio::test]
async fn hostile_clients() {
    let server = Server::start(&[]);
    let token = server.guest().await;
    // Waits ten seconds by nature, so it waits beside the rest.
    let silent = async {
        let mut socket = connect(&server).await;
        socket.send(Message::Ping(vec![1].into())).await;
        let began = tokio::time::Instant::now();
        assert_eq!(socket.closed().await, 4408);
        assert!(began.elapsed() > Duration::from_secs(5));
    };
    let rest = async {
        no_hello(&server, &token).await;
        no_message(&server, &token).await;
        floods(&server).await;
    };
    tokio::join!(silent, rest);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

async fn no_hello(server: &Server, token: &str) {
    for bad in [
        "",
        "nonsense",
        "null",
        "[]",
        "{}",
        "{\"t\":\"hello\"}",
        "{\"t\":\"hello\",\"token\":1}",
        "{\"t\":\"join\",\"game\":\"quiz\"}",
        "{\"t\":\"ping\",\"n\":1}",
        &format!("{{\"t\":\"hello\",\"token\":\"{token}\",\"more\":1}}"),
        &format!(
            "{{\"t\":\"hello\",\"token\":\"{token}\",\"resume\":{{\"match\":\"nonsense\",\"offset\":0}}}}"
        ),
        &format!("{{\"t\":\"hello\",\"token\":\"{token}\",\"resume\":{}", "[".repeat(1_000)),
    ] {
        let mut socket = connect(server).await;
        socket.send(Message::Text(bad.into())).await;
        assert_eq!(socket.closed().await, 4400, "{bad}");
    }
    let mut socket = connect(server).await;
    socket.send(Message::Binary(vec![0; 100].into())).await;
    assert_eq!(socket.closed().await, 4400);
    for (size, code) in [(5_000, Some(1009)), (1_000_000, None)] {
        let mut socket = connect(server).await;
        socket.send(Message::Text("x".repeat(size).into())).await;
        match code {
            Some(code) => assert_eq!(socket.closed().await, code),
            None => assert!(matches!(socket.next().await, Got::Gone | Got::Closed(..))),
        }
    }
    let staff = server.staff("viewer@example.in", "viewer").await;
    for wrong in ["", "nonsense", "a.b.c", &token[..token.len() - 1], &staff] {
        let mut socket = connect(server).await;
        socket.say(json!({ "t": "hello", "token": wrong })).await;
        assert_eq!(socket.closed().await, 4401, "{wrong}");
    }
}

async fn no_message(server: &Server, token: &str) {
    let mut socket = welcome(server, token).await;
    for bad in [
        "",
        "nonsense",
        "null",
        "[]",
        "{}",
        "{\"t\":1}",
        "{\"t\":\"nonsense\"}",
        "{\"t\":\"join\"}",
        "{\"t\":\"ping\",\"n\":-1}",
        "{\"t\":\"ping\",\"n\":1e99}",
        "{\"t\":\"ping\",\"more\":1}",
        "{\"t\":\"leave\",\"more\":1}",
        "{\"t\":\"join\",\"game\":\"nonsense\"}",
        "{\"t\":\"input\",\"match\":\"nonsense\",\"question\":0,\"choice\":0}",
        "{\"t\":\"input\",\"match\":\"mat_01m836f391e4m8m57ae5sjzf66\",\"question\":4294967295,\"choice\":4294967295}",
    ] {
        socket.send(Message::Text(bad.into())).await;
        let answer = socket.json().await;
        assert_eq!(answer["t"], "error", "{bad}: {answer}");
        assert!(
            text(&answer["message"]).len() > 5 && text(&answer["code"]) != "INTERNAL",
            "{answer}"
        );
    }
    // It still works, and a large or a binary message ends it.
    socket.say(json!({ "t": "ping", "n": 7 })).await;
    assert_eq!(socket.json().await, json!({ "t": "pong", "n": 7 }));
    socket.send(Message::Text(format!("\"{}\"", "x".repeat(5_000)).into())).await;
    assert_eq!(socket.closed().await, 1009);
    let mut socket = welcome(server, token).await;
    socket.send(Message::Binary(vec![1].into())).await;
    assert_eq!(socket.closed().await, 4400);
    // The newer connection of a person wins.
    let mut older = welcome(server, token).await;
    let mut newer = welcome(server, token).await;
    assert_eq!(older.closed().await, 4409);
    newer.say(json!({ "t": "ping", "n": 1 })).await;
    assert_eq!(newer.json().await["t"], "pong");
}

async fn floods(server: &Server) {
    // Garbage without end.
    let token = server.guest().await;
    let mut socket = welcome(server, &token).await;
    for _ in 0..60 {
        socket.say(json!({ "t": "nonsense" })).await;
    }
    assert_eq!(socket.closed().await, 4429);
    // Right messages, too fast.
    let token = server.guest().await;
    let mut socket = welcome(server, &token).await;
    for _ in 0..200 {
        socket.say(json!({ "t": "ping", "n": 1 })).await;
    }
    let mut too_fast = 0;
    let closed = loop {
        match socket.next().await {
            Got::Json(message) if message["t"] == "error" => {
                assert_eq!(message["code"], "TOO_FAST");
                too_fast += 1;
            }
            Got::Json(_) => {}
            Got::Closed(code, _) => break code,
            Got::Gone => panic!("no close code"),
        }
    };
    assert_eq!((closed, too_fast), (4429, 50));
}

#[tokio::test]
async fn a_dropped_connection_is_resumed_where_it_was() {
    let mut server = Server::start(&[]);
    let (token, other) = (server.guest().await, server.guest().await);
    let mut socket = welcome(&server, &token).await;
    socket.say(json!({ "t": "join", "game": "quiz" })).await;
    let joined = wait_for(&mut socket, "joined").await;
    let id = text(&joined["match"]);
    let mut offsets = vec![joined["o"].as_u64().unwrap()];
    while offsets.len() < 3 {
        let message = socket.json().await;
        offsets.extend(message["o"].as_u64());
    }
    let last = *offsets.last().unwrap();
    drop(socket);
    // What came after the first message comes again, in order and with nothing left out.
    let mut socket = connect(&server).await;
    let resume = json!({ "match": id, "offset": offsets[0] });
    socket.say(json!({ "t": "hello", "token": token, "resume": resume })).await;
    let hello = socket.json().await;
    assert_eq!((&hello["t"], &hello["recovered"]), (&json!("welcome"), &json!(true)));
    for expected in offsets[0] + 1..=last {
        assert_eq!(socket.json().await["o"], expected);
    }
    // Somebody else's match is not theirs to resume.
    let mut thief = connect(&server).await;
    let resume = json!({ "match": id, "offset": 0 });
    thief.say(json!({ "t": "hello", "token": other, "resume": resume })).await;
    assert_eq!(thief.json().await["recovered"], false);
    thief.say(json!({ "t": "input", "match": id, "question": 0, "choice": 0 })).await;
    assert_eq!(thief.json().await["t"], "error");

    // A server that stops says so, also to somebody who has not said hello.
    let mut fresh = connect(&server).await;
    server.terminate();
    assert_eq!(socket.closed().await, 1001);
    assert_eq!(thief.closed().await, 1001);
    assert_eq!(fresh.closed().await, 1001);
    assert!(server.ended().success());
}
