//! The only file with SQL.

use mela_base::ids::{OrderId, PaymentId, RefundId};
use mela_base::{Paise, Timestamp};
use mela_db::{DbError, Migration, MigrationSet, Query, Row, Sql, Tx, Value, params};
use mela_payments_api::{Method, NewPayment, Payment, PaymentState};

use crate::gateway::{HookFacts, RefundState};

/// The tables.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "payments",
    migrations: &[Migration::new("001_payments", include_str!("../migrations/001_payments.sql"))],
};

/// Every statement, for the test that prepares them.
pub const STATEMENTS: &[&Sql] = &[
    &INSERT,
    &CANCEL,
    &COLLECT,
    &BY_ID,
    &BY_GATEWAY_ORDER,
    &OF_ORDERS,
    &ORDER_PAID,
    &KNOWN_TO_GATEWAY,
    &AUTHORIZE,
    &FAIL,
    &CAPTURE,
    &CHECK_AT,
    &DUE,
    &RESERVE_REFUND,
    &COUNT_REFUND,
    &RELEASE_REFUND,
    &CLOSE_REFUNDED,
    &REOPEN_REFUNDED,
    &REFUND_INSERT,
    &REFUND_BY_ID,
    &REFUND_BY_GATEWAY,
    &REFUND_MOVE,
    &REFUND_CHECK_AT,
    &REFUNDS_DUE,
    &HOOK_INSERT,
    &HOOK_READ,
    &HOOK_DONE,
];

const INSERT: Sql = Sql::new(
    "payments.insert",
    "INSERT INTO payment (id, order_id, order_number, person_id, method, state, amount, captured, refunded, kept, created_at, updated_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8, ?9, ?9)",
);
// Money can still arrive for what the gateway knows, so that stays watched.
const CANCEL: Sql = Sql::new(
    "payments.cancel",
    "UPDATE payment SET state = 'cancelled', updated_at = ?2,
            next_check_at = CASE WHEN gateway_order_id IS NULL THEN next_check_at ELSE ?2 END
     WHERE order_id = ?1 AND state IN ('created', 'pending', 'failed', 'authorized', 'due_on_delivery')",
);
const COLLECT: Sql = Sql::new(
    "payments.collect",
    "UPDATE payment SET state = 'captured', captured = amount, kept = TRUE, updated_at = ?2
     WHERE order_id = ?1 AND state = 'due_on_delivery'",
);
const BY_ID: Sql = Sql::new(
    "payments.by_id",
    "SELECT id, order_id, order_number, method, state, amount, captured, refunded, kept, gateway_order_id, gateway_payment_id, failure, created_at
     FROM payment WHERE id = ?1",
);
const BY_GATEWAY_ORDER: Sql = Sql::new(
    "payments.by_gateway_order",
    "SELECT id, order_id, order_number, method, state, amount, captured, refunded, kept, gateway_order_id, gateway_payment_id, failure, created_at
     FROM payment WHERE gateway_order_id = ?1",
);
const OF_ORDERS: Sql = Sql::new(
    "payments.of_orders",
    "SELECT id, order_id, order_number, method, state, amount, captured, refunded, kept, gateway_order_id, gateway_payment_id, failure, created_at
     FROM payment WHERE order_id IN ({list})",
);
const ORDER_PAID: Sql = Sql::new(
    "payments.order_paid",
    "SELECT 1 FROM payment WHERE order_id = ?1 AND id <> ?2 AND kept LIMIT 1",
);
const KNOWN_TO_GATEWAY: Sql = Sql::new(
    "payments.known_to_gateway",
    "UPDATE payment SET state = 'pending', gateway_order_id = ?2, failure = NULL, updated_at = ?3, next_check_at = ?4
     WHERE id = ?1 AND state IN ('created', 'pending', 'failed')
       AND (gateway_order_id IS NULL OR gateway_order_id = ?2)",
);
const AUTHORIZE: Sql = Sql::new(
    "payments.authorize",
    "UPDATE payment SET state = 'authorized', failure = NULL, updated_at = ?3, next_check_at = ?3
     WHERE id = ?1 AND state = ?2",
);
const FAIL: Sql = Sql::new(
    "payments.fail",
    "UPDATE payment SET state = 'failed', failure = ?3, updated_at = ?4 WHERE id = ?1 AND state = ?2",
);
const CAPTURE: Sql = Sql::new(
    "payments.capture",
    "UPDATE payment SET state = ?3, captured = amount, kept = ?4, gateway_payment_id = ?5, failure = NULL, updated_at = ?6, next_check_at = ?7
     WHERE id = ?1 AND state = ?2 AND captured = 0",
);
const CHECK_AT: Sql =
    Sql::new("payments.check_at", "UPDATE payment SET next_check_at = ?2 WHERE id = ?1");
