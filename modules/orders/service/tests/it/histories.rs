//! Random histories of several orders: after every step stock, coins, books and invoice numbers
//! follow from where the orders stand.

use mela_base::ids::OrderId;
use mela_orders_api::{Order, OrderState, Orders};
use mela_payments_api::{Method, PaymentCaptured, Payments};
use mela_shipping_api::{ParcelMoved, ParcelState};
use mela_testkit::TestDb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::shop::{SETS, SHIRT, Shop, line, person_op, shop, system};

const COINS: i64 = 300;

#[derive(Clone, Debug)]
enum Step {
    Place { online: bool, quantity: i64, coins: i64 },
    Pay(usize),
    Cancel(usize),
    Parcel(usize, ParcelState),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<bool>(), 1i64..4, 0i64..150)
            .prop_map(|(online, quantity, coins)| Step::Place { online, quantity, coins }),
        2 => (0usize..6).prop_map(Step::Pay),
        1 => (0usize..6).prop_map(Step::Cancel),
        4 => (0usize..6, prop::sample::select(ParcelState::ALL.to_vec()))
            .prop_map(|(n, state)| Step::Parcel(n, state)),
        1 => Just(Step::Wait),
    ]
}

async fn take(s: &Shop, me: mela_base::ids::PersonId, ids: &mut Vec<OrderId>, step: &Step) {
    let op = person_op(me, false);
    s.t.clock.advance_ms(1_000);
    match step {
        Step::Place { online, quantity, coins } => {
            let cart = s.cart(&op, &[line(SHIRT, *quantity)]).await;
            let cart = s.orders.set_coins(&op, cart.id, *coins).await.unwrap();
            let method = if *online { Method::Razorpay } else { Method::CashOnDelivery };
            let key = format!("key-{:05}", ids.len());
            // Fails if there are too few coins; then nothing must have happened.
            if let Ok(placed) = s.place(&op, &cart, method, &key).await {
                ids.push(placed.order.id);
            }
        }
        Step::Pay(n) => {
            let Some(id) = ids.get(*n) else { return };
            let payment = s.gateway.of_orders(&[*id]).await.unwrap().remove(0);
            if payment.method == Method::Razorpay {
                let (payment_id, amount) = (payment.id, payment.amount);
                s.announce(PaymentCaptured { payment_id, order_id: *id, amount }).await;
            }
        }
        Step::Cancel(n) => {
            let Some(id) = ids.get(*n) else { return };
            let _ = s.orders.cancel(&system(), *id, None, "").await;
        }
        Step::Parcel(n, state) => {
            let Some(id) = ids.get(*n) else { return };
            // No courier has an order that is not confirmed.
            if s.get(*id).await.state != OrderState::PendingPayment {
                s.announce(ParcelMoved { order_id: *id, state: *state, at: s.now() }).await;
            }
        }
        Step::Wait => {
            s.t.clock.advance_ms(6 * 60_000);
            s.orders.cancel_expired().await.unwrap();
            s.inventory_is_known().await;
        }
    }
    s.settle().await;
}

async fn check(s: &Shop, me: mela_base::ids::PersonId, ids: &[OrderId]) {
    let mut orders: Vec<Order> = Vec::new();
    for id in ids {
        orders.push(s.get(*id).await);
    }
    let pieces = |which: &dyn Fn(OrderState) -> bool| -> i64 {
        orders.iter().filter(|o| which(o.state)).map(|o| o.lines[0].quantity).sum()
    };
    let coins = |which: &dyn Fn(OrderState) -> bool| -> i64 {
        orders.iter().filter(|o| which(o.state)).map(|o| o.totals.coins).sum()
    };
    let open = |s| matches!(s, OrderState::PendingPayment | OrderState::Confirmed);
    let back = |s| matches!(s, OrderState::Cancelled | OrderState::Returned);
    let gone = |s| !open(s) && s != OrderState::Cancelled;
    assert_eq!(s.stock(SHIRT).await, (1_000 - pieces(&gone), pieces(&open)));
    let held = coins(&|s| s == OrderState::PendingPayment);
    let spent = coins(&|s| s != OrderState::PendingPayment && !back(s));
    assert_eq!(s.coins(me).await, (COINS - held - spent, held));
    let numbered =
        orders.iter().filter(|o| o.history.iter().any(|h| h.state == OrderState::Confirmed));
    let want: Vec<_> = (1..=numbered.count()).map(|n| format!("A/2526/{n:06}")).collect();
    assert_eq!(s.invoices().await, want);
    for order in &orders {
        for pair in order.history.windows(2) {
            let (from, to) = (pair[0].state, pair[1].state);
            assert!(from == to || from.may_become(to), "{from:?} to {to:?}");
        }
    }
    let refunds = s.gateway.refunds.lock().unwrap().clone();
    for refund in &refunds {
        let order = orders.iter().find(|o| o.totals.to_pay == refund.amount && back(o.state));
        assert!(order.is_some(), "a refund for an order that keeps its goods");
    }
    s.check().await;
}

#[test]
fn random_histories_keep_the_books() {
    let strategy = prop::collection::vec(step(), 1..25);
    for (cases, open) in [(16, TestDb::sqlite as fn(_) -> _), (4, TestDb::postgres)] {
        let mut runner =
            TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        runner
            .run(&strategy, |steps| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let s = shop(open(SETS)).await;
                    let me = s.person().await;
                    s.grant(me, COINS).await;
                    let mut ids = Vec::new();
                    for step in &steps {
                        take(&s, me, &mut ids, step).await;
                        check(&s, me, &ids).await;
                    }
                });
                Ok(())
            })
            .unwrap();
    }
}
