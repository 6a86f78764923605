//! Shipway's OMS API: requests and answers. Pure; no I/O except in `client`.
//!
//! What it can and cannot, as far as this module counts on it:
//! - Refusals come as HTTP 200 with `success: false`; `success` can be `true`, `1` or `"1"`.
//! - There is no idempotency key. An order is known by our order number, so after a lost answer
//!   it is looked up before it is pushed again.
//! - The air waybill number comes with the answer only if the carrier was named; otherwise later.
//! - Times have no zone and are Indian.
//! - A webhook proves nothing: a secret path, a constant, no signature. It is only a nudge.

pub(crate) mod answer;
pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod hook;
pub(crate) mod when;
