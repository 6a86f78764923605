//! Razorpay: requests, answers, signatures. Pure; no I/O.
//!
//! What it can and cannot, as far as this module counts on it:
//! - An order has no idempotency header, but `unique_receipt` gives the same order for the same
//!   receipt. An account may refuse repeated receipts instead; then the order is found by receipt.
//! - No partial capture. Capturing twice is refused with 400, so a refusal is followed by a look.
//! - Refunds have `X-Refund-Idempotency`, may be partial, and can fail after they were accepted.
//! - There is no 404: an unknown id is a 400. Errors come as `{"error":{…}}`.
//! - Webhooks are signed over the raw body, come more than once and in any order.
//! - `failed` can become `authorized` and `captured` days later for the same payment.

pub(crate) mod answer;
pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod hook;
pub(crate) mod reason;
pub(crate) mod signature;

/// Its name in the database, in URLs and in [`mela_payments_api::Method`].
pub(crate) const NAME: &str = "razorpay";

/// An id as Razorpay makes them; anything else must not get into a URL or a table.
pub(crate) fn is_id(text: &str, prefix: &str) -> bool {
    text.len() <= 40
        && text
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}
