use mela_base::Timestamp;
use mela_base::ids::PersonId;
use mela_db::{DbError, Query, Row, Sql, Tx, params};

use super::{Hash, hashes};

pub(super) const PERSON_INSERT: Sql = Sql::new(
    "identity.person_insert",
    "INSERT INTO person (id, kind, phone_hash, profile, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
);
pub(super) const PERSON_BY_PHONE: Sql = Sql::new(
    "identity.person_by_phone",
    "SELECT id, phone_hash FROM person WHERE phone_hash IN {list}",
);
pub(super) const PERSON_REHASH: Sql =
    Sql::new("identity.person_rehash", "UPDATE person SET phone_hash = ?2 WHERE id = ?1");
pub(super) const PERSON_PROMOTE: Sql = Sql::new(
    "identity.person_promote",
    "UPDATE person SET kind = 'customer', phone_hash = ?2, profile = ?3
     WHERE id = ?1 AND kind = 'guest'",
);
pub(super) const PERSON_LOCK_GUEST: Sql = Sql::new(
    "identity.person_lock_guest",
    "UPDATE person SET kind = kind WHERE id = ?1 AND kind = 'guest'",
);
pub(super) const PERSON_MERGE: Sql = Sql::new(
    "identity.person_merge",
    "UPDATE person SET kind = 'merged', merged_into = ?2 WHERE id = ?1 AND kind = 'guest'",
);
pub(super) const PERSON_GET: Sql = Sql::new(
    "identity.person_get",
    "SELECT id, kind, profile, merged_into, created_at FROM person WHERE id = ?1",
);
pub(super) const PERSON_LOCK: Sql = Sql::new(
    "identity.person_lock",
    "UPDATE person SET kind = kind WHERE id = ?1
     RETURNING id, kind, profile, merged_into, created_at",
);
pub(super) const PERSON_PROFILE: Sql =
    Sql::new("identity.person_profile", "UPDATE person SET profile = ?2 WHERE id = ?1");

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
