use mela_base::ids::EventId;
use mela_base::{Env, Event, Timestamp};
use mela_db::{
    DbError, Dialect, Migration, MigrationSet, Query, Row, Sql, Tx, Value, Wake, params,
};

use crate::{DeadEvent, Delivered};

/// The tables of the outbox.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "bus",
    migrations: &[Migration {
        name: "001_init",
        sql: "",
        sqlite: Some(include_str!("../migrations/001_init.sqlite.sql")),
        postgres: Some(include_str!("../migrations/001_init.postgres.sql")),
    }],
};

/// The statements that both engines have in common.
pub const STATEMENTS: &[&Sql] = &[
    &INSERT,
    &DONE,
    &RELEASE,
    &RETRY_PUT,
    &RETRY_CLAIM,
    &RETRY_EVENTS,
    &RETRY_DELETE,
    &OPEN_COUNT,
    &DEAD,
    &REPLAY,
    &SWEEP,
];

const INSERT: Sql =
    Sql::new("bus.outbox_insert", "INSERT INTO outbox (id, topic, key, payload, at) VALUES {rows}");

const CLAIM_SQLITE: Sql = Sql::new(
    "bus.outbox_claim",
    "UPDATE outbox SET claimed_until = ?2 WHERE seq IN (
         SELECT seq FROM outbox WHERE done_at IS NULL AND (claimed_until IS NULL OR claimed_until < ?1)
         ORDER BY seq LIMIT ?3
     ) RETURNING seq, id, topic, key, payload, at",
);
const CLAIM_POSTGRES: Sql = Sql::new(
    "bus.outbox_claim",
    "UPDATE outbox SET claimed_until = ?2 WHERE seq IN (
         SELECT seq FROM outbox WHERE done_at IS NULL AND (claimed_until IS NULL OR claimed_until < ?1)
         ORDER BY seq LIMIT ?3 FOR UPDATE SKIP LOCKED
     ) RETURNING seq, id, topic, key, payload, at",
);

const DONE: Sql = Sql::new(
    "bus.outbox_done",
    "WITH v(seq) AS (VALUES {rows BIGINT})
     UPDATE outbox SET done_at = ?1 FROM v WHERE outbox.seq = v.seq",
);

const RELEASE: Sql = Sql::new(
    "bus.outbox_release",
    "UPDATE outbox SET claimed_until = NULL WHERE done_at IS NULL AND claimed_until IS NOT NULL",
);

const RETRY_PUT: Sql = Sql::new(
    "bus.retry_put",
    "INSERT INTO outbox_retry (seq, consumer, attempts, next_at, last_error)
     VALUES (?1, ?2, ?3, ?4, ?5)
     ON CONFLICT (seq, consumer) DO UPDATE SET
         attempts = excluded.attempts, next_at = excluded.next_at, last_error = excluded.last_error",
);

/// Claimed by moving the next attempt behind the lease, guarded by what was read.
const RETRY_CLAIM: Sql = Sql::new(
    "bus.retry_claim",
    "UPDATE outbox_retry SET next_at = ?3 WHERE seq = ?1 AND consumer = ?2 AND next_at <= ?4",
);
const RETRY_EVENTS: Sql = Sql::new(
    "bus.retry_events",
    "SELECT o.seq, o.id, o.topic, o.key, o.payload, o.at, r.consumer, r.attempts
     FROM outbox_retry AS r JOIN outbox AS o ON o.seq = r.seq
     WHERE r.next_at <= ?1 AND r.consumer IN {list} ORDER BY r.next_at LIMIT ?2",
);
const RETRY_DELETE: Sql =
    Sql::new("bus.retry_delete", "DELETE FROM outbox_retry WHERE seq = ?1 AND consumer = ?2");

const OPEN_COUNT: Sql = Sql::new(
    "bus.open_count",
    "SELECT (SELECT count(*) FROM outbox WHERE done_at IS NULL)
          + (SELECT count(*) FROM outbox_retry)",
);

const DEAD: Sql = Sql::new(
    "bus.dead",
    "SELECT o.seq, o.id, o.topic, o.key, o.payload, o.at, r.consumer, r.attempts, r.last_error
     FROM outbox_retry AS r JOIN outbox AS o ON o.seq = r.seq
     WHERE r.next_at IS NULL ORDER BY r.seq LIMIT ?1",
);
const REPLAY: Sql = Sql::new(
    "bus.replay",
    "UPDATE outbox_retry SET next_at = ?3, attempts = 0
     WHERE consumer = ?2 AND next_at IS NULL AND seq = ?1",
);

