//! Webhooks out: at least once, retried with growing pauses, and as badly as the policy asks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::agenda::Act;
use crate::config::SimConfig;
use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Provider {
    Razorpay,
    Shipway,
}

/// How an event is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Signing {
    #[default]
    Right,
    Wrong,
    /// With the secret that was in force before the last change.
    Old,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Policy {
    /// Every delivery starts this much later.
    pub(crate) delay_ms: u32,
    /// This many more deliveries of the same event.
    pub(crate) duplicates: u32,
    /// Events of this window leave in reverse order.
    pub(crate) reorder_window_ms: u32,
    /// Never delivered, with this probability.
    pub(crate) drop_probability: f64,
    pub(crate) signature: Signing,
    /// First pause before a retry; it doubles each time.
    pub(crate) retry_base_ms: u32,
    /// Holds for this many events; 0 means until it is changed.
    pub(crate) count: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            delay_ms: 0,
            duplicates: 0,
            reorder_window_ms: 0,
            drop_probability: 0.0,
            signature: Signing::Right,
            retry_base_ms: 1_000,
            count: 0,
        }
    }
}

impl Policy {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.duplicates > 20 {
            return Err("duplicates must be at most 20".into());
        }
        if !(0.0..=1.0).contains(&self.drop_probability) {
            return Err("drop_probability must be between 0 and 1".into());
        }
        Ok(())
    }
}

/// Where a provider's events go.
pub(crate) struct Endpoint {
    pub(crate) url: Option<String>,
    pub(crate) secret: String,
    pub(crate) old_secret: Option<String>,
    pub(crate) policy: Policy,
    /// Nobody answered well for a day; set again by configuring the URL.
    pub(crate) disabled: bool,
}

impl Endpoint {
    fn secret_for(&self, signing: Signing) -> String {
        match signing {
            Signing::Right => self.secret.clone(),
            Signing::Wrong => format!("not-{}", self.secret),
            Signing::Old => self.old_secret.as_ref().unwrap_or(&self.secret).clone(),
        }
    }
}

/// One event on its way to one receiver.
#[derive(Clone)]
pub(crate) struct Delivery {
    provider: Provider,
    event: String,
    event_id: String,
    url: String,
    /// Hex, in `X-Razorpay-Signature`; Shipway's constant is inside the body.
    signature: Option<String>,
    body: Bytes,
    attempt: u32,
    first_ms: i64,
    retry_base_ms: u32,
}

struct LogEntry {
    at_ms: i64,
    outcome: String,
    delivery: Delivery,
}

const LOG_LENGTH: usize = 500;
const MAX_UNDER_WAY: usize = 20_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const GIVE_UP_AFTER_MS: i64 = 24 * 3_600_000;

