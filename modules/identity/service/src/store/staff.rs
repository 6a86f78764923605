use mela_base::ids::StaffId;
use mela_base::{Role, Timestamp};
use mela_db::{DbError, Query, Row, Sql, Tx, params};

use super::{Hash, hashes};

pub(super) const STAFF_INSERT: Sql = Sql::new(
    "identity.staff_insert",
    "INSERT INTO staff (id, email_hash, email, password, role, active, created_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
);
pub(super) const STAFF_BY_EMAIL: Sql = Sql::new(
    "identity.staff_by_email",
    "SELECT id, role, active, password, email_hash FROM staff WHERE email_hash IN {list}",
);
pub(super) const STAFF_GET: Sql =
    Sql::new("identity.staff_get", "SELECT id, role, active FROM staff WHERE id = ?1");
pub(super) const STAFF_LOGIN: Sql = Sql::new(
    "identity.staff_login",
    "UPDATE staff SET login_at = ?3, email_hash = ?4 WHERE id = ?1 AND password = ?2 AND active
     RETURNING role",
);
pub(super) const STAFF_UPDATE: Sql = Sql::new(
    "identity.staff_update",
    "UPDATE staff SET role = ?2, active = ?3, password = COALESCE(?4, password) WHERE id = ?1",
);
pub(super) const STAFF_OWNERS: Sql = Sql::new(
    "identity.staff_owners",
    "UPDATE staff SET active = active WHERE role = 'owner' AND active RETURNING id",
);
pub(super) const STAFF_ANY: Sql = Sql::new("identity.staff_any", "SELECT id FROM staff LIMIT 1");
pub(super) const STAFF_ALL: Sql = Sql::new(
    "identity.staff_all",
    "SELECT id, role, active, email FROM staff ORDER BY created_at, id",
);

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
