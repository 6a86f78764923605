//! Inventory: stock by location and what orders hold of it.
//!
//! Invariants:
//! - `0 ≤ reserved ≤ on_hand` for every row, checked by the database itself; so nothing is ever
//!   sold that is not there, whatever runs beside it.
//! - `reserved` of a row is the sum over all reservations of that place that are held or claimed.
//! - A reservation is one row per order and moves as a whole: `held → claimed → shipped`, and
//!   `held | claimed → released`. Only a released one may be reserved anew.
//! - Goods that come back undelivered do not become stock by themselves: staff set the level once
//!   they have looked at them.

mod jobs;
mod rules;
mod service;
mod store;

use mela_db::{Migration, MigrationSet};

pub use jobs::register_jobs;
pub use service::InventoryService;
pub use store::{STATEMENTS, STATEMENTS_POSTGRES};

/// The tables of this module.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "inventory",
    migrations: &[Migration::new("001_init", include_str!("migrations/001_init.sql"))],
};
