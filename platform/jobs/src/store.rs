use mela_base::ids::JobId;
use mela_base::{Env, Timestamp};
use mela_db::{
    DbError, Dialect, Migration, MigrationSet, Query, Row, Sql, Tx, Value, Wake, params,
};

/// The tables of the queue.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "jobs",
    migrations: &[Migration::new("001_init", include_str!("../migrations/001_init.sql"))],
};

/// The statements that both engines have in common.
pub const STATEMENTS: &[&Sql] = &[
    &INSERT,
    &DELETE,
    &RETRY,
    &BURY,
    &EXTEND,
    &NEXT_DUE,
    &COUNTS,
    &DEAD,
    &REPLAY,
    &REVIVE,
    &DISCARD,
    &SCHEDULE_PUT,
    &SCHEDULE_NEXT,
    &SCHEDULE_MOVE,
];

const INSERT: Sql = Sql::new(
    "jobs.insert",
    "INSERT INTO job (id, kind, payload, run_at, unique_key) VALUES {rows} ON CONFLICT DO NOTHING",
);

const CLAIM_SQLITE: Sql = Sql::new(
    "jobs.claim",
    "UPDATE job SET locked_until = ?2, attempts = attempts + 1, run = run + 1 WHERE id IN (
         SELECT id FROM job
         WHERE state = 'ready' AND run_at <= ?1
           AND (locked_until IS NULL OR locked_until <= ?1) AND kind IN {list}
         ORDER BY run_at, id LIMIT ?3
     ) RETURNING id, kind, payload, run_at, attempts, last_error, unique_key, run",
);
const CLAIM_POSTGRES: Sql = Sql::new(
    "jobs.claim",
    "UPDATE job SET locked_until = ?2, attempts = attempts + 1, run = run + 1 WHERE id IN (
         SELECT id FROM job
         WHERE state = 'ready' AND run_at <= ?1
           AND (locked_until IS NULL OR locked_until <= ?1) AND kind IN {list}
         ORDER BY run_at, id LIMIT ?3 FOR UPDATE SKIP LOCKED
     ) RETURNING id, kind, payload, run_at, attempts, last_error, unique_key, run",
);

// The number of the run is the token of its lease: after it has ended and somebody else has taken
// the job, the first one's outcome no longer counts.
const DELETE: Sql = Sql::new("jobs.delete", "DELETE FROM job WHERE id = ?1 AND run = ?2");
const RETRY: Sql = Sql::new(
    "jobs.retry",
    "UPDATE job SET run_at = ?3, locked_until = NULL, last_error = ?4, attempts = ?5
     WHERE id = ?1 AND run = ?2 AND state = 'ready'",
);
const BURY: Sql = Sql::new(
    "jobs.bury",
    "UPDATE job SET state = 'dead', locked_until = NULL, last_error = ?3
     WHERE id = ?1 AND run = ?2 AND state = 'ready'",
);
const EXTEND: Sql = Sql::new(
    "jobs.extend",
    "UPDATE job SET locked_until = ?3 WHERE id = ?1 AND run = ?2 AND state = 'ready'",
);

const NEXT_DUE: Sql = Sql::new(
    "jobs.next_due",
    "SELECT min(CASE WHEN locked_until > run_at THEN locked_until ELSE run_at END)
     FROM job WHERE state = 'ready' AND kind IN {list}",
);

const COUNTS: Sql = Sql::new(
    "jobs.counts",
    "SELECT count(*) FILTER (WHERE state = 'ready'), count(*) FILTER (WHERE state = 'dead') FROM job",
);
const DEAD: Sql = Sql::new(
    "jobs.dead",
    "SELECT id, kind, payload, run_at, attempts, last_error, unique_key, run FROM job
     WHERE state = 'dead' ORDER BY id LIMIT ?1",
);
const REPLAY: Sql = Sql::new(
    "jobs.replay",
    "UPDATE job SET state = 'ready', attempts = 0, run_at = ?2 WHERE id = ?1 AND state = 'dead'",
);
const REVIVE: Sql = Sql::new(
    "jobs.revive",
    "UPDATE job SET state = 'ready', attempts = 0, run_at = ?2
     WHERE unique_key = ?1 AND state = 'dead'",
);
const DISCARD: Sql = Sql::new("jobs.discard", "DELETE FROM job WHERE id = ?1 AND state = 'dead'");

const SCHEDULE_PUT: Sql = Sql::new(
    "jobs.schedule_put",
    "INSERT INTO job_schedule (name, next_at) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
);
const SCHEDULE_NEXT: Sql =
    Sql::new("jobs.schedule_next", "SELECT next_at FROM job_schedule WHERE name = ?1");
const SCHEDULE_MOVE: Sql = Sql::new(
    "jobs.schedule_move",
    "UPDATE job_schedule SET next_at = ?3 WHERE name = ?1 AND next_at = ?2",
);

/// The statements of one engine only.
pub fn own_statements(dialect: Dialect) -> [&'static Sql; 1] {
    match dialect {
        Dialect::Sqlite => [&CLAIM_SQLITE],
        Dialect::Postgres => [&CLAIM_POSTGRES],
    }
}

/// A job to be.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Which handler runs it: `orders.expire`.
    pub kind: &'static str,
    /// What the handler needs. No personal data: ids.
    pub payload: serde_json::Value,
    /// Not before.
    pub run_at: Timestamp,
    /// At most one job of this key at a time.
    pub unique_key: Option<String>,
}

