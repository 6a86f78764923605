//! The page for people, and the JSON it shows.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::razorpay::entity::{Order, Payment};
use crate::razorpay::page::rupees;
use crate::serve;
use crate::world::World;

const SHOWN: usize = 20;

pub(crate) async fn page() -> Response {
    let mut response = serve::html(StatusCode::OK, include_str!("ui.html").into());
    // The page has one inline script and style and asks only this server.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'";
    let policy = HeaderValue::from_static(policy);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// The newest of everything. The page writes it as text only, never as markup.
pub(crate) fn feed(world: &Arc<World>) -> Value {
    let (orders, payments, totals): (Vec<Value>, Vec<Value>, Value) = {
        let book = world.razorpay.book.lock();
        let order = |o: &Order| json!({ "id": o.id, "receipt": o.receipt, "amount": rupees(o.amount), "status": o.status });
        let payment = |p: &Payment| {
            json!({
                "id": p.id, "order_id": p.order_id, "amount": rupees(p.amount), "method": p.method,
                "status": p.status, "reason": p.failure.map(|f| f.reason),
                "refunded": (p.amount_refunded > 0).then(|| rupees(p.amount_refunded)),
            })
        };
        let t = &book.totals;
        (
            book.orders.newest_first().take(SHOWN).map(order).collect(),
            book.payments.newest_first().take(SHOWN).map(payment).collect(),
            json!({
                "captured": rupees(t.captured), "fees": rupees(t.fee), "refunded": rupees(t.refunded),
                "orders": t.orders, "payments": t.payments,
            }),
        )
    };
    let parcels: Vec<Value> = {
        let parcels = world.shipway.parcels.lock();
        parcels.by_order.newest_first().take(SHOWN).map(|p| p.short_json()).collect()
    };
    let sms = world.sms.lock().list(None, SHOWN);
    let mails = world.mail.lock().list(None, SHOWN);
    json!({
        "now_ms": world.clock.now_ms(),
        "ahead_ms": world.clock.ahead_ms(),
        "sms": sms,
        "mails": mails,
        "orders": orders,
        "payments": payments,
        "totals": totals,
        "parcels": parcels,
        "webhooks": world.hooks.log_json(SHOWN),
        "faults": world.faults.list(),
    })
}
