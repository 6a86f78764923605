use mela_base::Timestamp;
use mela_db::{DbError, Query, Sql, Tx, Value, params};

use super::Hash;

pub(super) const OTP_PUT: Sql = Sql::new(
    "identity.otp_put",
    "INSERT INTO otp (phone_hash, code_hash, tries, expires_at) VALUES (?1, ?2, 0, ?3)
     ON CONFLICT (phone_hash) DO UPDATE
     SET code_hash = excluded.code_hash, tries = 0, expires_at = excluded.expires_at",
);
pub(super) const OTP_TRY: Sql = Sql::new(
    "identity.otp_try",
    "UPDATE otp SET tries = tries + 1 WHERE phone_hash = ?1 AND expires_at > ?2 AND tries < ?3
     RETURNING code_hash, tries",
);
pub(super) const OTP_TRIES: Sql = Sql::new(
    "identity.otp_tries",
    "SELECT tries FROM otp WHERE phone_hash = ?1 AND expires_at > ?2",
);
pub(super) const OTP_USED: Sql =
    Sql::new("identity.otp_used", "DELETE FROM otp WHERE phone_hash = ?1");
pub(super) const LIMIT_LOCK: Sql = Sql::new(
    "identity.limit_lock",
    "INSERT INTO auth_limit (subject, recent, expires_at) VALUES {rows}
     ON CONFLICT (subject) DO UPDATE SET expires_at = auth_limit.expires_at
     RETURNING subject, recent",
);
pub(super) const LIMIT_PUT: Sql = Sql::new(
    "identity.limit_put",
    "INSERT INTO auth_limit (subject, recent, expires_at) VALUES {rows}
     ON CONFLICT (subject) DO UPDATE
     SET recent = excluded.recent, expires_at = excluded.expires_at",
);

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
