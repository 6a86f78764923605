//! All SQL of identity.

mod otp;
mod person;
mod session;
mod staff;

use mela_base::Timestamp;
use mela_db::{DbError, Sql, Tx, Value, params};

pub(crate) use otp::*;
pub(crate) use person::*;
pub(crate) use session::*;
pub(crate) use staff::*;

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
    &person::PERSON_INSERT,
    &person::PERSON_BY_PHONE,
    &person::PERSON_REHASH,
    &person::PERSON_PROMOTE,
    &person::PERSON_LOCK_GUEST,
    &person::PERSON_MERGE,
    &person::PERSON_GET,
    &person::PERSON_LOCK,
    &person::PERSON_PROFILE,
    &otp::OTP_PUT,
    &otp::OTP_TRY,
    &otp::OTP_TRIES,
    &otp::OTP_USED,
    &otp::LIMIT_LOCK,
    &otp::LIMIT_PUT,
    &session::SESSION_INSERT,
    &session::SESSION_NEXT,
    &session::SESSION_EXTEND,
    &session::SESSION_REVOKE_OLDER,
    &session::SESSION_REVOKE,
    &session::SESSIONS_REVOKE_PERSON,
    &session::SESSIONS_REVOKE_STAFF,
    &session::SESSIONS_REVOKED,
    &staff::STAFF_INSERT,
    &staff::STAFF_BY_EMAIL,
    &staff::STAFF_GET,
    &staff::STAFF_LOGIN,
    &staff::STAFF_UPDATE,
    &staff::STAFF_OWNERS,
    &staff::STAFF_ANY,
    &staff::STAFF_ALL,
    &OTP_SWEEP,
    &LIMIT_SWEEP,
    &SESSION_SWEEP,
];

pub(crate) type Hash = [u8; 32];

pub(super) fn hashes(hashes: &[Hash]) -> Vec<Value> {
    hashes.iter().map(Value::from).collect()
}

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
