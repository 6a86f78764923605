//! Play through its public interface, on both engines.

// Helpers of tests may fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod boards;
mod matches;
mod world;
