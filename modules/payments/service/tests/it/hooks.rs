//! Webhooks: signed, stored, answered; processed after, in any order and number.

use mela_payments_api::{PaymentError, PaymentState, Payments, WebhookAck};
use mela_testkit::on_both;
use serde_json::json;

use crate::support::{HOOK_SECRET, KEY_ID, KEY_SECRET, SETS, Shop, hmac, op};
use mela_testkit::Stub;

type Headers = Vec<(String, String)>;

fn headers(signature: &str, event_id: &str) -> Headers {
    vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-razorpay-signature".to_owned(), signature.to_owned()),
        ("x-razorpay-event-id".to_owned(), event_id.to_owned()),
    ]
}

fn signed(body: &[u8], event_id: &str) -> Headers {
    headers(&hmac(HOOK_SECRET, body), event_id)
}

async fn post(shop: &Shop, headers: &Headers, body: &[u8]) -> Result<WebhookAck, PaymentError> {
    shop.payments.webhook(&op(), "razorpay", headers, body).await
}

fn captured(gateway_order: &str, payment: &str, amount: i64) -> Vec<u8> {
    json!({
        "entity": "event", "account_id": "acc_1", "event": "payment.captured", "contains": ["payment"],
        "payload": { "payment": { "entity": {
            "id": payment, "entity": "payment", "amount": amount, "currency": "INR", "status": "captured",
            "order_id": gateway_order, "amount_refunded": 0, "notes": [], "email": "a@shopper.example",
        }}},
        "created_at": 1_700_000_000,
    })
    .to_string()
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_before_anything_is_stored() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, _, gateway) = shop.started(49_900).await;
        let body = captured(&gateway, "pay_1", 49_900);
        let other_bytes = [body.as_slice(), b" "].concat();
        let forged: [(Headers, &[u8]); 6] = [
            (headers("", "evt_1"), &body),
            (headers("zz", "evt_1"), &body),
            (headers(&hmac("wrong", &body), "evt_1"), &body),
            (headers(&hmac("", &body), "evt_1"), &body),
            (signed(&body, "evt_1"), &other_bytes),
            (vec![], &body),
        ];
        for (headers, body) in forged {
            let refused = post(&shop, &headers, body).await;
            assert!(matches!(refused, Err(PaymentError::BadSignature)), "{refused:?}");
        }
        let huge = vec![b' '; (256 << 10) + 1];
        let refused = post(&shop, &signed(&huge, "evt_1"), &huge).await;
        assert!(matches!(refused, Err(PaymentError::Malformed(_))));
        for garbage in [&b""[..], b"{}", b"\xff\xfe", b"[[[[", b"{\"event\":\"payment.captured\"}"]
        {
            let refused = post(&shop, &signed(garbage, "evt_1"), garbage).await;
            assert!(matches!(refused, Err(PaymentError::Malformed(_))), "{refused:?}");
        }
        let no_id = headers(&hmac(HOOK_SECRET, &body), "");
        assert!(matches!(post(&shop, &no_id, &body).await, Err(PaymentError::Malformed(_))));
        let elsewhere = shop.payments.webhook(&op(), "stripe", &signed(&body, "e"), &body).await;
        assert!(matches!(elsewhere, Err(PaymentError::MethodUnavailable)));
        shop.pass(1_000).await;
        assert_eq!(shop.state(order).await, PaymentState::Pending);

        // Nothing of all that took the event's id.
        assert_eq!(
            post(&shop, &signed(&body, "evt_1"), &body).await.unwrap(),
            WebhookAck::Accepted
        );
        assert_eq!(
            post(&shop, &signed(&body, "evt_1"), &body).await.unwrap(),
            WebhookAck::Duplicate
        );
        let old = headers(&hmac("the_one_before", &body), "evt_2");
        assert_eq!(post(&shop, &old, &body).await.unwrap(), WebhookAck::Accepted);
        assert_eq!(
            shop.state(order).await,
            PaymentState::Pending,
            "answered before it is processed"
        );
        shop.pass(0).await;
        assert_eq!(shop.state(order).await, PaymentState::Captured);
        assert_eq!(shop.events().await, ["payments.captured"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn not_ours_or_not_right() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, _, gateway) = shop.started(49_900).await;
        let unknown = captured("order_Somebodyelses1", "pay_9", 100);
        let invoice =
            br#"{"event":"invoice.paid","payload":{"invoice":{"entity":{"id":"inv_1"}}}}"#;
        let mut foreign = String::from_utf8(captured(&gateway, "pay_8", 49_900)).unwrap();
        foreign = foreign.replace("INR", "USD");
        for (i, body) in [unknown.as_slice(), invoice, foreign.as_bytes()].into_iter().enumerate() {
            let ack = post(&shop, &signed(body, &format!("evt_{i}")), body).await.unwrap();
            assert_eq!(ack, WebhookAck::Accepted);
        }
        shop.pass(0).await;
        assert_eq!(shop.state(order).await, PaymentState::Pending);
        assert!(shop.events().await.is_empty());
    })
    .await;
}

