//! What all gateways have in common: how they are called, what they tell, how they fail.
//!
//! A gateway module is pure: it builds [`Call`]s and reads answers into the facts below. This
//! file sends the calls.

use std::time::Duration;

use mela_base::Internal;
use mela_crypto::Secret;
use mela_payments_api::PaymentError;
use serde::{Deserialize, Serialize};

/// The largest answer that is read.
const MAX_ANSWER: usize = 1 << 20;

/// One HTTP request, as a pure function made it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    /// With the query, after the base.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// JSON.
    pub(crate) body: Option<String>,
}

/// An answer: the status and the bytes, whatever they are.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GatewayError {
    /// No answer, half an answer or an answer that says nothing: the gateway may have done it.
    #[error("no usable answer: {0}")]
    Unknown(&'static str),
    /// It was not done.
    #[error("refused with {status}: {description}")]
    Refused {
        status: u16,
        /// The gateway's words; no personal data in any that we know of, and cut.
        description: String,
    },
}

impl From<GatewayError> for PaymentError {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::Unknown(_) => Self::GatewayUnavailable,
            GatewayError::Refused { description, .. } => Self::GatewayRefused(description),
        }
    }
}

/// Where a gateway says that one of its payments stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Begun, or a word that we do not know.
    Open,
    Authorized,
    Captured,
    Failed,
    /// It was captured, and all of it has gone back.
    Refunded,
}

/// What a gateway says of one of its payments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PaymentFact {
    pub(crate) id: String,
    pub(crate) gateway_order_id: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) status: Status,
    pub(crate) amount_refunded: i64,
    /// The gateway's word for why it failed.
    pub(crate) reason: Option<String>,
}

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundState {
    /// Written down here; the gateway may not know it.
    Created,
    /// The gateway works on it.
    Pending,
    /// The money has gone back.
    Processed,
    /// It did not; the money is ours again.
    Failed,
}

impl RefundState {
    const ALL: [Self; 4] = [Self::Created, Self::Pending, Self::Processed, Self::Failed];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Processed => "processed",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// What a gateway says of one of its refunds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefundFact {
    pub(crate) id: String,
    pub(crate) gateway_payment_id: String,
    pub(crate) amount: i64,
    pub(crate) state: RefundState,
    /// What we gave it as its name here, if it was made by us.
    pub(crate) receipt: Option<String>,
}

/// What a webhook says, without what we do not need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HookFacts {
    pub(crate) event: String,
    pub(crate) payment: Option<PaymentFact>,
    pub(crate) refund: Option<RefundFact>,
}

/// Sends calls to one gateway.
pub(crate) struct Sender {
    client: reqwest::Client,
    base: String,
    user: String,
    password: Secret,
}

impl Sender {
    pub(crate) fn new(
        base: &str,
        user: &str,
        password: &Secret,
        timeout: Duration,
    ) -> Result<Self, Internal> {
        // Process-wide and first come first served; every part of Mela installs the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3).min(timeout))
            .timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(32)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("Mela")
            .build()
            .map_err(Internal::new)?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { client, base, user: user.to_owned(), password: password.clone() })
    }

    /// Sends it once. Anything short of a complete answer is [`GatewayError::Unknown`].
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, GatewayError> {
        let method = match call.method {
            "POST" => reqwest::Method::POST,
            _ => reqwest::Method::GET,
        };
        let mut request = self
            .client
            .request(method, format!("{}{}", self.base, call.path))
            .basic_auth(&self.user, Some(self.password.expose()));
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let mut response = request.send().await.map_err(|e| describe(&e))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| describe(&e))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(GatewayError::Unknown("the answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

/// reqwest's own texts name the URL, which can hold ids; these do not.
fn describe(error: &reqwest::Error) -> GatewayError {
    GatewayError::Unknown(if error.is_timeout() {
        "it timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    })
}