// Takes what is due for a while, so that two workers do not ask the gateway the same thing.
const DUE: Sql = Sql::new(
    "payments.due",
    "UPDATE payment SET next_check_at = ?2
     WHERE id IN (SELECT id FROM payment WHERE next_check_at <= ?1 ORDER BY next_check_at LIMIT ?3)
       AND next_check_at <= ?1
     RETURNING id, order_id, order_number, method, state, amount, captured, refunded, kept, gateway_order_id, gateway_payment_id, failure, created_at",
);
const RESERVE_REFUND: Sql = Sql::new(
    "payments.reserve_refund",
    "UPDATE payment SET refunded = refunded + ?2, updated_at = ?3
     WHERE id = ?1 AND method = 'razorpay' AND refunded + ?2 <= captured
     RETURNING gateway_payment_id",
);
// A refund that was made at the gateway: it is a fact, so it only counts up to what was captured.
const COUNT_REFUND: Sql = Sql::new(
    "payments.count_refund",
    "UPDATE payment SET refunded = refunded + ?2, updated_at = ?3
     WHERE id = ?1 AND gateway_payment_id = ?4 AND refunded + ?2 <= captured",
);
const RELEASE_REFUND: Sql = Sql::new(
    "payments.release_refund",
    "UPDATE payment SET refunded = refunded - ?2, updated_at = ?3 WHERE id = ?1",
);
const CLOSE_REFUNDED: Sql = Sql::new(
    "payments.close_refunded",
    "UPDATE payment SET state = 'refunded', updated_at = ?2
     WHERE id = ?1 AND refunded = captured AND state IN ('captured', 'cancelled')
       AND NOT EXISTS (SELECT 1 FROM refund WHERE payment_id = ?1 AND NOT surplus AND state IN ('created', 'pending'))",
);
const REOPEN_REFUNDED: Sql = Sql::new(
    "payments.reopen_refunded",
    "UPDATE payment SET state = CASE WHEN kept THEN 'captured' ELSE 'cancelled' END, updated_at = ?2
     WHERE id = ?1 AND refunded < captured AND state = 'refunded'",
);
const REFUND_INSERT: Sql = Sql::new(
    "payments.refund_insert",
    "INSERT INTO refund (id, payment_id, gateway_payment_id, amount, surplus, state, reason, gateway_refund_id, created_at, updated_at, next_check_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10) ON CONFLICT DO NOTHING",
);
const REFUND_BY_ID: Sql = Sql::new(
    "payments.refund_by_id",
    "SELECT r.id, r.payment_id, p.order_id, r.gateway_payment_id, r.amount, r.surplus, r.state, r.gateway_refund_id, r.created_at
     FROM refund r JOIN payment p ON p.id = r.payment_id WHERE r.id = ?1",
);
const REFUND_BY_GATEWAY: Sql = Sql::new(
    "payments.refund_by_gateway",
    "SELECT r.id, r.payment_id, p.order_id, r.gateway_payment_id, r.amount, r.surplus, r.state, r.gateway_refund_id, r.created_at
     FROM refund r JOIN payment p ON p.id = r.payment_id WHERE r.gateway_refund_id = ?1",
);
const REFUND_MOVE: Sql = Sql::new(
    "payments.refund_move",
    "UPDATE refund SET state = ?3, gateway_refund_id = COALESCE(gateway_refund_id, ?4), failure = ?5, updated_at = ?6, next_check_at = ?7
     WHERE id = ?1 AND state = ?2",
);
const REFUND_CHECK_AT: Sql = Sql::new(
    "payments.refund_check_at",
    "UPDATE refund SET next_check_at = ?2 WHERE id = ?1 AND state IN ('created', 'pending')",
);
const REFUNDS_DUE: Sql = Sql::new(
    "payments.refunds_due",
    "UPDATE refund SET next_check_at = ?2
     WHERE id IN (SELECT id FROM refund WHERE next_check_at <= ?1 ORDER BY next_check_at LIMIT ?3)
       AND next_check_at <= ?1
     RETURNING id",
);
const HOOK_INSERT: Sql = Sql::new(
    "payments.hook_insert",
    "INSERT INTO payment_webhook (gateway, event_id, event, facts, body_sha256, received_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
);
const HOOK_READ: Sql = Sql::new(
    "payments.hook_read",
    "SELECT facts FROM payment_webhook WHERE gateway = ?1 AND event_id = ?2 AND processed_at IS NULL",
);
const HOOK_DONE: Sql = Sql::new(
    "payments.hook_done",
    "UPDATE payment_webhook SET processed_at = ?3, outcome = ?4 WHERE gateway = ?1 AND event_id = ?2",
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

/// A refund as stored.
#[derive(Debug, Clone)]
pub(crate) struct RefundRow {
    pub(crate) id: RefundId,
    pub(crate) payment_id: PaymentId,
    pub(crate) order_id: OrderId,
    pub(crate) gateway_payment_id: String,
    pub(crate) amount: Paise,
    pub(crate) surplus: bool,
    pub(crate) state: RefundState,
    pub(crate) gateway_refund_id: Option<String>,
    pub(crate) created_at: Timestamp,
}

impl RefundRow {
    fn read(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get(0)?,
            payment_id: row.get(1)?,
            order_id: row.get(2)?,
            gateway_payment_id: row.get(3)?,
            amount: row.get(4)?,
            surplus: row.get(5)?,
            state: RefundState::parse(&row.get::<String>(6)?)
                .ok_or_else(|| DbError::Type("refund: unknown state".to_owned()))?,
            gateway_refund_id: row.get(7)?,
            created_at: row.get(8)?,
        })
    }
}

