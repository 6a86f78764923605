//! Nobody told us: the recovery asks.

use mela_base::{Paise, ids::OrderId};
use mela_payments_api::{Method, PaymentState, Payments};
use mela_testkit::on_both;
use mela_wallet_api::Account;
use serde_json::json;

use crate::support::{KEY_ID, KEY_SECRET, SETS, Shop, op};

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_never_returns_and_the_webhook_is_lost() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, _, gateway) = shop.started(49_900).await;
        shop.pay(&gateway, "success").await;
        assert_eq!(shop.state(order).await, PaymentState::Pending);
        shop.pass(10_000).await;
        assert_eq!(shop.state(order).await, PaymentState::Pending, "not every second");
        shop.pass(120_000).await;
        assert_eq!(shop.state(order).await, PaymentState::Captured);
        assert_eq!(shop.events().await, ["payments.captured"]);
        shop.agree().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_down_for_a_while() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, _, gateway) = shop.started(49_900).await;
        let back = shop.pay(&gateway, "success").await;
        let outage = json!({ "provider": "razorpay", "kind": "error_before", "count": 0 });
        shop.control("faults", outage).await;
        let done = shop.payments.callback(&op(), "razorpay", &back).await.unwrap();
        assert!(!done.paid, "not believed without a look");
        shop.pass(600_000).await;
        assert_eq!(shop.state(order).await, PaymentState::Pending);
        let url = format!("{}/_sim/faults", shop.sim.as_ref().unwrap().ui_url());
        reqwest::Client::new().delete(url).send().await.unwrap();
        shop.pass(3_600_000).await;
        assert_eq!(shop.state(order).await, PaymentState::Captured);
        shop.agree().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_payment_succeeds_days_later() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, _, gateway) = shop.started(49_900).await;
        let body = json!({ "order_id": gateway, "outcome": "fail:payment_timed_out" });
        let paid = shop.control("razorpay/pay", body).await;
        let back = crate::support::fields(&paid["callback"]);
        shop.payments.callback(&op(), "razorpay", &back).await.unwrap();
        assert_eq!(shop.state(order).await, PaymentState::Failed);
        shop.pass(2 * 86_400_000).await;
        assert_eq!(shop.state(order).await, PaymentState::Failed);
        let late = json!({ "payment_id": paid["payment"]["id"], "outcome": "success" });
        shop.control("razorpay/resolve", late).await;
        shop.pass(86_400_000).await;
        assert_eq!(shop.state(order).await, PaymentState::Captured);
        assert_eq!(shop.events().await, ["payments.captured", "payments.failed"]);
        shop.agree().await;
    })
    .await;
}

/// Settles everything that the recovery has to do.
async fn all_passes(shop: &Shop) {
    for _ in 0..4 {
        shop.pass(7_200_000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_for_an_order_that_was_given_up_goes_back() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, _, gateway) = shop.started(49_900).await;
        shop.cancel(order).await;
        shop.pass(120_000).await;
        shop.pay(&gateway, "success").await;
        all_passes(&shop).await;
        let back = shop.only(order).await;
        assert_eq!((back.state, back.refunded), (PaymentState::Refunded, Paise(49_900)));
        assert_eq!(shop.events().await, ["payments.refunded"], "the order hears of no payment");
        assert_eq!(shop.booked(Account::GatewayReceivable).await, 0);
        assert_eq!(shop.booked(Account::Refunds).await, 49_900);
        shop.agree().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_payments_for_an_order_one_goes_back() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let order: OrderId = shop.t.env.new_id();
        let mut pages = Vec::new();
        for _ in 0..2 {
            let id = shop.begin(order, Method::Razorpay, 49_900).await;
            let next = shop.payments.start(&op(), id).await.unwrap();
            pages.push(crate::support::gateway_order(&next));
        }
        let backs = [shop.pay(&pages[0], "success").await, shop.pay(&pages[1], "success").await];
        // Both browsers return at the same moment.
        let [first, second] = backs.map(|back| {
            let payments = shop.payments.clone();
            tokio::spawn(async move { payments.callback(&op(), "razorpay", &back).await.unwrap() })
        });
        let paid = [first.await.unwrap().paid, second.await.unwrap().paid];
        assert_eq!(paid.iter().filter(|p| **p).count(), 1, "one of them pays");
        all_passes(&shop).await;
        let states = shop.payments.of_orders(&[order]).await.unwrap();
        let mut states: Vec<_> = states.into_iter().map(|p| p.state.as_str()).collect();
        states.sort_unstable();
        assert_eq!(states, ["captured", "refunded"]);
        assert_eq!(shop.booked(Account::GatewayReceivable).await, 49_900);
        assert_eq!(shop.events().await, ["payments.captured", "payments.refunded"]);
        shop.agree().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_on_the_same_page_is_given_back_by_the_gateway() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, _, gateway) = shop.started(49_900).await;
        let slow = json!({ "order_id": gateway, "outcome": "pending" });
        let slow = shop.control("razorpay/pay", slow).await;
        shop.pay(&gateway, "success").await;
        let late = json!({ "payment_id": slow["payment"]["id"], "outcome": "success" });
        shop.control("razorpay/resolve", late).await;
        all_passes(&shop).await;
        assert_eq!(shop.state(order).await, PaymentState::Captured);
        assert_eq!(shop.only(order).await.refunded, Paise(0));
        assert_eq!(shop.events().await, ["payments.captured"]);
        assert_eq!(shop.booked(Account::GatewayReceivable).await, 49_900);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_made_by_hand_at_the_gateway_is_found() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, id, gateway) = shop.started(49_900).await;
        let back = shop.pay(&gateway, "success").await;
        shop.payments.callback(&op(), "razorpay", &back).await.unwrap();
        let payment = shop.only(order).await.gateway_payment_id.unwrap();
        let url =
            format!("{}/v1/payments/{payment}/refund", shop.sim.as_ref().unwrap().razorpay_url());
        let answer = reqwest::Client::new()
            .post(url)
            .basic_auth(KEY_ID, Some(KEY_SECRET))
            .header("content-type", "application/json")
            .body(r#"{"amount":9900}"#)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success());
        all_passes(&shop).await;
        assert_eq!(shop.only(order).await.refunded, Paise(9_900));
        assert_eq!(shop.events().await, ["payments.captured", "payments.refunded"]);
        shop.agree().await;
        assert!(shop.refund(id, 40_001).await.1.is_err());
        shop.refund(id, 40_000).await.1.unwrap();
        assert_eq!(shop.state(order).await, PaymentState::Refunded);
        shop.agree().await;
    })
    .await;
}
