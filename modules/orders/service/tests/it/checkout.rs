//! Placing orders, one at a time.

use mela_base::Paise;
use mela_orders::OrdersConfig;
use mela_orders_api::{NewCart, OrderError, OrderState, Orders, PlaceOrder};
use mela_payments_api::{Method, NextStep, PaymentState, Payments};
use mela_testkit::on_both;

use crate::shop::{
    BAG, GONE, SETS, SHIRT, SUIT, address, address_at, anonymous, config, line, person_op, rupees,
    shop, shop_with, system, variant,
};

#[tokio::test]
async fn a_guest_checkout_costs_few_statements() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let before = s.t.db.statement_count();
        let new = NewCart {
            lines: vec![line(SHIRT, 2), line(BAG, 1)],
            address: Some(address()),
            coupon: None,
        };
        let cart = s.orders.create_cart(&anonymous(), new).await.unwrap();
        let created = s.t.db.statement_count();
        let placed =
            s.place(&anonymous(), &cart, Method::CashOnDelivery, "key-00001").await.unwrap();
        let done = s.t.db.statement_count();
        println!("statements: create {} + place {}", created - before, done - created);
        assert!(done - before <= 14, "{} + {}", created - before, done - created);

        let order = placed.order;
        assert_eq!(order.state, OrderState::Confirmed);
        assert_eq!(placed.next, NextStep::None);
        assert_eq!(order.totals.subtotal, Paise(219_800));
        assert_eq!(order.totals.total, Paise(219_800));
        assert_eq!(order.invoice_number.as_deref(), Some("A/2526/000001"));
        assert_eq!(order.state_name, "Maharashtra");
        assert!(order.address.is_some_and(|a| a.phone == "+919876543210"));
        let shirt = &order.lines[0];
        assert_eq!((shirt.rate_bp, shirt.cgst, shirt.igst), (500, shirt.sgst, Paise::ZERO));
        assert_eq!(shirt.taxable + shirt.cgst + shirt.sgst, Paise(99_800));
        assert_eq!((s.stock(SHIRT).await, s.stock(BAG).await), ((1_000, 2), (1_000, 1)));
        let payments = s.gateway.of_orders(&[order.id]).await.unwrap();
        assert_eq!((payments.len(), payments[0].state), (1, PaymentState::DueOnDelivery));
        assert_eq!(payments[0].amount, Paise(219_800));

        // The key opens the order, and nothing else does.
        let by_key = s.orders.order(&anonymous(), order.id, Some(&placed.order_key)).await.unwrap();
        assert_eq!(by_key.number, order.number);
        assert_eq!(s.orders.order_key(order.id), placed.order_key);
        for wrong in [None, Some(""), Some("0"), Some(&placed.order_key[..25])] {
            let refused = s.orders.order(&anonymous(), order.id, wrong).await;
            assert!(matches!(refused, Err(OrderError::OrderNotFound)));
        }
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn the_delivery_state_decides_the_tax() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        // Bengaluru: another state.
        let new = NewCart {
            lines: vec![line(SUIT, 1)],
            address: Some(address_at("560001")),
            coupon: None,
        };
        let cart = s.orders.create_cart(&anonymous(), new).await.unwrap();
        assert_eq!(cart.state.as_deref(), Some("Karnataka"));
        let order =
            s.place(&anonymous(), &cart, Method::CashOnDelivery, "key-00001").await.unwrap().order;
        assert_eq!(order.state_name, "Karnataka");
        let l = &order.lines[0];
        // ₹2,999 is above the limit for clothes.
        assert_eq!((l.rate_bp, l.cgst, l.sgst), (1_800, Paise::ZERO, Paise::ZERO));
        assert_eq!((l.igst, l.taxable), (Paise(45_747), Paise(254_153)));
        assert_eq!(order.totals.tax, l.igst);
    })
    .await;
}

