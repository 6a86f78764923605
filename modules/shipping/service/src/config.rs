use std::time::Duration;

use mela_crypto::Secret;

/// How parcels are sent from here.
#[derive(Clone, Debug)]
pub struct ShippingConfig {
    /// Pincode of the dispatch location; decides what is near.
    pub dispatch_pincode: String,
    /// Usual days in transit within its state.
    pub days_near: i64,
    /// Usual days in transit to all other states.
    pub days_far: i64,
    /// Pincodes to which no courier collects cash.
    pub no_cash_pincodes: Vec<String>,
    /// The Shipway account.
    pub shipway: ShipwayConfig,
}

/// The Shipway account.
#[derive(Clone, Debug)]
pub struct ShipwayConfig {
    /// Where its API is, with `/api`.
    pub base_url: String,
    /// The account's e-mail address.
    pub email: String,
    /// The account's licence key.
    pub license_key: Secret,
    /// The secret part of the webhook's address.
    pub webhook_token: Secret,
    /// The constant that webhooks carry as `hash`; empty if it is not known.
    pub webhook_hash: Secret,
    /// Book each parcel with this carrier at once; otherwise Shipway or its panel chooses later.
    pub carrier_id: Option<String>,
    /// The warehouse to pick up from, if the account has several.
    pub warehouse_id: Option<String>,
    /// How long a call may take.
    pub timeout: Duration,
}
