//! The only place with SQL.

mod hook;
mod payment;
mod refund;

use mela_db::{Migration, MigrationSet, Sql};

pub(crate) use hook::*;
pub(crate) use payment::*;
pub(crate) use refund::*;

/// The tables.
pub const MIGRATIONS: MigrationSet = MigrationSet {
    module: "payments",
    migrations: &[Migration::new(
        "001_payments",
        include_str!("../../migrations/001_payments.sql"),
    )],
};

/// Every statement, for the test that prepares them.
pub const STATEMENTS: &[&Sql] = &[
    &payment::INSERT,
    &payment::CANCEL,
    &payment::COLLECT,
    &payment::BY_ID,
    &payment::BY_GATEWAY_ORDER,
    &payment::OF_ORDERS,
    &payment::ORDER_PAID,
    &payment::KNOWN_TO_GATEWAY,
    &payment::AUTHORIZE,
    &payment::FAIL,
    &payment::CAPTURE,
    &payment::CHECK_AT,
    &payment::DUE,
    &refund::RESERVE_REFUND,
    &refund::COUNT_REFUND,
    &refund::LOCK,
    &refund::RELEASE_REFUND,
    &refund::CLOSE_REFUNDED,
    &refund::REOPEN_REFUNDED,
    &refund::REFUND_INSERT,
    &refund::REFUND_BY_ID,
    &refund::REFUND_BY_GATEWAY,
    &refund::REFUND_MOVE,
    &refund::REFUND_CHECK_AT,
    &refund::REFUNDS_DUE,
    &hook::HOOK_INSERT,
    &hook::HOOK_READ,
    &hook::HOOK_DONE,
    &hook::HOOK_SWEEP,
];
