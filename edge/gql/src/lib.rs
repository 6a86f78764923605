//! GraphQL: one endpoint with a shop and an admin part.
//!
//! Resolvers are thin: they read arguments, call one module and shape the answer. What is not in
//! the schema cannot be reached, and SQL cannot be reached at all. The HTTP side follows
//! GraphQL-over-HTTP, the live side `graphql-transport-ws`; documents are bounded in depth and cost
//! before they run; anonymous catalogue answers are kept ready ([`cache`]).

mod admin;
mod cache;
mod context;
mod error;
mod http;
mod page;
mod persisted;
mod scalar;
mod schema;
mod shop;
mod signals;
mod weigh;
mod ws;

pub use context::{Services, ShopInfo};
pub use http::{GraphqlConfig, router};
pub use schema::{Limits, sdl};
