//! Payments.

use mela_base::ids::{OrderId, PaymentId};
use mela_base::{Paise, Timestamp};
use mela_db::{DbError, Query, Row, Sql, Tx, Value, params};
use mela_payments_api::{Method, NewPayment, Payment, PaymentState};

pub(super) const INSERT: Sql = Sql::new(
    "payments.insert",
    "INSERT INTO payment (id, order_id, order_number, person_id, method, state, amount, captured, refunded, kept, created_at, updated_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8, ?9, ?9)",
);
// Money can still arrive for what the gateway knows, so that stays watched.
pub(super) const CANCEL: Sql = Sql::new(
    "payments.cancel",
    "UPDATE payment SET state = 'cancelled', updated_at = ?2,
            next_check_at = CASE WHEN gateway_order_id IS NULL THEN next_check_at ELSE ?2 END
     WHERE order_id = ?1 AND state IN ('created', 'pending', 'failed', 'authorized', 'due_on_delivery')",
);
pub(super) const COLLECT: Sql = Sql::new(
    "payments.collect",
    "UPDATE payment SET state = 'captured', captured = amount, kept = TRUE, updated_at = ?2
     WHERE order_id = ?1 AND state = 'due_on_delivery'",
);
pub(super) const BY_ID: Sql = Sql::new(
    "payments.by_id",
    "SELECT id, order_id, order_number, method, state, amount, captured, refunded, kept, gateway_order_id, gateway_payment_id, failure, created_at
     FROM payment WHERE id = ?1",
);
pub(super) const BY_GATEWAY_ORDER: Sql = Sql::new(
    "payments.by_gateway_order",
    "SELECT id, order_id, order_number, method, state, amount, captured, refunded, kept, gateway_order_id, gateway_payment_id, failure, created_at
     FROM payment WHERE gateway_order_id = ?1",
);
pub(super) const OF_ORDERS: Sql = Sql::new(
    "payments.of_orders",
    "SELECT id, order_id, order_number, method, state, amount, captured, refunded, kept, gateway_order_id, gateway_payment_id, failure, created_at
     FROM payment WHERE order_id IN ({list})",
);
pub(super) const ORDER_PAID: Sql = Sql::new(
    "payments.order_paid",
    "SELECT 1 FROM payment WHERE order_id = ?1 AND id <> ?2 AND kept LIMIT 1",
);
pub(super) const KNOWN_TO_GATEWAY: Sql = Sql::new(
    "payments.known_to_gateway",
    "UPDATE payment SET state = 'pending', gateway_order_id = ?2, failure = NULL, updated_at = ?3, next_check_at = ?4
     WHERE id = ?1 AND state IN ('created', 'pending', 'failed')
       AND (gateway_order_id IS NULL OR gateway_order_id = ?2)",
);
pub(super) const AUTHORIZE: Sql = Sql::new(
    "payments.authorize",
    "UPDATE payment SET state = 'authorized', failure = NULL, updated_at = ?3, next_check_at = ?3
     WHERE id = ?1 AND state = ?2",
);
pub(super) const FAIL: Sql = Sql::new(
    "payments.fail",
    "UPDATE payment SET state = 'failed', failure = ?3, updated_at = ?4 WHERE id = ?1 AND state = ?2",
);
pub(super) const CAPTURE: Sql = Sql::new(
    "payments.capture",
    "UPDATE payment SET state = ?3, captured = amount, kept = ?4, gateway_payment_id = ?5, failure = NULL, updated_at = ?6, next_check_at = ?7
     WHERE id = ?1 AND state = ?2 AND captured = 0",
);
pub(super) const CHECK_AT: Sql =
    Sql::new("payments.check_at", "UPDATE payment SET next_check_at = ?2 WHERE id = ?1");
// Takes what is due for a while, so that two workers do not ask the gateway the same thing.
pub(super) const DUE: Sql = Sql::new(
    "payments.due",
    "UPDATE payment SET next_check_at = ?2
     WHERE id IN (SELECT id FROM payment WHERE next_check_at <= ?1 ORDER BY next_check_at LIMIT ?3)
       AND next_check_at <= ?1
     RETURNING id, order_id, order_number, method, state, amount, captured, refunded, kept, gateway_order_id, gateway_payment_id, failure, created_at",
);

/// A payment as stored.
#[derive(Debug, Clone)]
pub(crate) struct PaymentRow {
    pub(crate) id: PaymentId,
    pub(crate) order_id: OrderId,
    pub(crate) order_number: String,
    pub(crate) method: Method,
    pub(crate) state: PaymentState,
    pub(crate) amount: Paise,
    pub(crate) captured: Paise,
    pub(crate) refunded: Paise,
    pub(crate) kept: bool,
    pub(crate) gateway_order_id: Option<String>,
    pub(crate) gateway_payment_id: Option<String>,
    pub(crate) failure: Option<String>,
    pub(crate) created_at: Timestamp,
}

