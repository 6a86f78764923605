use std::collections::BTreeMap;

use mela_base::Timestamp;
use mela_base::ids::{LocationId, OrderId, VariantId};
use mela_db::{DbError, Dialect, Query, Row, Sql, Tx, Value, params};
use mela_inventory_api::{Availability, Location, StockLevel};
use serde_json::json;

const LOCATIONS: Sql = Sql::new(
    "inventory.locations",
    "SELECT id, name, gstin, state_code, address, pincode FROM location ORDER BY created_at, id",
);
const LOCATION_SAVE: Sql = Sql::new(
    "inventory.location_save",
    "INSERT INTO location (id, name, gstin, state_code, address, pincode, created_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
     ON CONFLICT (id) DO UPDATE SET name = excluded.name, gstin = excluded.gstin,
       state_code = excluded.state_code, address = excluded.address, pincode = excluded.pincode",
);
const AVAILABILITY: Sql = Sql::new(
    "inventory.availability",
    "SELECT variant_id, CAST(SUM(on_hand - reserved) AS BIGINT) FROM stock
     WHERE variant_id IN {list} GROUP BY variant_id",
);
const LEVELS: Sql = Sql::new(
    "inventory.levels",
    "SELECT variant_id, on_hand, reserved FROM stock WHERE location_id = ?1 AND variant_id IN {list}",
);
const STOCK_SET: Sql = Sql::new(
    "inventory.stock_set",
    "INSERT INTO stock (variant_id, location_id, on_hand, reserved) VALUES {rows}
     ON CONFLICT (variant_id, location_id) DO UPDATE SET on_hand = excluded.on_hand
     WHERE stock.on_hand <> excluded.on_hand",
);

const RESERVE: Sql = Sql::new(
    "inventory.reserve",
    "WITH v(vid, q) AS (VALUES {rows ID, BIGINT})
     UPDATE stock SET reserved = stock.reserved + v.q FROM v
     WHERE stock.variant_id = v.vid AND stock.location_id = ?1
       AND stock.on_hand - stock.reserved >= v.q
     RETURNING variant_id, on_hand - reserved",
);
const GIVE_BACK: Sql = Sql::new(
    "inventory.give_back",
    "WITH v(vid, q) AS (VALUES {rows ID, BIGINT})
     UPDATE stock SET reserved = stock.reserved - v.q FROM v
     WHERE stock.variant_id = v.vid AND stock.location_id = ?1
     RETURNING variant_id, on_hand - reserved",
);
const TAKE_OUT: Sql = Sql::new(
    "inventory.take_out",
    "WITH v(vid, q) AS (VALUES {rows ID, BIGINT})
     UPDATE stock SET reserved = stock.reserved - v.q, on_hand = stock.on_hand - v.q FROM v
     WHERE stock.variant_id = v.vid AND stock.location_id = ?1
     RETURNING variant_id, on_hand - reserved",
);

// Postgres runs transactions side by side and may visit the rows of an UPDATE in any order; these
// lock them in variant order first, still in one statement. SQLite has one writer.
const RESERVE_IN_ORDER: Sql = Sql::new(
    "inventory.reserve_in_order",
    "WITH v(vid, q) AS (VALUES {rows ID, BIGINT}),
     k AS (SELECT s.variant_id AS vid, v.q AS q FROM stock s JOIN v ON s.variant_id = v.vid
           WHERE s.location_id = ?1 ORDER BY s.variant_id FOR UPDATE OF s)
     UPDATE stock SET reserved = stock.reserved + k.q FROM k
     WHERE stock.variant_id = k.vid AND stock.location_id = ?1
       AND stock.on_hand - stock.reserved >= k.q
     RETURNING stock.variant_id, stock.on_hand - stock.reserved",
);
const GIVE_BACK_IN_ORDER: Sql = Sql::new(
    "inventory.give_back_in_order",
    "WITH v(vid, q) AS (VALUES {rows ID, BIGINT}),
     k AS (SELECT s.variant_id AS vid, v.q AS q FROM stock s JOIN v ON s.variant_id = v.vid
           WHERE s.location_id = ?1 ORDER BY s.variant_id FOR UPDATE OF s)
     UPDATE stock SET reserved = stock.reserved - k.q FROM k
     WHERE stock.variant_id = k.vid AND stock.location_id = ?1
     RETURNING stock.variant_id, stock.on_hand - stock.reserved",
);
const TAKE_OUT_IN_ORDER: Sql = Sql::new(
    "inventory.take_out_in_order",
    "WITH v(vid, q) AS (VALUES {rows ID, BIGINT}),
     k AS (SELECT s.variant_id AS vid, v.q AS q FROM stock s JOIN v ON s.variant_id = v.vid
           WHERE s.location_id = ?1 ORDER BY s.variant_id FOR UPDATE OF s)
     UPDATE stock SET reserved = stock.reserved - k.q, on_hand = stock.on_hand - k.q FROM k
     WHERE stock.variant_id = k.vid AND stock.location_id = ?1
     RETURNING stock.variant_id, stock.on_hand - stock.reserved",
);

