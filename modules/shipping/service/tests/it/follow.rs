//! Following: webhooks nudge, the courier's own answer moves.

use mela_base::HOUR_MS;
use mela_shipping_api::{ParcelState, Shipping, ShippingError};
use mela_testkit::on_both;
use serde_json::json;

use crate::support::{Desk, HASH, SETS, TOKEN, op};
use mela_testkit::{Reply, Stub};

fn nudge(numbers: &[&str]) -> Vec<u8> {
    let feed: Vec<_> = numbers
        .iter()
        .map(|n| json!({ "order_id": n, "current_status": "DEL", "first_name": "Asha" }))
        .collect();
    json!({ "hash": HASH, "status_feed": feed }).to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_way_by_webhooks() {
    on_both(SETS, async |t| {
        let desk = Desk::open(t).await;
        let inbox = Stub::collector().await;
        desk.sim.as_ref().unwrap().set_shipway_webhook(Some(format!("{}/hook", inbox.url)));
        let order = desk.pushed("M26-1").await;
        let way = ["SCH", "PKP", "INT", "OOD", "UND", "OOD", "DEL"];
        for (i, code) in way.into_iter().enumerate() {
            desk.scan("M26-1", code).await;
            let hooks = inbox.wait_for(i + 1).await;
            desk.hook(&hooks[i].body).await.unwrap();
            desk.hook(&hooks[i].body).await.unwrap();
            desk.pass(0).await;
        }
        use ParcelState::{Delivered, InTransit, OutForDelivery, PickedUp, Undelivered};
        assert_eq!(
            desk.events().await,
            [PickedUp, InTransit, OutForDelivery, Undelivered, OutForDelivery, Delivered]
        );
        let parcel = desk.only(order).await;
        assert_eq!(parcel.courier.as_deref(), Some("Delhivery"));
        assert!(parcel.tracking_url.is_some());
        let codes: Vec<_> = parcel.scans.iter().map(|s| s.code.as_str()).collect();
        assert_eq!(codes, ["NEW", "SCH", "PKP", "INT", "OOD", "UND", "OOD", "DEL"]);
        // All webhooks once more, latest first: nothing moves.
        for hook in inbox.seen().iter().rev() {
            desk.hook(&hook.body).await.unwrap();
        }
        desk.pass(HOUR_MS).await;
        assert_eq!(desk.state(order).await, Delivered);
        assert!(desk.events().await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_never_came() {
    on_both(SETS, async |t| {
        let desk = Desk::open(t).await;
        let order = desk.pushed("M26-1").await;
        desk.pass(120_000).await;
        desk.scan("M26-1", "PKP").await;
        desk.scan("M26-1", "XYZZY").await;
        desk.pass(3 * HOUR_MS).await;
        assert_eq!(
            desk.state(order).await,
            ParcelState::InTransit,
            "an unknown code is on its way"
        );
        desk.scan("M26-1", "RTO").await;
        desk.scan("M26-1", "RTD").await;
        desk.fault("tracking", "error_before").await;
        desk.pass(3 * HOUR_MS).await;
        desk.pass(3 * HOUR_MS).await;
        assert_eq!(desk.state(order).await, ParcelState::Returned);
        assert_eq!(desk.events().await, [ParcelState::InTransit, ParcelState::Returned]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_comes_later() {
    on_both(SETS, async |t| {
        let desk = Desk::open_with(t, None).await;
        let order = desk.pushed("M26-1").await;
        assert_eq!(desk.only(order).await.awb, None);
        desk.pass(120_000).await;
        assert_eq!(desk.only(order).await.awb, None);
        desk.scan("M26-1", "PKP").await;
        desk.hook(&nudge(&["M26-1"])).await.unwrap();
        desk.pass(0).await;
        let parcel = desk.only(order).await;
        assert!(parcel.awb.is_some() && parcel.tracking_url.is_some());
        assert_eq!(parcel.state, ParcelState::PickedUp);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_only_a_nudge() {
    on_both(SETS, async |t| {
        let desk = Desk::open(t).await;
        let order = desk.pushed("M26-1").await;
        // It says "delivered"; the courier does not.
        desk.hook(&nudge(&["M26-1", "M26-unknown"])).await.unwrap();
        desk.pass(0).await;
        assert_eq!(desk.state(order).await, ParcelState::Booked);
        assert!(desk.events().await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_garbage() {
    on_both(SETS, async |t| {
        let desk = Desk::open(t).await;
        let good = nudge(&["M26-1"]);
        for secret in ["", "wrong", &TOKEN[1..], &format!("{TOKEN}x")] {
            let refused = desk.shipping.webhook(&op(), secret, &good).await;
            assert!(matches!(refused, Err(ShippingError::NotFromCourier)), "{refused:?}");
        }
        let other_hash = String::from_utf8(good.clone()).unwrap().replace(HASH, "0");
        for forged in [other_hash.as_bytes(), br#"{"status_feed":[]}"#] {
            let refused = desk.hook(forged).await;
            assert!(matches!(refused, Err(ShippingError::NotFromCourier)), "{refused:?}");
        }
        let huge = vec![b'x'; (256 << 10) + 1];
        let no_feed = json!({ "hash": HASH }).to_string();
        let bad_feed = json!({ "hash": HASH, "status_feed": [1, {}] }).to_string();
        for garbage in [&b""[..], b"\xff", b"{", &huge, no_feed.as_bytes(), bad_feed.as_bytes()] {
            let refused = desk.hook(garbage).await;
            assert!(matches!(refused, Err(ShippingError::Malformed(_))), "{refused:?}");
        }
        // Half of a batch is bad: the other half counts.
        let order = desk.pushed("M26-1").await;
        desk.scan("M26-1", "PKP").await;
        let half = json!({ "hash": HASH, "status_feed": [7, { "order_id": "M26-1" }, { "order_id": [] }] });
        desk.hook(half.to_string().as_bytes()).await.unwrap();
        desk.pass(0).await;
        assert_eq!(desk.state(order).await, ParcelState::PickedUp);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_parcels_in_few_calls() {
    on_both(SETS, async |t| {
        let stub = Stub::start(|request| {
            let line = &request.line;
            if line == "POST /v2orders" {
                let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                let awb = body["order_id"].as_str().unwrap().replace("M26-", "77");
                return Reply::Json(200, json!({ "success": true, "awb_response": { "AWB": awb } }).to_string());
            }
            // One parcel is missing from the answer, one has a broken row.
            let awbs = line.split("awb_numbers=").nth(1).unwrap().split('&').next().unwrap();
            let rows: Vec<_> = awbs
                .split(',')
                .filter(|awb| *awb != "7710")
                .map(|awb| match awb {
                    "7711" => json!({ "awb": awb, "tracking_details": 7 }),
                    _ => json!({ "awb": awb, "tracking_details": { "tracking_history": [
                        { "status": "INT", "timestamp": "2026-01-05 12:00:00", "location": null, "remarks": 5 },
                    ]}}),
                })
                .collect();
            Reply::Json(200, json!(rows).to_string())
        })
        .await;
        let desk = Desk::at(t, &stub.url, Some("1"), None);
        let mut orders = Vec::new();
        for i in 10..130 {
            orders.push(desk.pushed(&format!("M26-{i}")).await);
        }
        desk.t.clock.advance_ms(HOUR_MS);
        let done = desk.shipping.follow().await.unwrap();
        assert_eq!((done.parcels, done.unanswered), (120, 0));
        let calls = stub.seen().iter().filter(|r| r.line.starts_with("GET /tracking")).count();
        assert_eq!(calls, 2, "a hundred parcels in one call");
        let moved = desk.events().await;
        assert_eq!(moved.len(), 118);
        let before = desk.t.db.statement_count();
        assert_eq!(desk.shipping.of_orders(&orders).await.unwrap().len(), 120);
        assert_eq!(desk.t.db.statement_count() - before, 1);
    })
    .await;
}
