//! A provider that says what a test wants, and a place where webhooks are collected.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the stub was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST /v1/orders`.
    pub line: String,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    /// As sent.
    pub body: Vec<u8>,
}

/// What the stub answers.
pub enum Reply {
    /// Status and JSON.
    Json(u16, String),
    /// The connection is closed without an answer.
    Lost,
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server on a free port of this machine, for as long as the test's runtime lives.
#[derive(Clone)]
pub struct Stub {
    /// `http://127.0.0.1:…`.
    pub url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Stub {
    /// Answers every request by `answer`, which may wait for the test.
    pub async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the stub works");
        let url = format!("http://{}", listener.local_addr().expect("the stub works"));
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (answer, log): (Arc<Answer>, _) = (Arc::new(answer), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), log.clone()));
            }
        });
        Self { url, seen }
    }

    /// Answers everything with 200 and keeps it.
    pub async fn collector() -> Self {
        Self::start(|_| Reply::Json(200, "{}".to_owned())).await
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("the stub works").clone()
    }

    /// Waits until so many requests came.
    pub async fn wait_for(&self, count: usize) -> Vec<Request> {
        for _ in 0..1_000 {
            let seen = self.seen();
            if seen.len() >= count {
                return seen;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{} of {count} requests came", self.seen().len());
    }
}

async fn serve(mut stream: TcpStream, answer: Arc<Answer>, log: Arc<Mutex<Vec<Request>>>) {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(n, v)| (n.to_lowercase(), v.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(n, _)| n == "content-length");
    let length: usize = length.map_or(0, |(_, v)| v.parse().expect("the stub works"));
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = Request { line, headers, body: bytes[head + 4..].to_vec() };
    // An answer may wait for the test: on a worker it would hold tasks that no other worker can take.
    let (asked, reply) = tokio::task::spawn_blocking(move || {
        let reply = answer(&request);
        (request, reply)
    })
    .await
    .expect("the stub answers");
    log.lock().expect("the stub works").push(asked);
    if let Reply::Json(status, body) = reply {
        let text = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(text.as_bytes()).await;
    }
    let _ = stream.shutdown().await;
}
