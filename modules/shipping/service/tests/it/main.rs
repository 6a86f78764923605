//! Shipping through its public interface, on both engines, against the simulator over HTTP and
//! against a courier that says whatever a test wants.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod follow;
mod push;
mod support;
