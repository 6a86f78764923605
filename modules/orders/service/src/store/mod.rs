//! All SQL of this module, by subject.

pub(crate) mod cart;
pub(crate) mod coupon;
pub(crate) mod invoice;
pub(crate) mod order;

use mela_db::{DbError, Sql};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Every statement of this module.
pub const STATEMENTS: &[&Sql] = &[
    &cart::INSERT,
    &cart::BY_ID,
    &cart::OPEN_OF,
    &cart::LOCK,
    &cart::SAVE,
    &cart::PLACE,
    &cart::DELETE,
    &cart::IDLE,
    &cart::MERGE,
    &cart::LOCK_OPEN_OF,
    &coupon::BY_CODE,
    &coupon::ALL,
    &coupon::SAVE,
    &coupon::USE,
    &coupon::USE_BY,
    &coupon::GIVE_BACK,
    &coupon::GIVE_BACK_BY,
    &coupon::MERGE_FROM,
    &coupon::MERGE_INTO,
    &invoice::NEXT,
    &order::INSERT,
    &order::LINES_INSERT,
    &order::BY_ID,
    &order::BY_CART,
    &order::BY_KEY,
    &order::LOCK,
    &order::MOVE,
    &order::NOTE,
    &order::ANNOUNCE,
    &order::SET_INVOICE_BLOB,
    &order::LINES,
    &order::OF_PERSON,
    &order::LIST,
    &order::LIST_STATE,
    &order::BY_NUMBER,
    &order::WAITING,
    &order::MERGE,
];

fn to_json<T: Serialize>(what: &T) -> Result<serde_json::Value, DbError> {
    serde_json::to_value(what).map_err(|e| DbError::Type(format!("orders: {e}")))
}

fn from_json<T: DeserializeOwned>(json: serde_json::Value) -> Result<T, DbError> {
    serde_json::from_value(json)
        .map_err(|_| DbError::Type("orders: stored JSON has another form".into()))
}
