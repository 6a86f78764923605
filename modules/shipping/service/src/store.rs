//! The only file with SQL.

use std::collections::HashMap;

use mela_base::ids::OrderId;
use mela_base::{Id, Timestamp};
use mela_db::{DbError, Migration, MigrationSet, Query, Row, Sql, Tx, Value, params};
use mela_shipping_api::{Parcel, ParcelState, Scan};

use crate::rules;
use crate::shipway::answer::Booking;

/// The tables.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "shipping",
    migrations: &[Migration::new("001_shipping", include_str!("../migrations/001_shipping.sql"))],
};

/// Every statement, for the test that prepares them.
pub const STATEMENTS: &[&Sql] = &[
    &INSERT,
    &BY_ORDER,
    &PUSHED,
    &LEARN,
    &MOVE,
    &DUE,
    &NUDGE,
    &OF_ORDERS,
    &SCAN_INSERT,
    &SCANS,
    &HOOK_INSERT,
    &HOOK_SWEEP,
];

const INSERT: Sql = Sql::new(
    "shipping.insert",
    "INSERT INTO parcel (order_id, order_number, state, created_at, moved_at)
     VALUES (?1, ?2, 'booked', ?3, ?3) ON CONFLICT (order_id) DO NOTHING",
);
const BY_ORDER: Sql = Sql::new(
    "shipping.by_order",
    "SELECT order_id, order_number, state, awb, pushed_at FROM parcel WHERE order_id = ?1",
);
const PUSHED: Sql = Sql::new(
    "shipping.pushed",
    "UPDATE parcel SET pushed_at = ?2, next_check_at = ?2 WHERE order_id = ?1 AND pushed_at IS NULL",
);
// First of all in its transaction: it locks the parcel, so that two looks do not cross.
const LEARN: Sql = Sql::new(
    "shipping.learn",
    "UPDATE parcel SET awb = COALESCE(?2, awb), courier = COALESCE(?3, courier), tracking_url = COALESCE(?4, tracking_url)
     WHERE order_id = ?1 RETURNING state, created_at, moved_at",
);
const MOVE: Sql = Sql::new(
    "shipping.move",
    "UPDATE parcel SET state = ?2, moved_at = ?3, next_check_at = ?4 WHERE order_id = ?1",
);
// Takes what is due for a while, so that two workers do not ask the same thing.
const DUE: Sql = Sql::new(
    "shipping.due",
    "UPDATE parcel SET next_check_at = ?2
     WHERE order_id IN (SELECT order_id FROM parcel WHERE next_check_at <= ?1 ORDER BY next_check_at LIMIT ?3)
       AND next_check_at <= ?1
     RETURNING order_id, order_number, state, awb, pushed_at",
);
const NUDGE: Sql = Sql::new(
    "shipping.nudge",
    "UPDATE parcel SET next_check_at = ?1
     WHERE order_number IN ({list}) AND pushed_at IS NOT NULL
       AND state NOT IN ('delivered', 'returned', 'cancelled', 'lost')
     RETURNING order_id",
);
const OF_ORDERS: Sql = Sql::new(
    "shipping.of_orders",
    "SELECT p.order_id, p.courier, p.awb, p.tracking_url, p.state, s.at, s.code, s.text, s.place
     FROM parcel p LEFT JOIN parcel_scan s ON s.order_id = p.order_id
     WHERE p.order_id IN ({list})",
);
const SCAN_INSERT: Sql = Sql::new(
    "shipping.scan_insert",
    "INSERT INTO parcel_scan (order_id, at, code, text, place) VALUES {rows} ON CONFLICT DO NOTHING",
);
const SCANS: Sql =
    Sql::new("shipping.scans", "SELECT at, code, text, place FROM parcel_scan WHERE order_id = ?1");
const HOOK_INSERT: Sql = Sql::new(
    "shipping.hook_insert",
    "INSERT INTO shipway_webhook (id, body_sha256, entries, nudged, received_at) VALUES (?1, ?2, ?3, ?4, ?5)",
);
const HOOK_SWEEP: Sql =
    Sql::new("shipping.hook_sweep", "DELETE FROM shipway_webhook WHERE received_at < ?1");

/// A parcel as stored.
#[derive(Debug, Clone)]
pub(crate) struct ParcelRow {
    pub(crate) order_id: OrderId,
    pub(crate) order_number: String,
    pub(crate) state: ParcelState,
    pub(crate) awb: Option<String>,
    pub(crate) pushed_at: Option<Timestamp>,
}

fn state(row: &Row, column: usize) -> Result<ParcelState, DbError> {
    ParcelState::parse(&row.get::<String>(column)?)
        .ok_or_else(|| DbError::Type("parcel: unknown state".to_owned()))
}

impl ParcelRow {
    /// Called off when the courier did not know it: a push that was on its way may arrive later.
    pub(crate) fn called_off_unheard(&self) -> bool {
        self.state == ParcelState::Cancelled && self.pushed_at.is_none()
    }

