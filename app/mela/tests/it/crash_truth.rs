//! What the database of a killed server says, and whether it is what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use mela_base::ids::{PersonId, VariantId};
use mela_base::{Env, Id};
use mela_db::{Db, DbConfig, DbError, Query, Sql};

use crate::crash::{Acked, Won};
use crate::server::Place;

const ORDERS: Sql = Sql::new(
    "test.orders",
    "SELECT idempotency_key, number, invoice_number, state, method,
            (SELECT COUNT(*) FROM order_line l WHERE l.order_id = o.id),
            (SELECT COUNT(*) FROM payment p WHERE p.id = o.payment_id),
            (SELECT COUNT(*) FROM reservation r WHERE r.order_id = o.id),
            (SELECT COUNT(*) FROM cart c WHERE c.order_id = o.id)
     FROM customer_order o",
);
const COUNTERS: Sql = Sql::new("test.counters", "SELECT series, year, last FROM invoice_counter");
const STOCK: Sql = Sql::new(
    "test.stock",
    "SELECT variant_id, CAST(SUM(reserved) AS BIGINT) FROM stock GROUP BY variant_id",
);
const RESERVED: Sql =
    Sql::new("test.reserved", "SELECT lines FROM reservation WHERE state IN ('held', 'claimed')");
const RESULTS: Sql =
    Sql::new("test.results", "SELECT match_id, person_id, score, coins FROM play_result");
const RUNNING: Sql =
    Sql::new("test.running", "SELECT COUNT(*) FROM play_match WHERE state = 'running'");
const REWARDS: Sql = Sql::new(
    "test.rewards",
    "SELECT a.person_id, t.reference, t.amount FROM ledger_transfer t
     JOIN ledger_account a ON a.id = t.to_account WHERE a.kind = 'coins'",
);

/// What the database says.
pub(crate) struct Truth {
    /// By idempotency key.
    pub(crate) orders: BTreeMap<String, Stored>,
    /// Of every series and year, the last number.
    pub(crate) counters: Vec<i64>,
    pub(crate) stock: BTreeMap<VariantId, i64>,
    pub(crate) reserved: BTreeMap<VariantId, i64>,
    pub(crate) results: BTreeMap<(Id, PersonId), (i64, i64)>,
    pub(crate) rewards: BTreeMap<(Id, PersonId), i64>,
    pub(crate) running: i64,
}

pub(crate) struct Stored {
    pub(crate) number: String,
    pub(crate) invoice: Option<String>,
    pub(crate) state: String,
    pub(crate) method: String,
    /// Lines, payments, reservations and carts that belong to it.
    pub(crate) parts: [i64; 4],
}

fn read(q: &mut Query<'_>) -> Result<Truth, DbError> {
    let mut orders = BTreeMap::new();
    for row in q.all(&ORDERS, &[])? {
        let stored = Stored {
            number: row.get(1)?,
            invoice: row.get(2)?,
            state: row.get(3)?,
            method: row.get(4)?,
            parts: [row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?],
        };
        orders.insert(row.get(0)?, stored);
    }
    let mut reserved = BTreeMap::new();
    for row in q.all(&RESERVED, &[])? {
        let lines: Vec<(VariantId, i64)> = serde_json::from_value(row.get(0)?).unwrap();
        for (variant, quantity) in lines {
            *reserved.entry(variant).or_default() += quantity;
        }
    }
    let pairs = |q: &mut Query<'_>, sql| -> Result<BTreeMap<VariantId, i64>, DbError> {
        q.all(sql, &[])?.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
    };
    let mut stock = pairs(q, &STOCK)?;
    stock.retain(|_, pieces| *pieces > 0);
    let rows = q.all(&RESULTS, &[])?;
    let results = rows.iter().map(|r| Ok(((r.get(0)?, r.get(1)?), (r.get(2)?, r.get(3)?))));
    let results = results.collect::<Result<_, DbError>>()?;
    let rows = q.all(&REWARDS, &[])?;
    let count = rows.len();
    let rewards = rows.iter().map(|r| Ok(((r.get(1)?, r.get(0)?), r.get(2)?)));
    let rewards: BTreeMap<_, _> = rewards.collect::<Result<_, DbError>>()?;
    assert_eq!(rewards.len(), count, "coins were given twice");
    Ok(Truth {
        orders,
        counters: q.all(&COUNTERS, &[])?.iter().map(|r| r.get(2)).collect::<Result<_, _>>()?,
        stock,
        reserved,
        results,
        rewards,
        running: q.one(&RUNNING, &[])?.get(0)?,
    })
}

pub(crate) async fn truth(place: &Place) -> Truth {
    let url = format!("sqlite:{}", place.dir.join("mela.db").display());
    let db = Db::open(&DbConfig::new(url), Env::system()).unwrap();
    let truth = db.read_snapshot("test.truth", read).await.unwrap();
    db.close().await;
    truth
}

/// Holds what was acknowledged against what is there.
pub(crate) fn check(acked: &BTreeMap<String, Acked>, won: &[Won], truth: &Truth) {
    for (key, acked) in acked {
        let stored = truth.orders.get(key).unwrap_or_else(|| panic!("{} is lost", acked.number));
        assert_eq!(stored.number, acked.number);
        if let Some(invoice) = &acked.invoice {
            assert_eq!(stored.invoice.as_ref(), Some(invoice), "{}", acked.number);
        }
    }
    for order in truth.orders.values() {
        let confirmed = order.state != "pending_payment";
        assert!(
            confirmed || order.method != "cash_on_delivery",
            "{} is not confirmed",
            order.number
        );
        assert_eq!(order.invoice.is_some(), confirmed, "{} is {}", order.number, order.state);
        assert_eq!(order.parts, [1, 1, 1, 1], "{} is there by halves", order.number);
    }
    let numbers: Vec<i64> = truth
        .orders
        .values()
        .filter_map(|o| o.invoice.as_ref()?.rsplit('/').next()?.parse().ok())
        .collect();
    let distinct: BTreeSet<i64> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "an invoice number was given twice");
    let last = distinct.last().copied().unwrap_or(0);
    assert_eq!(i64::try_from(distinct.len()).unwrap(), last, "an invoice number is missing");
    // No order was placed at the turn of the financial year, so there is one series.
    assert_eq!(truth.counters, if last > 0 { vec![last] } else { vec![] });
    assert_eq!(truth.stock, truth.reserved, "reserved stock is not what the reservations say");
    for won in won {
        let stored = truth.results.get(&(won.match_id, won.person));
        assert_eq!(stored, Some(&(won.score, won.coins)), "a result is lost or another");
    }
    let coins = truth.results.iter().filter(|(_, (_, coins))| *coins > 0);
    let coins: BTreeMap<_, _> = coins.map(|(key, (_, coins))| (*key, *coins)).collect();
    assert_eq!(coins, truth.rewards, "coins are not what the results say");
}