/// The newest row stays: SQLite would give its number away again.
const SWEEP: Sql = Sql::new(
    "bus.outbox_sweep",
    "DELETE FROM outbox WHERE seq IN (
         SELECT o.seq FROM outbox AS o
         WHERE o.done_at < ?1
           AND o.seq < (SELECT max(seq) FROM outbox)
           AND NOT EXISTS (SELECT 1 FROM outbox_retry AS r WHERE r.seq = o.seq)
         ORDER BY o.done_at LIMIT ?2
     )",
);

const TAIL_SQLITE: Sql = Sql::new(
    "bus.outbox_tail",
    "SELECT seq, id, topic, key, payload, at, 0 FROM outbox
     WHERE ?1 = 0 AND seq > ?2 ORDER BY seq LIMIT ?3",
);
const TAIL_POSTGRES: Sql = Sql::new(
    "bus.outbox_tail",
    "SELECT seq, id, topic, key, payload, at, CAST(CAST(tx AS text) AS bigint) FROM outbox
     WHERE (tx, seq) > (CAST(CAST(CAST(?1 AS bigint) AS text) AS xid8), ?2)
       AND tx < pg_snapshot_xmin(pg_current_snapshot())
     ORDER BY tx, seq LIMIT ?3",
);

const HEAD_SQLITE: Sql = Sql::new("bus.outbox_head", "SELECT 0, coalesce(max(seq), 0) FROM outbox");
/// Everything older than the oldest running transaction is history, the rest is still to be told.
const HEAD_POSTGRES: Sql = Sql::new(
    "bus.outbox_head",
    "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) - 1,
            CAST(9223372036854775807 AS bigint)",
);

/// The statements of one engine only.
pub fn own_statements(dialect: Dialect) -> [&'static Sql; 3] {
    match dialect {
        Dialect::Sqlite => [&CLAIM_SQLITE, &TAIL_SQLITE, &HEAD_SQLITE],
        Dialect::Postgres => [&CLAIM_POSTGRES, &TAIL_POSTGRES, &HEAD_POSTGRES],
    }
}

/// An event of any kind, ready to be written with others.
#[derive(Debug, Clone)]
pub struct EventRow {
    topic: &'static str,
    key: String,
    payload: serde_json::Value,
}

impl EventRow {
    /// The event as a row.
    pub fn new<E: Event>(event: &E) -> Result<Self, DbError> {
        let payload = serde_json::to_value(event)
            .map_err(|e| DbError::Other(format!("event {} does not become JSON: {e}", E::TOPIC)))?;
        Ok(Self { topic: E::TOPIC, key: event.key(), payload })
    }
}

/// Announces an event, in the transaction of the fact.
pub fn emit<E: Event>(tx: &mut Tx<'_>, env: &Env, event: &E) -> Result<(), DbError> {
    emit_all(tx, env, &[EventRow::new(event)?])
}

/// Announces several events in one statement.
pub fn emit_all(tx: &mut Tx<'_>, env: &Env, events: &[EventRow]) -> Result<(), DbError> {
    let now = env.now();
    let rows: Vec<Vec<Value>> = events
        .iter()
        .map(|e| {
            let id: EventId = env.new_id();
            params![id, e.topic, &e.key, &e.payload, now].to_vec()
        })
        .collect();
    if !rows.is_empty() {
        tx.exec_rows(&INSERT, &[], &rows)?;
        tx.wake(Wake::Outbox);
    }
    Ok(())
}

fn delivered(row: &Row) -> Result<Delivered, DbError> {
    Ok(Delivered {
        seq: row.get(0)?,
        id: row.get(1)?,
        topic: row.get(2)?,
        key: row.get(3)?,
        payload: row.get(4)?,
        at: row.get(5)?,
    })
}

/// Takes back what was claimed and not finished.
pub(crate) fn release(tx: &mut Tx<'_>) -> Result<u64, DbError> {
    tx.exec(&RELEASE, &[])
}

