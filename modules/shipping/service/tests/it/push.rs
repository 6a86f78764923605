//! Handing over, calling off, and what can be delivered where.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use mela_shipping_api::{ParcelState, Shipping, ShippingError};
use mela_testkit::{TestDb, on_both};
use serde_json::json;

use crate::support::{Desk, SETS, op};
use mela_testkit::{Reply, Stub};

#[tokio::test(flavor = "multi_thread")]
async fn statements_prepare_on_both() {
    on_both(SETS, async |t| {
        let wrong = mela_db::check_statements(&t.db, mela_shipping::STATEMENTS);
        assert!(wrong.is_empty(), "{wrong:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pincodes() {
    on_both(SETS, async |t| {
        let desk = Desk::at(t, "http://127.0.0.1:1", None, None);
        let at = |code: &str| desk.shipping.serviceability(code);
        let near = at("560 034").unwrap();
        assert!(near.deliverable && near.cash_on_delivery && near.days == 2);
        assert_eq!(at("110001").unwrap().days, 5);
        assert!(!at("194101").unwrap().cash_on_delivery);
        for bad in
            ["", "56000", "5600011", "abcdef", "000000", "५६०००१", "999999", &"1".repeat(9_999)]
        {
            let refused = at(bad);
            assert!(matches!(refused, Err(ShippingError::InvalidPincode(_))), "{bad}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_however_often() {
    on_both(SETS, async |t| {
        let desk = Desk::open(t).await;
        let parcel = desk.parcel("M26-1");
        for _ in 0..3 {
            desk.shipping.push(&op(), parcel.clone()).await.unwrap();
        }
        assert_eq!(desk.at_the_courier().await, 1);
        let shown = desk.only(parcel.order_id).await;
        assert_eq!(shown.state, ParcelState::Booked);
        assert!(shown.awb.is_some());
        assert!(desk.events().await.is_empty(), "nothing moved");
        assert!(desk.shipping.of_orders(&[]).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_lost() {
    on_both(SETS, async |t| {
        let desk = Desk::open(t).await;
        let kinds = ["timeout_after", "error_after", "truncated_json"];
        for (i, kind) in kinds.into_iter().enumerate() {
            desk.fault("order.push", kind).await;
            let order = desk.pushed(&format!("M26-{i}")).await;
            assert!(desk.only(order).await.awb.is_some(), "{kind}: found again with its number");
        }
        assert_eq!(desk.at_the_courier().await, 3);

        for (i, kind) in
            ["timeout_before", "error_before", "too_many_requests"].into_iter().enumerate()
        {
            let parcel = desk.parcel(&format!("M26-2{i}"));
            desk.fault("order.push", kind).await;
            let lost = desk.shipping.push(&op(), parcel.clone()).await;
            assert!(matches!(lost, Err(ShippingError::CourierUnavailable)), "{lost:?}");
            desk.shipping.push(&op(), parcel).await.unwrap();
        }
        assert_eq!(desk.at_the_courier().await, 6);

        // Done, but neither that nor the look after it is answered: the next try finds it.
        let parcel = desk.parcel("M26-3");
        desk.fault("order.push", "timeout_after").await;
        desk.fault("order.list", "timeout_before").await;
        let lost = desk.shipping.push(&op(), parcel.clone()).await;
        assert!(matches!(lost, Err(ShippingError::CourierUnavailable)));
        desk.shipping.push(&op(), parcel.clone()).await.unwrap();
        assert!(desk.only(parcel.order_id).await.awb.is_some());
        assert_eq!(desk.at_the_courier().await, 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told() {
    on_both(SETS, async |t| {
        let desk = Desk::open(t).await;
        desk.control("shipway/unserviceable", json!({ "pincodes": ["560001"] })).await;
        let parcel = desk.parcel("M26-1");
        let refused = desk.shipping.push(&op(), parcel.clone()).await;
        let Err(ShippingError::CourierRefused(text)) = refused else { panic!("{refused:?}") };
        assert_eq!(text, "Pincode is not serviceable.");
        desk.control("shipway/unserviceable", json!({ "pincodes": [] })).await;
        desk.shipping.push(&op(), parcel).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn called_off() {
    on_both(SETS, async |t| {
        let desk = Desk::open(t).await;
        let order = desk.pushed("M26-1").await;
        desk.fault("order.cancel", "timeout_before").await;
        let lost = desk.shipping.cancel(&op(), order).await;
        assert!(matches!(lost, Err(ShippingError::CourierUnavailable)));
        assert_eq!(desk.state(order).await, ParcelState::Booked);
        desk.shipping.cancel(&op(), order).await.unwrap();
        desk.shipping.cancel(&op(), order).await.unwrap();
        assert_eq!(desk.state(order).await, ParcelState::Cancelled);
        assert_eq!(desk.events().await, [ParcelState::Cancelled]);

        let delivered = desk.pushed("M26-2").await;
        desk.scan("M26-2", "DEL").await;
        let refused = desk.shipping.cancel(&op(), delivered).await;
        assert!(matches!(refused, Err(ShippingError::CourierRefused(_))), "{refused:?}");
        assert_eq!(desk.state(delivered).await, ParcelState::Booked, "not known yet, not guessed");

        desk.shipping.cancel(&op(), desk.t.env.new_id()).await.unwrap();
        // Its push was never answered and never done.
        let parcel = desk.parcel("M26-3");
        desk.fault("order.push", "timeout_before").await;
        assert!(desk.shipping.push(&op(), parcel.clone()).await.is_err());
        desk.shipping.cancel(&op(), parcel.order_id).await.unwrap();
        desk.shipping.push(&op(), parcel.clone()).await.unwrap();
        assert_eq!(desk.state(parcel.order_id).await, ParcelState::Cancelled);
        assert_eq!(desk.at_the_courier().await, 2, "what was called off is not handed over");
    })
    .await;
}

/// The courier is slow to take an order; meanwhile the shop calls it off, and the courier says that
/// it knows of none. Whether the push is `answered` or not, the courier is told in the end, once.
async fn called_off_meanwhile(t: TestDb, answered: bool) {
    let (came, arrived) = mpsc::channel();
    let (go_on, wait) = mpsc::channel();
    let (wait, taken, looks) = (Mutex::new(wait), AtomicBool::new(false), AtomicUsize::new(0));
    let stub = Stub::start(move |request| {
        let (status, body) = match request.line.as_str() {
            "POST /v2orders" => {
                came.send(()).unwrap();
                wait.lock().unwrap().recv().unwrap();
                taken.store(true, Ordering::SeqCst);
                (if answered { 200 } else { 500 }, r#"{"success":true,"message":"ok"}"#)
            }
            "POST /Cancelorders" => (200, r#"[{"order_id":"M26-1","success":true}]"#),
            _ if !taken.load(Ordering::SeqCst) => (200, r#"{"success":0,"message":[]}"#),
            // The look right after a push that was not answered.
            _ if !answered && looks.fetch_add(1, Ordering::SeqCst) == 0 => (500, "{}"),
            _ => (200, r#"{"success":1,"message":[{"order_id":"M26-1"}]}"#),
        };
        Reply::Json(status, body.to_owned())
    })
    .await;
    let desk = Desk::at(t, &stub.url, None, None);
    let parcel = desk.parcel("M26-1");
    let order = parcel.order_id;
    let shipping = desk.shipping.clone();
    let pushing = tokio::spawn(async move { shipping.push(&op(), parcel).await });
    tokio::task::spawn_blocking(move || arrived.recv()).await.unwrap().unwrap();
    desk.shipping.cancel(&op(), order).await.unwrap();
    go_on.send(()).unwrap();
    assert_eq!(pushing.await.unwrap().is_ok(), answered);
    // What orders do after a push, or at the next try of it.
    for _ in 0..2 {
        desk.shipping.cancel(&op(), order).await.unwrap();
    }
    assert_eq!(desk.state(order).await, ParcelState::Cancelled);
    assert_eq!(desk.events().await, [ParcelState::Cancelled]);
    let told = stub.seen().iter().filter(|r| r.line == "POST /Cancelorders").count();
    assert_eq!(told, 1, "{answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn called_off_while_the_courier_is_told() {
    on_both(SETS, async |t| called_off_meanwhile(t, true).await).await;
    on_both(SETS, async |t| called_off_meanwhile(t, false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_that_talks_nonsense() {
    on_both(SETS, async |t| {
        let mut t = t;
        for (status, body) in [
            (200, "<html>".to_owned()),
            (200, "x".repeat(5 << 20)),
            (500, "{}".to_owned()),
            (401, "{}".to_owned()),
        ] {
            let stub = Stub::start(move |_| Reply::Json(status, body.clone())).await;
            let desk = Desk::at(t, &stub.url, None, None);
            let parcel = desk.parcel(&format!("M26-{status}-{}", stub.url));
            let nonsense = desk.shipping.push(&op(), parcel).await;
            assert!(matches!(nonsense, Err(ShippingError::CourierUnavailable)), "{nonsense:?}");
            t = desk.t;
        }
        let desk = Desk::at(t, "http://127.0.0.1:1", None, None);
        let down = desk.shipping.push(&op(), desk.parcel("M26-9")).await;
        assert!(matches!(down, Err(ShippingError::CourierUnavailable)));
    })
    .await;
}
