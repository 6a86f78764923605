//! The ledger on both engines.

// Helpers of tests may fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ledger;
mod races;
mod world;
