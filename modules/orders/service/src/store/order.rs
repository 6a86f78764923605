use mela_base::ids::{
    CartId, LocationId, OrderId, OrderLineId, PaymentId, PersonId, ProductId, VariantId,
};
use mela_base::{Paise, Timestamp};
use mela_db::{DbError, Query, Row, Sql, Tx, Value, params};
use mela_orders_api::{HistoryEntry, OrderLine, OrderState, Totals};
use mela_payments_api::Method;

use crate::totals::Charges;

use super::{from_json, to_json};

pub(crate) const INSERT: Sql = Sql::new(
    "orders.insert",
    "INSERT INTO customer_order (id, number, cart_id, key_scope, idempotency_key, request_hash,
       person_id, sealed_by, address, pincode, state_code, location_id, supplier_gstin,
       supplier_state, method, totals, charges, coupon, payment_id, state, history, weight_g,
       placed_at, expires_at, parcel_at, invoice_number, invoiced_at, invoice_blob, announced_at, version)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
       ?20, ?21, ?22, ?23, ?24, NULL, ?25, ?26, NULL, NULL, 1)",
);
pub(crate) const LINES_INSERT: Sql = Sql::new(
    "orders.lines_insert",
    "INSERT INTO order_line (order_id, position, id, variant_id, product_id, sku, name, name_hi,
       hsn, quantity, unit_price, discount, total, rate_bp, taxable, cgst, sgst, igst)
     VALUES {rows}",
);

/// The columns of an [`OrderRow`], in its order.
macro_rules! columns {
    () => {
        "id, number, cart_id, key_scope, idempotency_key, request_hash, person_id, sealed_by,
         address, pincode, state_code, location_id, supplier_gstin, supplier_state, method, totals,
         charges, coupon, payment_id, state, history, weight_g, placed_at, expires_at, parcel_at,
         invoice_number, invoiced_at, invoice_blob"
    };
}

pub(crate) const BY_ID: Sql =
    Sql::new("orders.order", concat!("SELECT ", columns!(), " FROM customer_order WHERE id = ?1"));
pub(crate) const BY_CART: Sql = Sql::new(
    "orders.order_of_cart",
    concat!("SELECT ", columns!(), " FROM customer_order WHERE cart_id = ?1"),
);
pub(crate) const BY_KEY: Sql = Sql::new(
    "orders.order_of_key",
    concat!(
        "SELECT ",
        columns!(),
        " FROM customer_order WHERE key_scope = ?1 AND idempotency_key = ?2"
    ),
);
/// Reads an order and holds it until the end of the transaction: two that would move one order
/// come one after the other, and the second sees what the first did.
pub(crate) const LOCK: Sql = Sql::new(
    "orders.order_lock",
    concat!("UPDATE customer_order SET version = version + 1 WHERE id = ?1 RETURNING ", columns!()),
);
pub(crate) const MOVE: Sql = Sql::new(
    "orders.move",
    "UPDATE customer_order SET state = ?3, history = ?4, expires_at = NULL, parcel_at = ?5,
       invoice_number = ?6, invoiced_at = ?7
     WHERE id = ?1 AND state = ?2",
);
pub(crate) const NOTE: Sql =
    Sql::new("orders.note", "UPDATE customer_order SET history = ?2, parcel_at = ?3 WHERE id = ?1");
pub(crate) const ANNOUNCE: Sql = Sql::new(
    "orders.announce",
    "UPDATE customer_order SET announced_at = ?2 WHERE id = ?1 AND announced_at IS NULL",
);
pub(crate) const SET_INVOICE_BLOB: Sql = Sql::new(
    "orders.set_invoice_blob",
    "UPDATE customer_order SET invoice_blob = ?2 WHERE id = ?1 AND invoice_blob IS NULL",
);
pub(crate) const LINES: Sql = Sql::new(
    "orders.lines",
    "SELECT order_id, id, variant_id, product_id, sku, name, name_hi, hsn, quantity, unit_price,
       discount, total, rate_bp, taxable, cgst, sgst, igst, position
     FROM order_line WHERE order_id IN {list} ORDER BY order_id, position",
);
pub(crate) const OF_PERSON: Sql = Sql::new(
    "orders.of_person",
    concat!(
        "SELECT ",
        columns!(),
        " FROM customer_order WHERE person_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
    ),
);
pub(crate) const LIST: Sql = Sql::new(
    "orders.list",
    concat!("SELECT ", columns!(), " FROM customer_order WHERE id < ?1 ORDER BY id DESC LIMIT ?2"),
);
pub(crate) const LIST_STATE: Sql = Sql::new(
    "orders.list_state",
    concat!(
        "SELECT ",
        columns!(),
        " FROM customer_order WHERE state = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
    ),
);
pub(crate) const BY_NUMBER: Sql = Sql::new(
    "orders.order_of_number",
    concat!("SELECT ", columns!(), " FROM customer_order WHERE number = ?1 AND id < ?2"),
);
pub(crate) const WAITING: Sql = Sql::new(
    "orders.waiting",
    "SELECT id FROM customer_order WHERE state = 'pending_payment' AND expires_at <= ?1
     ORDER BY expires_at LIMIT ?2",
);
pub(crate) const MERGE: Sql =
    Sql::new("orders.merge", "UPDATE customer_order SET person_id = ?2 WHERE person_id = ?1");

