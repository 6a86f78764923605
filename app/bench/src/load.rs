//! Closed and open loops over many connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::BenchError;
use crate::hist::Histogram;
use crate::http::Http;

/// Cheap numbers for choosing what to ask for: repeatable, not secret.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// In `0..bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}

/// What one shopper does again and again.
pub(crate) trait Shopper: Send + Sync + 'static {
    /// One unit of work over one connection. False if there is nothing left to do.
    fn once(
        &self,
        http: &mut Http,
        dice: &mut Dice,
    ) -> impl Future<Output = Result<bool, BenchError>> + Send;
}

/// How much is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// Units per second; none means as many as are answered.
    pub(crate) rate: Option<f64>,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) latency: Histogram,
    pub(crate) took: Duration,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.latency.count() as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// What all connections of one run share.
struct Run<S> {
    shopper: Arc<S>,
    load: Load,
    started: Instant,
    next: AtomicU64,
}

impl<S: Shopper> Run<S> {
    /// One connection's part. In the open loop a unit's latency begins when it was due, also if
    /// all connections were busy then.
    async fn work(&self, mut http: Http, seed: u64) -> Result<(Histogram, Instant), BenchError> {
        let mut latency = Histogram::default();
        let mut dice = Dice::new(seed);
        let mut ended = self.started;
        loop {
            let due = match self.load.rate {
                None => Instant::now(),
                Some(rate) => {
                    let n = self.next.fetch_add(1, Ordering::Relaxed);
                    let due = self.started + Duration::from_secs_f64(n as f64 / rate);
                    tokio::time::sleep_until(due.into()).await;
                    due
                }
            };
            let late = due.duration_since(self.started) >= self.load.time;
            if late || !self.shopper.once(&mut http, &mut dice).await? {
                return Ok((latency, ended));
            }
            ended = Instant::now();
            latency.record(ended - due);
        }
    }
}

/// Runs the load. The first error ends it: a benchmark of refusals is none.
pub(crate) async fn run<S: Shopper>(
    addr: SocketAddr,
    load: Load,
    shopper: &Arc<S>,
) -> Result<Outcome, BenchError> {
    let mut open = Vec::new();
    for _ in 0..load.connections {
        open.push(Http::connect(addr).await?);
    }
    let started = Instant::now();
    let run = Arc::new(Run { shopper: shopper.clone(), load, started, next: AtomicU64::new(0) });
    let mut tasks = JoinSet::new();
    let salt = u64::from(std::process::id());
    for (i, http) in open.into_iter().enumerate() {
        let run = run.clone();
        tasks.spawn(async move { run.work(http, (salt << 32) + i as u64).await });
    }
    let mut latency = Histogram::default();
    let mut ended = started;
    let all = async {
        while let Some(done) = tasks.join_next().await {
            let (part, end) = done.map_err(BenchError::new)??;
            latency.add(&part);
            ended = ended.max(end);
        }
        Ok::<_, BenchError>(())
    };
    // What is under way at the end gets some seconds to finish.
    let limit = load.time + Duration::from_secs(10);
    tokio::time::timeout(limit, all)
        .await
        .map_err(|_| BenchError::new("the server did not answer for ten seconds"))??;
    Ok(Outcome { latency, took: ended - started })
}

/// A GraphQL answer without errors. Such a body ends with two braces: `errors` stands last.
pub(crate) fn clean(body: &[u8]) -> Result<(), BenchError> {
    if body.starts_with(b"{\"data\":{") && body.ends_with(b"}}") {
        return Ok(());
    }
    #[derive(serde::Deserialize)]
    struct Answer {
        errors: Vec<GraphqlError>,
    }
    #[derive(serde::Deserialize)]
    struct GraphqlError {
        message: String,
        #[serde(default)]
        extensions: Extensions,
    }
    #[derive(Default, serde::Deserialize)]
    struct Extensions {
        #[serde(default)]
        code: String,
    }
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) => {
            let errors: Vec<String> = answer
                .errors
                .iter()
                .map(|e| format!("{} ({})", e.extensions.code, e.message))
                .collect();
            Err(BenchError::new(format_args!("refused: {}", errors.join("; "))))
        }
        Err(_) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(300)]);
            Err(BenchError::new(format_args!("not a GraphQL answer: {text}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert!(clean(br#"{"data":{"shop":{"name":"x"}}}"#).is_ok());
        let refused = clean(
            br#"{"data":null,"errors":[{"message":"no","extensions":{"code":"CART_EMPTY"}}]}"#,
        );
        assert_eq!(
            refused.err().map(|e| e.to_string()).as_deref(),
            Some("refused: CART_EMPTY (no)")
        );
        let both = br#"{"data":{"shop":{}},"errors":[{"message":"no"}]}"#;
        assert!(clean(both).is_err());
        assert!(clean(b"").is_err() && clean(b"<html>").is_err());
    }
}
