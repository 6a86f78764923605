//! Payment links and UPI QR codes. A link stands on an order of its own; what a QR code collects
//! belongs to no order.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::book::{Book, Ctx, DEFAULT_CAPTURE_WITHIN_MIN, Effects, Event, Instrument, NewOrder};
use super::entity::{Payment, notes_json};
use super::error::ApiError;
use crate::agenda::Act;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LinkStatus {
    Created,
    Paid,
    Expired,
    Cancelled,
}

#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) id: String,
    pub(crate) order_id: String,
    pub(crate) amount: i64,
    pub(crate) status: LinkStatus,
    pub(crate) new: NewLink,
    /// Who paid, and when.
    pub(crate) paid_by: Option<(String, &'static str, i64)>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) short_url: String,
}

/// What the shop said about a link.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewLink {
    pub(crate) amount: i64,
    pub(crate) reference_id: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) customer: Map<String, Value>,
    pub(crate) notify: Map<String, Value>,
    pub(crate) reminder_enable: bool,
    pub(crate) upi_link: bool,
    pub(crate) notes: Map<String, Value>,
    pub(crate) callback_url: Option<String>,
    pub(crate) expire_by: Option<i64>,
}

impl Link {
    pub(crate) fn json(&self) -> Value {
        let paid = self.status == LinkStatus::Paid;
        let payments = self.paid_by.as_ref().map(|(id, method, at)| {
            json!([{
                "amount": self.amount, "created_at": at, "method": method, "payment_id": id,
                "plink_id": self.id, "status": "captured", "updated_at": at,
            }])
        });
        let at = |status| if self.status == status { self.updated_at } else { 0 };
        json!({
            "id": self.id,
            "entity": "payment_link",
            "amount": self.amount,
            "amount_paid": if paid { self.amount } else { 0 },
            "currency": "INR",
            "accept_partial": false,
            "first_min_partial_amount": 0,
            "status": self.status,
            "short_url": self.short_url,
            "payments": payments,
            "reminder_enable": self.new.reminder_enable,
            "reminders": [],
            "user_id": "",
            "upi_link": self.new.upi_link,
            "reference_id": self.new.reference_id.as_deref().unwrap_or(""),
            "description": self.new.description.as_deref().unwrap_or(""),
            "customer": self.new.customer,
            "notify": self.new.notify,
            "notes": notes_json(&self.new.notes),
            "callback_url": self.new.callback_url.as_deref().unwrap_or(""),
            "callback_method": if self.new.callback_url.is_some() { "get" } else { "" },
            "order_id": self.order_id,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "cancelled_at": at(LinkStatus::Cancelled),
            "expired_at": at(LinkStatus::Expired),
            "expire_by": self.new.expire_by.unwrap_or(0),
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Qr {
    pub(crate) id: String,
    pub(crate) new: NewQr,
    pub(crate) received: i64,
    pub(crate) payments: Vec<String>,
    /// When and why it was closed.
    pub(crate) closed: Option<(i64, &'static str)>,
    pub(crate) created_at: i64,
    pub(crate) image_url: String,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct NewQr {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) single_use: bool,
    /// The one amount that can be paid; without it the payer chooses.
    pub(crate) fixed: Option<i64>,
    pub(crate) close_by: Option<i64>,
    pub(crate) notes: Map<String, Value>,
}

/// Most payments that one QR code remembers.
const MAX_QR_PAYMENTS: usize = 1_000;

impl Qr {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "entity": "qr_code",
            "created_at": self.created_at,
            "name": self.new.name,
            "usage": if self.new.single_use { "single_use" } else { "multiple_use" },
            "type": "upi_qr",
            "image_url": self.image_url,
            "payment_amount": self.new.fixed,
            "status": if self.closed.is_some() { "closed" } else { "active" },
            "description": self.new.description,
            "fixed_amount": self.new.fixed.is_some(),
            "payments_amount_received": self.received,
            "payments_count_received": self.payments.len(),
            "notes": notes_json(&self.new.notes),
            "customer_id": null,
            "close_by": self.new.close_by,
            "closed_at": self.closed.map(|(at, _)| at),
            "close_reason": self.closed.map(|(_, why)| why),
        })
    }
}

impl Book {
    pub(crate) fn link(&self, id: &str) -> Result<&Link, ApiError> {
        self.links.get(id).ok_or_else(ApiError::unknown_id)
    }

    pub(crate) fn create_link(
        &mut self,
        ctx: &Ctx<'_>,
        new: NewLink,
        fx: &mut Effects,
    ) -> Result<Value, ApiError> {
        if let Some(reference) = &new.reference_id
            && self.links.newest_first().any(|l| l.new.reference_id.as_ref() == Some(reference))
        {
            let text = format!("payment link with given reference_id ({reference}) already exists");
            return Err(ApiError::field("reference_id", text));
        }
        let order = self.create_order(
            ctx,
            NewOrder {
                amount: new.amount,
                receipt: None,
                notes: Map::new(),
                auto_capture: true,
                capture_within_min: DEFAULT_CAPTURE_WITHIN_MIN,
                unique_receipt: false,
            },
        )?;
        let order_id = order["id"].as_str().unwrap_or_default().to_owned();
        let id = ctx.ids.razorpay("plink_");
        if let Some(at) = new.expire_by {
            fx.timers.push(((at - ctx.now_s).max(0) * 1000, Act::LinkExpiry(id.clone())));
        }
        let link = Link {
            short_url: format!("{}/i/{id}", ctx.base_url),
            order_id: order_id.clone(),
            amount: new.amount,
            status: LinkStatus::Created,
            new,
            paid_by: None,
            created_at: ctx.now_s,
            updated_at: ctx.now_s,
            id: id.clone(),
        };
        let json = link.json();
        self.link_of_order.insert(order_id, id.clone());
        self.links.insert(id, link);
        Ok(json)
    }

    /// Ends a link that nobody has paid. `false` if it had ended before.
    pub(crate) fn end_link(
        &mut self,
        ctx: &Ctx<'_>,
        id: &str,
        status: LinkStatus,
        fx: &mut Effects,
    ) -> Result<bool, ApiError> {
        let link = self.links.get_mut(id).ok_or_else(ApiError::unknown_id)?;
        if link.status != LinkStatus::Created {
            return Ok(false);
        }
        link.status = status;
        link.updated_at = ctx.now_s;
        let name = match status {
            LinkStatus::Expired => "payment_link.expired",
            _ => "payment_link.cancelled",
        };
        let payload = json!({ "payment_link": { "entity": link.json() } });
        fx.push(Event { name, contains: &["payment_link"], payload });
        Ok(true)
    }

    /// After an order was paid: the link it belongs to, if any, is paid too.
    pub(super) fn link_paid(&mut self, ctx: &Ctx<'_>, payment: &Payment, fx: &mut Effects) {
        let order_id = payment.order_id.as_deref().unwrap_or_default();
        let Some(link) = self.link_of_order.get(order_id).and_then(|id| self.links.get_mut(id))
        else {
            return;
        };
        link.status = LinkStatus::Paid;
        link.updated_at = ctx.now_s;
        link.paid_by = Some((payment.id.clone(), payment.method.word(), ctx.now_s));
        let mut order = self.orders.get(order_id).map(|o| o.json()).unwrap_or_default();
        // Razorpay writes this one id without its prefix.
        order["id"] = order_id.trim_start_matches("order_").into();
        let payload = json!({
            "payment_link": { "entity": link.json() },
            "order": { "entity": order },
            "payment": { "entity": payment.json() },
        });
        let contains = &["payment_link", "order", "payment"];
        fx.push(Event { name: "payment_link.paid", contains, payload });
    }

    pub(crate) fn create_qr(&mut self, ctx: &Ctx<'_>, new: NewQr, fx: &mut Effects) -> Value {
        let id = ctx.ids.razorpay("qr_");
        if let Some(at) = new.close_by {
            fx.timers.push(((at - ctx.now_s).max(0) * 1000, Act::QrExpiry(id.clone())));
        }
        let qr = Qr {
            image_url: format!("{}/i/{id}", ctx.base_url),
            new,
            received: 0,
            payments: Vec::new(),
            closed: None,
            created_at: ctx.now_s,
            id: id.clone(),
        };
        let json = qr.json();
        fx.qr("qr_code.created", &qr);
        self.qrs.insert(id, qr);
        json
    }

    pub(crate) fn close_qr(
        &mut self,
        ctx: &Ctx<'_>,
        id: &str,
        why: &'static str,
        fx: &mut Effects,
    ) -> Result<Value, ApiError> {
        let qr = self.qrs.get_mut(id).ok_or_else(ApiError::unknown_id)?;
        if qr.closed.is_some() {
            return Err(ApiError::bad("QR Code is already closed"));
        }
        qr.closed = Some((ctx.now_s, why));
        fx.qr("qr_code.closed", qr);
        Ok(qr.json())
    }

    /// Somebody scans the code and pays. Returns the payment's id.
    pub(crate) fn scan(
        &mut self,
        ctx: &Ctx<'_>,
        id: &str,
        amount: Option<i64>,
        vpa: Option<String>,
        fx: &mut Effects,
    ) -> Result<String, ApiError> {
        let qr = self.qrs.get(id).ok_or_else(ApiError::unknown_id)?;
        if qr.closed.is_some() || qr.payments.len() >= MAX_QR_PAYMENTS {
            return Err(ApiError::bad("This QR code is closed."));
        }
        let amount = match (qr.new.fixed, amount) {
            (Some(fixed), None) => fixed,
            (Some(fixed), Some(amount)) if fixed == amount => fixed,
            (None, Some(amount)) if (100..=100_000_000).contains(&amount) => amount,
            _ => return Err(ApiError::field("amount", "The amount is not that of the QR code.")),
        };
        let by = Instrument { vpa, ..Instrument::default() };
        let payment_id = self.open_payment(ctx, None, amount, by);
        self.authorise(ctx, &payment_id, fx);
        self.take_money(ctx, &payment_id, fx);
        if let (Some(qr), Some(payment)) = (self.qrs.get_mut(id), self.payments.get(&payment_id)) {
            qr.received += amount;
            qr.payments.push(payment_id.clone());
            let payload = json!({
                "qr_code": { "entity": qr.json() }, "payment": { "entity": payment.json() },
            });
            let contains = &["qr_code", "payment"];
            fx.push(Event { name: "qr_code.credited", contains, payload });
            if qr.new.single_use {
                qr.closed = Some((ctx.now_s, "paid"));
                fx.qr("qr_code.closed", qr);
            }
        }
        Ok(payment_id)
    }
}

impl Effects {
    fn qr(&mut self, name: &'static str, qr: &Qr) {
        let payload = json!({ "qr_code": { "entity": qr.json() } });
        self.push(Event { name, contains: &["qr_code"], payload });
    }
}
