//! What becomes of an order.

use futures_util::StreamExt;
use mela_base::Paise;
use mela_base::ids::OrderId;
use mela_orders_api::{OrderError, OrderState, Orders, Placed};
use mela_payments_api::{Method, PaymentCaptured, PaymentFailed, PaymentState, Payments};
use mela_shipping_api::{ParcelMoved, ParcelState};
use mela_testkit::on_both;

use crate::carts::{coupon, uses};
use crate::shop::{BAG, SETS, SHIRT, Shop, anonymous, line, person_op, shop, system};

async fn cash(s: &Shop) -> Placed {
    let cart = s.cart(&anonymous(), &[line(SHIRT, 2)]).await;
    s.place(&anonymous(), &cart, Method::CashOnDelivery, "key-00001").await.unwrap()
}

async fn online(s: &Shop) -> Placed {
    let cart = s.cart(&anonymous(), &[line(SHIRT, 2)]).await;
    s.place(&anonymous(), &cart, Method::Razorpay, "key-00001").await.unwrap()
}

async fn captured(s: &Shop, id: OrderId, amount: Paise) {
    let payment_id = s.gateway.of_orders(&[id]).await.unwrap()[0].id;
    s.announce(PaymentCaptured { payment_id, order_id: id, amount }).await;
}

async fn parcel(s: &Shop, order_id: OrderId, state: ParcelState) {
    s.t.clock.advance_ms(1_000);
    s.announce(ParcelMoved { order_id, state, at: s.now() }).await;
}

fn states(order: &mela_orders_api::Order) -> Vec<OrderState> {
    order.history.iter().map(|h| h.state).collect()
}

#[tokio::test]
async fn what_follows_a_confirmed_order() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let placed = cash(&s).await;
        let (id, key) = (placed.order.id, Some(placed.order_key.as_str()));
        s.settle().await;
        let pdf = s.orders.invoice_pdf(&anonymous(), id, key).await.unwrap();
        assert!(pdf.starts_with(b"%PDF-"));
        {
            let parcels = s.courier.parcels.lock().unwrap();
            assert_eq!((parcels.len(), parcels[0].collect), (1, placed.order.totals.to_pay));
            assert_eq!((parcels[0].weight_g, parcels[0].to.state.as_str()), (500, "Maharashtra"));
            let phones = s.phones.0.lock().unwrap();
            assert_eq!((phones.len(), phones[0].0.as_str()), (1, "+919876543210"));
            assert_eq!(phones[0].2, [placed.order.number.clone(), "1047.00".into()]);
            let mails = s.mailbox.0.lock().unwrap();
            assert_eq!((mails.len(), mails[0].to.as_str()), (1, "asha@example.in"));
            assert_eq!(mails[0].attachments[0].name, "invoice-A-2526-000001.pdf");
            assert_eq!(mails[0].attachments[0].content, pdf);
            let inbox = s.inbox.0.lock().unwrap();
            assert_eq!((inbox.len(), inbox[0].title.as_str()), (1, "Order confirmed"));
        }
        // The event once more: nothing happens twice.
        s.announce(mela_orders_api::OrderConfirmed {
            order_id: id,
            person_id: placed.order.person_id,
            total: placed.order.totals.total,
        })
        .await;
        assert_eq!(s.courier.parcels.lock().unwrap().len(), 1);
        assert_eq!(s.mailbox.0.lock().unwrap().len(), 1);
        assert_eq!(s.phones.0.lock().unwrap().len(), 1);
        // With the person's key gone, the invoice is gone too.
        let (vault, person) = (s.vault.clone(), placed.order.person_id);
        s.t.db
            .write("test.erase", move |tx| {
                vault
                    .destroy_person_key(tx, person)
                    .map_err(|e| mela_db::DbError::Other(e.to_string()))
            })
            .await
            .unwrap();
        assert!(s.orders.invoice_pdf(&anonymous(), id, key).await.is_err());
        assert!(s.get(id).await.address.is_none());
    })
    .await;
}