/// All that the simulator sends for a failed attempt, a successful one and two refunds, in several
/// orders and more than once: the same end each time.
#[tokio::test(flavor = "multi_thread")]
async fn any_order_any_number() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let inbox = Stub::collector().await;
        shop.sim.as_ref().unwrap().set_razorpay_webhook(Some(format!("{}/hook", inbox.url)));
        for round in 0..6_usize {
            let seen_before = inbox.seen().len();
            let (order, _, gateway) = shop.started(49_900).await;
            shop.pay(&gateway, "fail:card_declined").await;
            let paid = shop
                .control("razorpay/pay", json!({ "order_id": gateway, "outcome": "success" }))
                .await;
            let payment = paid["payment"]["id"].as_str().unwrap().to_owned();
            for amount in [9_900, 40_000] {
                let url = format!(
                    "{}/v1/payments/{payment}/refund",
                    shop.sim.as_ref().unwrap().razorpay_url()
                );
                let answer = reqwest::Client::new()
                    .post(url)
                    .basic_auth(KEY_ID, Some(KEY_SECRET))
                    .header("content-type", "application/json")
                    .body(format!(r#"{{"amount":{amount}}}"#))
                    .send()
                    .await
                    .unwrap();
                assert!(answer.status().is_success());
            }
            // failed, authorized, captured, order.paid, and created and processed of each refund.
            let mut events = inbox.wait_for(seen_before + 8).await.split_off(seen_before);
            match round {
                0 => {}
                1 => events.reverse(),
                _ => {
                    let shift = round % events.len();
                    events.rotate_left(shift);
                    events.swap(0, 5);
                    events.extend(events.clone().into_iter().skip(2));
                }
            }
            for event in &events {
                post(&shop, &event.headers, &event.body).await.unwrap();
                if round % 2 == 0 {
                    shop.pass(0).await;
                }
            }
            shop.pass(0).await;
            assert_eq!(shop.state(order).await, PaymentState::Refunded, "round {round}");
            assert_eq!(shop.only(order).await.refunded.0, 49_900, "round {round}");
            shop.agree().await;
            let refunds = shop.events().await;
            let refunds = refunds.iter().filter(|e| *e == "payments.refunded").count();
            assert_eq!(refunds, 2, "round {round}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_redirect_and_recovery_at_the_same_moment() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        for _ in 0..5 {
            let (order, _, gateway) = shop.started(49_900).await;
            let back = shop.pay(&gateway, "success").await;
            let payment = back.iter().find(|(n, _)| n == "razorpay_payment_id").unwrap().1.clone();
            let body = captured(&gateway, &payment, 49_900);
            post(&shop, &signed(&body, &format!("evt_{payment}")), &body).await.unwrap();
            shop.t.clock.advance_ms(90_000);
            let (a, b) = (shop.payments.clone(), shop.payments.clone());
            let redirect =
                tokio::spawn(async move { a.callback(&op(), "razorpay", &back).await.unwrap() });
            let recovery = tokio::spawn(async move { b.recover().await.unwrap() });
            shop.pass(0).await;
            assert!(redirect.await.unwrap().paid);
            recovery.await.unwrap();
            assert_eq!(shop.state(order).await, PaymentState::Captured);
            assert_eq!(shop.events().await, ["payments.captured"], "one effect");
        }
        shop.agree().await;
    })
    .await;
}
