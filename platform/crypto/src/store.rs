//! The tables of keys: the only SQL here.

use mela_base::ids::PersonId;
use mela_base::{Id, Timestamp};
use mela_db::{DbError, Migration, MigrationSet, Query, Row, Sql, Tx, params};

/// The tables `person_key` and `signing_key`.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "crypto",
    migrations: &[Migration::new("001_keys", include_str!("../migrations/001_keys.sql"))],
};

const PERSON_INSERT: Sql = Sql::new(
    "crypto.person_key_insert",
    "INSERT INTO person_key (person_id, wrapped, master_id, created_at) VALUES (?1, ?2, ?3, ?4)",
);
const PERSON_GET: Sql = Sql::new(
    "crypto.person_key_get",
    "SELECT person_id, wrapped, master_id FROM person_key
     WHERE person_id = ?1 AND destroyed_at IS NULL",
);
const PERSONS_GET: Sql = Sql::new(
    "crypto.person_keys_get",
    "SELECT person_id, wrapped, master_id FROM person_key
     WHERE destroyed_at IS NULL AND person_id IN {list}",
);
const PERSON_DESTROY: Sql = Sql::new(
    "crypto.person_key_destroy",
    "UPDATE person_key SET wrapped = ?2, destroyed_at = ?3
     WHERE person_id = ?1 AND destroyed_at IS NULL",
);
const PERSONS_OF_OTHER_MASTER: Sql = Sql::new(
    "crypto.person_keys_of_other_master",
    "SELECT person_id, wrapped, master_id FROM person_key
     WHERE master_id <> ?1 AND destroyed_at IS NULL ORDER BY person_id LIMIT ?2",
);
const PERSON_REWRAP: Sql = Sql::new(
    "crypto.person_key_rewrap",
    "UPDATE person_key SET wrapped = ?2, master_id = ?3
     WHERE person_id = ?1 AND destroyed_at IS NULL",
);
const SIGNING_INSERT: Sql = Sql::new(
    "crypto.signing_key_insert",
    "INSERT INTO signing_key (kid, public, sealed_private, master_id, created_at)
     VALUES (?1, ?2, ?3, ?4, ?5)",
);
const SIGNING_ALL: Sql = Sql::new(
    "crypto.signing_keys",
    "SELECT kid, sealed_private, master_id, created_at, retired_at FROM signing_key
     WHERE retired_at IS NULL OR retired_at > ?1",
);
const SIGNING_RETIRE: Sql = Sql::new(
    "crypto.signing_keys_retire",
    "UPDATE signing_key SET retired_at = ?1 WHERE retired_at IS NULL",
);
const SIGNING_REWRAP: Sql = Sql::new(
    "crypto.signing_key_rewrap",
    "UPDATE signing_key SET sealed_private = ?2, master_id = ?3 WHERE kid = ?1",
);

/// Every statement, for the test that prepares them on both engines.
pub const STATEMENTS: &[&Sql] = &[
    &PERSON_INSERT,
    &PERSON_GET,
    &PERSONS_GET,
    &PERSON_DESTROY,
    &PERSONS_OF_OTHER_MASTER,
    &PERSON_REWRAP,
    &SIGNING_INSERT,
    &SIGNING_ALL,
    &SIGNING_RETIRE,
    &SIGNING_REWRAP,
];

/// A wrapped key and the id of the master key it is wrapped under.
pub(crate) struct Wrapped {
    pub(crate) bytes: Vec<u8>,
    pub(crate) master_id: String,
}

fn person_row(row: &Row) -> Result<(PersonId, Wrapped), DbError> {
    Ok((PersonId(row.get::<Id>(0)?), Wrapped { bytes: row.get(1)?, master_id: row.get(2)? }))
}

pub(crate) fn person_insert(
    tx: &mut Tx<'_>,
    person: PersonId,
    wrapped: &Wrapped,
    now: Timestamp,
) -> Result<(), DbError> {
    let values = params![person.0, &wrapped.bytes, &wrapped.master_id, now];
    tx.exec(&PERSON_INSERT, &values).map(drop)
}

pub(crate) fn person(q: &mut Query<'_>, person: PersonId) -> Result<Option<Wrapped>, DbError> {
    let row = q.opt(&PERSON_GET, &params![person.0])?;
    row.map(|r| person_row(&r).map(|(_, wrapped)| wrapped)).transpose()
}

pub(crate) fn persons(
    q: &mut Query<'_>,
    persons: &[PersonId],
) -> Result<Vec<(PersonId, Wrapped)>, DbError> {
    let list: Vec<_> = persons.iter().map(|p| p.0.into()).collect();
    q.all_in(&PERSONS_GET, &[], &list)?.iter().map(person_row).collect()
}

pub(crate) fn person_destroy(
    tx: &mut Tx<'_>,
    person: PersonId,
    now: Timestamp,
) -> Result<bool, DbError> {
    Ok(tx.exec(&PERSON_DESTROY, &params![person.0, Vec::<u8>::new(), now])? == 1)
}

pub(crate) fn persons_of_other_master(
    q: &mut Query<'_>,
    master_id: &str,
    limit: u32,
) -> Result<Vec<(PersonId, Wrapped)>, DbError> {
    q.all(&PERSONS_OF_OTHER_MASTER, &params![master_id, limit])?.iter().map(person_row).collect()
}

pub(crate) fn person_rewrap(
    tx: &mut Tx<'_>,
    person: PersonId,
    wrapped: &Wrapped,
) -> Result<(), DbError> {
    tx.exec(&PERSON_REWRAP, &params![person.0, &wrapped.bytes, &wrapped.master_id]).map(drop)
}

/// A stored signing key, its private half still sealed.
pub(crate) struct StoredSigningKey {
    pub(crate) kid: String,
    pub(crate) sealed: Wrapped,
    pub(crate) created_at: Timestamp,
    pub(crate) retired_at: Option<Timestamp>,
}

pub(crate) fn signing_insert(
    tx: &mut Tx<'_>,
    kid: &str,
    public: &[u8; 32],
    sealed: &Wrapped,
    now: Timestamp,
) -> Result<(), DbError> {
    let values = params![kid, public, &sealed.bytes, &sealed.master_id, now];
    tx.exec(&SIGNING_INSERT, &values).map(drop)
}

/// All that are not retired, or were after `since`.
pub(crate) fn signing_keys(
    q: &mut Query<'_>,
    since: Timestamp,
) -> Result<Vec<StoredSigningKey>, DbError> {
    let read = |row: &Row| {
        Ok(StoredSigningKey {
            kid: row.get(0)?,
            sealed: Wrapped { bytes: row.get(1)?, master_id: row.get(2)? },
            created_at: row.get(3)?,
            retired_at: row.get(4)?,
        })
    };
    q.all(&SIGNING_ALL, &params![since])?.iter().map(read).collect()
}

pub(crate) fn signing_retire(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), DbError> {
    tx.exec(&SIGNING_RETIRE, &params![now]).map(drop)
}

pub(crate) fn signing_rewrap(tx: &mut Tx<'_>, kid: &str, sealed: &Wrapped) -> Result<(), DbError> {
    tx.exec(&SIGNING_REWRAP, &params![kid, &sealed.bytes, &sealed.master_id]).map(drop)
}
