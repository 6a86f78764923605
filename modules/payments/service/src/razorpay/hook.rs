//! Webhooks: what a verified body says.

use serde::Deserialize;

use super::answer::{Payment, Refund};
use crate::gateway::HookFacts;

#[derive(Deserialize)]
struct Envelope {
    event: String,
    #[serde(default)]
    payload: Payload,
}

#[derive(Default, Deserialize)]
struct Payload {
    payment: Option<Entity<serde_json::Value>>,
    refund: Option<Entity<serde_json::Value>>,
}

#[derive(Deserialize)]
struct Entity<T> {
    entity: T,
}

/// Reads an event. Of events that are not about payments and refunds only the name is kept.
/// `Err` says what cannot be read.
pub(crate) fn read(body: &[u8]) -> Result<HookFacts, &'static str> {
    let envelope: Envelope =
        serde_json::from_slice(body).map_err(|_| "not a JSON event with a name and a payload")?;
    let event = envelope.event;
    if event.is_empty() || event.len() > 64 || !event.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the event's name");
    }
    let payment_event = matches!(
        event.as_str(),
        "payment.authorized" | "payment.captured" | "payment.failed" | "order.paid"
    );
    let refund_event = event.starts_with("refund.");
    let mut facts = HookFacts { event, payment: None, refund: None };
    if !payment_event && !refund_event {
        return Ok(facts);
    }
    if let Some(payment) = envelope.payload.payment {
        let payment: Payment =
            serde_json::from_value(payment.entity).map_err(|_| "payload.payment.entity")?;
        facts.payment = payment.fact();
    } else if payment_event {
        return Err("payload.payment.entity is missing");
    }
    if refund_event {
        let refund = envelope.payload.refund.ok_or("payload.refund.entity is missing")?;
        let refund: Refund =
            serde_json::from_value(refund.entity).map_err(|_| "payload.refund.entity")?;
        facts.refund = refund.fact();
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Status;

    #[test]
    fn events() {
        let body = br#"{"entity":"event","account_id":"acc_1","event":"payment.captured","contains":["payment"],"payload":{"payment":{"entity":{"id":"pay_1","amount":100,"currency":"INR","status":"captured","order_id":"order_1","email":"a@b.example"}}},"created_at":1567674606}"#;
        let facts = read(body).unwrap();
        assert_eq!(facts.payment.as_ref().map(|p| p.status), Some(Status::Captured));
        let kept = serde_json::to_string(&facts).unwrap();
        assert!(!kept.contains("example"), "no personal data is kept: {kept}");
        let unknown = read(br#"{"event":"invoice.paid","payload":{"invoice":{"entity":7}}}"#);
        assert_eq!(unknown.map(|f| f.event).as_deref(), Ok("invoice.paid"));
        // Of a payment link: an order id without its prefix is not ours.
        let link = br#"{"event":"payment.captured","payload":{"payment":{"entity":{"id":"pay_1","amount":100,"currency":"INR","status":"captured","order_id":null}}}}"#;
        assert_eq!(read(link).unwrap().payment, None);
    }

    #[test]
    fn garbage() {
        for bad in [
            &b""[..],
            b"null",
            b"[]",
            b"{}",
            b"\xff\xfe",
            br#"{"event":7}"#,
            br#"{"event":""}"#,
            br#"{"event":"payment.captured"}"#,
            br#"{"event":"payment.captured","payload":{"payment":{"entity":[]}}}"#,
            br#"{"event":"payment.captured","payload":{"payment":{"entity":{"id":"pay_1","amount":"100"}}}}"#,
            br#"{"event":"payment.captured","payload":{"payment":{"entity":{"id":"pay_1","amount":1.5,"currency":"INR","status":"captured"}}}}"#,
            br#"{"event":"refund.processed","payload":{}}"#,
        ] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let deep = "[".repeat(100_000);
        assert!(read(deep.as_bytes()).is_err());
    }
}
