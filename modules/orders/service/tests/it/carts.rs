//! Carts: whose they are, how they join, coupons on them.

use mela_base::ids::CartId;
use mela_base::{Id, Paise, Timestamp};
use mela_db::{Dialect, Sql, Value};
use mela_identity_api::PersonMerged;
use mela_orders_api::{Coupon, CouponKind, NewCart, OrderError, Orders};
use mela_payments_api::Method;
use mela_testkit::on_both;

use crate::shop::{
    BAG, SETS, SHIRT, Shop, address, anonymous, line, person_op, rupees, shop, system, variant,
};

pub(crate) fn coupon(code: &str) -> Coupon {
    Coupon {
        code: code.into(),
        kind: CouponKind::Percent { bp: 1_000, at_most: Some(rupees(100)) },
        min_subtotal: rupees(400),
        max_uses: None,
        max_uses_per_person: None,
        uses: 0,
        starts_at: Timestamp::default(),
        ends_at: None,
    }
}

pub(crate) async fn uses(s: &Shop, code: &str) -> i64 {
    let all = s.orders.coupons(&system()).await.unwrap();
    all.iter().find(|c| c.code == code).unwrap().uses
}

#[tokio::test]
async fn carts_are_changed_and_kept() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let me = s.person().await;
        let op = person_op(me, false);
        assert!(s.orders.my_cart(&op).await.unwrap().is_none());
        assert!(s.orders.my_cart(&anonymous()).await.unwrap().is_none());
        let new = NewCart { lines: vec![line(SHIRT, 1)], ..NewCart::default() };
        let cart = s.orders.create_cart(&op, new).await.unwrap();
        let cart = s.orders.add_lines(&op, cart.id, &[line(SHIRT, 1), line(BAG, 2)]).await.unwrap();
        assert_eq!(cart.version, 2);
        assert_eq!(cart.lines.iter().map(|l| l.quantity).collect::<Vec<_>>(), [2, 2]);
        let cart = s.orders.set_lines(&op, cart.id, &[line(SHIRT, 0)]).await.unwrap();
        assert_eq!(cart.lines.len(), 1);
        let mine = s.orders.my_cart(&op).await.unwrap().unwrap();
        assert_eq!((mine.id, mine.version), (cart.id, 3));
        let cart = s.orders.set_address(&op, cart.id, address()).await.unwrap();
        assert!(cart.address.is_some_and(|a| a.city == "Pune"));
        for wrong in [line(SHIRT, 0), line(SHIRT, -1), line(SHIRT, 1_000)] {
            let no = s.orders.add_lines(&op, cart.id, &[wrong]).await;
            assert!(matches!(no, Err(OrderError::Invalid { field: "quantity", .. })));
        }
        let no = s.orders.add_lines(&anonymous(), cart.id, &[line(SHIRT, 1)]).await;
        assert!(matches!(no, Err(OrderError::CartNotFound)));
        let no = s.orders.add_lines(&op, CartId::default(), &[line(SHIRT, 1)]).await;
        assert!(matches!(no, Err(OrderError::CartNotFound)));
    })
    .await;
}

#[tokio::test]
async fn an_ownerless_cart_is_claimed_with_all_that_is_in_it() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let me = s.person().await;
        let op = person_op(me, false);
        let mine = s.cart(&op, &[line(SHIRT, 1), line(BAG, 1)]).await;
        let found = s.cart(&anonymous(), &[line(SHIRT, 2)]).await;
        assert!(matches!(
            s.orders.claim_cart(&anonymous(), found.id).await,
            Err(OrderError::Unauthenticated)
        ));
        for _ in 0..2 {
            let cart = s.orders.claim_cart(&op, found.id).await.unwrap();
            assert_eq!(cart.id, found.id);
            let lines: Vec<_> = cart.lines.iter().map(|l| (l.variant_id, l.quantity)).collect();
            assert_eq!(lines, [(variant(SHIRT), 3), (variant(BAG), 1)]);
            assert!(cart.address.is_some());
        }
        assert!(matches!(s.orders.cart(&op, mine.id).await, Err(OrderError::CartNotFound)));
        let you = person_op(s.person().await, false);
        assert!(matches!(s.orders.claim_cart(&you, found.id).await, Err(OrderError::CartNotFound)));
        // Sealed under the new owner's key: erasing the owner erases it.
        let vault = s.vault.clone();
        s.t.db
            .write("test.erase", move |tx| {
                vault.destroy_person_key(tx, me).map_err(|e| mela_db::DbError::Other(e.to_string()))
            })
            .await
            .unwrap();
        let cart = s.orders.cart(&op, found.id).await.unwrap();
        assert!(cart.address.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_guest_logs_in_and_takes_all_along() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let (guest, me) = (s.person().await, s.person().await);
        let (as_guest, as_me) = (person_op(guest, true), person_op(me, false));
        let bought = s.cart(&as_guest, &[line(SHIRT, 1)]).await;
        let order =
            s.place(&as_guest, &bought, Method::CashOnDelivery, "key-00001").await.unwrap().order;
        let cart = s.cart(&as_guest, &[line(SHIRT, 2)]).await;
        s.cart(&as_me, &[line(BAG, 1)]).await;
        for _ in 0..2 {
            s.announce(PersonMerged { from: guest, to: me }).await;
            let mine = s.orders.my_cart(&as_me).await.unwrap().unwrap();
            assert_eq!(mine.id, cart.id);
            let lines: Vec<_> = mine.lines.iter().map(|l| (l.variant_id, l.quantity)).collect();
            assert_eq!(lines, [(variant(SHIRT), 2), (variant(BAG), 1)]);
        }
        assert!(s.orders.my_cart(&as_guest).await.unwrap().is_none());
        let seen = s.orders.order(&as_me, order.id, None).await.unwrap();
        assert!(seen.address.is_some(), "still readable, under the guest's key");
        // The lost answer to the guest's request can still be asked for.
        let again = s.place(&as_me, &bought, Method::CashOnDelivery, "key-00001").await.unwrap();
        assert_eq!(again.order.id, order.id);
    })
    .await;
}