#[tokio::test]
async fn money_confirms_once() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let placed = online(&s).await;
        let (id, to_pay) = (placed.order.id, placed.order.totals.to_pay);
        let payment_id = s.gateway.of_orders(&[id]).await.unwrap()[0].id;
        for _ in 0..2 {
            s.announce(PaymentFailed { payment_id, order_id: id }).await;
        }
        assert_eq!(s.get(id).await.history.len(), 2);
        for _ in 0..3 {
            captured(&s, id, to_pay).await;
        }
        let order = s.get(id).await;
        assert_eq!(order.state, OrderState::Confirmed);
        assert_eq!(order.invoice_number.as_deref(), Some("A/2526/000001"));
        assert_eq!(s.stock(SHIRT).await, (1_000, 2));
        // Claimed: nothing lapses any more.
        s.t.clock.advance_ms(3_600_000);
        assert_eq!(s.orders.cancel_expired().await.unwrap(), 0);
        assert_eq!(s.inventory.release_expired().await.unwrap(), 0);
        assert_eq!(s.courier.parcels.lock().unwrap()[0].collect, Paise::ZERO);
        // Cancelling gives the money back once.
        s.orders.cancel(&system(), id, None, "asked by phone").await.unwrap();
        s.settle().await;
        let refunds = s.gateway.refunds.lock().unwrap().clone();
        assert_eq!((refunds.len(), refunds[0].amount), (1, to_pay));
        assert_eq!(s.courier.cancelled.lock().unwrap().as_slice(), [id]);
        assert_eq!(s.stock(SHIRT).await, (1_000, 0));
        let twice = s.orders.cancel(&system(), id, None, "").await;
        assert!(matches!(twice, Err(OrderError::WrongState { state: "cancelled" })));
    })
    .await;
}

#[tokio::test]
async fn an_order_that_is_not_paid_in_time_gives_all_back() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let me = s.person().await;
        let op = person_op(me, false);
        s.grant(me, 300).await;
        s.orders.save_coupon(&system(), coupon("FAIR")).await.unwrap();
        let cart = s.cart(&op, &[line(SHIRT, 2)]).await;
        s.orders.set_coins(&op, cart.id, 300).await.unwrap();
        let cart = s.orders.set_coupon(&op, cart.id, Some("FAIR".into())).await.unwrap();
        let order = s.place(&op, &cart, Method::Razorpay, "key-00001").await.unwrap().order;
        assert_eq!(s.coins(me).await, (0, 300));
        assert_eq!(s.stock(SHIRT).await, (1_000, 2));
        s.t.clock.advance_ms(15 * 60_000 - 1);
        assert_eq!(s.orders.cancel_expired().await.unwrap(), 0);
        s.t.clock.advance_ms(1);
        assert_eq!(s.orders.cancel_expired().await.unwrap(), 1);
        assert_eq!(s.orders.cancel_expired().await.unwrap(), 0);
        assert_eq!((s.coins(me).await, s.stock(SHIRT).await), ((300, 0), (1_000, 0)));
        assert_eq!(uses(&s, "FAIR").await, 0);
        let payments = s.gateway.of_orders(&[order.id]).await.unwrap();
        assert_eq!(payments[0].state, PaymentState::Cancelled);
        let no = s.orders.pay_again(&op, order.id, None).await;
        assert!(matches!(no, Err(OrderError::WrongState { .. })));
        // The money was on its way all the same.
        captured(&s, order.id, order.totals.to_pay).await;
        captured(&s, order.id, order.totals.to_pay).await;
        assert_eq!(s.get(order.id).await.state, OrderState::Cancelled);
        assert_eq!(s.gateway.refunds.lock().unwrap().len(), 1);
        assert_eq!(s.invoices().await, Vec::<String>::new());
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn money_after_the_reservation_lapsed() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        s.stock_up(SHIRT, 2).await;
        let lapse = async |key: &str| {
            let cart = s.cart(&anonymous(), &[line(SHIRT, 2)]).await;
            let order = s.place(&anonymous(), &cart, Method::Razorpay, key).await.unwrap().order;
            s.t.clock.advance_ms(16 * 60_000);
            // The stock's own sweep was first, the order's has not come yet.
            assert_eq!(s.inventory.release_expired().await.unwrap(), 1);
            order
        };
        let lucky = lapse("key-00001").await;
        captured(&s, lucky.id, lucky.totals.to_pay).await;
        assert_eq!(s.get(lucky.id).await.state, OrderState::Confirmed);
        assert_eq!(s.stock(SHIRT).await, (2, 2));
        s.stock_up(SHIRT, 4).await;
        let late = lapse("key-00002").await;
        let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
        s.place(&anonymous(), &cart, Method::CashOnDelivery, "key-00003").await.unwrap();
        captured(&s, late.id, late.totals.to_pay).await;
        let order = s.get(late.id).await;
        assert_eq!(order.state, OrderState::Cancelled);
        assert_eq!((s.stock(SHIRT).await, s.gateway.refunds.lock().unwrap().len()), ((4, 3), 1));
        assert_eq!(s.invoices().await.len(), 2);
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn another_amount_is_not_the_price() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let placed = online(&s).await;
        captured(&s, placed.order.id, Paise(100)).await;
        assert_eq!(s.get(placed.order.id).await.state, OrderState::Cancelled);
        let refunds = s.gateway.refunds.lock().unwrap().clone();
        assert_eq!((refunds.len(), refunds[0].amount), (1, Paise(100)));
        assert_eq!(s.stock(SHIRT).await, (1_000, 0));
    })
    .await;
}