/// Takes open events for delivery, oldest first, until the lease ends.
pub(crate) fn claim(
    tx: &mut Tx<'_>,
    now: Timestamp,
    lease_end: Timestamp,
    limit: i64,
) -> Result<Vec<Delivered>, DbError> {
    let [sql, ..] = own_statements(tx.dialect());
    let rows = tx.all(sql, &params![now, lease_end, limit])?;
    let mut events = rows.iter().map(delivered).collect::<Result<Vec<_>, _>>()?;
    // RETURNING promises no order.
    events.sort_by_key(|e| e.seq);
    Ok(events)
}

/// One failed delivery.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) seq: i64,
    pub(crate) consumer: &'static str,
    pub(crate) attempts: i64,
    pub(crate) next_at: Option<Timestamp>,
    pub(crate) error: String,
}

/// Marks events as delivered and keeps what failed, together.
pub(crate) fn finish(
    tx: &mut Tx<'_>,
    now: Timestamp,
    seqs: &[i64],
    failures: &[Failure],
) -> Result<(), DbError> {
    for f in failures {
        let params = params![f.seq, f.consumer, f.attempts, f.next_at, &f.error];
        tx.exec(&RETRY_PUT, &params)?;
    }
    let rows: Vec<Vec<Value>> = seqs.iter().map(|s| vec![(*s).into()]).collect();
    tx.exec_rows(&DONE, &params![now], &rows).map(drop)
}

/// A delivery that failed before and is due again.
pub(crate) struct Again {
    pub(crate) event: Delivered,
    pub(crate) consumer: String,
    pub(crate) attempts: i64,
}

/// What is due of these consumers.
pub(crate) fn due_retries(
    q: &mut Query<'_>,
    now: Timestamp,
    limit: i64,
    consumers: &[Value],
) -> Result<Vec<Again>, DbError> {
    let rows = q.all_in(&RETRY_EVENTS, &params![now, limit], consumers)?;
    rows.iter()
        .map(|r| Ok(Again { event: delivered(r)?, consumer: r.get(6)?, attempts: r.get(7)? }))
        .collect()
}

/// Which of these this process may deliver now: another one may have been faster.
pub(crate) fn claim_retry(
    tx: &mut Tx<'_>,
    seq: i64,
    consumer: &str,
    now: Timestamp,
    lease_end: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&RETRY_CLAIM, &params![seq, consumer, lease_end, now])? == 1)
}

pub(crate) fn retry_delivered(tx: &mut Tx<'_>, seq: i64, consumer: &str) -> Result<(), DbError> {
    tx.exec(&RETRY_DELETE, &params![seq, consumer]).map(drop)
}

pub(crate) fn open_count(q: &mut Query<'_>) -> Result<i64, DbError> {
    q.one(&OPEN_COUNT, &[])?.get(0)
}

pub(crate) fn dead(q: &mut Query<'_>, limit: i64) -> Result<Vec<DeadEvent>, DbError> {
    let rows = q.all(&DEAD, &params![limit])?;
    rows.iter()
        .map(|r| {
            Ok(DeadEvent {
                event: delivered(r)?,
                consumer: r.get(6)?,
                attempts: r.get(7)?,
                last_error: r.get(8)?,
            })
        })
        .collect()
}

pub(crate) fn replay(
    tx: &mut Tx<'_>,
    seq: i64,
    consumer: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    tx.wake(Wake::Outbox);
    Ok(tx.exec(&REPLAY, &params![seq, consumer, now])? == 1)
}

pub(crate) fn sweep(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64, DbError> {
    tx.exec(&SWEEP, &params![before, limit])
}

/// A place in the order of commits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    tx: i64,
    seq: i64,
}

pub(crate) fn head(q: &mut Query<'_>) -> Result<Place, DbError> {
    let [_, _, sql] = own_statements(q.dialect());
    let row = q.one(sql, &[])?;
    Ok(Place { tx: row.get(0)?, seq: row.get(1)? })
}

/// What was committed after `place`, and the place after it.
pub(crate) fn tail(
    q: &mut Query<'_>,
    place: Place,
    limit: i64,
) -> Result<(Vec<Delivered>, Place), DbError> {
    let [_, sql, _] = own_statements(q.dialect());
    let rows = q.all(sql, &params![place.tx, place.seq, limit])?;
    let events = rows.iter().map(delivered).collect::<Result<Vec<_>, _>>()?;
    let place = match rows.last() {
        Some(row) => Place { tx: row.get(6)?, seq: row.get(0)? },
        None => place,
    };
    Ok((events, place))
}
