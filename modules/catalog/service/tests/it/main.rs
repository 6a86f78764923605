//! The catalogue through its contract, on both engines.

// A helper that cannot do its work can but fail the test.
#![allow(clippy::unwrap_used)]

mod cache;
mod edit;
mod hostile;
mod luma;
mod pictures;
mod shop;
mod statements;
