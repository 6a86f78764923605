//! Shipping: hands parcels to the courier aggregator and follows them.
//!
//! Owns the tables `parcel`, `parcel_scan` and `shipway_webhook`. What holds at all times:
//!
//! - A parcel is written down before the courier is called; after a lost answer it is looked up
//!   before it is pushed again, so the courier gets one order.
//! - Only what the courier's own API says moves a parcel. A webhook is a nudge to look.
//! - Every scan is kept, and the state follows from the set of them, in whatever order they came.
//! - State and event change in one transaction, and only if the state is another.
//! - No personal data is kept; an address passes through to the courier and is never logged.

mod config;
mod jobs;
mod rules;
mod service;
mod shipway;
mod store;

pub use config::{ShippingConfig, ShipwayConfig};
pub use jobs::Followed;
pub use service::{ShippingDeps, ShippingService};
pub use store::{MIGRATIONS, STATEMENTS};
