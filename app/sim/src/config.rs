//! What the simulators can be told at start. Everything has a default that works.

use serde::{Deserialize, Serialize};

/// Settings of all simulators.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Port of the HTTP listener, 0 for a free one.
    pub http_port: u16,
    /// Port of the SMTP listener, 0 for a free one.
    pub smtp_port: u16,
    /// The same seed gives the same ids in the same order. `None` draws one, so that a shop whose
    /// database outlives the simulator never meets an id twice.
    pub seed: Option<u64>,
    /// Refuse what the providers refuse: unknown fields, a wrong content type, `basic` in lower case.
    pub strict: bool,
    /// How many orders, payments, refunds and parcels are kept, each; the oldest go first.
    pub max_objects: usize,
    /// Razorpay.
    pub razorpay: RazorpayConfig,
    /// Shipway.
    pub shipway: ShipwayConfig,
    /// SMS.
    pub sms: SmsConfig,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            http_port: 0,
            smtp_port: 0,
            seed: None,
            strict: true,
            max_objects: 200_000,
            razorpay: RazorpayConfig::default(),
            shipway: ShipwayConfig::default(),
            sms: SmsConfig::default(),
        }
    }
}

impl SimConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.max_objects == 0 {
            return Err("max_objects must be at least 1".into());
        }
        if self.razorpay.fee_bps > 10_000 {
            return Err("razorpay fee_bps must be at most 10000, which is 100 %".into());
        }
        for url in [&self.razorpay.webhook_url, &self.shipway.webhook_url].into_iter().flatten() {
            check_hook_url(url)?;
        }
        self.sms.templates.iter().try_for_each(SmsTemplate::check)
    }
}

/// Webhooks go over plain http only: the simulators carry no TLS.
pub(crate) fn check_hook_url(url: &str) -> Result<(), String> {
    match url.parse::<axum::http::Uri>() {
        Ok(uri) if uri.scheme_str() == Some("http") && uri.authority().is_some() => Ok(()),
        _ => Err(format!("webhook url {url:?} must start with http:// and name a host")),
    }
}

/// The simulated Razorpay account.
#[derive(Debug, Clone)]
pub struct RazorpayConfig {
    /// User of the basic auth.
    pub key_id: String,
    /// Password of the basic auth; also signs checkout callbacks.
    pub key_secret: String,
    /// Signs webhooks.
    pub webhook_secret: String,
    /// Where webhooks go; none are sent without it.
    pub webhook_url: Option<String>,
    /// Fee in hundredths of a percent, before the 18 % GST on it.
    pub fee_bps: u32,
    /// The account refuses a second order with the same receipt.
    pub unique_receipts: bool,
    /// Account id in webhooks.
    pub account_id: String,
    /// Who is paid, in UPI links and on the page.
    pub merchant_vpa: String,
    /// Shown on the page and in UPI links when the shop gives no name.
    pub merchant_name: String,
}

impl Default for RazorpayConfig {
    fn default() -> Self {
        Self {
            key_id: "rzp_test_simulator01".into(),
            key_secret: "simulator-key-secret".into(),
            webhook_secret: "simulator-webhook-secret".into(),
            webhook_url: None,
            fee_bps: 200,
            unique_receipts: false,
            account_id: "acc_MelaSimulator1".into(),
            merchant_vpa: "mela.sim@razorpay".into(),
            merchant_name: "Mela test shop".into(),
        }
    }
}

/// The simulated Shipway account.
#[derive(Debug, Clone)]
pub struct ShipwayConfig {
    /// User of the basic auth.
    pub email: String,
    /// Password of the basic auth.
    pub license_key: String,
    /// The constant that every webhook carries in `hash`; the receiver knows the same constant.
    pub webhook_hash: String,
    /// Where tracking webhooks go; none are sent without it.
    pub webhook_url: Option<String>,
    /// Walk each parcel through its whole way by itself, one step per this many milliseconds.
    pub auto_step_ms: Option<u64>,
}

impl Default for ShipwayConfig {
    fn default() -> Self {
        Self {
            email: "demo@mela.example".into(),
            license_key: "simulator-license-key".into(),
            webhook_hash: "9fc3c21b7ef10d01b7a7b048768ad307".into(),
            webhook_url: None,
            auto_step_ms: None,
        }
    }
}

/// The simulated SMS gateway and what is registered with the DLT.
#[derive(Debug, Clone)]
pub struct SmsConfig {
    /// The one known sender (principal entity).
    pub entity_id: String,
    /// If set, callers need `Authorization: Bearer <key>`.
    pub api_key: Option<String>,
    /// Longest text that one `{#var#}` slot takes, in characters.
    pub max_slot: usize,
    /// Registered templates; `/_sim/sms/templates` adds more.
    pub templates: Vec<SmsTemplate>,
}

impl Default for SmsConfig {
    fn default() -> Self {
        Self {
            entity_id: "1201150000000000001".into(),
            api_key: None,
            max_slot: 30,
            templates: Vec::new(),
        }
    }
}

/// The four kinds of message the regulation knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SmsCategory {
    /// One-time passwords of banks and the like.
    Transactional,
    /// Caused by the customer's own act, no consent needed.
    #[serde(rename = "Service-Implicit")]
    ServiceImplicit,
    /// Service with consent.
    #[serde(rename = "Service-Explicit")]
    ServiceExplicit,
    /// Advertising: by day only, never to numbers on the do-not-disturb list.
    Promotional,
}

/// A registered message: fixed text with `{#var#}` slots.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsTemplate {
    /// 12 to 19 digits.
    pub template_id: String,
    /// Registered sender name: six letters, or six digits for promotional ones.
    pub header: String,
    /// Which rules apply.
    pub category: SmsCategory,
    /// The text; everything outside the slots must match to the character.
    pub text: String,
}

impl SmsTemplate {
    pub(crate) fn check(&self) -> Result<(), String> {
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let id = &self.template_id;
        if !(12..=19).contains(&id.len()) || !digits(id) {
            return Err(format!("template_id {id:?} must be 12 to 19 digits"));
        }
        let promo = self.category == SmsCategory::Promotional;
        let right_kind = if promo {
            digits(&self.header)
        } else {
            self.header.bytes().all(|b| b.is_ascii_alphabetic())
        };
        if self.header.len() != 6 || !right_kind {
            return Err(format!(
                "header {:?} of template {id} must be six {}",
                self.header,
                if promo { "digits, because it is promotional" } else { "letters" }
            ));
        }
        if self.text.is_empty() || self.text.chars().count() > 2_000 {
            return Err(format!("text of template {id} must have 1 to 2000 characters"));
        }
        Ok(())
    }
}
