//! Inventory through its contract, on both engines.

#![allow(clippy::unwrap_used)]

mod races;
mod steps;

use mela_base::ids::{LocationId, OrderId, VariantId};
use mela_base::{Id, Op};
use mela_db::{Db, Dialect, MigrationSet, Query, Sql, check_statements, params};
use mela_inventory::{InventoryService, STATEMENTS, STATEMENTS_POSTGRES};
use mela_inventory_api::{Inventory, InventoryError, Location, Quantity, StockLevel};
use mela_testkit::{TestDb, on_both};

pub(crate) const SETS: &[MigrationSet] = &[mela_bus::MIGRATIONS, mela_inventory::MIGRATIONS];

const STOCK: Sql = Sql::new(
    "test.stock",
    "SELECT on_hand, reserved FROM stock WHERE variant_id = ?1 AND location_id = ?2",
);
const EVENTS: Sql = Sql::new("test.events", "SELECT COUNT(seq) FROM outbox");

pub(crate) fn variant(n: u8) -> VariantId {
    VariantId(Id::from_bytes([n; 16]))
}

pub(crate) fn order(n: u8) -> OrderId {
    OrderId(Id::from_bytes([n; 16]))
}

pub(crate) fn place() -> LocationId {
    LocationId(Id::from_bytes([200; 16]))
}

pub(crate) fn line(n: u8, quantity: i64) -> Quantity {
    Quantity { variant_id: variant(n), quantity }
}

pub(crate) fn level(n: u8, on_hand: i64) -> StockLevel {
    StockLevel { variant_id: variant(n), location_id: place(), on_hand }
}

pub(crate) async fn shop(t: &TestDb, levels: &[StockLevel]) -> InventoryService {
    let inventory = InventoryService::new(t.db.clone(), t.env.clone());
    inventory.set_stock(&Op::system("test"), levels).await.unwrap();
    inventory
}

/// On hand and reserved.
pub(crate) fn stock_in(q: &mut Query<'_>, n: u8) -> (i64, i64) {
    let row = q.one(&STOCK, &params![variant(n), place()]).unwrap();
    (row.get(0).unwrap(), row.get(1).unwrap())
}

async fn stock(db: &Db, n: u8) -> (i64, i64) {
    db.read("test.stock", move |q| Ok::<_, InventoryError>(stock_in(q, n))).await.unwrap()
}

async fn events(db: &Db) -> i64 {
    db.read("test.events", |q| Ok::<_, InventoryError>(q.one(&EVENTS, &[])?.get(0)?)).await.unwrap()
}

fn location() -> Location {
    Location {
        id: place(),
        name: "Pune".into(),
        gstin: "27AAPFU0939F1ZV".into(),
        state_code: "27".into(),
        address: "1 Market Yard, Pune".into(),
        pincode: "411001".into(),
    }
}

#[tokio::test]
async fn statements_are_good_on_both_engines() {
    on_both(SETS, async |t| {
        assert_eq!(check_statements(&t.db, STATEMENTS), Vec::<String>::new());
        if t.dialect() == Dialect::Postgres {
            assert_eq!(check_statements(&t.db, STATEMENTS_POSTGRES), Vec::<String>::new());
        }
    })
    .await;
}

#[tokio::test]
async fn reserve_claim_ship() {
    on_both(SETS, async |t| {
        let inventory = shop(&t, &[level(1, 5), level(2, 3)]).await;
        let expires = t.env.now().plus_ms(60_000);
        let before = t.db.statement_count();
        let i = inventory.clone();
        t.db.write("test.reserve", move |tx| {
            // Twice the same variant, and in the wrong order.
            i.reserve_in(
                tx,
                order(1),
                place(),
                &[line(2, 1), line(1, 1), line(1, 2)],
                Some(expires),
            )
        })
        .await
        .unwrap();
        assert_eq!(t.db.statement_count() - before, 2);
        assert_eq!((stock(&t.db, 1).await, stock(&t.db, 2).await), ((5, 3), (3, 1)));
        for _ in 0..2 {
            let i = inventory.clone();
            assert!(t.db.write("test.claim", move |tx| i.claim_in(tx, order(1))).await.unwrap());
        }
        // A claimed reservation does not lapse.
        t.clock.advance_ms(120_000);
        assert_eq!(inventory.release_expired().await.unwrap(), 0);
        for _ in 0..2 {
            let i = inventory.clone();
            t.db.write("test.ship", move |tx| i.ship_in(tx, order(1))).await.unwrap();
            assert_eq!((stock(&t.db, 1).await, stock(&t.db, 2).await), ((2, 0), (2, 0)));
        }
        // What was shipped cannot be released, and counts as claimed.
        let i = inventory.clone();
        t.db.write("test.release", move |tx| i.release_in(tx, order(1))).await.unwrap();
        let i = inventory.clone();
        assert!(t.db.write("test.claim", move |tx| i.claim_in(tx, order(1))).await.unwrap());
        assert_eq!(stock(&t.db, 1).await, (2, 0));
    })
    .await;
}

#[tokio::test]
async fn a_short_line_undoes_all_and_is_named() {
    on_both(SETS, async |t| {
        let inventory = shop(&t, &[level(1, 5), level(2, 3)]).await;
        for (lines, which, left) in [
            (vec![line(1, 2), line(2, 4)], 2, 3),
            (vec![line(1, 6)], 1, 5),
            (vec![line(2, 1), line(9, 1)], 9, 0),
        ] {
            let i = inventory.clone();
            let got = t
                .db
                .write("test.reserve", move |tx| i.reserve_in(tx, order(1), place(), &lines, None))
                .await;
            let Err(InventoryError::OutOfStock { variant_id, available }) = got else {
                panic!("{got:?}")
            };
            assert_eq!((variant_id, available), (variant(which), left));
            assert_eq!((stock(&t.db, 1).await, stock(&t.db, 2).await), ((5, 0), (3, 0)));
        }
    })
    .await;
}

