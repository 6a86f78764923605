//! Identity on both engines.

// Helpers of tests may fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod guests;
mod otp;
mod races;
mod sessions;
mod staff;
mod world;
