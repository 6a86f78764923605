//! All SQL of identity.

use mela_base::ids::{PersonId, SessionId, StaffId};
use mela_base::{Role, Timestamp};
use mela_db::{DbError, Query, Row, Sql, Tx, Value, params};

const PERSON_INSERT: Sql = Sql::new(
    "identity.person_insert",
    "INSERT INTO person (id, kind, phone_hash, profile, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
);
const PERSON_BY_PHONE: Sql = Sql::new(
    "identity.person_by_phone",
    "SELECT id, phone_hash FROM person WHERE phone_hash IN {list}",
);
const PERSON_REHASH: Sql =
    Sql::new("identity.person_rehash", "UPDATE person SET phone_hash = ?2 WHERE id = ?1");
const PERSON_PROMOTE: Sql = Sql::new(
    "identity.person_promote",
    "UPDATE person SET kind = 'customer', phone_hash = ?2, profile = ?3
     WHERE id = ?1 AND kind = 'guest'",
);
const PERSON_LOCK_GUEST: Sql = Sql::new(
    "identity.person_lock_guest",
    "UPDATE person SET kind = kind WHERE id = ?1 AND kind = 'guest'",
);
const PERSON_MERGE: Sql = Sql::new(
    "identity.person_merge",
    "UPDATE person SET kind = 'merged', merged_into = ?2 WHERE id = ?1 AND kind = 'guest'",
);
const PERSON_GET: Sql = Sql::new(
    "identity.person_get",
    "SELECT id, kind, profile, merged_into, created_at FROM person WHERE id = ?1",
);
const PERSON_LOCK: Sql = Sql::new(
    "identity.person_lock",
    "UPDATE person SET kind = kind WHERE id = ?1
     RETURNING id, kind, profile, merged_into, created_at",
);
const PERSON_PROFILE: Sql =
    Sql::new("identity.person_profile", "UPDATE person SET profile = ?2 WHERE id = ?1");

const OTP_PUT: Sql = Sql::new(
    "identity.otp_put",
    "INSERT INTO otp (phone_hash, code_hash, tries, expires_at) VALUES (?1, ?2, 0, ?3)
     ON CONFLICT (phone_hash) DO UPDATE
     SET code_hash = excluded.code_hash, tries = 0, expires_at = excluded.expires_at",
);
const OTP_TRY: Sql = Sql::new(
    "identity.otp_try",
    "UPDATE otp SET tries = tries + 1 WHERE phone_hash = ?1 AND expires_at > ?2 AND tries < ?3
     RETURNING code_hash, tries",
);
const OTP_TRIES: Sql = Sql::new(
    "identity.otp_tries",
    "SELECT tries FROM otp WHERE phone_hash = ?1 AND expires_at > ?2",
);
const OTP_USED: Sql = Sql::new("identity.otp_used", "DELETE FROM otp WHERE phone_hash = ?1");
const LIMIT_LOCK: Sql = Sql::new(
    "identity.limit_lock",
    "INSERT INTO auth_limit (subject, recent, expires_at) VALUES {rows}
     ON CONFLICT (subject) DO UPDATE SET expires_at = auth_limit.expires_at
     RETURNING subject, recent",
);
const LIMIT_PUT: Sql = Sql::new(
    "identity.limit_put",
    "INSERT INTO auth_limit (subject, recent, expires_at) VALUES {rows}
     ON CONFLICT (subject) DO UPDATE
     SET recent = excluded.recent, expires_at = excluded.expires_at",
);

const SESSION_INSERT: Sql = Sql::new(
    "identity.session_insert",
    "INSERT INTO session (id, person_id, staff_id, device, generation, created_at, expires_at)
     VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)",
);
const SESSION_NEXT: Sql = Sql::new(
    "identity.session_next",
    "UPDATE session SET generation = generation + 1
     WHERE id = ?1 AND generation = ?2 AND revoked_at IS NULL AND expires_at > ?3
     RETURNING person_id, staff_id",
);
const SESSION_EXTEND: Sql =
    Sql::new("identity.session_extend", "UPDATE session SET expires_at = ?2 WHERE id = ?1");
