//! The plain HTTP around the API: pictures, invoices, webhooks, gateway redirects, keys, health and
//! metrics. Errors are RFC 9457 problem documents with the same stable codes as everywhere.

mod files;
mod health;
mod problem;
mod request;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use mela_catalog_api::Catalog;
use mela_identity_api::Identity;
use mela_orders_api::Orders;
use mela_payments_api::Payments;
use mela_shipping_api::Shipping;
use mela_telemetry::Metrics;

pub use health::Readiness;
pub use request::{Proxies, RequestIds, client_addresses, request_ids};

/// Largest webhook or redirect body, in bytes.
const MAX_HOOK_BYTES: usize = 256 * 1024;

/// The modules behind the routes.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Services {
    pub catalog: Arc<dyn Catalog>,
    pub identity: Arc<dyn Identity>,
    pub orders: Arc<dyn Orders>,
    pub payments: Arc<dyn Payments>,
    pub shipping: Arc<dyn Shipping>,
}

/// What the handlers share.
struct Edge {
    services: Services,
    pictures: files::Pictures,
}

/// Pictures, invoices, webhooks, redirects, keys.
pub fn router(services: Services) -> Router {
    let edge = Arc::new(Edge { services, pictures: files::Pictures::new() });
    Router::new()
        .route("/media/{blob}/{file}", get(files::picture))
        .route("/invoices/{file}", get(files::invoice))
        .route("/payments/{gateway}/callback", post(webhooks::callback))
        .route("/payments/{gateway}/cancel", get(webhooks::cancel))
        .route("/webhooks/shipway/{secret}", post(webhooks::shipway))
        .route("/webhooks/payments/{gateway}", post(webhooks::payment))
        .route("/.well-known/jwks.json", get(files::jwks))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_HOOK_BYTES))
        .with_state(edge)
}

/// More lines for `/metrics`, made when they are asked for.
pub type MoreMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Health and metrics, which a shop may want on another port.
pub fn ops_router(readiness: Readiness, metrics: Metrics, more: MoreMetrics) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .with_state(health::Ops { readiness, metrics, more })
}