impl PaymentRow {
    fn read(row: &Row) -> Result<Self, DbError> {
        let word = |what: &str| DbError::Type(format!("payment: unknown {what}"));
        Ok(Self {
            id: row.get(0)?,
            order_id: row.get(1)?,
            order_number: row.get(2)?,
            method: Method::parse(&row.get::<String>(3)?).ok_or_else(|| word("method"))?,
            state: PaymentState::parse(&row.get::<String>(4)?).ok_or_else(|| word("state"))?,
            amount: row.get(5)?,
            captured: row.get(6)?,
            refunded: row.get(7)?,
            kept: row.get(8)?,
            gateway_order_id: row.get(9)?,
            gateway_payment_id: row.get(10)?,
            failure: row.get(11)?,
            created_at: row.get(12)?,
        })
    }
}

impl From<PaymentRow> for Payment {
    fn from(row: PaymentRow) -> Self {
        Self {
            id: row.id,
            order_id: row.order_id,
            method: row.method,
            state: row.state,
            amount: row.amount,
            refunded: row.refunded,
            gateway_payment_id: row.gateway_payment_id,
            failure: row.failure,
            created_at: row.created_at,
        }
    }
}

pub(crate) fn insert(
    tx: &mut Tx<'_>,
    p: &NewPayment,
    state: PaymentState,
    now: Timestamp,
) -> Result<(), DbError> {
    let paid = state == PaymentState::Captured;
    tx.exec(
        &INSERT,
        &params![
            p.id,
            p.order_id,
            &p.order_number,
            p.person_id,
            p.method.as_str(),
            state.as_str(),
            p.amount,
            paid,
            now
        ],
    )?;
    Ok(())
}

pub(crate) fn cancel(tx: &mut Tx<'_>, order: OrderId, now: Timestamp) -> Result<(), DbError> {
    tx.exec(&CANCEL, &params![order, now]).map(drop)
}

pub(crate) fn collect(tx: &mut Tx<'_>, order: OrderId, now: Timestamp) -> Result<(), DbError> {
    tx.exec(&COLLECT, &params![order, now]).map(drop)
}

pub(crate) fn by_id(q: &mut Query<'_>, id: PaymentId) -> Result<Option<PaymentRow>, DbError> {
    q.opt(&BY_ID, &params![id])?.as_ref().map(PaymentRow::read).transpose()
}

pub(crate) fn by_gateway_order(
    q: &mut Query<'_>,
    gateway_order: &str,
) -> Result<Option<PaymentRow>, DbError> {
    q.opt(&BY_GATEWAY_ORDER, &params![gateway_order])?.as_ref().map(PaymentRow::read).transpose()
}

pub(crate) fn of_orders(q: &mut Query<'_>, orders: &[OrderId]) -> Result<Vec<PaymentRow>, DbError> {
    let ids: Vec<Value> = orders.iter().map(|o| Value::from(*o)).collect();
    q.all_in(&OF_ORDERS, &[], &ids)?.iter().map(PaymentRow::read).collect()
}

/// Whether another payment than this one pays the order.
pub(crate) fn order_paid(q: &mut Query<'_>, p: &PaymentRow) -> Result<bool, DbError> {
    Ok(q.opt(&ORDER_PAID, &params![p.order_id, p.id])?.is_some())
}

/// False if the payment was given up meanwhile.
pub(crate) fn known_to_gateway(
    tx: &mut Tx<'_>,
    id: PaymentId,
    gateway_order: &str,
    now: Timestamp,
    check_at: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&KNOWN_TO_GATEWAY, &params![id, gateway_order, now, check_at])? == 1)
}

/// Each of the moves is false if somebody else was faster.
pub(crate) fn authorize(tx: &mut Tx<'_>, p: &PaymentRow, now: Timestamp) -> Result<bool, DbError> {
    Ok(tx.exec(&AUTHORIZE, &params![p.id, p.state.as_str(), now])? == 1)
}

pub(crate) fn fail(
    tx: &mut Tx<'_>,
    p: &PaymentRow,
    failure: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&FAIL, &params![p.id, p.state.as_str(), failure, now])? == 1)
}

pub(crate) fn capture(
    tx: &mut Tx<'_>,
    p: &PaymentRow,
    to: PaymentState,
    kept: bool,
    gateway_payment: &str,
    now: Timestamp,
    check_at: Timestamp,
) -> Result<bool, DbError> {
    let params = params![p.id, p.state.as_str(), to.as_str(), kept, gateway_payment, now, check_at];
    Ok(tx.exec(&CAPTURE, &params)? == 1)
}

pub(crate) fn check_at(
    tx: &mut Tx<'_>,
    id: PaymentId,
    at: Option<Timestamp>,
) -> Result<(), DbError> {
    tx.exec(&CHECK_AT, &params![id, at]).map(drop)
}

pub(crate) fn take_due(
    tx: &mut Tx<'_>,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<PaymentRow>, DbError> {
    tx.all(&DUE, &params![now, until, limit])?.iter().map(PaymentRow::read).collect()
}