const RESERVATION_INSERT: Sql = Sql::new(
    "inventory.reservation_insert",
    "INSERT INTO reservation (order_id, location_id, lines, state, expires_at)
     VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT (order_id) DO UPDATE SET location_id = excluded.location_id,
       lines = excluded.lines, state = excluded.state, expires_at = excluded.expires_at
     WHERE reservation.state = 'released'",
);
const CLAIM: Sql = Sql::new(
    "inventory.claim",
    "UPDATE reservation SET state = 'claimed', expires_at = NULL
     WHERE order_id = ?1 AND state = 'held'",
);
const STATE: Sql = Sql::new("inventory.state", "SELECT state FROM reservation WHERE order_id = ?1");
const RELEASE: Sql = Sql::new(
    "inventory.release",
    "UPDATE reservation SET state = 'released', expires_at = NULL
     WHERE order_id = ?1 AND state IN ('held', 'claimed') RETURNING location_id, lines",
);
const SHIP: Sql = Sql::new(
    "inventory.ship",
    "UPDATE reservation SET state = 'shipped' WHERE order_id = ?1 AND state = 'claimed'
     RETURNING location_id, lines",
);
const LAPSED: Sql = Sql::new(
    "inventory.lapsed",
    "SELECT order_id FROM reservation WHERE state = 'held' AND expires_at <= ?1
     ORDER BY expires_at LIMIT ?2",
);
const LAPSE: Sql = Sql::new(
    "inventory.lapse",
    "UPDATE reservation SET state = 'released', expires_at = NULL
     WHERE state = 'held' AND expires_at <= ?1 AND order_id IN {list}
     RETURNING location_id, lines",
);

/// Every statement of this module that runs on both engines.
pub const STATEMENTS: &[&Sql] = &[
    &LOCATIONS,
    &LOCATION_SAVE,
    &AVAILABILITY,
    &LEVELS,
    &STOCK_SET,
    &RESERVE,
    &GIVE_BACK,
    &TAKE_OUT,
    &RESERVATION_INSERT,
    &CLAIM,
    &STATE,
    &RELEASE,
    &SHIP,
    &LAPSED,
    &LAPSE,
];

/// The statements that only Postgres has: row locks in a fixed order.
pub const STATEMENTS_POSTGRES: &[&Sql] =
    &[&RESERVE_IN_ORDER, &GIVE_BACK_IN_ORDER, &TAKE_OUT_IN_ORDER];

/// Pieces per variant, in variant order.
pub(crate) type Lines = BTreeMap<VariantId, i64>;

/// How the stock of some variants changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// `reserved` grows, if enough is available.
    Reserve,
    /// `reserved` falls.
    GiveBack,
    /// `reserved` and `on_hand` fall.
    TakeOut,
}

pub(crate) fn locations(q: &mut Query<'_>) -> Result<Vec<Location>, DbError> {
    q.all(&LOCATIONS, &[])?
        .iter()
        .map(|row| {
            Ok(Location {
                id: row.get(0)?,
                name: row.get(1)?,
                gstin: row.get(2)?,
                state_code: row.get(3)?,
                address: row.get(4)?,
                pincode: row.get(5)?,
            })
        })
        .collect()
}

pub(crate) fn save_location(tx: &mut Tx<'_>, l: &Location, now: Timestamp) -> Result<(), DbError> {
    let params = params![l.id, &l.name, &l.gstin, &l.state_code, &l.address, &l.pincode, now];
    tx.exec(&LOCATION_SAVE, &params).map(drop)
}

pub(crate) fn availability(
    q: &mut Query<'_>,
    variants: &[VariantId],
) -> Result<Vec<Availability>, DbError> {
    let list: Vec<Value> = variants.iter().map(|v| Value::from(*v)).collect();
    q.all_in(&AVAILABILITY, &[], &list)?
        .iter()
        .map(|row| Ok(Availability { variant_id: row.get(0)?, available: row.get(1)? }))
        .collect()
}

