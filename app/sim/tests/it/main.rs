//! The simulators from outside, as a shop, an official SDK or a careless caller meets them.

// Helpers outside of test functions may unwrap too: a panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod faults;
mod hooks;
mod links;
mod mail;
mod page;
mod razorpay;
mod sdk;
mod shipway;
mod sms;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use mela_sim::{Sim, SimConfig, SmsCategory, SmsTemplate};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

/// Running simulators and a caller with the right keys.
struct Ground {
    sim: Sim,
    http: Client,
}

const KEY: (&str, &str) = ("rzp_test_simulator01", "simulator-key-secret");

async fn ground() -> Ground {
    ground_with(|_| ()).await
}

async fn ground_with(change: impl FnOnce(&mut SimConfig)) -> Ground {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = SimConfig { seed: Some(42), ..SimConfig::default() };
    config.sms.templates.push(SmsTemplate {
        template_id: "110700000000001".into(),
        header: "MELAIN".into(),
        category: SmsCategory::ServiceImplicit,
        text: "{#var#} is your Mela login code. -Mela".into(),
    });
    change(&mut config);
    Ground { sim: mela_sim::start(config).await.unwrap(), http: client() }
}

fn client() -> Client {
    Client::builder().timeout(Duration::from_secs(20)).build().unwrap()
}

impl Ground {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sim.ui_url())
    }

    /// A Razorpay call with the right keys.
    async fn rzp(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, self.url(path)).basic_auth(KEY.0, Some(KEY.1));
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request.send().await.unwrap()).await
    }

    /// A control call that must work.
    async fn sim(&self, path: &str, body: Value) -> Value {
        let response = self.http.post(self.url(path)).json(&body).send().await.unwrap();
        let (status, json) = read(response).await;
        assert_eq!(status, StatusCode::OK, "{path}: {json}");
        json
    }

    async fn get(&self, path: &str) -> Value {
        read(self.http.get(self.url(path)).send().await.unwrap()).await.1
    }

    async fn order(&self, amount: i64, auto_capture: bool) -> String {
        let body = json!({
            "amount": amount, "currency": "INR", "payment_capture": i32::from(auto_capture),
        });
        let (status, order) = self.rzp(Method::POST, "/v1/orders", Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{order}");
        order["id"].as_str().unwrap().to_owned()
    }

    async fn pay(&self, order: &str, outcome: &str) -> Value {
        self.sim("/_sim/razorpay/pay", json!({ "order_id": order, "outcome": outcome })).await
    }

    /// An order, paid and captured; the payment's id.
    async fn captured(&self, amount: i64) -> String {
        let order = self.order(amount, true).await;
        text(&self.pay(&order, "success").await["payment"]["id"])
    }

    async fn payment(&self, id: &str) -> Value {
        self.rzp(Method::GET, &format!("/v1/payments/{id}"), None).await.1
    }

    async fn advance_clock(&self, ms: u64) {
        self.sim("/_sim/clock", json!({ "advance_ms": ms })).await;
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text:?}"));
    (status, json)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

/// Asks until the answer is right. Fails after ten seconds with the last answer.
async fn until<F: Future<Output = Value>>(
    ask: impl Fn() -> F,
    right: impl Fn(&Value) -> bool,
) -> Value {
    let mut last = Value::Null;
    for _ in 0..500 {
        last = ask().await;
        if right(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("did not come about; last seen: {last}");
}

/// What a shop's webhook address received.
#[derive(Clone, Default)]
struct Inbox {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    /// Answers to give first; afterwards 200.
    refusals: Arc<Mutex<u32>>,
}

#[derive(Clone)]
struct Received {
    event_id: String,
    signature: String,
    body: Bytes,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn name(&self) -> String {
        text(&self.json()["event"])
    }
}

impl Inbox {
    async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let inbox = Self { url, ..Self::default() };
        let (to_post, to_get) = (inbox.clone(), inbox.clone());
        let app = Router::new()
            .route(
                "/hook",
                post(move |headers: HeaderMap, body: Bytes| {
                    let inbox = to_post.clone();
                    async move { inbox.take(&headers, body) }
                }),
            )
            .route(
                "/received",
                get(move || {
                    let inbox = to_get.clone();
                    async move { axum::Json(inbox.json()) }
                }),
            );
        tokio::spawn(async move { axum::serve(listener, app).await });
        inbox
    }

    fn take(&self, headers: &HeaderMap, body: Bytes) -> StatusCode {
        let header = |name: &str| {
            headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
        };
        let received = Received {
            event_id: header("x-razorpay-event-id"),
            signature: header("x-razorpay-signature"),
            body,
        };
        self.received.lock().unwrap().push(received);
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        StatusCode::OK
    }

    fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// For the SDK scripts.
    fn json(&self) -> Value {
        let row = |r: &Received| {
            json!({
                "event_id": r.event_id, "signature": r.signature,
                "body": String::from_utf8_lossy(&r.body),
            })
        };
        self.all().iter().map(row).collect()
    }

    async fn wait_for(&self, count: usize) -> Vec<Received> {
        until(|| async { json!(self.all().len()) }, |n| n.as_u64() >= Some(count as u64)).await;
        self.all()
    }
}
