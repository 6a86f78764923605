//! Who calls: persons (guests and customers), staff, their sessions and tokens.
//!
//! Owns `person`, `otp`, `auth_limit`, `session` and `staff`. What always holds:
//!
//! - A code is good once, for one number, for ten minutes, for five tries. It is kept as a keyed
//!   hash. Two callers with the right code get one login.
//! - Nothing tells whether a number or an e-mail is known: answers and work are the same.
//! - A guest has no personal data. At the first login with a new number the guest becomes the
//!   customer; with a known number all that is the guest's goes to that customer
//!   ([`mela_identity_api::PersonMerged`]), and the guest's sessions end.
//! - Of a session's refresh tokens only the newest is good. An older one that comes back was
//!   copied, or its answer was lost: we cannot know, so the session ends. There is no grace time;
//!   a client must refresh from one place at a time.
//! - A session that has ended is refused at once in this process, and in the others as soon as
//!   the bus has told them; access tokens live for fifteen minutes in any case.

mod config;
mod jobs;
mod limits;
mod otp;
mod profile;
mod rules;
mod service;
mod sessions;
mod staff;
mod stop;
mod store;
mod tokens;

use mela_db::{Migration, MigrationSet};

pub use config::IdentityConfig;
pub use service::{IdentityDeps, IdentityService};
pub use store::STATEMENTS;

/// The module's tables.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "identity",
    migrations: &[Migration::new("001_identity", include_str!("../migrations/001_identity.sql"))],
};
