//! Payments through their public interface, on both engines, against the simulator over HTTP and
//! against a gateway that says whatever a test wants.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod flow;
mod hooks;
mod recovery;
mod refunds;
mod shuffle;
mod support;
