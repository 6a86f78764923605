//! Orders, payments and refunds, and how Razorpay writes them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderStatus {
    Created,
    Attempted,
    Paid,
}

#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) amount: i64,
    pub(crate) amount_paid: i64,
    pub(crate) receipt: Option<String>,
    pub(crate) status: OrderStatus,
    pub(crate) attempts: u32,
    pub(crate) notes: Map<String, Value>,
    pub(crate) created_at: i64,
    pub(crate) auto_capture: bool,
    /// How long an authorised payment waits to be captured by hand.
    pub(crate) capture_within_min: i64,
    pub(crate) payments: Vec<String>,
}

impl Order {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "entity": "order",
            "amount": self.amount,
            "amount_paid": self.amount_paid,
            "amount_due": self.amount - self.amount_paid,
            "currency": "INR",
            "receipt": self.receipt,
            "offer_id": null,
            "status": self.status,
            "attempts": self.attempts,
            "notes": notes_json(&self.notes),
            "created_at": self.created_at,
        })
    }
}

/// Razorpay writes empty notes as a list.
pub(crate) fn notes_json(notes: &Map<String, Value>) -> Value {
    if notes.is_empty() { json!([]) } else { Value::Object(notes.clone()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    Upi,
    Card,
    Netbanking,
    Wallet,
}

impl Method {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Upi => "upi",
            Self::Card => "card",
            Self::Netbanking => "netbanking",
            Self::Wallet => "wallet",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PaymentStatus {
    Created,
    Authorized,
    Captured,
    Refunded,
    Failed,
}

#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) id: String,
    pub(crate) last4: String,
    pub(crate) iin: String,
    pub(crate) network: &'static str,
}

impl Card {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "entity": "card", "name": "", "last4": self.last4,
            "network": self.network, "type": "credit", "issuer": null, "international": false,
            "emi": false, "sub_type": "consumer", "token_iin": null, "iin": self.iin,
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) id: String,
    /// What a QR code collects belongs to no order.
    pub(crate) order_id: Option<String>,
    pub(crate) amount: i64,
    pub(crate) method: Method,
    pub(crate) status: PaymentStatus,
    pub(crate) captured: bool,
    pub(crate) amount_refunded: i64,
    pub(crate) card: Option<Card>,
    pub(crate) vpa: Option<String>,
    pub(crate) bank: Option<String>,
    pub(crate) wallet: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) contact: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) notes: Map<String, Value>,
    /// Including the GST on it; known at capture.
    pub(crate) fee: Option<i64>,
    pub(crate) tax: Option<i64>,
    pub(crate) failure: Option<Failure>,
    /// The bank's reference numbers; drawn with the authorisation.
    pub(crate) reference: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) refunds: Vec<String>,
}

impl Payment {
    fn refund_status(&self) -> Option<&'static str> {
        match self.amount_refunded {
            0 => None,
            n if n >= self.amount => Some("full"),
            _ => Some("partial"),
        }
    }

    fn acquirer_data(&self) -> Value {
        let Some(reference) = &self.reference else {
            return match self.method {
                Method::Upi => json!({ "rrn": null }),
                Method::Card => json!({ "auth_code": null }),
                Method::Netbanking => json!({ "bank_transaction_id": null }),
                Method::Wallet => json!({ "transaction_id": null }),
            };
        };
        match self.method {
            Method::Upi => {
                json!({ "rrn": reference, "upi_transaction_id": format!("MELASIM{reference}") })
            }
            Method::Card => {
                json!({ "auth_code": reference[..6], "rrn": reference, "arn": format!("7452{reference}") })
            }
            Method::Netbanking => json!({ "bank_transaction_id": reference }),
            Method::Wallet => json!({ "transaction_id": reference }),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let f = self.failure;
        let mut payment = json!({
            "id": self.id,
            "entity": "payment",
            "amount": self.amount,
            "currency": "INR",
            "status": self.status,
            "order_id": self.order_id,
            "invoice_id": null,
            "international": false,
            "method": self.method,
            "amount_refunded": self.amount_refunded,
            "refund_status": self.refund_status(),
            "captured": self.captured,
            "description": self.description,
            "card_id": self.card.as_ref().map(|c| &c.id),
            "bank": self.bank,
            "wallet": self.wallet,
            "vpa": self.vpa,
            "email": self.email,
            "contact": self.contact,
            "customer_id": null,
            "token_id": null,
            "notes": notes_json(&self.notes),
            "fee": self.fee,
            "tax": self.tax,
            "error_code": f.map(|f| f.code),
            "error_description": f.map(|f| f.description),
            "error_source": f.map(|f| f.source),
            "error_step": f.map(|f| f.step),
            "error_reason": f.map(|f| f.reason),
            "acquirer_data": self.acquirer_data(),
            "created_at": self.created_at,
        });
        if self.method == Method::Upi {
            payment["upi"] = json!({ "vpa": self.vpa });
        }
        payment
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundStatus {
    Pending,
    Processed,
    Failed,
}

#[derive(Debug, Clone)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) payment_id: String,
    pub(crate) amount: i64,
    pub(crate) receipt: Option<String>,
    pub(crate) notes: Map<String, Value>,
    pub(crate) status: RefundStatus,
    pub(crate) optimum: bool,
    /// Set while pending: whether it will fail in the end.
    pub(crate) doomed: bool,
    /// Razorpay gave an uncaptured payment back; no money of the shop moved.
    pub(crate) automatic: bool,
    pub(crate) arn: Option<String>,
    pub(crate) created_at: i64,
}

impl Refund {
    pub(crate) fn json(&self) -> Value {
        let speed = if self.optimum { "optimum" } else { "normal" };
        let processed = if self.optimum { "instant" } else { "normal" };
        json!({
            "id": self.id,
            "entity": "refund",
            "amount": self.amount,
            "currency": "INR",
            "payment_id": self.payment_id,
            "notes": notes_json(&self.notes),
            "receipt": self.receipt,
            "acquirer_data": { "arn": self.arn },
            "created_at": self.created_at,
            "batch_id": null,
            "status": self.status,
            "speed_requested": speed,
            "speed_processed": processed,
        })
    }
}

/// `fee` and the tax inside it for a captured amount, each rounded half up to the paisa.
pub(crate) fn fee(amount: i64, fee_bps: u32) -> (i64, i64) {
    let base = (amount * i64::from(fee_bps) + 5_000) / 10_000;
    let tax = (base * 18 + 50) / 100;
    (base + tax, tax)
}

/// How an attempt to pay ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Success,
    Fail(&'static Failure),
    /// The bank does not answer; fails by itself after ten minutes.
    Pending,
    /// Given up first, then the bank says yes after all.
    Late(u32),
}

#[cfg(test)]
mod tests {
    #[test]
    fn fees_are_those_of_the_documentation() {
        assert_eq!(super::fee(500_000, 200), (11_800, 1_800));
        assert_eq!(super::fee(100, 200), (2, 0));
    }
}