/// A refund to write.
pub(crate) struct NewRefundRow<'a> {
    pub(crate) id: RefundId,
    pub(crate) payment_id: PaymentId,
    pub(crate) gateway_payment_id: &'a str,
    pub(crate) amount: Paise,
    pub(crate) surplus: bool,
    pub(crate) state: RefundState,
    pub(crate) reason: &'a str,
    pub(crate) gateway_refund_id: Option<&'a str>,
    pub(crate) next_check_at: Option<Timestamp>,
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

/// Sets money of a payment aside for a refund; the gateway's payment id, or `None` if that much
/// is not left.
pub(crate) fn reserve_refund(
    tx: &mut Tx<'_>,
    id: PaymentId,
    amount: Paise,
    now: Timestamp,
) -> Result<Option<String>, DbError> {
    match tx.opt(&RESERVE_REFUND, &params![id, amount, now])? {
        Some(row) => row.get(0),
        None => Ok(None),
    }
}

/// Counts a refund that the gateway reports; false if it is not of the captured payment.
pub(crate) fn count_refund(
    tx: &mut Tx<'_>,
    id: PaymentId,
    amount: Paise,
    gateway_payment: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&COUNT_REFUND, &params![id, amount, now, gateway_payment])? == 1)
}

pub(crate) fn release_refund(
    tx: &mut Tx<'_>,
    id: PaymentId,
    amount: Paise,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.exec(&RELEASE_REFUND, &params![id, amount, now]).map(drop)
}

