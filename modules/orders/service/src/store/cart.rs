use mela_base::Timestamp;
use mela_base::ids::{CartId, OrderId, PersonId};
use mela_db::{DbError, Query, Row, Sql, Tx, Value, params};

use crate::rules::Lines;

use super::{from_json, to_json};

pub(crate) const INSERT: Sql = Sql::new(
    "orders.cart_insert",
    "INSERT INTO cart (id, person_id, key_person, lines, address, pincode, coupon, coins, version,
       order_id, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, NULL, ?9)",
);
pub(crate) const BY_ID: Sql = Sql::new(
    "orders.cart",
    "SELECT id, person_id, key_person, lines, address, pincode, coupon, coins, version, order_id
     FROM cart WHERE id = ?1",
);
pub(crate) const OPEN_OF: Sql = Sql::new(
    "orders.cart_open_of",
    "SELECT id, person_id, key_person, lines, address, pincode, coupon, coins, version, order_id
     FROM cart WHERE person_id = ?1 AND order_id IS NULL ORDER BY updated_at DESC, id DESC LIMIT 1",
);
/// Reads a cart and holds it until the end of the transaction.
pub(crate) const LOCK: Sql = Sql::new(
    "orders.cart_lock",
    "UPDATE cart SET version = version + 1 WHERE id = ?1 AND order_id IS NULL
     RETURNING id, person_id, key_person, lines, address, pincode, coupon, coins, version, order_id",
);
pub(crate) const LOCK_OPEN_OF: Sql = Sql::new(
    "orders.cart_lock_open_of",
    "UPDATE cart SET version = version + 1 WHERE person_id = ?1 AND order_id IS NULL
     RETURNING id, person_id, key_person, lines, address, pincode, coupon, coins, version, order_id",
);
pub(crate) const SAVE: Sql = Sql::new(
    "orders.cart_save",
    "UPDATE cart SET person_id = ?3, key_person = ?4, lines = ?5, address = ?6, pincode = ?7,
       coupon = ?8, coins = ?9, updated_at = ?10
     WHERE id = ?1 AND version = ?2 AND order_id IS NULL",
);
/// Reads the cart and makes it an order's, in one: of several transactions that try, the second
/// waits here for the first and then finds nothing.
pub(crate) const PLACE: Sql = Sql::new(
    "orders.cart_place",
    "UPDATE cart SET order_id = ?2, version = version + 1, updated_at = ?3
     WHERE id = ?1 AND order_id IS NULL
     RETURNING id, person_id, key_person, lines, address, pincode, coupon, coins, version, order_id",
);
pub(crate) const DELETE: Sql =
    Sql::new("orders.cart_delete", "DELETE FROM cart WHERE id = ?1 AND order_id IS NULL");
pub(crate) const MERGE: Sql =
    Sql::new("orders.cart_merge", "UPDATE cart SET person_id = ?2 WHERE person_id = ?1");
/// What makes a cart idle is asked again outside of the list: Postgres looks at a row once more
/// after it has waited for its owner, and by then it can be an order's.
pub(crate) const IDLE: Sql = Sql::new(
    "orders.cart_idle",
    "DELETE FROM cart WHERE id IN (
       SELECT id FROM cart WHERE order_id IS NULL AND updated_at < ?1 ORDER BY updated_at LIMIT ?2)
       AND order_id IS NULL AND updated_at < ?1",
);

/// A cart as it is kept.
#[derive(Clone)]
pub(crate) struct CartRow {
    pub(crate) id: CartId,
    pub(crate) person_id: Option<PersonId>,
    /// Under whose key the address is sealed.
    pub(crate) key_person: Option<PersonId>,
    pub(crate) lines: Lines,
    pub(crate) address: Option<Vec<u8>>,
    pub(crate) pincode: Option<String>,
    pub(crate) coupon: Option<String>,
    pub(crate) coins: i64,
    pub(crate) version: i64,
    pub(crate) order_id: Option<OrderId>,
}

fn row(row: &Row) -> Result<CartRow, DbError> {
    Ok(CartRow {
        id: row.get(0)?,
        person_id: row.get(1)?,
        key_person: row.get(2)?,
        lines: from_json(row.get(3)?)?,
        address: row.get(4)?,
        pincode: row.get(5)?,
        coupon: row.get(6)?,
        coins: row.get(7)?,
        version: row.get(8)?,
        order_id: row.get(9)?,
    })
}

pub(crate) fn insert(tx: &mut Tx<'_>, cart: &CartRow, now: Timestamp) -> Result<(), DbError> {
    let params: [Value; 9] = params![
        cart.id,
        cart.person_id,
        cart.key_person,
        to_json(&cart.lines)?,
        &cart.address,
        &cart.pincode,
        &cart.coupon,
        cart.coins,
        now
    ];
    tx.exec(&INSERT, &params).map(drop)
}

pub(crate) fn by_id(q: &mut Query<'_>, id: CartId) -> Result<Option<CartRow>, DbError> {
    q.opt(&BY_ID, &params![id])?.as_ref().map(row).transpose()
}

pub(crate) fn open_of(q: &mut Query<'_>, person: PersonId) -> Result<Option<CartRow>, DbError> {
    q.opt(&OPEN_OF, &params![person])?.as_ref().map(row).transpose()
}

/// The cart, held until the transaction ends; `None` if there is none that is open.
pub(crate) fn lock(tx: &mut Tx<'_>, id: CartId) -> Result<Option<CartRow>, DbError> {
    tx.opt(&LOCK, &params![id])?.as_ref().map(row).transpose()
}

/// All open carts of a person, held until the transaction ends.
pub(crate) fn lock_open_of(tx: &mut Tx<'_>, person: PersonId) -> Result<Vec<CartRow>, DbError> {
    tx.all(&LOCK_OPEN_OF, &params![person])?.iter().map(row).collect()
}

/// Saves a change of a cart that this transaction holds; false if it does not hold it.
pub(crate) fn save(tx: &mut Tx<'_>, cart: &CartRow, now: Timestamp) -> Result<bool, DbError> {
    let params: [Value; 10] = params![
        cart.id,
        cart.version,
        cart.person_id,
        cart.key_person,
        to_json(&cart.lines)?,
        &cart.address,
        &cart.pincode,
        &cart.coupon,
        cart.coins,
        now
    ];
    Ok(tx.exec(&SAVE, &params)? == 1)
}

/// The cart, which is this order's from now on; `None` if it is another's or does not exist.
pub(crate) fn place(
    tx: &mut Tx<'_>,
    id: CartId,
    order: OrderId,
    now: Timestamp,
) -> Result<Option<CartRow>, DbError> {
    tx.opt(&PLACE, &params![id, order, now])?.as_ref().map(row).transpose()
}

pub(crate) fn delete(tx: &mut Tx<'_>, id: CartId) -> Result<(), DbError> {
    tx.exec(&DELETE, &params![id]).map(drop)
}

/// Removes open carts that nobody has touched since; how many.
pub(crate) fn delete_idle(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64, DbError> {
    tx.exec(&IDLE, &params![before, limit])
}

/// What is left of a person's carts is another's, those included that became orders.
pub(crate) fn merge(tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<(), DbError> {
    tx.exec(&MERGE, &params![from, to]).map(drop)
}
