//! Money back.

use mela_base::Paise;
use mela_payments_api::{PaymentError, PaymentState, Payments};
use mela_testkit::on_both;
use mela_wallet_api::Account;
use serde_json::json;

use crate::support::{SETS, Shop, op};
use mela_base::ids::{OrderId, PaymentId};

async fn paid(shop: &Shop, amount: i64) -> (OrderId, PaymentId, String) {
    let (order, id, gateway) = shop.started(amount).await;
    let back = shop.pay(&gateway, "success").await;
    assert!(shop.payments.callback(&op(), "razorpay", &back).await.unwrap().paid);
    shop.events().await;
    (order, id, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_parts_and_never_more_than_came() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, id, _) = paid(&shop, 50_000).await;
        let (first, done) = shop.refund(id, 20_000).await;
        done.unwrap();
        shop.refund_as(first, id, 20_000).await.unwrap();
        let differs = shop.refund_as(first, id, 20_001).await;
        assert!(matches!(differs, Err(PaymentError::RefundDiffers)));
        assert_eq!(shop.only(order).await.refunded, Paise(20_000));
        assert_eq!(shop.state(order).await, PaymentState::Captured);
        for too_much in [30_001, 50_000, 0, -1] {
            let refused = shop.refund(id, too_much).await.1;
            assert!(matches!(refused, Err(PaymentError::RefundTooLarge)), "{too_much}");
        }
        shop.refund(id, 30_000).await.1.unwrap();
        assert_eq!(shop.state(order).await, PaymentState::Refunded);
        assert!(matches!(shop.refund(id, 100).await.1, Err(PaymentError::RefundTooLarge)));
        let unknown = shop.refund(shop.t.env.new_id(), 100).await.1;
        assert!(matches!(unknown, Err(PaymentError::PaymentNotFound)));
        assert_eq!(shop.events().await, ["payments.refunded", "payments.refunded"]);
        assert_eq!(shop.booked(Account::Refunds).await, 50_000);
        assert_eq!(shop.booked(Account::GatewayReceivable).await, 0);
        shop.agree().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_the_same_moment() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, id, _) = paid(&shop, 50_000).await;
        let tries = (0..8).map(|_| {
            let (payments, refund) = (shop.payments.clone(), shop.t.env.new_id());
            tokio::spawn(async move {
                let refund = mela_payments_api::NewRefund {
                    id: refund,
                    payment_id: id,
                    amount: Paise(20_000),
                    reason: "returned".to_owned(),
                };
                payments.refund(&op(), refund).await
            })
        });
        let mut done = 0;
        for task in tries.collect::<Vec<_>>() {
            match task.await.unwrap() {
                Ok(()) => done += 1,
                Err(error) => assert!(matches!(error, PaymentError::RefundTooLarge), "{error:?}"),
            }
        }
        assert_eq!(done, 2);
        // The same one many times is one.
        let one = shop.t.env.new_id();
        let same = (0..6).map(|_| {
            let payments = shop.payments.clone();
            tokio::spawn(async move {
                let reason = "returned".to_owned();
                let amount = Paise(5_000);
                let refund =
                    mela_payments_api::NewRefund { id: one, payment_id: id, amount, reason };
                payments.refund(&op(), refund).await
            })
        });
        for task in same.collect::<Vec<_>>() {
            task.await.unwrap().unwrap();
        }
        assert_eq!(shop.only(order).await.refunded, Paise(45_000));
        shop.agree().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_lost() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        for kind in
            ["timeout_after", "error_after", "truncated_json", "timeout_before", "error_before"]
        {
            let (order, id, _) = paid(&shop, 50_000).await;
            shop.fault("payment.refund", kind).await;
            shop.refund(id, 50_000).await.1.unwrap();
            assert_eq!(shop.state(order).await, PaymentState::Refunded, "{kind}");
            // Lost twice: the promise is kept by the recovery.
            let (order, id, _) = paid(&shop, 50_000).await;
            shop.fault("payment.refund", kind).await;
            shop.fault("payment.refund", kind).await;
            let (refund, result) = shop.refund(id, 50_000).await;
            result.unwrap();
            assert_eq!(shop.state(order).await, PaymentState::Captured, "{kind}");
            assert_eq!(shop.only(order).await.refunded, Paise(50_000), "set aside");
            shop.pass(120_000).await;
            shop.refund_as(refund, id, 50_000).await.unwrap();
            assert_eq!(shop.state(order).await, PaymentState::Refunded, "{kind}");
        }
        shop.agree().await;
        let ledger = shop.get("/_sim/ledger").await;
        assert_eq!(ledger["refunds"].as_array().unwrap().len(), 10, "one refund each");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_then_failed_frees_the_money() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, id, _) = paid(&shop, 50_000).await;
        shop.control("scenario", json!({ "refund_pending_ms": 60_000, "refunds_fail": true }))
            .await;
        shop.refund(id, 50_000).await.1.unwrap();
        assert_eq!(shop.state(order).await, PaymentState::Captured);
        shop.control("clock", json!({ "advance_ms": 120_000 })).await;
        settle_sim(&shop, "failed").await;
        shop.pass(120_000).await;
        let after = shop.only(order).await;
        assert_eq!((after.state, after.refunded), (PaymentState::Captured, Paise(0)));
        assert_eq!(shop.booked(Account::Refunds).await, 0);
        assert!(shop.events().await.is_empty());

        shop.control("scenario", json!({ "refund_pending_ms": 60_000 })).await;
        shop.refund(id, 50_000).await.1.unwrap();
        shop.control("clock", json!({ "advance_ms": 120_000 })).await;
        settle_sim(&shop, "processed").await;
        shop.pass(240_000).await;
        assert_eq!(shop.state(order).await, PaymentState::Refunded);
        assert_eq!(shop.events().await, ["payments.refunded"]);
    })
    .await;
}

/// The simulator's own timers run on a task: waits for what they do.
async fn settle_sim(shop: &Shop, state: &str) {
    for _ in 0..500 {
        let ledger = shop.get("/_sim/ledger").await;
        let refunds = ledger["refunds"].as_array().unwrap();
        if refunds.iter().any(|r| r["status"] == state) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no refund became {state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_again_after_it_failed() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, id, _) = paid(&shop, 50_000).await;
        shop.control("scenario", json!({ "refund_pending_ms": 60_000, "refunds_fail": true }))
            .await;
        let (refund, done) = shop.refund(id, 50_000).await;
        done.unwrap();
        shop.control("clock", json!({ "advance_ms": 120_000 })).await;
        settle_sim(&shop, "failed").await;
        shop.pass(120_000).await;
        assert_eq!(shop.only(order).await.refunded, Paise(0));

        // The same order to pay back, as a replayed job gives it.
        shop.control("scenario", json!({})).await;
        shop.refund_as(refund, id, 50_000).await.unwrap();
        shop.refund_as(refund, id, 50_000).await.unwrap();
        assert_eq!(shop.state(order).await, PaymentState::Refunded);
        assert_eq!(shop.booked(Account::Refunds).await, 50_000);
        let ledger = shop.get("/_sim/ledger").await;
        assert_eq!(ledger["refunds"].as_array().unwrap().len(), 2, "one failed, one done");
        shop.agree().await;
    })
    .await;
}