#[tokio::test]
async fn parcels_move_orders_along_allowed_moves() {
    on_both(SETS, async |t| {
        use OrderState::{Confirmed, Delivered, OutForDelivery, Shipped};
        let s = shop(t).await;
        let id = cash(&s).await.order.id;
        s.settle().await;
        parcel(&s, id, ParcelState::Booked).await;
        parcel(&s, id, ParcelState::PickedUp).await;
        assert_eq!(s.stock(SHIRT).await, (998, 0));
        parcel(&s, id, ParcelState::InTransit).await;
        parcel(&s, id, ParcelState::OutForDelivery).await;
        parcel(&s, id, ParcelState::Undelivered).await;
        parcel(&s, id, ParcelState::OutForDelivery).await;
        // An old scan comes late.
        let at = s.now().plus_ms(-60_000);
        s.announce(ParcelMoved { order_id: id, state: ParcelState::Undelivered, at }).await;
        assert_eq!(s.get(id).await.state, OutForDelivery);
        let no = s.orders.cancel(&system(), id, None, "").await;
        assert!(matches!(no, Err(OrderError::WrongState { .. })));
        parcel(&s, id, ParcelState::Delivered).await;
        parcel(&s, id, ParcelState::Delivered).await;
        parcel(&s, id, ParcelState::Returning).await;
        let order = s.get(id).await;
        assert_eq!(
            states(&order),
            [Confirmed, Shipped, OutForDelivery, Shipped, OutForDelivery, Delivered]
        );
        let payments = s.gateway.of_orders(&[id]).await.unwrap();
        assert_eq!(payments[0].state, PaymentState::Captured);
        let inbox: Vec<_> = s.inbox.0.lock().unwrap().iter().map(|m| m.title.clone()).collect();
        assert_eq!(inbox.len(), 6);
        assert_eq!(inbox.last().map(String::as_str), Some("Delivered"));
        assert_eq!(s.phones.0.lock().unwrap().len(), 3);
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn what_comes_back_is_paid_back_but_not_sold_again_unseen() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let me = s.person().await;
        let op = person_op(me, false);
        s.grant(me, 300).await;
        let cart = s.cart(&op, &[line(BAG, 1)]).await;
        let cart = s.orders.set_coins(&op, cart.id, 300).await.unwrap();
        let paid = s.place(&op, &cart, Method::Razorpay, "key-00001").await.unwrap().order;
        captured(&s, paid.id, paid.totals.to_pay).await;
        assert_eq!(s.coins(me).await, (0, 0));
        let cod = cash(&s).await.order;
        for id in [paid.id, cod.id] {
            // The pick-up scan was missed.
            parcel(&s, id, ParcelState::Returning).await;
            parcel(&s, id, ParcelState::Returned).await;
            parcel(&s, id, ParcelState::Returned).await;
            assert_eq!(s.get(id).await.state, OrderState::Returned);
        }
        assert_eq!((s.stock(BAG).await, s.stock(SHIRT).await), ((999, 0), (998, 0)));
        assert_eq!(s.coins(me).await, (300, 0));
        assert_eq!(s.gateway.refunds.lock().unwrap().len(), 1);
        let payments = s.gateway.of_orders(&[cod.id]).await.unwrap();
        assert_eq!(payments[0].state, PaymentState::Cancelled);
        s.check().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_every_state_and_the_end() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let placed = cash(&s).await;
        let (id, key) = (placed.order.id, placed.order_key);
        assert!(s.orders.watch(&anonymous(), id, None).await.is_err());
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let bus = s.bus.clone();
        let live = tokio::spawn(async move { bus.run_live(stopped).await });
        let mut stream = s.orders.watch(&anonymous(), id, Some(&key)).await.unwrap();
        assert_eq!(stream.next().await.unwrap().state, OrderState::Confirmed);
        for (parcel_state, state) in [
            (ParcelState::PickedUp, OrderState::Shipped),
            (ParcelState::OutForDelivery, OrderState::OutForDelivery),
            (ParcelState::Delivered, OrderState::Delivered),
        ] {
            parcel(&s, id, parcel_state).await;
            assert_eq!(stream.next().await.unwrap().state, state);
        }
        assert!(stream.next().await.is_none());
        stop.send(true).unwrap();
        live.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_way_counts_though_stray_scans_came_first() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let id = cash(&s).await.order.id;
        s.settle().await;
        parcel(&s, id, ParcelState::OutForDelivery).await;
        // The depot stamped its list after the door had been opened.
        let at = s.now().plus_ms(-60_000);
        s.announce(ParcelMoved { order_id: id, state: ParcelState::Delivered, at }).await;
        assert_eq!(s.get(id).await.state, OrderState::Delivered);
        let payments = s.gateway.of_orders(&[id]).await.unwrap();
        assert_eq!(payments[0].state, PaymentState::Captured);
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn an_order_that_was_paid_in_time_is_not_called_off() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let (paid, unpaid) = (online(&s).await.order, {
            let cart = s.cart(&anonymous(), &[line(BAG, 1)]).await;
            s.place(&anonymous(), &cart, Method::Razorpay, "key-00002").await.unwrap().order
        });
        s.settle().await;
        // The money came, but nobody has dispatched the news until the time ran out.
        s.paid(paid.id, Paise::ZERO).await;
        s.t.clock.advance_ms(20 * 60_000);
        s.inventory_is_known().await;
        assert_eq!(s.orders.cancel_expired().await.unwrap(), 1);
        assert_eq!(s.get(unpaid.id).await.state, OrderState::Cancelled);
        assert_eq!(s.get(paid.id).await.state, OrderState::Confirmed);
        captured(&s, paid.id, paid.totals.to_pay).await;
        assert_eq!(s.get(paid.id).await.history.len(), 2);
        assert!(s.gateway.refunds.lock().unwrap().is_empty());
        assert_eq!((s.stock(SHIRT).await, s.stock(BAG).await), ((1_000, 2), (1_000, 0)));
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_the_money_goes_back() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let order = online(&s).await.order;
        captured(&s, order.id, order.totals.to_pay).await;
        // A part was given back by hand at the gateway, for the long wait.
        s.paid(order.id, Paise(10_000)).await;
        let left = order.totals.to_pay - Paise(10_000);
        *s.gateway.left.lock().unwrap() = Some(left);
        s.orders.cancel(&system(), order.id, None, "").await.unwrap();
        s.settle().await;
        let refunds = s.gateway.refunds.lock().unwrap().clone();
        assert_eq!((refunds.len(), refunds[0].amount), (1, left));

        // All of it was.
        let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
        let all = s.place(&anonymous(), &cart, Method::Razorpay, "key-00002").await.unwrap().order;
        captured(&s, all.id, all.totals.to_pay).await;
        s.paid(all.id, all.totals.to_pay).await;
        *s.gateway.left.lock().unwrap() = Some(Paise::ZERO);
        s.orders.cancel(&system(), all.id, None, "").await.unwrap();
        s.settle().await;
        assert_eq!(s.gateway.refunds.lock().unwrap().len(), 1);
    })
    .await;
}

/// The courier was told, then the process died; meanwhile the order was called off.
#[tokio::test]
async fn a_push_that_was_cut_off_looks_whether_the_order_still_stands() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let id = cash(&s).await.order.id;
        s.orders.cancel(&system(), id, None, "").await.unwrap();
        s.settle().await;
        assert!(s.courier.parcels.lock().unwrap().is_empty());
        assert_eq!(s.courier.cancelled.lock().unwrap().as_slice(), [id, id]);
    })
    .await;
}
