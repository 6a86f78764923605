//! What every resolver has at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_graphql::Context;
use mela_base::Op;
use mela_catalog_api::Catalog;
use mela_identity_api::Identity;
use mela_inventory_api::Inventory;
use mela_messaging_api::Messaging;
use mela_orders_api::Orders;
use mela_payments_api::Payments;
use mela_play_api::Boards;
use mela_search_api::Search;
use mela_shipping_api::Shipping;
use mela_wallet_api::Wallet;

/// The modules behind the API, and what the shop says of itself.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Services {
    pub catalog: Arc<dyn Catalog>,
    pub search: Arc<dyn Search>,
    pub inventory: Arc<dyn Inventory>,
    pub identity: Arc<dyn Identity>,
    pub orders: Arc<dyn Orders>,
    pub payments: Arc<dyn Payments>,
    pub shipping: Arc<dyn Shipping>,
    pub wallet: Arc<dyn Wallet>,
    pub messaging: Arc<dyn Messaging>,
    pub boards: Arc<dyn Boards>,
    pub shop: Arc<ShopInfo>,
}

/// What the shop says of itself.
#[derive(Clone, Debug)]
pub struct ShopInfo {
    /// Name.
    pub name: String,
    /// Where to ask.
    pub support_email: Option<String>,
    /// What a coin is worth.
    pub paise_per_coin: i64,
    /// Largest share of an order that coins may pay.
    pub coins_max_percent: i64,
    /// From this amount delivery is free.
    pub free_shipping_above: Option<mela_base::Paise>,
}

/// One request.
pub(crate) struct Request {
    pub(crate) op: Op,
    /// Set by the first resolver whose answer depends on who asks; such an answer is never cached.
    pub(crate) private: AtomicBool,
}

impl Request {
    pub(crate) fn new(op: Op) -> Self {
        Self { op, private: AtomicBool::new(false) }
    }
}

/// The modules.
pub(crate) fn services<'a>(ctx: &Context<'a>) -> &'a Services {
    ctx.data_unchecked::<Services>()
}

/// Who asks. Marks the answer as private.
pub(crate) fn op<'a>(ctx: &Context<'a>) -> &'a Op {
    let request = ctx.data_unchecked::<Arc<Request>>();
    request.private.store(true, Ordering::Relaxed);
    &request.op
}