pub(crate) struct Hooks {
    pub(crate) razorpay: Mutex<Endpoint>,
    pub(crate) shipway: Mutex<Endpoint>,
    held: Mutex<Vec<Delivery>>,
    log: Mutex<VecDeque<LogEntry>>,
    under_way: AtomicUsize,
    overflowed: AtomicU64,
    room: Semaphore,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Hooks {
    pub(crate) fn new(cfg: &SimConfig) -> Self {
        let endpoint = |url: &Option<String>, secret: &str| {
            Mutex::new(Endpoint {
                url: url.clone(),
                secret: secret.into(),
                old_secret: None,
                policy: Policy::default(),
                disabled: false,
            })
        };
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(ANSWER_WITHIN));
        Self {
            razorpay: endpoint(&cfg.razorpay.webhook_url, &cfg.razorpay.webhook_secret),
            shipway: endpoint(&cfg.shipway.webhook_url, &cfg.shipway.webhook_hash),
            held: Mutex::default(),
            log: Mutex::default(),
            under_way: AtomicUsize::new(0),
            overflowed: AtomicU64::new(0),
            room: Semaphore::new(32),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    pub(crate) fn endpoint(&self, provider: Provider) -> &Mutex<Endpoint> {
        match provider {
            Provider::Razorpay => &self.razorpay,
            Provider::Shipway => &self.shipway,
        }
    }

    /// Whether anybody listens, so that events need not be built for nobody.
    pub(crate) fn wanted(&self, provider: Provider) -> bool {
        let endpoint = self.endpoint(provider).lock();
        endpoint.url.is_some() && !endpoint.disabled
    }

    /// Sends an event. `body` is given the secret to use, for providers that carry it inside.
    pub(crate) fn emit(
        &self,
        world: &Arc<World>,
        provider: Provider,
        event: &str,
        body: impl FnOnce(&str) -> Vec<u8>,
    ) {
        let now_ms = world.clock.now_ms();
        let (url, secret, policy) = {
            let mut endpoint = self.endpoint(provider).lock();
            let Some(url) = endpoint.url.clone().filter(|_| !endpoint.disabled) else { return };
            let policy = endpoint.policy.clone();
            let secret = endpoint.secret_for(policy.signature);
            match endpoint.policy.count {
                0 => {}
                1 => endpoint.policy = Policy::default(),
                n => endpoint.policy.count = n - 1,
            }
            (url, secret, policy)
        };
        let body = Bytes::from(body(&secret));
        let signature = (provider == Provider::Razorpay).then(|| hmac_hex(&secret, &body));
        let delivery = Delivery {
            provider,
            event: event.into(),
            event_id: world.ids.razorpay("evt_"),
            url,
            signature,
            body,
            attempt: 1,
            first_ms: now_ms,
            retry_base_ms: policy.retry_base_ms.max(1),
        };
        if policy.drop_probability > 0.0 && world.ids.chance(policy.drop_probability) {
            self.note(now_ms, "dropped, as the policy asked".into(), delivery);
            return;
        }
        for _ in 0..policy.duplicates {
            self.send(world, delivery.clone(), &policy);
        }
        self.send(world, delivery, &policy);
    }

    fn send(&self, world: &Arc<World>, delivery: Delivery, policy: &Policy) {
        let now_ms = world.clock.now_ms();
        if policy.reorder_window_ms > 0 {
            let mut held = self.held.lock();
            if held.is_empty() {
                let window = i64::from(policy.reorder_window_ms);
                world.agenda.at(now_ms + window, Act::ReleaseHeld);
            }
            if held.len() < MAX_UNDER_WAY {
                held.push(delivery);
                return;
            }
        } else if policy.delay_ms > 0 {
            let due = now_ms + i64::from(policy.delay_ms);
            world.agenda.at(due, Act::Deliver(Box::new(delivery)));
            return;
        } else {
            deliver(world.clone(), delivery);
            return;
        }
        self.overflowed.fetch_add(1, Ordering::Relaxed);
    }

    /// One after the other, so that the reversed order is also the order of arrival.
    pub(crate) fn release_held(&self, world: &Arc<World>) {
        let held = std::mem::take(&mut *self.held.lock());
        let world = world.clone();
        tokio::spawn(async move {
            for delivery in held.into_iter().rev() {
                attempt(&world, delivery).await;
            }
        });
    }

    /// Sends a logged event again, with the same id.
    pub(crate) fn replay(&self, world: &Arc<World>, event_id: &str) -> bool {
        let found = {
            let log = self.log.lock();
            log.iter().rev().find(|e| e.delivery.event_id == event_id).map(|e| e.delivery.clone())
        };
        let Some(mut delivery) = found else { return false };
        delivery.attempt = 1;
        delivery.first_ms = world.clock.now_ms();
        deliver(world.clone(), delivery);
        true
    }

    fn note(&self, at_ms: i64, outcome: String, delivery: Delivery) {
        let mut log = self.log.lock();
        if log.len() >= LOG_LENGTH {
            log.pop_front();
        }
        log.push_back(LogEntry { at_ms, outcome, delivery });
    }

    /// The latest attempts, newest first.
    pub(crate) fn log_json(&self, limit: usize) -> Vec<Value> {
        let log = self.log.lock();
        let entry = |e: &LogEntry| {
            json!({
                "at_ms": e.at_ms,
                "provider": e.delivery.provider,
                "event": e.delivery.event,
                "event_id": e.delivery.event_id,
                "attempt": e.delivery.attempt,
                "url": e.delivery.url,
                "outcome": e.outcome,
            })
        };
        log.iter().rev().take(limit).map(entry).collect()
    }

    /// Under way now, and given up because too many were.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.under_way.load(Ordering::Relaxed), self.overflowed.load(Ordering::Relaxed))
    }
}

/// Starts one attempt in the background.
pub(crate) fn deliver(world: Arc<World>, delivery: Delivery) {
    if world.hooks.under_way.fetch_add(1, Ordering::Relaxed) >= MAX_UNDER_WAY {
        world.hooks.under_way.fetch_sub(1, Ordering::Relaxed);
        world.hooks.overflowed.fetch_add(1, Ordering::Relaxed);
        return;
    }
    tokio::spawn(async move {
        if let Ok(_seat) = world.hooks.room.acquire().await {
            attempt(&world, delivery).await;
        }
        world.hooks.under_way.fetch_sub(1, Ordering::Relaxed);
    });
}

async fn attempt(world: &Arc<World>, mut delivery: Delivery) {
    let outcome = match tokio::time::timeout(ANSWER_WITHIN, post(world, &delivery)).await {
        Ok(Ok(status)) if (200..300).contains(&status) => {
            let now_ms = world.clock.now_ms();
            return world.hooks.note(now_ms, status.to_string(), delivery);
        }
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error,
        Err(_) => "no answer within 5 s".into(),
    };
    let now_ms = world.clock.now_ms();
    world.hooks.note(now_ms, outcome, delivery.clone());
    if now_ms - delivery.first_ms >= GIVE_UP_AFTER_MS {
        tracing::warn!(event = delivery.event, "webhook disabled after a day without success");
        world.hooks.endpoint(delivery.provider).lock().disabled = true;
        return;
    }
    let pause = i64::from(delivery.retry_base_ms) << (delivery.attempt - 1).min(12);
    delivery.attempt += 1;
    world.agenda.at(now_ms + pause, Act::Deliver(Box::new(delivery)));
}

async fn post(world: &World, delivery: &Delivery) -> Result<u16, String> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&delivery.url)
        .header("content-type", "application/json")
        .header("user-agent", "mela-sim");
    if let Some(signature) = &delivery.signature {
        request = request
            .header("x-razorpay-signature", signature)
            .header("x-razorpay-event-id", &delivery.event_id);
    }
    let request = request.body(Full::new(delivery.body.clone())).map_err(|e| e.to_string())?;
    let response = world.hooks.client.request(request).await.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    // Read to the end so that the connection can be used again, but not without limit.
    let _ = Limited::new(response.into_body(), 64 << 10).collect().await;
    Ok(status)
}

/// HMAC-SHA256 in lower-case hex.
pub(crate) fn hmac_hex(secret: &str, message: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in hmac::sign(&key, message).as_ref() {
        for nibble in [byte >> 4, byte & 15] {
            hex.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::hmac_hex;

    #[test]
    fn signatures_match_what_the_official_clients_accept() {
        let checkout = hmac_hex("test_key_secret", b"order_EKwxwAgItmmXdp|pay_DESlfW9H8K9uqM");
        assert_eq!(checkout, "a1d945b1530d03a6920717d37886f01b5bb9eb59bfcbd63f327221ddcc993622");
        let link = b"plink_ExjpAUN3gVHrPJ|ref-1|paid|pay_DESlfW9H8K9uqM";
        assert_eq!(
            hmac_hex("test_key_secret", link),
            "b1b38fe4f74ddd4d8f2493a9dea4891c58995d9009008da89299d1c4a47cc3c7"
        );
        let webhook =
            hmac_hex("test_webhook_secret", br#"{"entity":"event","event":"payment.captured"}"#);
        assert_eq!(webhook, "a438afc6ce7006ee9db518386b03fa11af0ca64eee8a8978885697e4065e9581");
    }
}
