//! The in-app inbox.
//!
//! Owns `inbox_message` and `inbox_merge`. What always holds:
//!
//! - A message is written once, whatever the number of tries: its id is the caller's.
//! - A person sees their own messages only; messages to a guest follow into the account that
//!   logged in, also those that arrive afterwards.
//! - [`mela_messaging_api::Messaging::watch`] is best effort: who was cut off reads the inbox.

mod jobs;
mod rules;
mod service;
mod store;
mod watch;

use mela_db::{Migration, MigrationSet};

pub use service::MessagingService;
pub use store::STATEMENTS;

/// The module's tables.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "messaging",
    migrations: &[Migration::new("001_inbox", include_str!("../migrations/001_inbox.sql"))],
};