/// On hand and reserved of these variants at one location.
pub(crate) fn levels(
    q: &mut Query<'_>,
    location: LocationId,
    variants: impl Iterator<Item = VariantId>,
) -> Result<BTreeMap<VariantId, (i64, i64)>, DbError> {
    let list: Vec<Value> = variants.map(Value::from).collect();
    q.all_in(&LEVELS, &params![location], &list)?
        .iter()
        .map(|row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
        .collect()
}

pub(crate) fn set_levels(tx: &mut Tx<'_>, levels: &[StockLevel]) -> Result<(), DbError> {
    let rows: Vec<Vec<Value>> = levels
        .iter()
        .map(|l| params![l.variant_id, l.location_id, l.on_hand, 0_i64].to_vec())
        .collect();
    tx.exec_rows(&STOCK_SET, &[], &rows).map(drop)
}

/// Changes stock; what is available of each changed variant afterwards.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    change: Change,
    location: LocationId,
    lines: &Lines,
) -> Result<Vec<(VariantId, i64)>, DbError> {
    // One row cannot be locked in a wrong order.
    let ordered = tx.dialect() == Dialect::Postgres && lines.len() > 1;
    let sql = match (change, ordered) {
        (Change::Reserve, false) => &RESERVE,
        (Change::Reserve, true) => &RESERVE_IN_ORDER,
        (Change::GiveBack, false) => &GIVE_BACK,
        (Change::GiveBack, true) => &GIVE_BACK_IN_ORDER,
        (Change::TakeOut, false) => &TAKE_OUT,
        (Change::TakeOut, true) => &TAKE_OUT_IN_ORDER,
    };
    let rows: Vec<Vec<Value>> = lines.iter().map(|(v, q)| params![*v, *q].to_vec()).collect();
    tx.all_rows(sql, &params![location], &rows)?
        .iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// False if the order holds something already.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    order: OrderId,
    location: LocationId,
    lines: &Lines,
    expires_at: Option<Timestamp>,
) -> Result<bool, DbError> {
    let state = if expires_at.is_some() { "held" } else { "claimed" };
    let lines: Vec<_> = lines.iter().map(|(v, q)| json!([v, q])).collect();
    let params = params![order, location, serde_json::Value::Array(lines), state, expires_at];
    Ok(tx.exec(&RESERVATION_INSERT, &params)? == 1)
}

/// True if the reservation is permanent now or was before.
pub(crate) fn claim(tx: &mut Tx<'_>, order: OrderId) -> Result<bool, DbError> {
    if tx.exec(&CLAIM, &params![order])? == 1 {
        return Ok(true);
    }
    let state = tx.opt(&STATE, &params![order])?.map(|row| row.get::<String>(0)).transpose()?;
    Ok(matches!(state.as_deref(), Some("claimed" | "shipped")))
}

/// What the order held until now.
pub(crate) fn release(
    tx: &mut Tx<'_>,
    order: OrderId,
) -> Result<Option<(LocationId, Lines)>, DbError> {
    tx.opt(&RELEASE, &params![order])?.as_ref().map(held).transpose()
}

/// What the order had claimed until now.
pub(crate) fn ship(
    tx: &mut Tx<'_>,
    order: OrderId,
) -> Result<Option<(LocationId, Lines)>, DbError> {
    tx.opt(&SHIP, &params![order])?.as_ref().map(held).transpose()
}

/// Orders whose reservation has lapsed, the oldest first.
pub(crate) fn lapsed(
    q: &mut Query<'_>,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<OrderId>, DbError> {
    q.all(&LAPSED, &params![now, limit])?.iter().map(|row| row.get(0)).collect()
}

/// Releases those of `orders` that are still held and lapsed; what they held.
pub(crate) fn lapse(
    tx: &mut Tx<'_>,
    now: Timestamp,
    orders: &[OrderId],
) -> Result<Vec<(LocationId, Lines)>, DbError> {
    let list: Vec<Value> = orders.iter().map(|o| Value::from(*o)).collect();
    tx.all_in(&LAPSE, &params![now], &list)?.iter().map(held).collect()
}

fn held(row: &Row) -> Result<(LocationId, Lines), DbError> {
    let json: serde_json::Value = row.get(1)?;
    let lines: Vec<(VariantId, i64)> = serde_json::from_value(json)
        .map_err(|_| DbError::Type("inventory: reservation.lines has another form".into()))?;
    Ok((row.get(0)?, lines.into_iter().collect()))
}