/// Moves a payment to `refunded` if all of it went back, or out of it if not any more.
pub(crate) fn settle_refunded(
    tx: &mut Tx<'_>,
    id: PaymentId,
    now: Timestamp,
) -> Result<(), DbError> {
    if tx.exec(&CLOSE_REFUNDED, &params![id, now])? == 0 {
        tx.exec(&REOPEN_REFUNDED, &params![id, now])?;
    }
    Ok(())
}

/// False if there is one with this id (or this gateway id) already.
pub(crate) fn insert_refund(
    tx: &mut Tx<'_>,
    r: &NewRefundRow<'_>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let params = params![
        r.id,
        r.payment_id,
        r.gateway_payment_id,
        r.amount,
        r.surplus,
        r.state.as_str(),
        r.reason,
        r.gateway_refund_id.map(str::to_owned),
        now,
        r.next_check_at
    ];
    Ok(tx.exec(&REFUND_INSERT, &params)? == 1)
}

pub(crate) fn refund_by_id(q: &mut Query<'_>, id: RefundId) -> Result<Option<RefundRow>, DbError> {
    q.opt(&REFUND_BY_ID, &params![id])?.as_ref().map(RefundRow::read).transpose()
}

pub(crate) fn refund_by_gateway(
    q: &mut Query<'_>,
    gateway_refund: &str,
) -> Result<Option<RefundRow>, DbError> {
    q.opt(&REFUND_BY_GATEWAY, &params![gateway_refund])?.as_ref().map(RefundRow::read).transpose()
}

/// False if somebody else was faster.
pub(crate) fn move_refund(
    tx: &mut Tx<'_>,
    r: &RefundRow,
    to: RefundState,
    gateway_refund: Option<&str>,
    failure: Option<&str>,
    now: Timestamp,
    check_at: Option<Timestamp>,
) -> Result<bool, DbError> {
    let params = params![
        r.id,
        r.state.as_str(),
        to.as_str(),
        gateway_refund.map(str::to_owned),
        failure.map(str::to_owned),
        now,
        check_at
    ];
    Ok(tx.exec(&REFUND_MOVE, &params)? == 1)
}

pub(crate) fn refund_check_at(tx: &mut Tx<'_>, id: RefundId, at: Timestamp) -> Result<(), DbError> {
    tx.exec(&REFUND_CHECK_AT, &params![id, at]).map(drop)
}

pub(crate) fn take_due_refunds(
    tx: &mut Tx<'_>,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<RefundId>, DbError> {
    tx.all(&REFUNDS_DUE, &params![now, until, limit])?.iter().map(|row| row.get(0)).collect()
}

/// False if the event was stored before.
pub(crate) fn insert_hook(
    tx: &mut Tx<'_>,
    gateway: &str,
    event_id: &str,
    facts: &HookFacts,
    body_sha256: [u8; 32],
    now: Timestamp,
) -> Result<bool, DbError> {
    let json = serde_json::to_value(facts).map_err(|e| DbError::Other(e.to_string()))?;
    let params = params![gateway, event_id, &facts.event, json, body_sha256, now];
    Ok(tx.exec(&HOOK_INSERT, &params)? == 1)
}

/// What a stored event says, if it is not processed yet.
pub(crate) fn hook(
    q: &mut Query<'_>,
    gateway: &str,
    event_id: &str,
) -> Result<Option<HookFacts>, DbError> {
    let Some(row) = q.opt(&HOOK_READ, &params![gateway, event_id])? else { return Ok(None) };
    let facts = serde_json::from_value(row.get(0)?).map_err(|e| DbError::Type(e.to_string()))?;
    Ok(Some(facts))
}

pub(crate) fn hook_done(
    tx: &mut Tx<'_>,
    gateway: &str,
    event_id: &str,
    outcome: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.exec(&HOOK_DONE, &params![gateway, event_id, now, outcome]).map(drop)
}