#[tokio::test]
async fn what_one_place_does_not_have_another_may() {
    on_both(SETS, async |t| {
        use mela_base::Id;
        use mela_base::ids::LocationId;
        use mela_inventory_api::{Inventory, Location, StockLevel};
        let s = shop(t).await;
        // Bengaluru comes second, so Pune is asked first.
        s.t.clock.advance_ms(1);
        let second = LocationId(Id::from_bytes([201; 16]));
        let location = Location {
            id: second,
            name: "Bengaluru".into(),
            gstin: "29AAGCB7383J1Z4".into(),
            state_code: "29".into(),
            address: "1 MG Road, Bengaluru".into(),
            pincode: "560001".into(),
        };
        s.inventory.save_location(&system(), location).await.unwrap();
        s.stock_up(SHIRT, 1).await;
        let level = StockLevel { variant_id: variant(SHIRT), location_id: second, on_hand: 5 };
        s.inventory.set_stock(&system(), &[level]).await.unwrap();
        let cash = Method::CashOnDelivery;
        let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
        let near = s.place(&anonymous(), &cart, cash, "key-00001").await.unwrap().order;
        let cart = s.cart(&anonymous(), &[line(SHIRT, 3)]).await;
        let far = s.place(&anonymous(), &cart, cash, "key-00001").await.unwrap().order;
        // The place that dispatches decides tax and series.
        assert!(near.lines[0].cgst > Paise::ZERO && near.lines[0].igst == Paise::ZERO);
        assert!(far.lines[0].igst > Paise::ZERO && far.lines[0].cgst == Paise::ZERO);
        assert_eq!(near.invoice_number, far.invoice_number);
        // All of an order leaves from one place.
        let cart = s.cart(&anonymous(), &[line(SHIRT, 3)]).await;
        let no = s.place(&anonymous(), &cart, cash, "key-00001").await;
        assert!(matches!(no, Err(OrderError::OutOfStock { available: 2, .. })));
        s.settle().await;
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn charges_and_their_limits() {
    on_both(SETS, async |t| {
        let config = OrdersConfig { cod_fee: rupees(30), cod_max: rupees(600), ..config() };
        let s = shop_with(t, config).await;
        let cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
        assert_eq!((cart.totals.shipping, cart.totals.to_pay), (rupees(49), Paise(54_800)));
        assert_eq!(cart.methods, [Method::Razorpay, Method::CashOnDelivery]);
        // The fee was not in what the shopper saw.
        let refused = s.place(&anonymous(), &cart, Method::CashOnDelivery, "key-00001").await;
        let Err(OrderError::TotalChanged { now, .. }) = refused else { panic!("taken") };
        assert_eq!(now, Paise(57_800));
        let request = PlaceOrder {
            expected_to_pay: Some(now),
            ..s.request(&cart, Method::CashOnDelivery, "key-00002")
        };
        let order = s.orders.place_order(&anonymous(), request).await.unwrap().order;
        assert_eq!((order.totals.cod_fee, order.totals.total), (rupees(30), Paise(57_800)));

        let dear = s.cart(&anonymous(), &[line(BAG, 1)]).await;
        assert_eq!((dear.totals.shipping, dear.methods), (Paise::ZERO, vec![Method::Razorpay]));
        let dear = s.orders.cart(&anonymous(), dear.id).await.unwrap();
        let request = PlaceOrder {
            expected_to_pay: None,
            ..s.request(&dear, Method::CashOnDelivery, "key-00003")
        };
        let refused = s.orders.place_order(&anonymous(), request).await;
        assert!(matches!(refused, Err(OrderError::MethodUnavailable(_))));
        let refused = s.place(&anonymous(), &dear, Method::Coins, "key-00003").await;
        assert!(matches!(refused, Err(OrderError::MethodUnavailable(_))));
    })
    .await;
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_before_and_at_checkout() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let op = anonymous();
        let empty = s.orders.create_cart(&op, NewCart::default()).await.unwrap();
        let codes: Vec<_> = empty.problems.iter().map(|p| p.code).collect();
        assert_eq!(codes, ["CART_EMPTY", "ADDRESS_MISSING"]);
        let no = s.place(&op, &empty, Method::CashOnDelivery, "key-00001").await;
        assert!(matches!(no, Err(OrderError::CartEmpty)));

        let cart = s.orders.add_lines(&op, empty.id, &[line(SHIRT, 1)]).await.unwrap();
        let no = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await;
        assert!(matches!(no, Err(OrderError::AddressMissing)));

        // Arunachal Pradesh: no courier. Kerala: no cash.
        let cart = s.orders.set_address(&op, cart.id, address_at("791111")).await.unwrap();
        assert_eq!(cart.problems[0].code, "NOT_DELIVERABLE");
        let no = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await;
        assert!(matches!(no, Err(OrderError::NotDeliverable)));
        let cart = s.orders.set_address(&op, cart.id, address_at("682001")).await.unwrap();
        assert_eq!((cart.problems.len(), cart.methods.clone()), (0, vec![Method::Razorpay]));
        let no = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await;
        assert!(matches!(no, Err(OrderError::MethodUnavailable(_))));

        let cart = s.orders.set_address(&op, cart.id, address()).await.unwrap();
        s.stock_up(SHIRT, 3).await;
        let cart = s.orders.set_lines(&op, cart.id, &[line(SHIRT, 4)]).await.unwrap();
        assert_eq!(
            (cart.problems[0].code, cart.problems[0].variant_id),
            ("OUT_OF_STOCK", Some(variant(SHIRT)))
        );
        let no = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await;
        assert!(matches!(no, Err(OrderError::OutOfStock { available: 3, .. })));

        let cart = s.orders.set_lines(&op, cart.id, &[line(SHIRT, 1)]).await.unwrap();
        s.set_price(SHIRT, 39_900).await;
        let no = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await;
        let Err(OrderError::TotalChanged { expected, now }) = no else { panic!("taken") };
        assert_eq!((expected, now), (Paise(54_800), Paise(44_800)));

        s.off_sale(SHIRT).await;
        let cart = s.orders.cart(&op, cart.id).await.unwrap();
        assert_eq!((cart.problems[0].code, cart.lines[0].total), ("NOT_FOR_SALE", Paise::ZERO));
        let no = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await;
        assert!(matches!(no, Err(OrderError::NotForSale { .. })));
        for n in [GONE, 77] {
            let no = s.orders.add_lines(&op, cart.id, &[line(n, 1)]).await;
            assert!(matches!(no, Err(OrderError::NotForSale { .. })));
        }
        assert_eq!((s.order_count().await, s.stock(SHIRT).await), (0, (3, 0)));
        assert_eq!(s.invoices().await, Vec::<String>::new());
        for key in ["", "short", "has space in it", &"x".repeat(65), "ключключ"] {
            let no = s.place(&op, &cart, Method::CashOnDelivery, key).await;
            assert!(matches!(no, Err(OrderError::Invalid { field: "idempotencyKey", .. })));
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_stands_for_one_order() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let op = anonymous();
        let cart = s.cart(&op, &[line(SHIRT, 1)]).await;
        let first = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await.unwrap();
        let again = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await.unwrap();
        assert_eq!((first.order.id, first.order_key), (again.order.id, again.order_key));
        assert_eq!(again.order.lines, first.order.lines);
        let other = s.place(&op, &cart, Method::Razorpay, "key-00001").await;
        assert!(matches!(other, Err(OrderError::KeyReused)));
        let placed = s.place(&op, &cart, Method::CashOnDelivery, "key-00002").await;
        assert!(matches!(placed, Err(OrderError::CartPlaced)));
        let closed = s.orders.add_lines(&op, cart.id, &[line(BAG, 1)]).await;
        assert!(matches!(closed, Err(OrderError::CartPlaced)));
        let shown = s.orders.cart(&op, cart.id).await.unwrap();
        assert_eq!(shown.order_id, Some(first.order.id));

        // A person's key stands for one order over all carts; another person's is another.
        let (me, you) = (s.person().await, s.person().await);
        let one = s.cart(&person_op(me, false), &[line(SHIRT, 1)]).await;
        let two = s.cart(&person_op(me, false), &[line(BAG, 1)]).await;
        let three = s.cart(&person_op(you, false), &[line(BAG, 1)]).await;
        let cash = Method::CashOnDelivery;
        s.place(&person_op(me, false), &one, cash, "key-00001").await.unwrap();
        let reused = s.place(&person_op(me, false), &two, cash, "key-00001").await;
        assert!(matches!(reused, Err(OrderError::KeyReused)));
        s.place(&person_op(you, false), &three, cash, "key-00001").await.unwrap();
        // What was refused is not half done.
        let two = s.orders.cart(&person_op(me, false), two.id).await.unwrap();
        assert_eq!(two.order_id, None);
        s.place(&person_op(me, false), &two, cash, "key-00009").await.unwrap();
        assert_eq!(s.stock(BAG).await, (1_000, 2));
        assert_eq!(s.invoices().await.len(), 4);
        // Carts and orders of others are not there.
        let not_mine = s.orders.cart(&person_op(you, false), one.id).await;
        assert!(matches!(not_mine, Err(OrderError::CartNotFound)));
        let not_mine = s.place(&person_op(you, false), &one, cash, "key-00001").await;
        assert!(matches!(not_mine, Err(OrderError::CartNotFound)));
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn paying_online_waits_and_can_be_tried_again() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let op = anonymous();
        let cart = s.cart(&op, &[line(SHIRT, 1)]).await;
        s.gateway_down(true);
        let placed = s.place(&op, &cart, Method::Razorpay, "key-00001").await.unwrap();
        assert_eq!((placed.order.state, placed.next), (OrderState::PendingPayment, NextStep::None));
        assert_eq!(placed.order.invoice_number, None);
        let key = Some(placed.order_key.as_str());
        assert!(s.orders.pay_again(&op, placed.order.id, key).await.is_err());
        s.gateway_down(false);
        let next = s.orders.pay_again(&op, placed.order.id, key).await.unwrap();
        assert!(matches!(next, NextStep::HostedPage { .. }));
        let again = s.place(&op, &cart, Method::Razorpay, "key-00001").await.unwrap();
        assert!(matches!(again.next, NextStep::HostedPage { .. }));
        assert_eq!((again.order.id, s.order_count().await), (placed.order.id, 1));
        let early = s.orders.invoice_pdf(&op, placed.order.id, key).await;
        assert!(matches!(early, Err(OrderError::InvoiceNotReady)));
    })
    .await;
}

#[tokio::test]
async fn coins_pay_a_part() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let me = s.person().await;
        let op = person_op(me, false);
        s.grant(me, 500).await;
        let cart = s.cart(&op, &[line(SHIRT, 1)]).await;
        let cart = s.orders.set_coins(&op, cart.id, 10_000).await.unwrap();
        // At most 20 % of ₹499 at 10 paise a coin: 998 coins, more than there are.
        assert_eq!((cart.totals.coins, cart.problems[0].code), (998, "NOT_ENOUGH_COINS"));
        let no = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await;
        assert!(matches!(no, Err(OrderError::NotEnoughCoins { available: 500 })));
        let cart = s.orders.set_coins(&op, cart.id, 400).await.unwrap();
        assert_eq!(cart.totals.to_pay, Paise(54_800 - 4_000));
        let order = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await.unwrap().order;
        assert_eq!((order.totals.coins, s.coins(me).await), (400, (100, 0)));
        // Tax is that of the whole price.
        assert_eq!(order.totals.tax, cart.totals.tax);
        s.orders.cancel(&op, order.id, None, "changed my mind").await.unwrap();
        assert_eq!(s.coins(me).await, (500, 0));
        let anonymous_cart = s.cart(&anonymous(), &[line(SHIRT, 1)]).await;
        let no = s.orders.set_coins(&anonymous(), anonymous_cart.id, 5).await;
        assert!(matches!(no, Err(OrderError::Unauthenticated)));
        assert!(s.orders.set_coins(&op, cart.id, -1).await.is_err());
        s.settle().await;
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn coins_can_pay_all() {
    on_both(SETS, async |t| {
        let config = OrdersConfig {
            coins_percent: 100,
            paise_per_coin: 100,
            flat_shipping: Paise::ZERO,
            ..config()
        };
        let s = shop_with(t, config).await;
        let me = s.person().await;
        let op = person_op(me, false);
        s.grant(me, 10_000).await;
        let cart = s.cart(&op, &[line(SHIRT, 2)]).await;
        let cart = s.orders.set_coins(&op, cart.id, 10_000).await.unwrap();
        assert_eq!((cart.totals.coins, cart.totals.to_pay), (998, Paise::ZERO));
        assert_eq!(cart.methods, [Method::Coins]);
        let placed = s.place(&op, &cart, Method::Coins, "key-00001").await.unwrap();
        assert_eq!(
            (placed.order.state, placed.order.method),
            (OrderState::Confirmed, Method::Coins)
        );
        assert_eq!(s.coins(me).await, (9_002, 0));
        s.settle().await;
        s.check().await;
    })
    .await;
}

#[tokio::test]
async fn orders_are_listed_for_those_who_may_see_them() {
    on_both(SETS, async |t| {
        use mela_base::PageRequest;
        use mela_orders_api::OrderFilter;
        let s = shop(t).await;
        let me = s.person().await;
        let op = person_op(me, false);
        let mut ids = Vec::new();
        for n in 0..5 {
            s.t.clock.advance_ms(10);
            let cart = s.cart(&op, &[line(SHIRT, 1)]).await;
            let key = format!("key-0000{n}");
            ids.push(s.place(&op, &cart, Method::CashOnDelivery, &key).await.unwrap().order.id);
        }
        ids.reverse();
        let first = s.orders.orders(&op, &PageRequest::first(3)).await.unwrap();
        assert!(first.has_next);
        let after = first.items.last().map(|(cursor, _)| cursor.clone());
        let rest = s.orders.orders(&op, &PageRequest { first: 3, after }).await.unwrap();
        assert!(!rest.has_next);
        let seen: Vec<_> = first.items.iter().chain(&rest.items).map(|(_, o)| o.id).collect();
        assert_eq!(seen, ids);
        assert!(first.items.iter().all(|(_, o)| o.lines.len() == 1 && o.address.is_some()));
        let bad = PageRequest { first: 3, after: Some("x".into()) };
        assert!(matches!(s.orders.orders(&op, &bad).await, Err(OrderError::Invalid { .. })));

        let all = PageRequest::first(100);
        let filter =
            |state, number: Option<&str>| OrderFilter { state, number: number.map(Into::into) };
        let list =
            async |f: OrderFilter| s.orders.list(&system(), &f, &all).await.unwrap().items.len();
        let number = s.get(ids[2]).await.number;
        assert_eq!(list(filter(None, None)).await, 5);
        assert_eq!(list(filter(Some(OrderState::Confirmed), None)).await, 5);
        assert_eq!(list(filter(Some(OrderState::Shipped), None)).await, 0);
        assert_eq!(list(filter(None, Some(&number))).await, 1);
        assert_eq!(list(filter(None, Some("M\0"))).await, 0, "no text of PostgreSQL's");
        let denied = s.orders.list(&op, &OrderFilter::default(), &all).await;
        assert!(matches!(denied, Err(OrderError::Denied)));
        let you = person_op(s.person().await, false);
        assert!(s.orders.orders(&you, &all).await.unwrap().items.is_empty());
        assert!(matches!(s.orders.order(&you, ids[0], None).await, Err(OrderError::OrderNotFound)));
        assert!(s.orders.cancel(&you, ids[0], None, "").await.is_err());
    })
    .await;
}
