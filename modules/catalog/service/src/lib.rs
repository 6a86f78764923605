//! The catalogue: products, variants, categories, pictures, reviews, and their import.
//!
//! Owns `product`, `variant`, `category`, `media`, `product_media` and `review`. What always holds:
//!
//! - A product is one document (`product.doc`); the other columns and `variant` are projections of
//!   it for look-ups, written in the same transaction by [`store`]'s one function.
//! - Whoever changes a product locks its row and gives it the next version first, so changes of one
//!   product come one after another and no change is lost.
//! - Every change leaves a `ProductChanged` in the outbox; caches of this and other processes live
//!   by it.
//! - A price is positive and never above the MRP: the database says so too.
//! - A picture is known by its content: the same bytes are kept and rendered once.
//! - An import writes a product only if what the files say of it has changed since the last import,
//!   and stock only if the files' number has: sales and edits by staff are not undone.

mod cache;
mod import;
mod jobs;
mod rules;
mod service;
mod store;

use mela_db::{Migration, MigrationSet};

pub use import::{
    HsnMap, HsnRule, ImportError, ImportOptions, ImportReport, OnProgress, Problem, Progress, Rate,
    RateError,
};
pub use service::CatalogService;
pub use store::STATEMENTS;

/// The module's tables.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "catalog",
    migrations: &[Migration::new("001_catalog", include_str!("../migrations/001_catalog.sql"))],
};
