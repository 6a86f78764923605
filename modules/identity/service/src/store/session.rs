use mela_base::Timestamp;
use mela_base::ids::{PersonId, SessionId, StaffId};
use mela_db::{DbError, Query, Sql, Tx, params};

pub(super) const SESSION_INSERT: Sql = Sql::new(
    "identity.session_insert",
    "INSERT INTO session (id, person_id, staff_id, device, generation, created_at, expires_at)
     VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)",
);
pub(super) const SESSION_NEXT: Sql = Sql::new(
    "identity.session_next",
    "UPDATE session SET generation = generation + 1
     WHERE id = ?1 AND generation = ?2 AND revoked_at IS NULL AND expires_at > ?3
     RETURNING person_id, staff_id",
);
pub(super) const SESSION_EXTEND: Sql =
    Sql::new("identity.session_extend", "UPDATE session SET expires_at = ?2 WHERE id = ?1");
pub(super) const SESSION_REVOKE_OLDER: Sql = Sql::new(
    "identity.session_revoke_older",
    "UPDATE session SET revoked_at = ?3 WHERE id = ?1 AND generation > ?2 AND revoked_at IS NULL
     RETURNING id",
);
pub(super) const SESSION_REVOKE: Sql = Sql::new(
    "identity.session_revoke",
    "UPDATE session SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL RETURNING id",
);
pub(super) const SESSIONS_REVOKE_PERSON: Sql = Sql::new(
    "identity.sessions_revoke_person",
    "UPDATE session SET revoked_at = ?2 WHERE person_id = ?1 AND revoked_at IS NULL RETURNING id",
);
pub(super) const SESSIONS_REVOKE_STAFF: Sql = Sql::new(
    "identity.sessions_revoke_staff",
    "UPDATE session SET revoked_at = ?2 WHERE staff_id = ?1 AND revoked_at IS NULL RETURNING id",
);
pub(super) const SESSIONS_REVOKED: Sql = Sql::new(
    "identity.sessions_revoked",
    "SELECT id, revoked_at FROM session WHERE revoked_at IS NOT NULL AND revoked_at > ?1",
);

/// Whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Person(PersonId),
    Staff(StaffId),
}

pub(crate) fn insert_session(
    tx: &mut Tx<'_>,
    id: SessionId,
    holder: Holder,
    device: Option<&str>,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    let (person, staff) = match holder {
        Holder::Person(id) => (Some(id), None),
        Holder::Staff(id) => (None, Some(id)),
    };
    tx.exec(&SESSION_INSERT, &params![id, person, staff, device, now, expires_at]).map(drop)
}

/// Steps to the next refresh token, if this one is the newest of a session that goes on.
pub(crate) fn next_generation(
    tx: &mut Tx<'_>,
    id: SessionId,
    generation: i64,
    now: Timestamp,
) -> Result<Option<Holder>, DbError> {
    let Some(row) = tx.opt(&SESSION_NEXT, &params![id, generation, now])? else {
        return Ok(None);
    };
    Ok(match row.get(0)? {
        Some(person) => Some(Holder::Person(person)),
        None => row.get::<Option<StaffId>>(1)?.map(Holder::Staff),
    })
}

pub(crate) fn extend_session(
    tx: &mut Tx<'_>,
    id: SessionId,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    tx.exec(&SESSION_EXTEND, &params![id, expires_at]).map(drop)
}

/// Which sessions to end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    One(SessionId),
    /// If it has stepped beyond this refresh token.
    Beyond(SessionId, i64),
    Of(Holder),
}

/// Ends them; returns those that had not ended before.
pub(crate) fn end_sessions(
    tx: &mut Tx<'_>,
    which: Ending,
    now: Timestamp,
) -> Result<Vec<SessionId>, DbError> {
    let rows = match which {
        Ending::One(id) => tx.all(&SESSION_REVOKE, &params![id, now])?,
        Ending::Beyond(id, generation) => {
            tx.all(&SESSION_REVOKE_OLDER, &params![id, generation, now])?
        }
        Ending::Of(Holder::Person(id)) => tx.all(&SESSIONS_REVOKE_PERSON, &params![id, now])?,
        Ending::Of(Holder::Staff(id)) => tx.all(&SESSIONS_REVOKE_STAFF, &params![id, now])?,
    };
    rows.iter().map(|r| r.get(0)).collect()
}

/// Sessions that ended after `since`, and when.
pub(crate) fn ended_sessions(
    q: &mut Query<'_>,
    since: Timestamp,
) -> Result<Vec<(SessionId, Timestamp)>, DbError> {
    q.all(&SESSIONS_REVOKED, &params![since])?.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
}
