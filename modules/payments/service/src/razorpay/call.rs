//! Requests.

use mela_base::Paise;
use mela_base::ids::{OrderId, PaymentId, RefundId};
use serde_json::json;

use crate::gateway::Call;

fn get(path: String) -> Call {
    Call { method: "GET", path, headers: Vec::new(), body: None }
}

fn post(path: String, body: &serde_json::Value) -> Call {
    Call { method: "POST", path, headers: Vec::new(), body: Some(body.to_string()) }
}

/// Makes the gateway's order. The same receipt again gives the same order.
pub(crate) fn create_order(payment: PaymentId, order: OrderId, amount: Paise) -> Call {
    post(
        "/v1/orders".to_owned(),
        &json!({
            "amount": amount.0,
            "currency": "INR",
            "receipt": payment.to_string(),
            "unique_receipt": true,
            "payment": { "capture": "automatic", "capture_options": {
                "automatic_expiry_period": 30,
                "manual_expiry_period": 7200,
                "refund_speed": "normal",
            }},
            "notes": { "payment_id": payment.to_string(), "order_id": order.to_string() },
        }),
    )
}

/// Finds the gateway's order of a payment of ours.
pub(crate) fn orders_by_receipt(payment: PaymentId) -> Call {
    get(format!("/v1/orders?receipt={payment}&count=10"))
}

/// All payments that were tried for a gateway order.
pub(crate) fn payments_of_order(gateway_order: &str) -> Call {
    get(format!("/v1/orders/{gateway_order}/payments"))
}

/// One payment.
pub(crate) fn payment(gateway_payment: &str) -> Call {
    get(format!("/v1/payments/{gateway_payment}"))
}

/// Takes the money of an authorised payment, always all of it.
pub(crate) fn capture(gateway_payment: &str, amount: Paise) -> Call {
    post(
        format!("/v1/payments/{gateway_payment}/capture"),
        &json!({ "amount": amount.0, "currency": "INR" }),
    )
}

/// Gives money back. The refund's id is the idempotency key and the receipt.
pub(crate) fn refund(gateway_payment: &str, refund: RefundId, amount: Paise) -> Call {
    let mut call = post(
        format!("/v1/payments/{gateway_payment}/refund"),
        &json!({
            "amount": amount.0,
            "speed": "normal",
            "receipt": refund.to_string(),
            "notes": { "refund_id": refund.to_string() },
        }),
    );
    call.headers.push(("x-refund-idempotency", refund.to_string()));
    call
}

/// One refund.
pub(crate) fn refund_by_id(gateway_refund: &str) -> Call {
    get(format!("/v1/refunds/{gateway_refund}"))
}

/// All refunds of a payment.
pub(crate) fn refunds_of_payment(gateway_payment: &str) -> Call {
    get(format!("/v1/payments/{gateway_payment}/refunds?count=100"))
}

#[cfg(test)]
mod tests {
    use mela_base::Id;

    use super::*;

    /// With the body's keys sorted, however serde_json was built.
    fn text(call: &Call) -> String {
        fn sorted(value: serde_json::Value) -> serde_json::Value {
            match value {
                serde_json::Value::Object(map) => {
                    let mut pairs: Vec<_> = map.into_iter().collect();
                    pairs.sort_by(|a, b| a.0.cmp(&b.0));
                    pairs.into_iter().map(|(k, v)| (k, sorted(v))).collect()
                }
                other => other,
            }
        }
        let headers: String = call.headers.iter().map(|(n, v)| format!("\n{n}: {v}")).collect();
        let body =
            call.body.as_deref().map(|b| format!("\n{}", sorted(serde_json::from_str(b).unwrap())));
        let body = body.unwrap_or_default();
        format!("{} {}{headers}{body}", call.method, call.path)
    }

    #[test]
    fn bytes_on_the_wire() {
        let p = PaymentId(Id::from_parts(1_700_000_000_000, [7; 10]));
        let o = OrderId(Id::from_parts(1_700_000_000_000, [1; 10]));
        let r = RefundId(Id::from_parts(1_700_000_000_000, [3; 10]));
        assert!(p.to_string().len() <= 40, "a receipt has at most 40 characters");
        assert_eq!(
            text(&create_order(p, o, Paise(49_900))),
            r#"POST /v1/orders
{"amount":49900,"currency":"INR","notes":{"order_id":"ord_01hf7yat00e40r2081040g2081","payment_id":"pmt_01hf7yat00ew3re1r70w3ge1r7"},"payment":{"capture":"automatic","capture_options":{"automatic_expiry_period":30,"manual_expiry_period":7200,"refund_speed":"normal"}},"receipt":"pmt_01hf7yat00ew3re1r70w3ge1r7","unique_receipt":true}"#
        );
        assert_eq!(
            text(&orders_by_receipt(p)),
            "GET /v1/orders?receipt=pmt_01hf7yat00ew3re1r70w3ge1r7&count=10"
        );
        assert_eq!(text(&payments_of_order("order_A1")), "GET /v1/orders/order_A1/payments");
        assert_eq!(text(&payment("pay_A1")), "GET /v1/payments/pay_A1");
        assert_eq!(
            text(&capture("pay_A1", Paise(100))),
            "POST /v1/payments/pay_A1/capture\n{\"amount\":100,\"currency\":\"INR\"}"
        );
        assert_eq!(
            text(&refund("pay_A1", r, Paise(250))),
            r#"POST /v1/payments/pay_A1/refund
x-refund-idempotency: rfd_01hf7yat00ec1r60r30c1g60r3
{"amount":250,"notes":{"refund_id":"rfd_01hf7yat00ec1r60r30c1g60r3"},"receipt":"rfd_01hf7yat00ec1r60r30c1g60r3","speed":"normal"}"#
        );
        assert_eq!(text(&refund_by_id("rfnd_A1")), "GET /v1/refunds/rfnd_A1");
        assert_eq!(
            text(&refunds_of_payment("pay_A1")),
            "GET /v1/payments/pay_A1/refunds?count=100"
        );
    }
}