const SESSION_REVOKE_OLDER: Sql = Sql::new(
    "identity.session_revoke_older",
    "UPDATE session SET revoked_at = ?3 WHERE id = ?1 AND generation > ?2 AND revoked_at IS NULL
     RETURNING id",
);
const SESSION_REVOKE: Sql = Sql::new(
    "identity.session_revoke",
    "UPDATE session SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL RETURNING id",
);
const SESSIONS_REVOKE_PERSON: Sql = Sql::new(
    "identity.sessions_revoke_person",
    "UPDATE session SET revoked_at = ?2 WHERE person_id = ?1 AND revoked_at IS NULL RETURNING id",
);
const SESSIONS_REVOKE_STAFF: Sql = Sql::new(
    "identity.sessions_revoke_staff",
    "UPDATE session SET revoked_at = ?2 WHERE staff_id = ?1 AND revoked_at IS NULL RETURNING id",
);
const SESSIONS_REVOKED: Sql = Sql::new(
    "identity.sessions_revoked",
    "SELECT id, revoked_at FROM session WHERE revoked_at IS NOT NULL AND revoked_at > ?1",
);

const STAFF_INSERT: Sql = Sql::new(
    "identity.staff_insert",
    "INSERT INTO staff (id, email_hash, email, password, role, active, created_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
);
const STAFF_BY_EMAIL: Sql = Sql::new(
    "identity.staff_by_email",
    "SELECT id, role, active, password, email_hash FROM staff WHERE email_hash IN {list}",
);
const STAFF_GET: Sql =
    Sql::new("identity.staff_get", "SELECT id, role, active FROM staff WHERE id = ?1");
const STAFF_LOGIN: Sql = Sql::new(
    "identity.staff_login",
    "UPDATE staff SET login_at = ?3, email_hash = ?4 WHERE id = ?1 AND password = ?2 AND active
     RETURNING role",
);
const STAFF_UPDATE: Sql = Sql::new(
    "identity.staff_update",
    "UPDATE staff SET role = ?2, active = ?3, password = COALESCE(?4, password) WHERE id = ?1",
);
const STAFF_OWNERS: Sql = Sql::new(
    "identity.staff_owners",
    "UPDATE staff SET active = active WHERE role = 'owner' AND active RETURNING id",
);
const STAFF_ANY: Sql = Sql::new("identity.staff_any", "SELECT id FROM staff LIMIT 1");
const STAFF_ALL: Sql = Sql::new(
    "identity.staff_all",
    "SELECT id, role, active, email FROM staff ORDER BY created_at, id",
);

