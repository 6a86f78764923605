//! Webhooks as the shop receives them.

use std::collections::HashSet;

use ring::hmac;
use serde_json::json;

use crate::{Inbox, Received, ground_with, text};

fn signed_with(secret: &str, received: &Received) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let sum = hmac::sign(&key, &received.body);
    let hex: String = sum.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    hex == received.signature
}

#[tokio::test]
async fn events_are_signed_over_their_bytes_and_tell_the_whole_story() {
    let inbox = Inbox::open().await;
    let g = ground_with(|c| c.razorpay.webhook_url = Some(inbox.url.clone())).await;
    let id = g.captured(10_000).await;
    g.rzp(reqwest::Method::POST, &format!("/v1/payments/{id}/refund"), None).await;
    let order = g.order(500, true).await;
    g.pay(&order, "fail").await;
    let all = inbox.wait_for(6).await;
    let mut names: Vec<String> = all.iter().map(Received::name).collect();
    names.sort();
    let expected = [
        "order.paid",
        "payment.authorized",
        "payment.captured",
        "payment.failed",
        "refund.created",
        "refund.processed",
    ];
    assert_eq!(names, expected);
    assert!(all.iter().all(|r| signed_with("simulator-webhook-secret", r)));
    let ids: HashSet<_> = all.iter().map(|r| r.event_id.clone()).collect();
    assert_eq!(ids.len(), 6);
    let paid = all.iter().find(|r| r.name() == "order.paid").unwrap().json();
    assert_eq!(paid["entity"], "event");
    assert_eq!(paid["contains"], json!(["payment", "order"]));
    assert_eq!(paid["payload"]["payment"]["entity"]["id"], json!(id));
    assert_eq!(paid["payload"]["order"]["entity"]["status"], "paid");
}

#[tokio::test]
async fn a_failed_delivery_comes_again_with_the_same_id() {
    let inbox = Inbox::open().await;
    *inbox.refusals.lock().unwrap() = 2;
    let g = ground_with(|c| c.razorpay.webhook_url = Some(inbox.url.clone())).await;
    let order = g.order(500, true).await;
    g.pay(&order, "fail").await;
    inbox.wait_for(1).await;
    // Each retry waits on the simulated clock, so moving it is enough.
    for count in 2..=3 {
        crate::until(
            || async {
                g.advance_clock(10_000).await;
                json!(inbox.all().len())
            },
            |n| n.as_u64() >= Some(count),
        )
        .await;
    }
    let all = inbox.all();
    assert_eq!(all[0].event_id, all[2].event_id);
    assert_eq!(all[0].body, all[2].body);
    let id = all[0].event_id.clone();
    g.sim("/_sim/webhooks/replay", json!({ "event_id": id })).await;
    assert_eq!(inbox.wait_for(4).await[3].event_id, id);
}

#[tokio::test]
async fn a_policy_duplicates_forges_and_drops() {
    let inbox = Inbox::open().await;
    let g = ground_with(|c| c.razorpay.webhook_url = Some(inbox.url.clone())).await;
    let policy = |policy: serde_json::Value| {
        g.sim("/_sim/webhooks/policy", json!({ "provider": "razorpay", "policy": policy }))
    };
    let fail_once = || async {
        let order = g.order(500, true).await;
        g.pay(&order, "fail").await;
    };
    policy(json!({ "duplicates": 2, "count": 1 })).await;
    fail_once().await;
    let all = inbox.wait_for(3).await;
    assert!(all.iter().all(|r| r.event_id == all[0].event_id));
    policy(json!({ "signature": "wrong", "count": 1 })).await;
    fail_once().await;
    assert!(!signed_with("simulator-webhook-secret", &inbox.wait_for(4).await[3]));
    g.sim("/_sim/webhooks", json!({ "provider": "razorpay", "secret": "new" })).await;
    policy(json!({ "signature": "old", "count": 1 })).await;
    fail_once().await;
    assert!(signed_with("simulator-webhook-secret", &inbox.wait_for(5).await[4]));
    policy(json!({ "drop_probability": 1.0, "count": 1 })).await;
    fail_once().await;
    fail_once().await;
    assert!(signed_with("new", &inbox.wait_for(6).await[5]));
    let log = g.get("/_sim/webhooks").await["log"].clone();
    let dropped =
        log.as_array().unwrap().iter().filter(|e| text(&e["outcome"]).starts_with("dropped"));
    assert_eq!(dropped.count(), 1);
}

#[tokio::test]
async fn a_policy_turns_the_order_around() {
    let inbox = Inbox::open().await;
    let g = ground_with(|c| c.razorpay.webhook_url = Some(inbox.url.clone())).await;
    let policy = json!({ "provider": "razorpay", "policy": { "reorder_window_ms": 600_000 } });
    g.sim("/_sim/webhooks/policy", policy).await;
    g.captured(10_000).await;
    assert!(inbox.all().is_empty());
    g.advance_clock(600_001).await;
    let names: Vec<String> = inbox.wait_for(3).await.iter().map(Received::name).collect();
    assert_eq!(names, ["order.paid", "payment.captured", "payment.authorized"]);
}
