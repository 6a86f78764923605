//! Transactional outbox and its delivery to consumers.
//!
//! A service writes an event with [`emit`] in the transaction of the fact: one INSERT. What was
//! rolled back never leaves; what was committed always does.
//!
//! - **Consumers** ([`Bus::subscribe`]) get every event at least once, by one process. Their handlers
//!   must be idempotent. Events of one key come one after another as long as none fails; a failed
//!   one comes again later, after a growing while, and is kept for a replay when it has failed
//!   [`MAX_ATTEMPTS`] times. Every process that runs the dispatcher must have all consumers.
//! - **Live** receivers ([`Bus::live`]) get every event that commits from now on in every process,
//!   best effort and without retries: for caches, search indexes and subscriptions. A receiver
//!   that lags is told so (`RecvError::Lagged`) and must load its state anew.

mod bus;
mod dispatch;
mod store;

pub use bus::{Bus, DeadEvent, Delivered, Handler, MAX_ATTEMPTS};
pub use store::{EventRow, MIGRATIONS, STATEMENTS, emit, emit_all, own_statements};
