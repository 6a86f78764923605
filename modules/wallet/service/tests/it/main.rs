//! The ledger on both engines.

mod ledger;
mod races;
mod world;