/// An order as it is kept, without its lines.
#[derive(Clone)]
pub(crate) struct OrderRow {
    pub(crate) id: OrderId,
    pub(crate) number: String,
    pub(crate) cart_id: CartId,
    /// Within what the idempotency key is unique: the cart's owner, or the cart if it has none.
    pub(crate) key_scope: mela_base::Id,
    pub(crate) idempotency_key: String,
    pub(crate) request_hash: [u8; 32],
    pub(crate) person_id: PersonId,
    /// Under whose key the address is sealed. It stays when a guest becomes a customer.
    pub(crate) sealed_by: PersonId,
    pub(crate) address: Vec<u8>,
    pub(crate) pincode: String,
    /// Place of supply.
    pub(crate) state_code: String,
    pub(crate) location_id: LocationId,
    pub(crate) supplier_gstin: String,
    pub(crate) supplier_state: String,
    pub(crate) method: Method,
    pub(crate) totals: Totals,
    pub(crate) charges: Charges,
    pub(crate) coupon: Option<String>,
    pub(crate) payment_id: PaymentId,
    pub(crate) state: OrderState,
    pub(crate) history: Vec<HistoryEntry>,
    pub(crate) weight_g: i64,
    pub(crate) placed_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    /// Time of the last scan that was looked at.
    pub(crate) parcel_at: Option<Timestamp>,
    pub(crate) invoice_number: Option<String>,
    pub(crate) invoiced_at: Option<Timestamp>,
    pub(crate) invoice_blob: Option<String>,
}

fn unknown(what: &str) -> DbError {
    DbError::Type(format!("orders: unknown {what} in the database"))
}

fn row(row: &Row) -> Result<OrderRow, DbError> {
    Ok(OrderRow {
        id: row.get(0)?,
        number: row.get(1)?,
        cart_id: row.get(2)?,
        key_scope: row.get(3)?,
        idempotency_key: row.get(4)?,
        request_hash: row.get(5)?,
        person_id: row.get(6)?,
        sealed_by: row.get(7)?,
        address: row.get(8)?,
        pincode: row.get(9)?,
        state_code: row.get(10)?,
        location_id: row.get(11)?,
        supplier_gstin: row.get(12)?,
        supplier_state: row.get(13)?,
        method: Method::parse(&row.get::<String>(14)?).ok_or_else(|| unknown("method"))?,
        totals: from_json(row.get(15)?)?,
        charges: from_json(row.get(16)?)?,
        coupon: row.get(17)?,
        payment_id: row.get(18)?,
        state: OrderState::parse(&row.get::<String>(19)?).ok_or_else(|| unknown("state"))?,
        history: from_json(row.get(20)?)?,
        weight_g: row.get(21)?,
        placed_at: row.get(22)?,
        expires_at: row.get(23)?,
        parcel_at: row.get(24)?,
        invoice_number: row.get(25)?,
        invoiced_at: row.get(26)?,
        invoice_blob: row.get(27)?,
    })
}

pub(crate) fn insert(tx: &mut Tx<'_>, o: &OrderRow) -> Result<(), DbError> {
    let params: [Value; 26] = params![
        o.id,
        &o.number,
        o.cart_id,
        o.key_scope,
        &o.idempotency_key,
        &o.request_hash,
        o.person_id,
        o.sealed_by,
        &o.address,
        &o.pincode,
        &o.state_code,
        o.location_id,
        &o.supplier_gstin,
        &o.supplier_state,
        o.method.as_str(),
        to_json(&o.totals)?,
        to_json(&o.charges)?,
        &o.coupon,
        o.payment_id,
        o.state.as_str(),
        to_json(&o.history)?,
        o.weight_g,
        o.placed_at,
        o.expires_at,
        &o.invoice_number,
        o.invoiced_at
    ];
    tx.exec(&INSERT, &params).map(drop)
}

pub(crate) fn insert_lines(
    tx: &mut Tx<'_>,
    order: OrderId,
    lines: &[OrderLine],
) -> Result<(), DbError> {
    let rows: Vec<Vec<Value>> = (0_i64..)
        .zip(lines)
        .map(|(position, l)| {
            params![
                order,
                position,
                l.id,
                l.variant_id,
                l.product_id,
                &l.sku,
                &l.name,
                &l.name_hi,
                &l.hsn,
                l.quantity,
                l.unit_price,
                l.discount,
                l.total,
                l.rate_bp,
                l.taxable,
                l.cgst,
                l.sgst,
                l.igst
            ]
            .to_vec()
        })
        .collect();
    tx.exec_rows(&LINES_INSERT, &[], &rows).map(drop)
}