#[tokio::test]
async fn coupons_take_off_and_are_given_back() {
    on_both(SETS, async |t| {
        let s = shop(t).await;
        let me = s.person().await;
        let op = person_op(me, false);
        let limited =
            Coupon { max_uses: Some(2), max_uses_per_person: Some(1), ..coupon("fair10") };
        s.orders.save_coupon(&system(), limited.clone()).await.unwrap();
        assert!(matches!(s.orders.save_coupon(&op, limited).await, Err(OrderError::Denied)));
        let cart = s.cart(&op, &[line(SHIRT, 1)]).await;
        for wrong in ["NOPE", "x", "%%%"] {
            assert!(s.orders.set_coupon(&op, cart.id, Some(wrong.into())).await.is_err());
        }
        let cart = s.orders.set_coupon(&op, cart.id, Some(" Fair10 ".into())).await.unwrap();
        assert_eq!((cart.coupon.as_deref(), cart.totals.discount), (Some("FAIR10"), Paise(4_990)));
        let order = s.place(&op, &cart, Method::CashOnDelivery, "key-00001").await.unwrap().order;
        assert_eq!(order.lines[0].discount, Paise(4_990));
        assert_eq!(uses(&s, "FAIR10").await, 1);
        // Once per person.
        let second = s.cart(&op, &[line(SHIRT, 1)]).await;
        let second = s.orders.set_coupon(&op, second.id, Some("FAIR10".into())).await.unwrap();
        let no = s.place(&op, &second, Method::CashOnDelivery, "key-00002").await;
        assert!(matches!(no, Err(OrderError::CouponRefused(_))));
        assert_eq!(uses(&s, "FAIR10").await, 1);
        s.orders.cancel(&op, order.id, None, "").await.unwrap();
        assert_eq!(uses(&s, "FAIR10").await, 0);
        s.place(&op, &second, Method::CashOnDelivery, "key-00002").await.unwrap();
        assert_eq!(uses(&s, "FAIR10").await, 1);

        // Guests come and go: limits per person are for those who logged in.
        for nobody in [anonymous(), person_op(s.person().await, true)] {
            let cart = s.cart(&nobody, &[line(SHIRT, 1)]).await;
            let no = s.orders.set_coupon(&nobody, cart.id, Some("FAIR10".into())).await;
            assert!(matches!(no, Err(OrderError::CouponRefused(_))));
        }
        // A change by staff does not touch the count.
        let more = Coupon { max_uses: Some(9), uses: 77, ..coupon("FAIR10") };
        s.orders.save_coupon(&system(), more).await.unwrap();
        assert_eq!(uses(&s, "FAIR10").await, 1);
        let ended = Coupon { ends_at: Some(s.now()), ..coupon("OLD") };
        s.orders.save_coupon(&system(), ended).await.unwrap();
        let cart = s.cart(&op, &[line(SHIRT, 1)]).await;
        let no = s.orders.set_coupon(&op, cart.id, Some("OLD".into())).await;
        assert!(matches!(no, Err(OrderError::CouponRefused(_))));
        s.settle().await;
        s.check().await;
    })
    .await;
}

/// A login moves what is a guest's: that must not read all carts that ever became orders.
#[tokio::test]
async fn merging_persons_finds_rows_by_index() {
    static PLANS: [Sql; 3] = [
        Sql::new(
            "test.1",
            "EXPLAIN QUERY PLAN UPDATE cart SET person_id = ?2 WHERE person_id = ?1",
        ),
        Sql::new("test.2", "EXPLAIN QUERY PLAN DELETE FROM coupon_use WHERE person_id = ?1"),
        Sql::new(
            "test.3",
            "EXPLAIN QUERY PLAN UPDATE customer_order SET person_id = ?2 WHERE person_id = ?1",
        ),
    ];
    on_both(SETS, async |t| {
        // Postgres reads small tables as a whole whatever indexes there are.
        if t.dialect() != Dialect::Sqlite {
            return;
        }
        for (i, sql) in PLANS.iter().enumerate() {
            let ids = [Value::from(Id::from_bytes([1; 16])), Value::from(Id::from_bytes([2; 16]))];
            let ids = if i == 1 { ids[..1].to_vec() } else { ids.to_vec() };
            let rows = t.db.read("test.plan", move |q| q.all(sql, &ids)).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|r| r.get(3).unwrap()).collect();
            assert!(plan.iter().all(|step| step.starts_with("SEARCH")), "{}: {plan:?}", sql.name);
        }
    })
    .await;
}
