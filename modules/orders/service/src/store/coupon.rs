use mela_base::Paise;
use mela_base::ids::PersonId;
use mela_db::{DbError, Query, Row, Sql, Tx, params};
use mela_orders_api::{Coupon, CouponKind};

pub(crate) const BY_CODE: Sql = Sql::new(
    "orders.coupon",
    "SELECT code, percent_bp, amount, min_subtotal, max_uses, max_uses_per_person, uses, starts_at,
       ends_at FROM coupon WHERE code = ?1",
);
pub(crate) const ALL: Sql = Sql::new(
    "orders.coupons",
    "SELECT code, percent_bp, amount, min_subtotal, max_uses, max_uses_per_person, uses, starts_at,
       ends_at FROM coupon ORDER BY code LIMIT 1000",
);
/// The count of uses is never overwritten.
pub(crate) const SAVE: Sql = Sql::new(
    "orders.coupon_save",
    "INSERT INTO coupon (code, percent_bp, amount, min_subtotal, max_uses, max_uses_per_person,
       uses, starts_at, ends_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8)
     ON CONFLICT (code) DO UPDATE SET percent_bp = excluded.percent_bp, amount = excluded.amount,
       min_subtotal = excluded.min_subtotal, max_uses = excluded.max_uses,
       max_uses_per_person = excluded.max_uses_per_person, starts_at = excluded.starts_at,
       ends_at = excluded.ends_at",
);
pub(crate) const USE: Sql = Sql::new(
    "orders.coupon_use",
    "UPDATE coupon SET uses = uses + 1 WHERE code = ?1 AND (max_uses IS NULL OR uses < max_uses)",
);
pub(crate) const USE_BY: Sql = Sql::new(
    "orders.coupon_use_by",
    "INSERT INTO coupon_use (code, person_id, uses) VALUES (?1, ?2, 1)
     ON CONFLICT (code, person_id) DO UPDATE SET uses = coupon_use.uses + 1
     WHERE coupon_use.uses < ?3",
);
pub(crate) const GIVE_BACK: Sql = Sql::new(
    "orders.coupon_give_back",
    "UPDATE coupon SET uses = uses - 1 WHERE code = ?1 AND uses > 0",
);
pub(crate) const GIVE_BACK_BY: Sql = Sql::new(
    "orders.coupon_give_back_by",
    "UPDATE coupon_use SET uses = uses - 1 WHERE code = ?1 AND person_id = ?2 AND uses > 0",
);
pub(crate) const MERGE_FROM: Sql = Sql::new(
    "orders.coupon_merge_from",
    "DELETE FROM coupon_use WHERE person_id = ?1 RETURNING code, uses",
);
pub(crate) const MERGE_INTO: Sql = Sql::new(
    "orders.coupon_merge_into",
    "INSERT INTO coupon_use (code, person_id, uses) VALUES {rows}
     ON CONFLICT (code, person_id) DO UPDATE SET uses = coupon_use.uses + excluded.uses",
);

fn row(row: &Row) -> Result<Coupon, DbError> {
    let kind = match row.get::<Option<i64>>(1)? {
        Some(bp) => CouponKind::Percent { bp, at_most: row.get(2)? },
        None => CouponKind::Amount(row.get(2)?),
    };
    Ok(Coupon {
        code: row.get(0)?,
        kind,
        min_subtotal: row.get(3)?,
        max_uses: row.get(4)?,
        max_uses_per_person: row.get(5)?,
        uses: row.get(6)?,
        starts_at: row.get(7)?,
        ends_at: row.get(8)?,
    })
}

pub(crate) fn by_code(q: &mut Query<'_>, code: &str) -> Result<Option<Coupon>, DbError> {
    q.opt(&BY_CODE, &params![code])?.as_ref().map(row).transpose()
}

pub(crate) fn all(q: &mut Query<'_>) -> Result<Vec<Coupon>, DbError> {
    q.all(&ALL, &[])?.iter().map(row).collect()
}

pub(crate) fn save(tx: &mut Tx<'_>, coupon: &Coupon) -> Result<(), DbError> {
    let (bp, amount): (Option<i64>, Option<Paise>) = match coupon.kind {
        CouponKind::Percent { bp, at_most } => (Some(bp), at_most),
        CouponKind::Amount(amount) => (None, Some(amount)),
    };
    let params = params![
        &coupon.code,
        bp,
        amount,
        coupon.min_subtotal,
        coupon.max_uses,
        coupon.max_uses_per_person,
        coupon.starts_at,
        coupon.ends_at
    ];
    tx.exec(&SAVE, &params).map(drop)
}

/// Counts a use, in all and by this person; false if it is used up. The counters are the guard:
/// of two that want the last use, the second finds it gone.
pub(crate) fn use_one(tx: &mut Tx<'_>, coupon: &Coupon, person: PersonId) -> Result<bool, DbError> {
    let most = coupon.max_uses_per_person.unwrap_or(i64::MAX);
    if most < 1 || tx.exec(&USE, &params![&coupon.code])? != 1 {
        return Ok(false);
    }
    Ok(tx.exec(&USE_BY, &params![&coupon.code, person, most])? == 1)
}

pub(crate) fn give_back(tx: &mut Tx<'_>, code: &str, person: PersonId) -> Result<(), DbError> {
    tx.exec(&GIVE_BACK, &params![code])?;
    tx.exec(&GIVE_BACK_BY, &params![code, person]).map(drop)
}

/// What one person has used counts for another from now on.
pub(crate) fn merge(tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<(), DbError> {
    let mut rows = Vec::new();
    for row in tx.all(&MERGE_FROM, &params![from])? {
        rows.push(params![row.get::<String>(0)?, to, row.get::<i64>(1)?].to_vec());
    }
    tx.exec_rows(&MERGE_INTO, &[], &rows).map(drop)
}
