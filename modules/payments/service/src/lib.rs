//! Payments: collects the money of an order, and gives it back.
//!
//! Owns the tables `payment`, `refund` and `payment_webhook`. What holds at all times:
//!
//! - The intent is written before a gateway is called, and every call may be repeated: orders are
//!   found again by their receipt, refunds by their idempotency key.
//! - News come by redirect, by webhook and by the recovery's own look, in any order and any number
//!   of times; all take one way (`settle.rs`), and the outcome is the same.
//! - Money is believed only with the right signature or from the gateway's own API, and only if
//!   order, amount and currency are ours.
//! - At most one payment pays an order (a unique index), and never more than was captured goes back
//!   (a CHECK). Money that nobody waits for goes back by itself.
//! - State, ledger and event change in one transaction.
//! - No personal data is kept: of webhooks only ids, amounts and states are stored.

mod config;
mod gateway;
mod jobs;
mod razorpay;
mod redirect;
mod refund;
mod rules;
mod service;
mod settle;
mod store;

pub use config::{PaymentsConfig, RazorpayConfig};
pub use jobs::Recovered;
pub use service::{PaymentsDeps, PaymentsService};
pub use store::{MIGRATIONS, STATEMENTS};
