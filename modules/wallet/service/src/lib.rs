//! The ledger: accounts, transfers, holds.
//!
//! Owns `ledger_account`, `ledger_transfer` and `ledger_hold`. What always holds:
//!
//! - A transfer takes from one account what it gives to another, of one unit; it never changes.
//! - Its id is the caller's: booking it again changes nothing, booking something else under it is
//!   refused.
//! - A person's coins never fall below what is set aside, at any concurrency: a constraint of the
//!   database says so, and every statement that takes coins says so first.
//! - Coins come from the issuer and end as redeemed or expired. Nothing else can happen to them;
//!   [`rules::allowed`] is the one list.
//! - The shop's own accounts keep no balance, so that orders do not queue for one row. Their
//!   balance is the sum of their transfers.
//!
//! An error of a method that works inside a transaction spoils that transaction: hand it on, or
//! call within [`mela_db::Tx::attempt`].

mod jobs;
mod rules;
mod service;
mod store;

use mela_db::{Migration, MigrationSet};

pub use service::WalletService;
pub use store::STATEMENTS;

/// The module's tables.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "wallet",
    migrations: &[
        Migration::new("001_ledger", include_str!("../migrations/001_ledger.sql")),
        Migration {
            name: "002_frozen",
            sql: "",
            sqlite: Some(include_str!("../migrations/002_frozen.sqlite.sql")),
            postgres: Some(include_str!("../migrations/002_frozen.postgres.sql")),
        },
    ],
};