/// A job as its handler sees it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id: the same at every attempt, so good as an idempotency key.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
    /// What was enqueued.
    pub payload: serde_json::Value,
    /// When it was due.
    pub run_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempts: i64,
    /// Why the attempt before failed.
    pub last_error: Option<String>,
    /// Its unique key.
    pub unique_key: Option<String>,
    /// Counts its runs for ever, replays and [`crate::JobError::Later`] included.
    pub run: i64,
}

/// Writes a job, in the transaction of the fact that asks for it. False if a job with this unique
/// key exists already, which then stays as it is.
pub fn enqueue(tx: &mut Tx<'_>, env: &Env, job: &NewJob) -> Result<bool, DbError> {
    Ok(enqueue_all(tx, env, std::slice::from_ref(job))? == 1)
}

/// Writes several jobs in one statement; returns how many were new.
pub fn enqueue_all(tx: &mut Tx<'_>, env: &Env, jobs: &[NewJob]) -> Result<u64, DbError> {
    let rows: Vec<Vec<Value>> = jobs
        .iter()
        .map(|j| {
            let id: JobId = env.new_id();
            params![id, j.kind, &j.payload, j.run_at, &j.unique_key].to_vec()
        })
        .collect();
    let new = tx.exec_rows(&INSERT, &[], &rows)?;
    if new > 0 {
        tx.wake(Wake::Jobs);
    }
    Ok(new)
}

fn job(row: &Row) -> Result<Job, DbError> {
    Ok(Job {
        id: row.get(0)?,
        kind: row.get(1)?,
        payload: row.get(2)?,
        run_at: row.get(3)?,
        attempts: row.get(4)?,
        last_error: row.get(5)?,
        unique_key: row.get(6)?,
        run: row.get(7)?,
    })
}

/// Takes due jobs of these kinds until the lease ends, the longest due first.
pub(crate) fn claim(
    tx: &mut Tx<'_>,
    kinds: &[Value],
    now: Timestamp,
    lease_end: Timestamp,
    limit: usize,
) -> Result<Vec<Job>, DbError> {
    let [sql] = own_statements(tx.dialect());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = tx.all_in(sql, &params![now, lease_end, limit], kinds)?;
    let mut jobs = rows.iter().map(job).collect::<Result<Vec<_>, _>>()?;
    jobs.sort_by_key(|j| (j.run_at, j.id));
    Ok(jobs)
}

pub(crate) fn done(tx: &mut Tx<'_>, id: JobId, run: i64) -> Result<bool, DbError> {
    Ok(tx.exec(&DELETE, &params![id, run])? == 1)
}

/// Lets the job run again at `at`; `counted` is how many attempts it has had by then.
pub(crate) fn again(
    tx: &mut Tx<'_>,
    job: &Job,
    at: Timestamp,
    error: &Option<String>,
    counted: i64,
) -> Result<bool, DbError> {
    Ok(tx.exec(&RETRY, &params![job.id, job.run, at, error, counted])? == 1)
}

pub(crate) fn bury(tx: &mut Tx<'_>, job: &Job, error: &str) -> Result<bool, DbError> {
    Ok(tx.exec(&BURY, &params![job.id, job.run, error])? == 1)
}

pub(crate) fn extend(
    tx: &mut Tx<'_>,
    id: JobId,
    run: i64,
    lease_end: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&EXTEND, &params![id, run, lease_end])? == 1)
}

pub(crate) fn next_due(q: &mut Query<'_>, kinds: &[Value]) -> Result<Option<Timestamp>, DbError> {
    let rows = q.all_in(&NEXT_DUE, &[], kinds)?;
    let times = rows.iter().map(|r| r.get(0)).collect::<Result<Vec<Option<Timestamp>>, _>>()?;
    Ok(times.into_iter().flatten().min())
}

/// Jobs that wait or run, and dead ones.
pub(crate) fn counts(q: &mut Query<'_>) -> Result<(i64, i64), DbError> {
    let row = q.one(&COUNTS, &[])?;
    Ok((row.get(0)?, row.get(1)?))
}

pub(crate) fn dead(q: &mut Query<'_>, limit: i64) -> Result<Vec<Job>, DbError> {
    q.all(&DEAD, &params![limit])?.iter().map(job).collect()
}

pub(crate) fn replay(tx: &mut Tx<'_>, id: JobId, now: Timestamp) -> Result<bool, DbError> {
    tx.wake(Wake::Jobs);
    Ok(tx.exec(&REPLAY, &params![id, now])? == 1)
}

/// Lets the dead job of this key run again.
pub(crate) fn revive(tx: &mut Tx<'_>, key: &str, now: Timestamp) -> Result<bool, DbError> {
    Ok(tx.exec(&REVIVE, &params![key, now])? == 1)
}

pub(crate) fn discard(tx: &mut Tx<'_>, id: JobId) -> Result<bool, DbError> {
    Ok(tx.exec(&DISCARD, &params![id])? == 1)
}

/// When the schedule is due next; `first` if it is new.
pub(crate) fn schedule_next(
    tx: &mut Tx<'_>,
    name: &str,
    first: Timestamp,
) -> Result<Timestamp, DbError> {
    if let Some(row) = tx.opt(&SCHEDULE_NEXT, &params![name])? {
        return row.get(0);
    }
    tx.exec(&SCHEDULE_PUT, &params![name, first])?;
    tx.one(&SCHEDULE_NEXT, &params![name])?.get(0)
}

/// Moves the schedule on; false if another process was faster.
pub(crate) fn schedule_move(
    tx: &mut Tx<'_>,
    name: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&SCHEDULE_MOVE, &params![name, from, to])? == 1)
}
