//! Whatever the order and number of events, the end is the same: state, money, books, events.

use mela_payments_api::{PaymentState, Payments};
use mela_testkit::{TestDb, on_both};
use mela_wallet_api::Account;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{HOOK_SECRET, SETS, Shop, hmac, op};
use mela_testkit::{Reply, Stub};

const AMOUNT: i64 = 50_000;

/// Paid at all; refunds with their end; the payment's last state; what went back.
type Scenario = (bool, &'static [(i64, &'static str)], PaymentState, i64);

/// What the gateway tells of one order: an attempt that failed, one that succeeded, refunds.
fn history(order: &str, n: usize, paid: bool, refunds: &[(i64, &str)]) -> Vec<Value> {
    let payment = |id: &str, status: &str, refunded: i64| {
        json!({ "id": format!("pay_{id}{n}"), "amount": AMOUNT, "currency": "INR", "status": status,
            "order_id": order, "amount_refunded": refunded, "notes": [],
            "error_reason": (status == "failed").then_some("card_declined") })
    };
    let event = |name: &str, payment: Value, refund: Option<Value>| {
        let mut payload = json!({ "payment": { "entity": payment } });
        if let Some(refund) = refund {
            payload["refund"] = json!({ "entity": refund });
        }
        json!({ "entity": "event", "event": name, "payload": payload })
    };
    let mut out = vec![event("payment.failed", payment("A", "failed", 0), None)];
    if !paid {
        return out;
    }
    out.push(event("payment.failed", payment("B", "failed", 0), None));
    out.push(event("payment.authorized", payment("B", "authorized", 0), None));
    // A snapshot may be ahead of its name.
    out.push(event("payment.authorized", payment("B", "captured", 0), None));
    out.push(event("payment.captured", payment("B", "captured", 0), None));
    out.push(event("order.paid", payment("B", "captured", 0), None));
    let mut refunded = 0;
    for (i, (amount, end)) in refunds.iter().enumerate() {
        refunded += amount;
        let status = if refunded == AMOUNT { "refunded" } else { "captured" };
        let refund = |state: &str| {
            Some(json!({ "id": format!("rfnd_{n}x{i}"), "payment_id": format!("pay_B{n}"),
                "amount": amount, "status": state, "receipt": null }))
        };
        out.push(event("refund.created", payment("B", status, refunded), refund("pending")));
        if *end == "failed" {
            refunded -= amount;
        }
        let name = format!("refund.{end}");
        out.push(event(&name, payment("B", status, refunded), refund(end)));
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn one_end() {
    on_both(SETS, async |t| shuffle(t).await).await;
}

async fn shuffle(t: TestDb) {
    let stub = Stub::start(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let receipt = body["receipt"].as_str().unwrap();
        let id = format!("order_{}", &receipt["pmt_".len()..]);
        Reply::Json(
            200,
            json!({ "id": id, "amount": AMOUNT, "currency": "INR", "receipt": receipt })
                .to_string(),
        )
    })
    .await;
    let shop = Shop::at(t, &stub.url, None);
    let mut random = TestRunner::deterministic();
    let scenarios: [Scenario; 5] = [
        (false, &[], PaymentState::Failed, 0),
        (true, &[], PaymentState::Captured, 0),
        (true, &[(20_000, "processed")], PaymentState::Captured, 20_000),
        (true, &[(20_000, "processed"), (30_000, "processed")], PaymentState::Refunded, 50_000),
        (true, &[(10_000, "processed"), (5_000, "failed")], PaymentState::Captured, 10_000),
    ];
    let (mut held, mut n) = (0, 0);
    for _ in 0..12 {
        for (paid, refunds, state, refunded) in scenarios {
            n += 1;
            let (order, _, gateway) = shop.started(AMOUNT).await;
            let events = history(&gateway, n, paid, refunds);
            let copies = prop::sample::subsequence(events.clone(), 0..=events.len());
            let all = copies.prop_map(move |copies| [events.clone(), copies].concat());
            let all = all.prop_shuffle().new_tree(&mut random).unwrap().current();
            for (i, event) in all.iter().enumerate() {
                let body = event.to_string();
                let headers = [
                    ("x-razorpay-signature".to_owned(), hmac(HOOK_SECRET, body.as_bytes())),
                    ("x-razorpay-event-id".to_owned(), format!("evt_{n}_{i}")),
                ];
                shop.payments.webhook(&op(), "razorpay", &headers, body.as_bytes()).await.unwrap();
                if n % 2 == 0 {
                    shop.pass(0).await;
                }
            }
            // With an odd number they are processed at the same moment.
            shop.pass(5_000).await;
            let after = shop.only(order).await;
            assert_eq!((after.state, after.refunded.0), (state, refunded), "{all:#?}");
            held += if paid { AMOUNT - refunded } else { 0 };
            assert_eq!(shop.booked(Account::GatewayReceivable).await, held, "{all:#?}");
            let heard = shop.events().await;
            let count = |topic: &str| heard.iter().filter(|e| *e == topic).count();
            let whole = refunded == AMOUNT;
            assert!(
                count("payments.captured") == usize::from(paid) || (whole && paid),
                "{heard:?}"
            );
            let done = refunds.iter().filter(|(_, end)| *end == "processed").count();
            assert_eq!(count("payments.refunded"), done, "{heard:?}");
        }
    }
}