const OTP_SWEEP: Sql = Sql::new(
    "identity.otp_sweep",
    "DELETE FROM otp WHERE expires_at <= ?1 AND phone_hash IN
         (SELECT phone_hash FROM otp WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
);
const LIMIT_SWEEP: Sql = Sql::new(
    "identity.limit_sweep",
    "DELETE FROM auth_limit WHERE expires_at <= ?1 AND subject IN
         (SELECT subject FROM auth_limit WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
);
const SESSION_SWEEP: Sql = Sql::new(
    "identity.session_sweep",
    "DELETE FROM session WHERE expires_at <= ?1 AND id IN
         (SELECT id FROM session WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
);

/// Every statement, for the test that prepares them on both engines.
pub const STATEMENTS: &[&Sql] = &[
    &PERSON_INSERT,
    &PERSON_BY_PHONE,
    &PERSON_REHASH,
    &PERSON_PROMOTE,
    &PERSON_LOCK_GUEST,
    &PERSON_MERGE,
    &PERSON_GET,
    &PERSON_LOCK,
    &PERSON_PROFILE,
    &OTP_PUT,
    &OTP_TRY,
    &OTP_TRIES,
    &OTP_USED,
    &LIMIT_LOCK,
    &LIMIT_PUT,
    &SESSION_INSERT,
    &SESSION_NEXT,
    &SESSION_EXTEND,
    &SESSION_REVOKE_OLDER,
    &SESSION_REVOKE,
    &SESSIONS_REVOKE_PERSON,
    &SESSIONS_REVOKE_STAFF,
    &SESSIONS_REVOKED,
    &STAFF_INSERT,
    &STAFF_BY_EMAIL,
    &STAFF_GET,
    &STAFF_LOGIN,
    &STAFF_UPDATE,
    &STAFF_OWNERS,
    &STAFF_ANY,
    &STAFF_ALL,
    &OTP_SWEEP,
    &LIMIT_SWEEP,
    &SESSION_SWEEP,
];

pub(crate) type Hash = [u8; 32];

fn hashes(hashes: &[Hash]) -> Vec<Value> {
    hashes.iter().map(Value::from).collect()
}

// Persons

/// A person as stored.
pub(crate) struct Person {
    pub(crate) id: PersonId,
    pub(crate) kind: String,
    /// Sealed.
    pub(crate) profile: Option<Vec<u8>>,
    pub(crate) merged_into: Option<PersonId>,
    pub(crate) created_at: Timestamp,
}

fn person(row: &Row) -> Result<Person, DbError> {
    Ok(Person {
        id: row.get(0)?,
        kind: row.get(1)?,
        profile: row.get(2)?,
        merged_into: row.get(3)?,
        created_at: row.get(4)?,
    })
}

pub(crate) fn insert_guest(tx: &mut Tx<'_>, id: PersonId, now: Timestamp) -> Result<(), DbError> {
    let none = None::<Vec<u8>>;
    tx.exec(&PERSON_INSERT, &params![id, "guest", none.clone(), none, now]).map(drop)
}

pub(crate) fn insert_customer(
    tx: &mut Tx<'_>,
    id: PersonId,
    phone: &Hash,
    profile: Vec<u8>,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.exec(&PERSON_INSERT, &params![id, "customer", phone, profile, now]).map(drop)
}

/// By the hash under the current key or under the one before, which is then replaced.
pub(crate) fn person_by_phone(
    tx: &mut Tx<'_>,
    phone: &[Hash],
) -> Result<Option<PersonId>, DbError> {
    let rows = tx.all_in(&PERSON_BY_PHONE, &[], &hashes(phone))?;
    let Some((row, current)) = rows.first().zip(phone.first()) else { return Ok(None) };
    let id: PersonId = row.get(0)?;
    if row.get::<Hash>(1)? != *current {
        tx.exec(&PERSON_REHASH, &params![id, current])?;
    }
    Ok(Some(id))
}

/// Whether this is still a guest, whom nobody else changes until the transaction ends.
pub(crate) fn lock_guest(tx: &mut Tx<'_>, id: PersonId) -> Result<bool, DbError> {
    Ok(tx.exec(&PERSON_LOCK_GUEST, &params![id])? == 1)
}

pub(crate) fn promote_guest(
    tx: &mut Tx<'_>,
    id: PersonId,
    phone: &Hash,
    profile: Vec<u8>,
) -> Result<(), DbError> {
    tx.exec(&PERSON_PROMOTE, &params![id, phone, profile]).map(drop)
}

/// False if the person is no guest (any more).
pub(crate) fn merge_guest(tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<bool, DbError> {
    Ok(tx.exec(&PERSON_MERGE, &params![from, to])? == 1)
}

pub(crate) fn get_person(q: &mut Query<'_>, id: PersonId) -> Result<Option<Person>, DbError> {
    q.opt(&PERSON_GET, &params![id])?.as_ref().map(person).transpose()
}

/// Nobody else changes the person until the transaction ends.
pub(crate) fn lock_person(tx: &mut Tx<'_>, id: PersonId) -> Result<Option<Person>, DbError> {
    tx.opt(&PERSON_LOCK, &params![id])?.as_ref().map(person).transpose()
}

pub(crate) fn set_profile(tx: &mut Tx<'_>, id: PersonId, profile: Vec<u8>) -> Result<(), DbError> {
    tx.exec(&PERSON_PROFILE, &params![id, profile]).map(drop)
}

// Codes

pub(crate) fn put_otp(
    tx: &mut Tx<'_>,
    phone: &Hash,
    code: &Hash,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    tx.exec(&OTP_PUT, &params![phone, code, expires_at]).map(drop)
}

/// Counts a try, if one is left; returns the hash to compare with and the number of the try.
pub(crate) fn try_otp(
    tx: &mut Tx<'_>,
    phone: &Hash,
    now: Timestamp,
    max: u32,
) -> Result<Option<(Hash, i64)>, DbError> {
    tx.opt(&OTP_TRY, &params![phone, now, max])?.map(|r| Ok((r.get(0)?, r.get(1)?))).transpose()
}

/// Whether the number has a code that had too many tries.
pub(crate) fn has_spent_otp(
    q: &mut Query<'_>,
    phone: &Hash,
    now: Timestamp,
) -> Result<bool, DbError> {
    Ok(q.opt(&OTP_TRIES, &params![phone, now])?.is_some())
}

pub(crate) fn use_otp(tx: &mut Tx<'_>, phone: &Hash) -> Result<(), DbError> {
    tx.exec(&OTP_USED, &params![phone]).map(drop)
}

// Limits

/// The logs of these subjects, which nobody else changes until the transaction ends.
pub(crate) fn lock_limits(
    tx: &mut Tx<'_>,
    subjects: &[Hash],
    now: Timestamp,
) -> Result<Vec<(Hash, Vec<u8>)>, DbError> {
    let rows: Vec<Vec<Value>> =
        subjects.iter().map(|s| params![s, Vec::<u8>::new(), now].to_vec()).collect();
    tx.all_rows(&LIMIT_LOCK, &[], &rows)?.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
}

pub(crate) fn put_limits(
    tx: &mut Tx<'_>,
    logs: &[(Hash, Vec<u8>, Timestamp)],
) -> Result<(), DbError> {
    let rows: Vec<Vec<Value>> =
        logs.iter().map(|(s, log, until)| params![s, log, *until].to_vec()).collect();
    tx.exec_rows(&LIMIT_PUT, &[], &rows).map(drop)
}

// Sessions

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

// Staff

/// A staff account as stored, without its log-in name.
#[derive(Clone)]
pub(crate) struct StaffRow {
    pub(crate) id: StaffId,
    pub(crate) role: Role,
    pub(crate) active: bool,
}

fn staff_row(row: &Row) -> Result<StaffRow, DbError> {
    Ok(StaffRow { id: row.get(0)?, role: role(&row.get::<String>(1)?)?, active: row.get(2)? })
}

fn role(name: &str) -> Result<Role, DbError> {
    Role::parse(name).ok_or_else(|| DbError::Type(format!("no role `{name}`")))
}

/// With the password's hash.
pub(crate) fn staff_by_email(
    q: &mut Query<'_>,
    email: &[Hash],
) -> Result<Option<(StaffRow, String)>, DbError> {
    let rows = q.all_in(&STAFF_BY_EMAIL, &[], &hashes(email))?;
    rows.first().map(|r| Ok((staff_row(r)?, r.get(3)?))).transpose()
}

pub(crate) fn get_staff(q: &mut Query<'_>, id: StaffId) -> Result<Option<StaffRow>, DbError> {
    q.opt(&STAFF_GET, &params![id])?.as_ref().map(staff_row).transpose()
}

/// Notes a login with this password's hash, and locks the account. The role, if all still holds.
pub(crate) fn staff_logs_in(
    tx: &mut Tx<'_>,
    id: StaffId,
    password: &str,
    email: &Hash,
    now: Timestamp,
) -> Result<Option<Role>, DbError> {
    tx.opt(&STAFF_LOGIN, &params![id, password, now, email])?
        .map(|r| role(&r.get::<String>(0)?))
        .transpose()
}

/// A staff account to store.
pub(crate) struct NewStaff {
    pub(crate) id: StaffId,
    pub(crate) email_hash: Hash,
    /// Sealed.
    pub(crate) email: Vec<u8>,
    /// Its hash.
    pub(crate) password: String,
    pub(crate) role: Role,
    pub(crate) active: bool,
}

pub(crate) fn insert_staff(
    tx: &mut Tx<'_>,
    staff: NewStaff,
    now: Timestamp,
) -> Result<(), DbError> {
    let NewStaff { id, email_hash, email, password, role, active } = staff;
    let params = params![id, email_hash, email, password, role.as_str(), active, now];
    tx.exec(&STAFF_INSERT, &params).map(drop)
}

pub(crate) fn update_staff(
    tx: &mut Tx<'_>,
    id: StaffId,
    role: Role,
    active: bool,
    password: Option<&str>,
) -> Result<(), DbError> {
    tx.exec(&STAFF_UPDATE, &params![id, role.as_str(), active, password]).map(drop)
}

/// The active owners, locked.
pub(crate) fn lock_owners(tx: &mut Tx<'_>) -> Result<Vec<StaffId>, DbError> {
    tx.all(&STAFF_OWNERS, &[])?.iter().map(|r| r.get(0)).collect()
}

pub(crate) fn has_staff(q: &mut Query<'_>) -> Result<bool, DbError> {
    Ok(!q.all(&STAFF_ANY, &[])?.is_empty())
}

/// With the sealed log-in names.
pub(crate) fn all_staff(q: &mut Query<'_>) -> Result<Vec<(StaffRow, Vec<u8>)>, DbError> {
    q.all(&STAFF_ALL, &[])?.iter().map(|r| Ok((staff_row(r)?, r.get(3)?))).collect()
}

// Cleaning

/// Deletes up to `limit` rows of each table that have expired; returns the most of any, and all.
pub(crate) fn sweep(tx: &mut Tx<'_>, now: Timestamp, limit: i64) -> Result<(u64, u64), DbError> {
    let (mut most, mut all) = (0, 0);
    for sql in [&OTP_SWEEP, &LIMIT_SWEEP, &SESSION_SWEEP] {
        let deleted = tx.exec(sql, &params![now, limit])?;
        most = deleted.max(most);
        all += deleted;
    }
    Ok((most, all))
}
