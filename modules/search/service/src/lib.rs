//! Search over the catalogue: each node keeps an index of its own, in a folder or in memory.
//!
//! The index holds nothing that the catalogue does not: it can be thrown away at any time. What
//! always holds:
//!
//! - A product stands in the index with its version. At start, and whenever events may have been
//!   missed, versions are compared and what differs is read again. One task writes, so an older
//!   version does not come after a newer one.
//! - A change is found within a fraction of a second: events are gathered for a moment and
//!   committed together.
//! - A query is words, never syntax: no input can be wrong, only without hits.
//! - One process has the index open for writing; a second one is told so.

mod facets;
mod follow;
mod query;
mod schema;
mod service;
mod words;

pub use service::SearchService;
