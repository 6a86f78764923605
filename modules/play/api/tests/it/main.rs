//! `docs/play-protocol.md` tells the protocol as it is: its blocks are messages of these types.

#![allow(clippy::unwrap_used)]

use mela_base::ids::{MatchId, PersonId};
use mela_play_api::protocol::{ClientMessage, ServerMessage};

/// The JSON blocks of the document, each with its label.
fn blocks() -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/play-protocol.md");
    let text = std::fs::read_to_string(path).unwrap();
    // The document writes names where real ids are long and say nothing.
    let person = PersonId::default().to_string();
    let text = text.replace("\"PERSON\"", &format!("\"{person}\""));
    let text = text.replace("\"MATCH\"", &format!("\"{}\"", MatchId::default()));
    text.split("```json ")
        .skip(1)
        .map(|rest| {
            let (label, rest) = rest.split_once('\n').unwrap();
            (label.to_owned(), rest.split("```").next().unwrap().to_owned())
        })
        .collect()
}

/// The name of a message as it stands in its `t`.
fn name(json: &serde_json::Value) -> String {
    json["t"].as_str().unwrap().to_owned()
}

/// Every field of `written` is one that the type knows: it is there again when written back.
fn kept(written: &serde_json::Value, back: &serde_json::Value) -> bool {
    match (written, back) {
        (serde_json::Value::Object(a), serde_json::Value::Object(b)) => {
            a.iter().all(|(key, value)| b.get(key).is_some_and(|other| kept(value, other)))
        }
        (serde_json::Value::Array(a), serde_json::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| kept(a, b))
        }
        (a, b) => a == b,
    }
}

#[test]
fn the_document_shows_real_messages() {
    let mut client = Vec::new();
    let mut server = Vec::new();
    for (label, text) in blocks() {
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| {
            panic!("not JSON: {e}\n{text}");
        });
        let back = match label.as_str() {
            "client" => {
                client.push(name(&json));
                let message: ClientMessage = serde_json::from_str(&text)
                    .unwrap_or_else(|e| panic!("no client message: {e}\n{text}"));
                serde_json::to_value(message).unwrap()
            }
            "server" => {
                server.push(name(&json));
                let message: ServerMessage = serde_json::from_str(&text)
                    .unwrap_or_else(|e| panic!("no server message: {e}\n{text}"));
                serde_json::to_value(message).unwrap()
            }
            other => panic!("a block is `json client` or `json server`, not `json {other}`"),
        };
        assert!(kept(&json, &back), "a field is unknown to the type:\n{text}\n{back}");
    }
    for wanted in ["hello", "ping", "join", "input", "leave"] {
        assert!(client.iter().any(|t| t == wanted), "`{wanted}` is not shown");
    }
    for wanted in ["welcome", "pong", "joined", "state", "accepted", "result", "error"] {
        assert!(server.iter().any(|t| t == wanted), "`{wanted}` is not shown");
    }
}

/// The numbers that the document names are those of the code.
#[test]
fn the_document_names_the_real_limits() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    let socket = read("edge/realtime/src/socket.rs");
    let router = read("edge/realtime/src/lib.rs");
    let hub = read("modules/play/service/src/hub.rs");
    let document = read("docs/play-protocol.md");
    for (source, code, told) in [
        (&socket, "HELLO_WITHIN: Duration = Duration::from_secs(10)", "| 10 s | close 4408"),
        (&socket, "SILENCE: Duration = Duration::from_secs(60)", "| silence | 60 s | close 4410"),
        (&socket, "MAX_REFUSALS: u32 = 50;", "| 50 | close 4429"),
        (&router, "MAX_MESSAGE: usize = 4 * 1024;", "| 4 KiB |"),
        (&hub, "OUTBOX: usize = 64;", "| 64 | close 4409"),
        (&hub, "BURST: i64 = 20;", "| 20 at once"),
        (&hub, "PER_SECOND: i64 = 10;", "then 10 per second"),
        (&hub, "MAX_ROOMS: usize = 20_000;", "| 20,000 |"),
        (&hub, "HEARTBEAT_S: u32 = 20;", "\"heartbeat_s\": 20"),
    ] {
        assert!(source.contains(code), "the code does not say `{code}` any more; renew the table");
        assert!(document.contains(told), "the document does not say `{told}`");
    }
    let codes: Vec<&str> =
        socket.split("= Close(").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    assert!(codes.len() >= 7, "{codes:?}");
    for code in codes {
        assert!(document.contains(&format!("| {code} |")), "close code {code} is not told");
    }
}
