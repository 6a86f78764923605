//! Requests at the same time: what the law of the shop says must hold whatever the order.

use std::collections::HashSet;

use mela_base::ids::OrderId;
use mela_orders_api::{Coupon, NewCart, OrderError, OrderState, Orders};
use mela_payments_api::{Method, PaymentCaptured, Payments};
use mela_testkit::on_both;

use crate::carts::{coupon, uses};
use crate::shop::{BAG, SETS, SHIRT, address, anonymous, line, person_op, shop, system};

const CASH: Method = Method::CashOnDelivery;

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_never_oversold_and_invoices_have_no_gaps() {
    on_both(SETS, async |t| {
        const STOCK: usize = 4;
        let s = shop(t).await;
        s.stock_up(SHIRT, STOCK as i64).await;
        let mut carts = Vec::new();
        for _ in 0..50 * STOCK {
            carts.push(s.cart(&anonymous(), &[line(SHIRT, 1), line(BAG, 1)]).await);
        }
        let tries: Vec<_> = carts
            .into_iter()
            .map(|cart| {
                let (orders, request) = (s.orders.clone(), s.request(&cart, CASH, "key-00001"));
                tokio::spawn(async move { orders.place_order(&anonymous(), request).await })
            })
            .collect();
        let (mut sold, mut out) = (0, 0);
        for one in tries {
            match one.await.unwrap() {
                Ok(placed) => {
                    assert_eq!(placed.order.state, OrderState::Confirmed);
                    sold += 1;
                }
                Err(OrderError::OutOfStock { .. }) => out += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((sold, out), (STOCK, 49 * STOCK));
        assert_eq!((s.stock(SHIRT).await, s.stock(BAG).await), ((4, 4), (1_000, 4)));
        let want: Vec<_> = (1..=STOCK).map(|n| format!("A/2526/{n:06}")).collect();
        assert_eq!(s.invoices().await, want);
        assert_eq!(s.order_count().await, STOCK as i64);
        s.check().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invoice_numbers_are_consecutive_whatever_fails_between() {
    on_both(SETS, async |t| {
        const ORDERS: usize = 60;
        let s = shop(t).await;
        // Coins that are not there make an order fail after its stock was reserved.
        let poor = s.person().await;
        let mut requests = Vec::new();
        for n in 0..2 * ORDERS {
            let op = if n % 2 == 0 { anonymous() } else { person_op(poor, false) };
            let mut cart = s.cart(&op, &[line(SHIRT, 1)]).await;
            if n % 2 == 1 {
                cart = s.orders.set_coins(&op, cart.id, 10).await.unwrap();
            }
            requests.push((op, s.request(&cart, CASH, &format!("key-{n:05}"))));
        }
        let tries: Vec<_> = requests
            .into_iter()
            .map(|(op, request)| {
                let orders = s.orders.clone();
                tokio::spawn(async move { orders.place_order(&op, request).await.is_ok() })
            })
            .collect();
        let mut placed = 0;
        for one in tries {
            placed += usize::from(one.await.unwrap());
        }
        assert_eq!(placed, ORDERS);
        let want: Vec<_> = (1..=ORDERS).map(|n| format!("A/2526/{n:06}")).collect();
        assert_eq!(s.invoices().await, want);
        // 1 April begins a new count.
        let april = mela_base::Timestamp::parse_rfc3339("2026-03-31T18:30:00Z").unwrap();
        s.t.clock.set(april);
        s.inventory_is_known().await;
        let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
        let order = s.place(&anonymous(), &cart, CASH, "key-00001").await.unwrap().order;
        assert_eq!(order.invoice_number.as_deref(), Some("A/2627/000001"));
        s.check().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cart_placed_by_many_is_one_order() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
        let request = s.request(&cart, CASH, "key-00001");
        let same: Vec<_> = (0..40)
            .map(|_| {
                let (orders, request) = (s.orders.clone(), request.clone());
                tokio::spawn(async move { orders.place_order(&anonymous(), request).await })
            })
            .collect();
        let mut ids = HashSet::new();
        for one in same {
            ids.insert(one.await.unwrap().unwrap().order.id);
        }
        assert_eq!(ids.len(), 1);

        let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
        let other: Vec<_> = (0..40)
            .map(|n| {
                let request = s.request(&cart, CASH, &format!("key-{n:05}"));
                let orders = s.orders.clone();
                tokio::spawn(async move { orders.place_order(&anonymous(), request).await })
            })
            .collect();
        let (mut placed, mut refused) = (0, 0);
        for one in other {
            match one.await.unwrap() {
                Ok(_) => placed += 1,
                Err(OrderError::CartPlaced) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((placed, refused), (1, 39));
        assert_eq!((s.order_count().await, s.stock(SHIRT).await), (2, (1_000, 2)));

        // One key on many carts of one person.
        let op = person_op(s.person().await, false);
        let mut requests = Vec::new();
        for _ in 0..20 {
            let cart = s.cart(&op, &[line(SHIRT, 1)]).await;
            requests.push(s.request(&cart, CASH, "key-00001"));
        }
        let tries: Vec<_> = requests
            .into_iter()
            .map(|request| {
                let (orders, op) = (s.orders.clone(), op.clone());
                tokio::spawn(async move { orders.place_order(&op, request).await })
            })
            .collect();
        let (mut placed, mut refused) = (0, 0);
        for one in tries {
            match one.await.unwrap() {
                Ok(_) => placed += 1,
                Err(OrderError::KeyReused) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((placed, refused), (1, 19));
        assert_eq!((s.order_count().await, s.invoices().await.len()), (3, 3));
        s.check().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_changes_while_it_is_placed_is_bought_as_it_was_or_as_it_is() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        for round in 0..15 {
            let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
            let (a, b, id) = (s.orders.clone(), s.orders.clone(), cart.id);
            let mut request = s.request(&cart, CASH, "key-00001");
            request.expected_to_pay = None;
            let place = tokio::spawn(async move { a.place_order(&anonymous(), request).await });
            let change =
                tokio::spawn(async move { b.add_lines(&anonymous(), id, &[line(BAG, 1)]).await });
            let order = place.await.unwrap().unwrap().order;
            let changed = change.await.unwrap();
            // Whoever was told that the bag is in the cart has bought it.
            assert_eq!(order.lines.len() == 2, changed.is_ok(), "round {round}");
            if let Err(error) = changed {
                assert!(matches!(error, OrderError::CartPlaced));
            }
            let bags = order.lines.iter().filter(|l| l.hsn == "4202").count();
            assert_eq!(order.totals.subtotal.0, 49_900 + 120_000 * bags as i64);
        }
        s.check().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_cart_are_all_kept() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
        let adds: Vec<_> = (0..30)
            .map(|_| {
                let (orders, id) = (s.orders.clone(), cart.id);
                tokio::spawn(async move {
                    orders.add_lines(&anonymous(), id, &[line(SHIRT, 1)]).await.is_ok()
                })
            })
            .collect();
        for add in adds {
            assert!(add.await.unwrap());
        }
        let cart = s.orders.cart(&anonymous(), cart.id).await.unwrap();
        assert_eq!((cart.lines[0].quantity, cart.version), (31, 31));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_is_not_used_more_often_than_it_can_be() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let few = Coupon { max_uses: Some(3), ..coupon("FEW") };
        s.orders.save_coupon(&system(), few).await.unwrap();
        let once = Coupon { max_uses_per_person: Some(1), ..coupon("ONCE") };
        s.orders.save_coupon(&system(), once).await.unwrap();
        let me = person_op(s.person().await, false);
        for (op, code, most) in [(anonymous(), "FEW", 3), (me, "ONCE", 1)] {
            let mut requests = Vec::new();
            for n in 0..30 {
                let new = NewCart {
                    lines: vec![line(SHIRT, 1)],
                    address: Some(address()),
                    coupon: Some(code.into()),
                };
                let cart = s.orders.create_cart(&op, new).await.unwrap();
                requests.push(s.request(&cart, CASH, &format!("key-{n:05}")));
            }
            let tries: Vec<_> = requests
                .into_iter()
                .map(|request| {
                    let (orders, op) = (s.orders.clone(), op.clone());
                    tokio::spawn(async move { orders.place_order(&op, request).await })
                })
                .collect();
            let mut placed = Vec::new();
            for one in tries {
                match one.await.unwrap() {
                    Ok(order) => placed.push(order.order.id),
                    Err(OrderError::CouponRefused(_)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert_eq!((placed.len(), uses(&s, code).await), (most, most as i64));
            // Called off twenty times at once, given back once.
            let id = placed[0];
            let tries: Vec<_> = (0..20)
                .map(|_| {
                    let orders = s.orders.clone();
                    tokio::spawn(
                        async move { orders.cancel(&system(), id, None, "").await.is_ok() },
                    )
                })
                .collect();
            let mut cancelled = 0;
            for one in tries {
                cancelled += usize::from(one.await.unwrap());
            }
            assert_eq!((cancelled, uses(&s, code).await), (1, most as i64 - 1));
        }
        assert_eq!(s.stock(SHIRT).await, (1_000, 2));
        s.settle().await;
        s.check().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coins_are_spent_once() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let me = s.person().await;
        let op = person_op(me, false);
        s.grant(me, 250).await;
        let mut requests = Vec::new();
        for n in 0..20 {
            let cart = s.cart(&op, &[line(SHIRT, 1)]).await;
            let cart = s.orders.set_coins(&op, cart.id, 100).await.unwrap();
            // Spent at once by half of them, set aside by the other half.
            let method = if n % 2 == 0 { CASH } else { Method::Razorpay };
            requests.push(s.request(&cart, method, &format!("key-{n:05}")));
        }
        let tries: Vec<_> = requests
            .into_iter()
            .map(|request| {
                let (orders, op) = (s.orders.clone(), op.clone());
                tokio::spawn(async move { orders.place_order(&op, request).await })
            })
            .collect();
        let mut placed = 0;
        for one in tries {
            match one.await.unwrap() {
                Ok(_) => placed += 1,
                Err(OrderError::NotEnoughCoins { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        let (available, held) = s.coins(me).await;
        assert_eq!(placed, 2);
        assert_eq!(available, 50);
        assert!(held == 0 || held == 100 || held == 200, "{held}");
        s.check().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_cancelled_and_expired_at_once_is_one_of_them() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let mut ids: Vec<OrderId> = Vec::new();
        for n in 0..12 {
            let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
            let key = format!("key-{n:05}");
            ids.push(s.place(&anonymous(), &cart, Method::Razorpay, &key).await.unwrap().order.id);
        }
        let payments = s.gateway.of_orders(&ids).await.unwrap();
        s.t.clock.advance_ms(15 * 60_000);
        let env = s.t.env.clone();
        s.t.db
            .write("test.captured", move |tx| {
                for p in &payments {
                    let event = PaymentCaptured {
                        payment_id: p.id,
                        order_id: p.order_id,
                        amount: p.amount,
                    };
                    mela_bus::emit(tx, &env, &event)?;
                }
                Ok::<_, mela_db::DbError>(())
            })
            .await
            .unwrap();
        let (expire, bus) = (s.orders.clone(), s.bus.clone());
        let sweep = tokio::spawn(async move { expire.cancel_expired().await.unwrap() });
        let deliver = tokio::spawn(async move { bus.dispatch_once().await.unwrap() });
        let stock = s.inventory.clone();
        let lapse = tokio::spawn(async move { stock.release_expired().await.unwrap() });
        let cancels: Vec<_> = ids
            .iter()
            .rev()
            .map(|id| {
                let (orders, id) = (s.orders.clone(), *id);
                tokio::spawn(async move { orders.cancel(&system(), id, None, "").await.is_ok() })
            })
            .collect();
        for cancel in cancels {
            cancel.await.unwrap();
        }
        sweep.await.unwrap();
        deliver.await.unwrap();
        lapse.await.unwrap();
        s.settle().await;
        let mut confirmed = 0;
        for id in &ids {
            match s.get(*id).await.state {
                OrderState::Confirmed => confirmed += 1,
                OrderState::Cancelled => {}
                other => panic!("{other:?}"),
            }
        }
        // Every order that does not get its goods gets its money back, and no other.
        assert_eq!(s.gateway.refunds.lock().unwrap().len() as i64, 12 - confirmed);
        assert_eq!(s.stock(SHIRT).await, (1_000, confirmed));
        let invoices = s.invoices().await;
        let want: Vec<_> = (1..=invoices.len()).map(|n| format!("A/2526/{n:06}")).collect();
        assert_eq!(invoices, want);
        s.check().await;
    })
    .await;
}
