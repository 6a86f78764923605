//! Both ways out, against the simulators.

// Helpers of tests may fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mail;
mod sms;
mod world;
