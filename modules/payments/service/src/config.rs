use std::time::Duration;

use mela_crypto::Secret;

/// How payments are collected here.
#[derive(Clone, Debug)]
pub struct PaymentsConfig {
    /// Where shoppers reach this server, without a slash at the end; gateways redirect there.
    pub public_url: String,
    /// The shop's name on the gateway's page.
    pub shop_name: String,
    /// Razorpay, if it is set up.
    pub razorpay: Option<RazorpayConfig>,
}

/// The Razorpay account.
#[derive(Clone, Debug)]
pub struct RazorpayConfig {
    /// Where its API and its hosted page are, without `/v1`.
    pub base_url: String,
    /// Public half of the API key.
    pub key_id: String,
    /// Secret half of the API key.
    pub key_secret: Secret,
    /// Signs webhooks.
    pub webhook_secret: Secret,
    /// The one before it; empty if there is none. Retries still use it after a change.
    pub webhook_secret_previous: Secret,
    /// How long a call may take.
    pub timeout: Duration,
}
