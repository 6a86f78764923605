//! Answers. Only the fields that are used are read; unknown ones are ignored, wrong ones refused.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::is_id;
use crate::gateway::{Answer, GatewayError, PaymentFact, RefundFact, RefundState, Status};

/// The gateway's order.
#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) receipt: Option<String>,
}

/// A payment as Razorpay writes it, in answers and webhooks.
#[derive(Debug, Deserialize)]
pub(crate) struct Payment {
    id: String,
    order_id: Option<String>,
    amount: i64,
    currency: String,
    status: String,
    amount_refunded: Option<i64>,
    error_reason: Option<String>,
}

/// A refund as Razorpay writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Refund {
    id: String,
    payment_id: String,
    amount: i64,
    status: Option<String>,
    receipt: Option<String>,
}

#[derive(Deserialize)]
struct Collection<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalBody,
}

#[derive(Deserialize)]
struct RefusalBody {
    description: Option<String>,
}

/// The object of a 200, or why there is none. 5xx and 429 leave open whether it was done.
fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, GatewayError> {
    match answer.status {
        200 => serde_json::from_slice(&answer.body)
            .map_err(|_| GatewayError::Unknown("the answer cannot be read")),
        // About our account: no shopper can do anything about it.
        401 | 403 => Err(GatewayError::Unknown("it does not accept the account's key")),
        400..=499 if answer.status != 429 => {
            let text = serde_json::from_slice::<Refusal>(&answer.body)
                .ok()
                .and_then(|r| r.error.description)
                .unwrap_or_else(|| "no reason given".to_owned());
            let description = text.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(GatewayError::Refused { status: answer.status, description })
        }
        _ => Err(GatewayError::Unknown("it answered with a server error")),
    }
}

/// The order that was made or found.
pub(crate) fn order(answer: &Answer) -> Result<Order, GatewayError> {
    read::<Order>(answer).and_then(checked_order)
}

/// The orders of a search.
pub(crate) fn orders(answer: &Answer) -> Result<Vec<Order>, GatewayError> {
    read::<Collection<Order>>(answer)?.items.into_iter().map(checked_order).collect()
}

fn checked_order(order: Order) -> Result<Order, GatewayError> {
    if is_id(&order.id, "order_") {
        Ok(order)
    } else {
        Err(GatewayError::Unknown("an order without a proper id"))
    }
}

/// One payment.
pub(crate) fn payment(answer: &Answer) -> Result<PaymentFact, GatewayError> {
    read::<Payment>(answer)?
        .fact()
        .ok_or(GatewayError::Unknown("a payment that does not belong to an order"))
}

/// The payments of an order.
pub(crate) fn payments(answer: &Answer) -> Result<Vec<PaymentFact>, GatewayError> {
    Ok(read::<Collection<Payment>>(answer)?.items.iter().filter_map(Payment::fact).collect())
}

/// One refund.
pub(crate) fn refund(answer: &Answer) -> Result<RefundFact, GatewayError> {
    read::<Refund>(answer)?.fact().ok_or(GatewayError::Unknown("a refund without a proper id"))
}

/// The refunds of a payment.
pub(crate) fn refunds(answer: &Answer) -> Result<Vec<RefundFact>, GatewayError> {
    Ok(read::<Collection<Refund>>(answer)?.items.iter().filter_map(Refund::fact).collect())
}

impl Payment {
    /// `None` if it belongs to no order (a payment link, a QR code) or its ids are not ids.
    pub(crate) fn fact(&self) -> Option<PaymentFact> {
        let gateway_order_id = self.order_id.clone().filter(|id| is_id(id, "order_"))?;
        let status = match self.status.as_str() {
            "authorized" => Status::Authorized,
            "captured" => Status::Captured,
            "failed" => Status::Failed,
            "refunded" => Status::Refunded,
            _ => Status::Open,
        };
        is_id(&self.id, "pay_").then(|| PaymentFact {
            id: self.id.clone(),
            gateway_order_id,
            amount: self.amount,
            currency: self.currency.chars().take(8).collect(),
            status,
            amount_refunded: self.amount_refunded.unwrap_or_default(),
            reason: self.error_reason.as_ref().map(|r| r.chars().take(64).collect()),
        })
    }
}

impl Refund {
    /// `None` if its ids are not ids.
    pub(crate) fn fact(&self) -> Option<RefundFact> {
        let state = match self.status.as_deref() {
            Some("processed") => RefundState::Processed,
            Some("failed") => RefundState::Failed,
            _ => RefundState::Pending,
        };
        (is_id(&self.id, "rfnd_") && is_id(&self.payment_id, "pay_")).then(|| RefundFact {
            id: self.id.clone(),
            gateway_payment_id: self.payment_id.clone(),
            amount: self.amount,
            state,
            receipt: self.receipt.as_ref().map(|r| r.chars().take(64).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn an_order() {
        let body = r#"{"id":"order_EKwxwAgItmmXdp","entity":"order","amount":50000,"amount_paid":0,"amount_due":50000,"currency":"INR","receipt":"r1","offer_id":null,"status":"created","attempts":0,"notes":[],"created_at":1582628071}"#;
        let order = super::order(&answer(200, body)).unwrap();
        assert_eq!((order.id.as_str(), order.amount), ("order_EKwxwAgItmmXdp", 50_000));
        // Cut in the middle: it may have been done.
        let half = &body[..body.len() / 2];
        assert!(matches!(super::order(&answer(200, half)), Err(GatewayError::Unknown(_))));
        let hostile = body.replace("order_EKwxwAgItmmXdp", "order_../../x");
        assert!(matches!(super::order(&answer(200, &hostile)), Err(GatewayError::Unknown(_))));
    }

    #[test]
    fn refusals_and_accidents_are_told_apart() {
        let body = r#"{"error":{"code":"BAD_REQUEST_ERROR","description":"This payment has already been captured","reason":"NA","metadata":{}}}"#;
        assert_eq!(
            payment(&answer(400, body)),
            Err(GatewayError::Refused {
                status: 400,
                description: "This payment has already been captured".to_owned()
            })
        );
        assert!(matches!(payment(&answer(404, "nonsense")), Err(GatewayError::Refused { .. })));
        for status in [401, 403, 500, 502, 503, 429, 302] {
            assert!(matches!(payment(&answer(status, body)), Err(GatewayError::Unknown(_))));
        }
    }

    #[test]
    fn payments_and_refunds() {
        let list = r#"{"entity":"collection","count":2,"items":[
            {"id":"pay_1a","entity":"payment","amount":50000,"currency":"INR","status":"failed","order_id":"order_1","amount_refunded":0,"error_reason":"payment_cancelled","notes":[]},
            {"id":"pay_2b","entity":"payment","amount":50000,"currency":"INR","status":"captured","order_id":"order_1","amount_refunded":null,"error_reason":null,"notes":{"a":"b"}},
            {"id":"pay_3c","entity":"payment","amount":50000,"currency":"INR","status":"captured","order_id":null}]}"#;
        let facts = payments(&answer(200, list)).unwrap();
        assert_eq!(facts.len(), 2);
        assert_eq!(facts[0].status, Status::Failed);
        assert_eq!(facts[0].reason.as_deref(), Some("payment_cancelled"));
        assert_eq!(facts[1].status, Status::Captured);
        let refund = r#"{"id":"rfnd_1","entity":"refund","amount":100,"currency":"INR","payment_id":"pay_1a","notes":[],"receipt":null,"status":"pending"}"#;
        assert_eq!(super::refund(&answer(200, refund)).unwrap().state, RefundState::Pending);
    }
}
