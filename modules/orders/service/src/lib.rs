//! Orders: carts, checkout, the order, its invoice.
//!
//! Owns `cart`, `customer_order`, `order_line`, `invoice_counter`, `coupon`, `coupon_use`.
//! What always holds:
//!
//! - A cart becomes at most one order, an idempotency key stands for at most one order, and the
//!   same request again gives the same order: unique indexes say so.
//! - Lines, sums and tax of an order never change; `taxable + tax = total` for every line, checked
//!   by the database too.
//! - State moves only along [`mela_orders_api::OrderState::may_become`], only in
//!   [`moves`](crate::moves), only while the transaction holds the order's row, and leaves a line of
//!   history. Whatever hangs on a move (stock, coins, coupon, payment, ledger, event, invoice number)
//!   happens in the same transaction.
//! - Invoice numbers of a GSTIN, series and financial year are consecutive without gaps: the counter
//!   is raised in the transaction that confirms the order, as late in it as possible.
//! - Addresses are sealed under the key of a person; a cart without an owner makes a guest for it.
//!   An order remembers under whose key its address lies, also when a guest becomes a customer.
//!   Rendered invoices are sealed the same way.

mod cart;
mod cart_view;
mod config;
mod events;
mod fail;
pub mod gst;
mod invoice;
mod jobs;
mod moves;
mod place;
mod rules;
mod service;
mod store;
mod totals;
mod view;
mod watch;

use mela_db::{Migration, MigrationSet};

pub use config::OrdersConfig;
pub use service::{OrdersDeps, OrdersService};
pub use store::STATEMENTS;

/// The tables of this module.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "orders",
    migrations: &[
        Migration::new("001_init", include_str!("migrations/001_init.sql")),
        Migration::new("002_of_person", include_str!("migrations/002_of_person.sql")),
    ],
};