pub(crate) fn by_id(q: &mut Query<'_>, id: OrderId) -> Result<Option<OrderRow>, DbError> {
    q.opt(&BY_ID, &params![id])?.as_ref().map(row).transpose()
}

pub(crate) fn by_cart(q: &mut Query<'_>, cart: CartId) -> Result<Option<OrderRow>, DbError> {
    q.opt(&BY_CART, &params![cart])?.as_ref().map(row).transpose()
}

pub(crate) fn by_key(
    q: &mut Query<'_>,
    scope: mela_base::Id,
    key: &str,
) -> Result<Option<OrderRow>, DbError> {
    q.opt(&BY_KEY, &params![scope, key])?.as_ref().map(row).transpose()
}

/// The order, held until the transaction ends.
pub(crate) fn lock(tx: &mut Tx<'_>, id: OrderId) -> Result<Option<OrderRow>, DbError> {
    tx.opt(&LOCK, &params![id])?.as_ref().map(row).transpose()
}

/// Writes what a move changed. The caller holds the row; were it otherwise, the state in the WHERE
/// would refuse.
pub(crate) fn save_move(tx: &mut Tx<'_>, o: &OrderRow, from: OrderState) -> Result<bool, DbError> {
    let params: [Value; 7] = params![
        o.id,
        from.as_str(),
        o.state.as_str(),
        to_json(&o.history)?,
        o.parcel_at,
        &o.invoice_number,
        o.invoiced_at
    ];
    Ok(tx.exec(&MOVE, &params)? == 1)
}

pub(crate) fn save_note(tx: &mut Tx<'_>, o: &OrderRow) -> Result<(), DbError> {
    tx.exec(&NOTE, &params![o.id, to_json(&o.history)?, o.parcel_at]).map(drop)
}

/// True for the first that asks: what follows a confirmation is started once.
pub(crate) fn announce(tx: &mut Tx<'_>, id: OrderId, now: Timestamp) -> Result<bool, DbError> {
    Ok(tx.exec(&ANNOUNCE, &params![id, now])? == 1)
}

/// Remembers where the rendered invoice is; false if one is remembered already.
pub(crate) fn set_invoice_blob(tx: &mut Tx<'_>, id: OrderId, blob: &str) -> Result<bool, DbError> {
    Ok(tx.exec(&SET_INVOICE_BLOB, &params![id, blob])? == 1)
}

/// The lines of these orders, each with its order, in order.
pub(crate) fn lines(
    q: &mut Query<'_>,
    orders: &[OrderId],
) -> Result<Vec<(OrderId, OrderLine)>, DbError> {
    let list: Vec<Value> = orders.iter().map(|id| Value::from(*id)).collect();
    let line = |row: &Row| -> Result<(OrderId, OrderLine), DbError> {
        Ok((
            row.get(0)?,
            OrderLine {
                id: row.get::<OrderLineId>(1)?,
                variant_id: row.get::<VariantId>(2)?,
                product_id: row.get::<ProductId>(3)?,
                sku: row.get(4)?,
                name: row.get(5)?,
                name_hi: row.get(6)?,
                hsn: row.get(7)?,
                quantity: row.get(8)?,
                unit_price: row.get::<Paise>(9)?,
                discount: row.get(10)?,
                total: row.get(11)?,
                rate_bp: row.get(12)?,
                taxable: row.get(13)?,
                cgst: row.get(14)?,
                sgst: row.get(15)?,
                igst: row.get(16)?,
            },
        ))
    };
    q.all_in(&LINES, &[], &list)?.iter().map(line).collect()
}

/// A person's orders below an id, newest first.
pub(crate) fn of_person(
    q: &mut Query<'_>,
    person: PersonId,
    below: OrderId,
    limit: i64,
) -> Result<Vec<OrderRow>, DbError> {
    q.all(&OF_PERSON, &params![person, below, limit])?.iter().map(row).collect()
}

/// Orders below an id, newest first.
pub(crate) fn list(
    q: &mut Query<'_>,
    below: OrderId,
    state: Option<OrderState>,
    number: Option<&str>,
    limit: i64,
) -> Result<Vec<OrderRow>, DbError> {
    let rows = match (number, state) {
        (Some(number), _) => q.all(&BY_NUMBER, &params![number, below])?,
        (None, Some(state)) => q.all(&LIST_STATE, &params![state.as_str(), below, limit])?,
        (None, None) => q.all(&LIST, &params![below, limit])?,
    };
    let mut rows = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    rows.retain(|o| state.is_none_or(|state| o.state == state));
    Ok(rows)
}

/// Orders that have waited for their money too long.
pub(crate) fn waiting(
    q: &mut Query<'_>,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<OrderId>, DbError> {
    q.all(&WAITING, &params![now, limit])?.iter().map(|row| row.get(0)).collect()
}

pub(crate) fn merge(tx: &mut Tx<'_>, from: PersonId, to: PersonId) -> Result<(), DbError> {
    tx.exec(&MERGE, &params![from, to]).map(drop)
}
