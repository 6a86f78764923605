//! The way of the shopper: start, hosted page, redirect back.

use mela_payments_api::{Method, NextStep, PaymentError, PaymentState, Payments};
use mela_testkit::on_both;
use mela_wallet_api::Account;

use crate::support::{KEY_ID, KEY_SECRET, SETS, Shop, gateway_order, hmac, op};
use mela_testkit::{Reply, Stub};

#[tokio::test(flavor = "multi_thread")]
async fn statements_prepare_on_both() {
    on_both(SETS, async |t| {
        let wrong = mela_db::check_statements(&t.db, mela_payments::STATEMENTS);
        assert!(wrong.is_empty(), "{wrong:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paid() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let order = shop.t.env.new_id();
        let before = shop.t.db.statement_count();
        let id = shop.begin(order, Method::Razorpay, 49_900).await;
        assert_eq!(shop.t.db.statement_count() - before, 1, "an intent is one statement");
        let next = shop.payments.start(&op(), id).await.unwrap();
        let NextStep::HostedPage { url, fields } = &next else { panic!() };
        assert!(url.ends_with("/v1/checkout/embedded"));
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(field("amount"), Some("49900"));
        assert_eq!(field("key_id"), Some(KEY_ID));
        assert_eq!(field("callback_url"), Some("http://shop.example/payments/razorpay/callback"));
        assert_eq!(shop.payments.start(&op(), id).await.unwrap(), next, "starting can be repeated");

        let back = shop.pay(&gateway_order(&next), "success").await;
        for _ in 0..3 {
            let done = shop.payments.callback(&op(), "razorpay", &back).await.unwrap();
            assert!(done.paid && done.order_id == order);
        }
        let paid = shop.only(order).await;
        assert_eq!(paid.state, PaymentState::Captured);
        assert!(paid.gateway_payment_id.is_some_and(|id| id.starts_with("pay_")));
        assert_eq!(shop.events().await, ["payments.captured"]);
        assert_eq!(shop.booked(Account::Sales).await, -49_900);
        shop.agree().await;
        assert_eq!(shop.payments.start(&op(), id).await.unwrap(), NextStep::None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cash_and_coins_need_no_gateway() {
    on_both(SETS, async |t| {
        let shop = Shop::at(t, "http://127.0.0.1:1", None);
        let (cash, coins) = (shop.t.env.new_id(), shop.t.env.new_id());
        let id = shop.begin(cash, Method::CashOnDelivery, 20_000).await;
        assert_eq!(shop.payments.start(&op(), id).await.unwrap(), NextStep::None);
        assert_eq!(shop.state(cash).await, PaymentState::DueOnDelivery);
        shop.collected(cash).await;
        shop.collected(cash).await;
        assert_eq!(shop.state(cash).await, PaymentState::Captured);
        shop.cancel(cash).await;
        assert_eq!(shop.state(cash).await, PaymentState::Captured, "what was collected stays");

        let id = shop.begin(coins, Method::Coins, 0).await;
        assert_eq!(shop.payments.start(&op(), id).await.unwrap(), NextStep::None);
        assert_eq!(shop.state(coins).await, PaymentState::Captured);
        assert!(matches!(shop.refund(id, 100).await.1, Err(PaymentError::WrongState)));

        let given_up = shop.t.env.new_id();
        shop.begin(given_up, Method::CashOnDelivery, 20_000).await;
        shop.cancel(given_up).await;
        shop.collected(given_up).await;
        assert_eq!(shop.state(given_up).await, PaymentState::Cancelled);
        let all = shop.payments.of_orders(&[cash, coins, given_up]).await.unwrap();
        assert_eq!(all.len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_and_another_try_works() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, id, gateway) = shop.started(49_900).await;
        let back = shop.pay(&gateway, "fail:insufficient_funds").await;
        assert!(back.iter().any(|(n, _)| n == "error[reason]"));
        let done = shop.payments.callback(&op(), "razorpay", &back).await.unwrap();
        assert!(!done.paid);
        let failed = shop.only(order).await;
        assert_eq!(failed.state, PaymentState::Failed);
        assert!(failed.failure.unwrap().contains("does not have enough money"));
        assert_eq!(shop.events().await, ["payments.failed"]);

        let next = shop.payments.start(&op(), id).await.unwrap();
        assert_eq!(gateway_order(&next), gateway, "the gateway's order is made once");
        assert_eq!(shop.state(order).await, PaymentState::Pending);
        let back = shop.pay(&gateway, "success").await;
        assert!(shop.payments.callback(&op(), "razorpay", &back).await.unwrap().paid);
        assert_eq!(shop.only(order).await.failure, None);
        shop.agree().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_is_lost_in_every_way() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        for kind in [
            "timeout_before",
            "timeout_after",
            "error_before",
            "error_after",
            "truncated_json",
            "too_many_requests",
        ] {
            shop.fault("order.create", kind).await;
            shop.started(10_000).await;
        }
        let ledger = shop.get("/_sim/ledger").await;
        assert_eq!(ledger["orders"].as_array().unwrap().len(), 6, "one order each");

        // Twice in a row: the shopper is told, and the next try finds what was made.
        let order = shop.t.env.new_id();
        let id = shop.begin(order, Method::Razorpay, 10_000).await;
        shop.fault("order.create", "timeout_after").await;
        shop.fault("order.create", "timeout_after").await;
        let lost = shop.payments.start(&op(), id).await;
        assert!(matches!(lost, Err(PaymentError::GatewayUnavailable)), "{lost:?}");
        assert_eq!(shop.state(order).await, PaymentState::Created);
        shop.payments.start(&op(), id).await.unwrap();
        let ledger = shop.get("/_sim/ledger").await;
        assert_eq!(ledger["orders"].as_array().unwrap().len(), 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_redirect_does_nothing() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, _, gateway) = shop.started(49_900).await;
        let (_, _, other) = shop.started(100).await;
        let back = shop.pay(&other, "success").await;
        let get = |name: &str| back.iter().find(|(n, _)| n == name).unwrap().1.clone();
        let payment = get("razorpay_payment_id");
        let form = |order: &str, payment: &str, signature: &str| {
            vec![
                ("razorpay_payment_id".to_owned(), payment.to_owned()),
                ("razorpay_order_id".to_owned(), order.to_owned()),
                ("razorpay_signature".to_owned(), signature.to_owned()),
            ]
        };
        let call = async |fields: Vec<(String, String)>| {
            shop.payments.callback(&op(), "razorpay", &fields).await
        };
        // The signature of a cheap order for a dear one.
        let signature = get("razorpay_signature");
        for bad in [signature.as_str(), "", "00", &"0".repeat(64), &hmac("wrong", b"x")] {
            let refused = call(form(&gateway, &payment, bad)).await;
            assert!(matches!(refused, Err(PaymentError::BadSignature)), "{refused:?}");
        }
        // Even rightly signed, a payment of another order is not believed.
        let signed = hmac(KEY_SECRET, format!("{gateway}|{payment}").as_bytes());
        assert!(!call(form(&gateway, &payment, &signed)).await.unwrap().paid);
        assert_eq!(shop.state(order).await, PaymentState::Pending);

        let unknown = call(form("order_Nobody00000000", &payment, &signed)).await;
        assert!(matches!(unknown, Err(PaymentError::PaymentNotFound)));
        for garbage in [
            vec![],
            form("../../etc", &payment, &signed),
            form(&gateway, "pay_<script>", &signed),
            vec![("razorpay_payment_id".to_owned(), payment.clone())],
            vec![("error[code]".to_owned(), "BAD".to_owned())],
            vec![("error[metadata]".to_owned(), "{".to_owned())],
            vec![("error[code]".to_owned(), "x".repeat(5_000))],
            vec![("a".to_owned(), String::new()); 65],
        ] {
            let refused = call(garbage).await;
            assert!(matches!(refused, Err(PaymentError::Malformed(_))), "{refused:?}");
        }
        let nobody = shop.payments.callback(&op(), "paypal", &[]).await;
        assert!(matches!(nobody, Err(PaymentError::MethodUnavailable)));
        assert!(shop.events().await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_failure_does_not_undo_a_payment() {
    on_both(SETS, async |t| {
        let shop = Shop::open(t).await;
        let (order, _, gateway) = shop.started(49_900).await;
        shop.pay(&gateway, "success").await;
        let forged = vec![
            ("error[code]".to_owned(), "BAD_REQUEST_ERROR".to_owned()),
            ("error[reason]".to_owned(), "payment_cancelled".to_owned()),
            ("error[metadata]".to_owned(), format!(r#"{{"order_id":"{gateway}"}}"#)),
        ];
        let done = shop.payments.callback(&op(), "razorpay", &forged).await.unwrap();
        assert!(done.paid, "the gateway knows better");
        assert_eq!(shop.state(order).await, PaymentState::Captured);
        shop.agree().await;
    })
    .await;
}

/// A gateway order and one payment of it, as a stub tells them.
fn payment(order: &str, status: &str, amount: i64, currency: &str) -> String {
    format!(
        r#"{{"id":"pay_1","entity":"payment","amount":{amount},"currency":"{currency}","status":"{status}","order_id":"{order}","amount_refunded":0,"notes":[]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorised_payment_is_captured_even_if_the_answer_is_lost() {
    for lost in [false, true] {
        on_both(SETS, async |t| {
            let captured = std::sync::atomic::AtomicBool::new(false);
            let stub = Stub::start(move |request| {
                use std::sync::atomic::Ordering::SeqCst;
                let line = request.line.as_str();
                if line == "POST /v1/orders" {
                    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                    return Reply::Json(
                        200,
                        format!(
                            r#"{{"id":"order_1","amount":500,"currency":"INR","receipt":{}}}"#,
                            body["receipt"]
                        ),
                    );
                }
                if line == "POST /v1/payments/pay_1/capture" {
                    captured.store(true, SeqCst);
                    if lost {
                        return Reply::Lost;
                    }
                }
                let status = if captured.load(SeqCst) { "captured" } else { "authorized" };
                let one = payment("order_1", status, 500, "INR");
                match line {
                    "GET /v1/orders/order_1/payments" => {
                        Reply::Json(200, format!(r#"{{"items":[{one}]}}"#))
                    }
                    _ => Reply::Json(200, one),
                }
            })
            .await;
            let shop = Shop::at(t, &stub.url, None);
            let (order, _, _) = shop.started(500).await;
            let signature = hmac(KEY_SECRET, b"order_1|pay_1");
            let fields = [
                ("razorpay_payment_id".to_owned(), "pay_1".to_owned()),
                ("razorpay_order_id".to_owned(), "order_1".to_owned()),
                ("razorpay_signature".to_owned(), signature),
            ];
            let done = shop.payments.callback(&op(), "razorpay", &fields).await.unwrap();
            assert!(done.paid, "lost: {lost}");
            assert_eq!(shop.state(order).await, PaymentState::Captured);
            let captures = stub.seen().iter().filter(|r| r.line.ends_with("/capture")).count();
            assert_eq!(captures, 1);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_amount_or_currency_is_refused() {
    for (amount, currency) in [(499, "INR"), (500, "USD")] {
        on_both(SETS, async |t| {
            let stub = Stub::start(move |request| {
                let line = request.line.as_str();
                if line == "POST /v1/orders" {
                    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                    return Reply::Json(
                        200,
                        format!(
                            r#"{{"id":"order_1","amount":500,"currency":"INR","receipt":{}}}"#,
                            body["receipt"]
                        ),
                    );
                }
                assert!(!line.ends_with("/capture"), "never captured");
                Reply::Json(200, payment("order_1", "authorized", amount, currency))
            })
            .await;
            let shop = Shop::at(t, &stub.url, None);
            let (order, _, _) = shop.started(500).await;
            let fields = [
                ("razorpay_payment_id".to_owned(), "pay_1".to_owned()),
                ("razorpay_order_id".to_owned(), "order_1".to_owned()),
                ("razorpay_signature".to_owned(), hmac(KEY_SECRET, b"order_1|pay_1")),
            ];
            let done = shop.payments.callback(&op(), "razorpay", &fields).await.unwrap();
            assert!(!done.paid);
            assert_eq!(shop.state(order).await, PaymentState::Pending);
            assert_eq!(shop.booked(Account::GatewayReceivable).await, 0);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_talks_nonsense() {
    on_both(SETS, async |t| {
        let answers = [
            (200, "{}".to_owned()),
            (200, String::new()),
            (200, "[1,2".to_owned()),
            (200, r#"{"id":"order_1","amount":1,"currency":"INR","receipt":"x"}"#.to_owned()),
            (200, "x".repeat(3 << 20)),
            (302, "{}".to_owned()),
            (500, "<html>".to_owned()),
        ];
        let shop = Shop::at(t, "http://127.0.0.1:1", None);
        let order = shop.t.env.new_id();
        let id = shop.begin(order, Method::Razorpay, 500).await;
        let down = shop.payments.start(&op(), id).await;
        assert!(matches!(down, Err(PaymentError::GatewayUnavailable)));
        let mut t = shop.t;
        for (status, body) in answers {
            let stub = Stub::start(move |_| Reply::Json(status, body.clone())).await;
            let shop = Shop::at(t, &stub.url, None);
            let nonsense = shop.payments.start(&op(), id).await;
            assert!(matches!(nonsense, Err(PaymentError::GatewayUnavailable)), "{nonsense:?}");
            assert_eq!(shop.state(order).await, PaymentState::Created);
            t = shop.t;
        }
        let refusal = r#"{"error":{"code":"BAD_REQUEST_ERROR","description":"Order amount less than minimum amount allowed"}}"#;
        let stub = Stub::start(|_| Reply::Json(400, refusal.to_owned())).await;
        let shop = Shop::at(t, &stub.url, None);
        let refused = shop.payments.start(&op(), id).await;
        assert!(matches!(refused, Err(PaymentError::GatewayRefused(_))), "{refused:?}");
    })
    .await;
}
