use std::time::Duration;

use async_trait::async_trait;
use mela_base::{Internal, Phone};
use mela_crypto::Secret;
use mela_notify_api::{NotifyError, SmsSender, SmsTemplate};
use reqwest::header::{ACCEPT, AUTHORIZATION};
use reqwest::{Client, Response, StatusCode, redirect};

use crate::templates::{fill, registered};

/// No answer is longer, whatever the provider says.
const MAX_ANSWER: usize = 64 * 1_024;

/// How to reach the SMS provider, and under which names.
#[derive(Clone, Debug)]
pub struct DltConfig {
    /// Base of the provider's API; `/sms/send` is added.
    pub base_url: String,
    /// Sent as a bearer token; empty for none.
    pub api_key: Secret,
    /// The merchant's id in the registry.
    pub entity_id: String,
    /// The registered sender.
    pub header: String,
    /// The registered id of the login code's text; empty for the one in [`crate::TEMPLATES`].
    pub otp_template_id: String,
    /// How long the provider may take.
    pub timeout: Duration,
}

/// Sends registered texts through an SMS provider.
pub struct DltSms {
    client: Client,
    config: DltConfig,
    url: String,
}

#[derive(serde::Serialize)]
struct Request<'a> {
    entity_id: &'a str,
    header: &'a str,
    template_id: &'a str,
    template_category: &'a str,
    to: &'a str,
    text: &'a str,
}

impl DltSms {
    /// A sender for this provider.
    pub fn new(config: DltConfig) -> Result<Self, NotifyError> {
        // Somebody may have installed it before; it is the only one that is built in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(config.timeout)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(Internal::new)?;
        let url = format!("{}/sms/send", config.base_url.trim_end_matches('/'));
        Ok(Self { client, config, url })
    }
}

#[async_trait]
impl SmsSender for DltSms {
    async fn send(
        &self,
        to: &Phone,
        template: SmsTemplate,
        variables: &[&str],
    ) -> Result<(), NotifyError> {
        let registered = registered(template)?;
        let text = fill(registered.text, variables)?;
        let own_id = &self.config.otp_template_id;
        let template_id = match template {
            SmsTemplate::LoginCode if !own_id.is_empty() => own_id,
            _ => registered.id,
        };
        let body = Request {
            entity_id: &self.config.entity_id,
            header: &self.config.header,
            template_id,
            template_category: registered.category,
            to: to.e164(),
            text: &text,
        };
        let mut request =
            self.client.post(&self.url).header(ACCEPT, "application/json").json(&body);
        if !self.config.api_key.is_empty() {
            let bearer = format!("Bearer {}", self.config.api_key.expose());
            request = request.header(AUTHORIZATION, bearer);
        }
        // The error's text holds the URL and no personal data, but nothing that helps either.
        let response = request.send().await.map_err(|_| NotifyError::Unavailable)?;
        judge(response).await
    }
}

/// Taken, refused for good, or perhaps later.
async fn judge(response: Response) -> Result<(), NotifyError> {
    let status = response.status();
    let later = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if later {
        return Err(NotifyError::Unavailable);
    }
    let answer = read(response).await.ok_or(NotifyError::Unavailable)?;
    let field = |name: &str| answer.get(name).and_then(|v| v.as_str()).unwrap_or_default();
    if status.is_success() && field("status") == "accepted" {
        return Ok(());
    }
    // The provider's sentence may repeat the number or the text; its code does not.
    let code: String =
        field("code").chars().filter(|c| c.is_ascii_alphabetic() || *c == '_').take(40).collect();
    tracing::warn!(status = status.as_u16(), code, "sms refused");
    Err(NotifyError::Refused(if code.is_empty() { status.as_str().into() } else { code }))
}

/// The answer as JSON; `None` if it is none, too long, or breaks off.
async fn read(mut response: Response) -> Option<serde_json::Value> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}