#[tokio::test]
async fn what_lapsed_can_be_reserved_anew_but_not_twice() {
    on_both(SETS, async |t| {
        let inventory = shop(&t, &[level(1, 1)]).await;
        let reserve = async |until: Option<i64>| {
            let (i, until) = (inventory.clone(), until.map(|ms| t.env.now().plus_ms(ms)));
            t.db.write("test.reserve", move |tx| {
                i.reserve_in(tx, order(1), place(), &[line(1, 1)], until)
            })
            .await
        };
        reserve(Some(1_000)).await.unwrap();
        assert!(matches!(reserve(Some(1_000)).await, Err(InventoryError::OutOfStock { .. })));
        assert_eq!(inventory.release_expired().await.unwrap(), 0);
        t.clock.advance_ms(1_000);
        assert_eq!(inventory.release_expired().await.unwrap(), 1);
        assert_eq!(inventory.release_expired().await.unwrap(), 0);
        assert_eq!(stock(&t.db, 1).await, (1, 0));
        let i = inventory.clone();
        assert!(!t.db.write("test.claim", move |tx| i.claim_in(tx, order(1))).await.unwrap());
        reserve(None).await.unwrap();
        let i = inventory.clone();
        assert!(t.db.write("test.claim", move |tx| i.claim_in(tx, order(1))).await.unwrap());
        // An order never holds two reservations, even where there is enough for both.
        inventory.set_stock(&Op::system("test"), &[level(1, 9)]).await.unwrap();
        assert!(matches!(reserve(None).await, Err(InventoryError::Internal(_))));
        assert_eq!(stock(&t.db, 1).await, (9, 1));
        let i = inventory.clone();
        assert!(!t.db.write("test.claim", move |tx| i.claim_in(tx, order(2))).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn events_only_when_something_sells_out_or_comes_back() {
    on_both(SETS, async |t| {
        let inventory = shop(&t, &[level(1, 2), level(2, 0)]).await;
        // The first goods of variant 1.
        assert_eq!(events(&t.db).await, 1);
        let reserve = async |n: u8| {
            let i = inventory.clone();
            t.db.write("test.reserve", move |tx| {
                i.reserve_in(tx, order(n), place(), &[line(1, 1)], None)
            })
            .await
            .unwrap();
        };
        reserve(1).await;
        assert_eq!(events(&t.db).await, 1);
        reserve(2).await;
        assert_eq!(events(&t.db).await, 2);
        for n in [1, 2] {
            let i = inventory.clone();
            t.db.write("test.release", move |tx| i.release_in(tx, order(n))).await.unwrap();
            assert_eq!(events(&t.db).await, 3);
        }
        inventory.set_stock(&Op::system("test"), &[level(1, 7)]).await.unwrap();
        assert_eq!(events(&t.db).await, 3);
        inventory.set_stock(&Op::system("test"), &[level(1, 0), level(2, 4)]).await.unwrap();
        assert_eq!(events(&t.db).await, 5);
    })
    .await;
}

#[tokio::test]
async fn levels_and_places() {
    on_both(SETS, async |t| {
        let inventory = shop(&t, &[level(1, 5)]).await;
        let system = Op::system("test");
        let i = inventory.clone();
        t.db.write("test.reserve", move |tx| {
            i.reserve_in(tx, order(1), place(), &[line(1, 3)], None)
        })
        .await
        .unwrap();
        let refused = inventory.set_stock(&system, &[level(2, 8), level(1, 2)]).await;
        assert!(matches!(refused, Err(InventoryError::Invalid { field: "onHand", .. })));
        assert!(inventory.set_stock(&system, &[level(1, -1)]).await.is_err());
        let got = inventory.availability(&[variant(2), variant(1), variant(1)]).await.unwrap();
        assert_eq!(got.iter().map(|a| a.available).collect::<Vec<_>>(), [0, 2, 2]);

        assert!(inventory.locations().await.unwrap().is_empty());
        inventory.save_location(&system, location()).await.unwrap();
        assert_eq!(inventory.locations().await.unwrap(), [location()]);
        let before = t.db.statement_count();
        assert_eq!(inventory.locations().await.unwrap().len(), 1);
        assert_eq!(t.db.statement_count(), before);
        let renamed = Location { name: "Pune 2".into(), ..location() };
        inventory.save_location(&system, renamed).await.unwrap();
        assert_eq!(inventory.locations().await.unwrap()[0].name, "Pune 2");
        for wrong in [
            Location { gstin: "27AAPFU0939F1ZX".into(), ..location() },
            Location { state_code: "29".into(), ..location() },
            Location { pincode: "4110".into(), ..location() },
            Location { name: " ".into(), ..location() },
        ] {
            assert!(inventory.save_location(&system, wrong).await.is_err());
        }
        let mut nobody = Op::system("test");
        nobody.actor = mela_base::Actor::Anonymous;
        let denied = inventory.set_stock(&nobody, &[level(1, 9)]).await;
        assert!(matches!(denied, Err(InventoryError::Denied)));
        assert!(matches!(
            inventory.save_location(&nobody, location()).await,
            Err(InventoryError::Denied)
        ));
    })
    .await;
}
