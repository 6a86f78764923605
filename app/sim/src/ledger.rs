//! The truth to compare a shop's books with, to the paisa.

use serde_json::{Value, json};

use crate::razorpay::entity::{Order, Payment, Refund};
use crate::world::World;

/// All rows still kept, oldest first, and sums over everything that ever happened.
pub(crate) fn ledger(world: &World, with_rows: bool) -> Value {
    let book = world.razorpay.book.lock();
    let t = &book.totals;
    let mut ledger = json!({
        "totals": t,
        "balance": t.captured - t.fee - t.refunded,
        "kept": { "orders": book.orders.len(), "payments": book.payments.len(), "refunds": book.refunds.len() },
    });
    if with_rows {
        let refund = |r: &Refund| {
            let mut row = r.json();
            row["automatic"] = r.automatic.into();
            row
        };
        ledger["orders"] = book.orders.oldest_first().map(Order::json).collect();
        ledger["payments"] = book.payments.oldest_first().map(Payment::json).collect();
        ledger["refunds"] = book.refunds.oldest_first().map(refund).collect();
    }
    drop(book);
    if with_rows {
        let parcels = world.shipway.parcels.lock();
        ledger["parcels"] = parcels.by_order.oldest_first().map(|p| p.short_json()).collect();
    }
    ledger
}
