//! Many at once: nothing is sold twice, nothing gets lost, nobody waits in a circle.

use mela_base::ids::OrderId;
use mela_inventory_api::{Inventory, InventoryError};
use mela_testkit::on_both;

use crate::{SETS, level, line, order, place, shop, stock};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_pieces_are_sold_once() {
    on_both(SETS, async |t| {
        const STOCK: i64 = 7;
        let inventory = shop(&t, &[level(1, STOCK)]).await;
        let tries: Vec<_> = (0..50 * STOCK)
            .map(|_| {
                let (db, i, id) = (t.db.clone(), inventory.clone(), t.env.new_id::<OrderId>());
                tokio::spawn(async move {
                    db.write("test.reserve", move |tx| {
                        i.reserve_in(tx, id, place(), &[line(1, 1)], None)
                    })
                    .await
                })
            })
            .collect();
        let mut sold = 0;
        for one in tries {
            match one.await.unwrap() {
                Ok(()) => sold += 1,
                Err(InventoryError::OutOfStock { available: 0, .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(sold, STOCK);
        assert_eq!(stock(&t.db, 1).await, (STOCK, STOCK));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_lines_in_any_order_do_not_deadlock() {
    on_both(SETS, async |t| {
        let levels: Vec<_> = (1..=8).map(|n| level(n, 10_000)).collect();
        let inventory = shop(&t, &levels).await;
        let tries: Vec<_> = (0..200_u64)
            .map(|n| {
                let (db, i, id) = (t.db.clone(), inventory.clone(), t.env.new_id::<OrderId>());
                let mut lines: Vec<_> = (1..=8).map(|v| line(v, 1)).collect();
                lines.rotate_left((n % 8) as usize);
                if n % 2 == 0 {
                    lines.reverse();
                }
                tokio::spawn(async move {
                    let (j, again) = (i.clone(), id);
                    db.write("test.reserve", move |tx| i.reserve_in(tx, id, place(), &lines, None))
                        .await?;
                    if n % 3 == 0 {
                        db.write("test.release", move |tx| j.release_in(tx, again)).await?;
                    }
                    Ok::<_, InventoryError>(())
                })
            })
            .collect();
        for one in tries {
            one.await.unwrap().unwrap();
        }
        for n in 1..=8 {
            assert_eq!(stock(&t.db, n).await, (10_000, 200 - 67));
        }
        let retries: u64 = t.db.stats().operations.values().map(|op| op.retries).sum();
        assert_eq!(retries, 0, "transactions collided");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lapsing_and_claiming_at_once_is_one_or_the_other() {
    on_both(SETS, async |t| {
        let inventory = shop(&t, &[level(1, 100), level(2, 100)]).await;
        let until = t.env.now().plus_ms(1_000);
        for n in 0..40 {
            let i = inventory.clone();
            t.db.write("test.reserve", move |tx| {
                i.reserve_in(tx, order(n), place(), &[line(1, 1), line(2, 2)], Some(until))
            })
            .await
            .unwrap();
        }
        t.clock.advance_ms(2_000);
        let sweeps: Vec<_> = (0..2)
            .map(|_| {
                let i = inventory.clone();
                tokio::spawn(async move { i.release_expired().await.unwrap() as i64 })
            })
            .collect();
        let claims: Vec<_> = (0..40)
            .rev()
            .map(|n| {
                let (db, i) = (t.db.clone(), inventory.clone());
                tokio::spawn(async move {
                    db.write("test.claim", move |tx| i.claim_in(tx, order(n))).await.unwrap()
                })
            })
            .collect();
        let (mut released, mut claimed) = (0, 0);
        for sweep in sweeps {
            released += sweep.await.unwrap();
        }
        for claim in claims {
            claimed += i64::from(claim.await.unwrap());
        }
        released += inventory.release_expired().await.unwrap() as i64;
        assert_eq!(released + claimed, 40);
        assert_eq!(stock(&t.db, 1).await, (100, claimed));
        assert_eq!(stock(&t.db, 2).await, (100, 2 * claimed));
    })
    .await;
}