    fn read(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            order_id: row.get(0)?,
            order_number: row.get(1)?,
            state: state(row, 2)?,
            awb: row.get(3)?,
            pushed_at: row.get(4)?,
        })
    }
}

/// False if the parcel was written down before.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    order: OrderId,
    number: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&INSERT, &params![order, number, now])? == 1)
}

pub(crate) fn by_order(q: &mut Query<'_>, order: OrderId) -> Result<Option<ParcelRow>, DbError> {
    q.opt(&BY_ORDER, &params![order])?.as_ref().map(ParcelRow::read).transpose()
}

pub(crate) fn pushed(tx: &mut Tx<'_>, order: OrderId, now: Timestamp) -> Result<(), DbError> {
    tx.exec(&PUSHED, &params![order, now]).map(drop)
}

/// A parcel as it is while its transaction runs.
pub(crate) struct Locked {
    pub(crate) state: ParcelState,
    pub(crate) created_at: Timestamp,
    pub(crate) moved_at: Timestamp,
}

/// Writes what the courier said of the parcel itself, and locks it from here on.
pub(crate) fn learn(
    tx: &mut Tx<'_>,
    order: OrderId,
    booking: &Booking,
) -> Result<Option<Locked>, DbError> {
    let params = params![order, &booking.awb, &booking.courier, &booking.tracking_url];
    let Some(row) = tx.opt(&LEARN, &params)? else { return Ok(None) };
    Ok(Some(Locked { state: state(&row, 0)?, created_at: row.get(1)?, moved_at: row.get(2)? }))
}

pub(crate) fn set_state(
    tx: &mut Tx<'_>,
    order: OrderId,
    state: ParcelState,
    moved_at: Timestamp,
    check_at: Option<Timestamp>,
) -> Result<(), DbError> {
    tx.exec(&MOVE, &params![order, state.as_str(), moved_at, check_at]).map(drop)
}

pub(crate) fn take_due(
    tx: &mut Tx<'_>,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<ParcelRow>, DbError> {
    tx.all(&DUE, &params![now, until, limit])?.iter().map(ParcelRow::read).collect()
}

/// Asks for a look at these parcels; how many there are that still move.
pub(crate) fn nudge(tx: &mut Tx<'_>, numbers: &[String], now: Timestamp) -> Result<usize, DbError> {
    let list: Vec<Value> = numbers.iter().map(Value::from).collect();
    Ok(tx.all_in(&NUDGE, &params![now], &list)?.len())
}

pub(crate) fn of_orders(q: &mut Query<'_>, orders: &[OrderId]) -> Result<Vec<Parcel>, DbError> {
    let list: Vec<Value> = orders.iter().map(|o| Value::from(*o)).collect();
    let mut parcels: HashMap<OrderId, Parcel> = HashMap::new();
    for row in q.all_in(&OF_ORDERS, &[], &list)? {
        let order_id: OrderId = row.get(0)?;
        let entry = parcels.entry(order_id);
        let parcel = match entry {
            std::collections::hash_map::Entry::Occupied(o) => o.into_mut(),
            std::collections::hash_map::Entry::Vacant(v) => v.insert(Parcel {
                order_id,
                courier: row.get(1)?,
                awb: row.get(2)?,
                tracking_url: row.get(3)?,
                state: state(&row, 4)?,
                scans: Vec::new(),
            }),
        };
        if let Some(at) = row.get::<Option<Timestamp>>(5)? {
            let (code, text, place) = (row.get(6)?, row.get(7)?, row.get(8)?);
            parcel.scans.push(Scan { at, code, text, place });
        }
    }
    let mut parcels: Vec<Parcel> = parcels.into_values().collect();
    parcels.sort_by_key(|p| p.order_id);
    for parcel in &mut parcels {
        rules::sort(&mut parcel.scans);
        parcel.scans.dedup();
    }
    Ok(parcels)
}

pub(crate) fn insert_scans(
    tx: &mut Tx<'_>,
    order: OrderId,
    scans: &[Scan],
) -> Result<u64, DbError> {
    let rows: Vec<Vec<Value>> =
        scans.iter().map(|s| params![order, s.at, &s.code, &s.text, &s.place].to_vec()).collect();
    tx.exec_rows(&SCAN_INSERT, &[], &rows)
}

pub(crate) fn scans(q: &mut Query<'_>, order: OrderId) -> Result<Vec<Scan>, DbError> {
    let rows = q.all(&SCANS, &params![order])?;
    rows.iter()
        .map(|r| Ok(Scan { at: r.get(0)?, code: r.get(1)?, text: r.get(2)?, place: r.get(3)? }))
        .collect()
}

pub(crate) fn insert_hook(
    tx: &mut Tx<'_>,
    id: Id,
    body_sha256: [u8; 32],
    entries: i64,
    nudged: i64,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.exec(&HOOK_INSERT, &params![id, body_sha256, entries, nudged, now]).map(drop)
}

pub(crate) fn sweep_hooks(tx: &mut Tx<'_>, before: Timestamp) -> Result<u64, DbError> {
    tx.exec(&HOOK_SWEEP, &params![before])
}
