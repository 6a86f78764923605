//! Refunds, and what they do to their payment.

use mela_base::ids::{OrderId, PaymentId, RefundId};
use mela_base::{Paise, Timestamp};
use mela_db::{DbError, Query, Row, Sql, Tx, params};

use crate::gateway::RefundState;

pub(super) const RESERVE_REFUND: Sql = Sql::new(
    "payments.reserve_refund",
    "UPDATE payment SET refunded = refunded + ?2, updated_at = ?3
     WHERE id = ?1 AND refunded + ?2 <= captured",
);
// A refund that was made at the gateway: it is a fact, so it only counts up to what was captured.
pub(super) const COUNT_REFUND: Sql = Sql::new(
    "payments.count_refund",
    "UPDATE payment SET refunded = refunded + ?2, updated_at = ?3
     WHERE id = ?1 AND gateway_payment_id = ?4 AND refunded + ?2 <= captured",
);
pub(super) const LOCK: Sql =
    Sql::new("payments.lock", "UPDATE payment SET updated_at = ?2 WHERE id = ?1");
pub(super) const RELEASE_REFUND: Sql = Sql::new(
    "payments.release_refund",
    "UPDATE payment SET refunded = refunded - ?2, updated_at = ?3 WHERE id = ?1",
);
pub(super) const CLOSE_REFUNDED: Sql = Sql::new(
    "payments.close_refunded",
    "UPDATE payment SET state = 'refunded', updated_at = ?2
     WHERE id = ?1 AND refunded = captured AND state IN ('captured', 'cancelled')
       AND NOT EXISTS (SELECT 1 FROM refund WHERE payment_id = ?1 AND NOT surplus AND state IN ('created', 'pending'))",
);
pub(super) const REOPEN_REFUNDED: Sql = Sql::new(
    "payments.reopen_refunded",
    "UPDATE payment SET state = CASE WHEN kept THEN 'captured' ELSE 'cancelled' END, updated_at = ?2
     WHERE id = ?1 AND refunded < captured AND state = 'refunded'",
);
pub(super) const REFUND_INSERT: Sql = Sql::new(
    "payments.refund_insert",
    "INSERT INTO refund (id, payment_id, gateway_payment_id, amount, surplus, state, reason, gateway_refund_id, created_at, updated_at, next_check_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10) ON CONFLICT DO NOTHING",
);
pub(super) const REFUND_BY_ID: Sql = Sql::new(
    "payments.refund_by_id",
    "SELECT r.id, r.payment_id, p.order_id, r.gateway_payment_id, r.amount, r.surplus, r.state, r.gateway_refund_id, r.created_at
     FROM refund r JOIN payment p ON p.id = r.payment_id WHERE r.id = ?1",
);
pub(super) const REFUND_BY_GATEWAY: Sql = Sql::new(
    "payments.refund_by_gateway",
    "SELECT r.id, r.payment_id, p.order_id, r.gateway_payment_id, r.amount, r.surplus, r.state, r.gateway_refund_id, r.created_at
     FROM refund r JOIN payment p ON p.id = r.payment_id WHERE r.gateway_refund_id = ?1",
);
pub(super) const REFUND_MOVE: Sql = Sql::new(
    "payments.refund_move",
    "UPDATE refund SET state = ?3, gateway_refund_id = COALESCE(gateway_refund_id, ?4), failure = ?5, updated_at = ?6, next_check_at = ?7
     WHERE id = ?1 AND state = ?2",
);
pub(super) const REFUND_CHECK_AT: Sql = Sql::new(
    "payments.refund_check_at",
    "UPDATE refund SET next_check_at = ?2 WHERE id = ?1 AND state IN ('created', 'pending')",
);
pub(super) const REFUNDS_DUE: Sql = Sql::new(
    "payments.refunds_due",
    "UPDATE refund SET next_check_at = ?2
     WHERE id IN (SELECT id FROM refund WHERE next_check_at <= ?1 ORDER BY next_check_at LIMIT ?3)
       AND next_check_at <= ?1
     RETURNING id",
);

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

/// Sets money of a payment aside for a refund; false if that much is not left.
pub(crate) fn reserve_refund(
    tx: &mut Tx<'_>,
    id: PaymentId,
    amount: Paise,
    now: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&RESERVE_REFUND, &params![id, amount, now])? == 1)
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

/// Nobody else changes the payment until this transaction ends.
pub(crate) fn lock(tx: &mut Tx<'_>, id: PaymentId, now: Timestamp) -> Result<(), DbError> {
    tx.exec(&LOCK, &params![id, now]).map(drop)
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
