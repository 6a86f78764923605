//! Webhooks.

use mela_base::Timestamp;
use mela_db::{DbError, Query, Sql, Tx, params};

use crate::gateway::HookFacts;

pub(super) const HOOK_INSERT: Sql = Sql::new(
    "payments.hook_insert",
    "INSERT INTO payment_webhook (gateway, event_id, event, facts, body_sha256, received_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
);
pub(super) const HOOK_READ: Sql = Sql::new(
    "payments.hook_read",
    "SELECT facts FROM payment_webhook WHERE gateway = ?1 AND event_id = ?2 AND processed_at IS NULL",
);
pub(super) const HOOK_DONE: Sql = Sql::new(
    "payments.hook_done",
    "UPDATE payment_webhook SET processed_at = ?3, outcome = ?4 WHERE gateway = ?1 AND event_id = ?2",
);
// In portions: a transaction is short.
pub(super) const HOOK_SWEEP: Sql = Sql::new(
    "payments.hook_sweep",
    "DELETE FROM payment_webhook WHERE (gateway, event_id) IN
       (SELECT gateway, event_id FROM payment_webhook WHERE received_at < ?1 AND processed_at IS NOT NULL LIMIT ?2)",
);

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

/// Deletes processed events from before; how many.
pub(crate) fn sweep_hooks(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64, DbError> {
    tx.exec(&HOOK_SWEEP, &params![before, limit])
}
