//! The books of the simulated Razorpay: what exists, and every rule by which money moves.
//! No I/O: what follows from a move (events, timers) is collected and done after the lock is gone.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::entity::{
    Card, Method, Order, OrderStatus, Outcome, Payment, PaymentStatus, Refund, RefundStatus, fee,
};
use super::error::{ApiError, failure};
use super::links::{Link, LinkStatus, Qr};
use crate::agenda::Act;
use crate::config::RazorpayConfig;
use crate::world::{Ids, Shelf};

/// What every move may look at.
pub(crate) struct Ctx<'a> {
    pub(crate) now_s: i64,
    pub(crate) ids: &'a Ids,
    pub(crate) cfg: &'a RazorpayConfig,
    pub(crate) base_url: &'a str,
}

/// What follows from a move.
#[derive(Default)]
pub(crate) struct Effects {
    /// False when nobody listens: then no event is built.
    pub(crate) wanted: bool,
    pub(crate) events: Vec<Event>,
    /// Milliseconds from now.
    pub(crate) timers: Vec<(i64, Act)>,
}

pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) contains: &'static [&'static str],
    pub(crate) payload: Value,
}

impl Effects {
    pub(crate) fn push(&mut self, event: Event) {
        if self.wanted {
            self.events.push(event);
        }
    }

    fn payment(&mut self, name: &'static str, payment: &Payment) {
        if self.wanted {
            let payload = json!({ "payment": { "entity": payment.json() } });
            self.events.push(Event { name, contains: &["payment"], payload });
        }
    }

    fn order_paid(&mut self, payment: &Payment, order: &Order) {
        if self.wanted {
            let payload = json!({
                "payment": { "entity": payment.json() }, "order": { "entity": order.json() },
            });
            self.events.push(Event {
                name: "order.paid",
                contains: &["payment", "order"],
                payload,
            });
        }
    }

    fn refund(&mut self, name: &'static str, refund: &Refund, payment: &Payment) {
        if self.wanted {
            let payload = json!({
                "refund": { "entity": refund.json() }, "payment": { "entity": payment.json() },
            });
            self.events.push(Event { name, contains: &["refund", "payment"], payload });
        }
    }
}

/// Sums that stay right when old rows have left the shelves.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Totals {
    pub(crate) orders: u64,
    pub(crate) payments: u64,
    pub(crate) refunds: u64,
    pub(crate) captured: i64,
    /// Including `tax`.
    pub(crate) fee: i64,
    pub(crate) tax: i64,
    /// Of captured payments, pending ones included, failed ones not.
    pub(crate) refunded: i64,
    /// Authorised, never captured, given back by Razorpay itself.
    pub(crate) auto_refunded: i64,
}

pub(crate) struct NewOrder {
    pub(crate) amount: i64,
    pub(crate) receipt: Option<String>,
    pub(crate) notes: Map<String, Value>,
    pub(crate) auto_capture: bool,
    pub(crate) capture_within_min: i64,
    pub(crate) unique_receipt: bool,
}

/// Who pays with what.
#[derive(Default)]
pub(crate) struct Instrument {
    pub(crate) method: Option<Method>,
    pub(crate) vpa: Option<String>,
    pub(crate) card: Option<Card>,
    pub(crate) bank: Option<String>,
    pub(crate) wallet: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) contact: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) notes: Map<String, Value>,
}

pub(crate) struct NewRefund {
    pub(crate) amount: Option<i64>,
    pub(crate) receipt: Option<String>,
    pub(crate) notes: Map<String, Value>,
    pub(crate) optimum: bool,
    /// Stays pending for this long; at once processed without it.
    pub(crate) pending_ms: Option<u32>,
    pub(crate) doomed: bool,
}

/// What was done under an idempotency key.
struct RefundKey {
    /// SHA-256 of the payment and the body, so that the size of a body does not matter.
    request: RequestHash,
    refund_id: String,
}

/// What tells two requests under one key apart.
pub(crate) type RequestHash = [u8; 32];

const TEN_MINUTES_MS: i64 = 600_000;
const MAX_ATTEMPTS: u32 = 100;
/// Links and QR codes carry longer texts, so fewer are kept.
const MAX_LINKS: usize = 20_000;
pub(crate) const DEFAULT_CAPTURE_WITHIN_MIN: i64 = 3 * 24 * 60;

pub(crate) struct Book {
    pub(crate) orders: Shelf<Order>,
    pub(crate) payments: Shelf<Payment>,
    pub(crate) refunds: Shelf<Refund>,
    pub(crate) links: Shelf<Link>,
    pub(crate) link_of_order: Shelf<String>,
    pub(crate) qrs: Shelf<Qr>,
    pub(crate) totals: Totals,
    receipts: HashMap<String, String>,
    refund_keys: Shelf<RefundKey>,
}

impl Book {
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            orders: Shelf::new(cap),
            payments: Shelf::new(cap),
            refunds: Shelf::new(cap),
            links: Shelf::new(cap.min(MAX_LINKS)),
            link_of_order: Shelf::new(cap.min(MAX_LINKS)),
            qrs: Shelf::new(cap.min(MAX_LINKS)),
            totals: Totals::default(),
            receipts: HashMap::new(),
            refund_keys: Shelf::new(cap),
        }
    }

    pub(crate) fn order(&self, id: &str) -> Result<&Order, ApiError> {
        self.orders.get(id).ok_or_else(ApiError::unknown_id)
    }

    pub(crate) fn payment(&self, id: &str) -> Result<&Payment, ApiError> {
        self.payments.get(id).ok_or_else(ApiError::unknown_id)
    }

    pub(crate) fn create_order(&mut self, ctx: &Ctx<'_>, new: NewOrder) -> Result<Value, ApiError> {
        let known = new.receipt.as_ref().and_then(|r| self.receipts.get(r));
        if let Some(existing) = known.and_then(|id| self.orders.get(id)) {
            if new.unique_receipt && existing.amount == new.amount {
                return Ok(existing.json());
            }
            if new.unique_receipt || ctx.cfg.unique_receipts {
                return Err(ApiError::field("receipt", "Order receipt should be unique."));
            }
        }
        let order = Order {
            id: ctx.ids.razorpay("order_"),
            amount: new.amount,
            amount_paid: 0,
            receipt: new.receipt,
            status: OrderStatus::Created,
            attempts: 0,
            notes: new.notes,
            created_at: ctx.now_s,
            auto_capture: new.auto_capture,
            capture_within_min: new.capture_within_min,
            payments: Vec::new(),
        };
        let json = order.json();
        if let Some(receipt) = &order.receipt {
            self.receipts.insert(receipt.clone(), order.id.clone());
        }
        self.totals.orders += 1;
        if let Some(gone) = self.orders.insert(order.id.clone(), order)
            && let Some(receipt) = gone.receipt
            && self.receipts.get(&receipt) == Some(&gone.id)
        {
            self.receipts.remove(&receipt);
        }
        Ok(json)
    }

    /// Starts a payment on an order and takes it to its outcome. Returns the payment's id.
    pub(crate) fn attempt(
        &mut self,
        ctx: &Ctx<'_>,
        order_id: &str,
        by: Instrument,
        outcome: Outcome,
        fx: &mut Effects,
    ) -> Result<String, ApiError> {
        let order = self.order(order_id)?;
        if order.status == OrderStatus::Paid {
            let text = "Payment already done for this order.";
            return Err(ApiError::bad(text).reason("order_already_paid"));
        }
        let authorised = |id: &String| {
            self.payments.get(id).is_some_and(|p| p.status == PaymentStatus::Authorized)
        };
        if order.payments.iter().any(authorised) {
            let text = "A payment on this order is authorised already.";
            return Err(ApiError::bad(text).reason("duplicate_request"));
        }
        if order.attempts >= MAX_ATTEMPTS {
            return Err(ApiError::bad("Too many payments were tried on this order."));
        }
        let ended = self
            .link_of_order
            .get(order_id)
            .and_then(|id| self.links.get(id))
            .is_some_and(|link| link.status != LinkStatus::Created);
        if ended {
            return Err(ApiError::bad("This payment link has ended."));
        }
        let amount = order.amount;
        let id = self.open_payment(ctx, Some(order_id.into()), amount, by);
        if let Some(order) = self.orders.get_mut(order_id) {
            order.attempts += 1;
            order.status = OrderStatus::Attempted;
            order.payments.push(id.clone());
        }
        self.settle(ctx, &id, outcome, fx);
        Ok(id)
    }

    /// A payment that nothing is decided about yet.
    pub(super) fn open_payment(
        &mut self,
        ctx: &Ctx<'_>,
        order_id: Option<String>,
        amount: i64,
        by: Instrument,
    ) -> String {
        let method = by.method.unwrap_or(Method::Upi);
        let vpa = match method {
            Method::Upi => by.vpa.or_else(|| Some("success@razorpay".into())),
            _ => None,
        };
        let payment = Payment {
            id: ctx.ids.razorpay("pay_"),
            order_id,
            amount,
            method,
            status: PaymentStatus::Created,
            captured: false,
            amount_refunded: 0,
            card: by.card,
            vpa,
            bank: by.bank,
            wallet: by.wallet,
            email: by.email,
            contact: by.contact,
            description: by.description,
            notes: by.notes,
            fee: None,
            tax: None,
            failure: None,
            reference: None,
            created_at: ctx.now_s,
            refunds: Vec::new(),
        };
        let id = payment.id.clone();
        self.payments.insert(id.clone(), payment);
        self.totals.payments += 1;
        id
    }

    /// Takes a payment that is still open to its outcome.
    pub(crate) fn resolve(
        &mut self,
        ctx: &Ctx<'_>,
        id: &str,
        outcome: Outcome,
        fx: &mut Effects,
    ) -> Result<(), ApiError> {
        match self.payment(id)?.status {
            PaymentStatus::Created => {}
            // The bank may say yes to a payment that was given up.
            PaymentStatus::Failed if matches!(outcome, Outcome::Success) => {}
            _ => return Err(ApiError::bad("This payment is decided already.")),
        }
        self.settle(ctx, id, outcome, fx);
        Ok(())
    }

    fn settle(&mut self, ctx: &Ctx<'_>, id: &str, outcome: Outcome, fx: &mut Effects) {
        match outcome {
            Outcome::Success => self.authorise(ctx, id, fx),
            Outcome::Fail(why) => self.fail(id, why.reason, fx),
            Outcome::Pending => fx.timers.push((TEN_MINUTES_MS, Act::PaymentTimeout(id.into()))),
            Outcome::Late(after_ms) => {
                self.fail(id, "payment_timed_out", fx);
                fx.timers.push((i64::from(after_ms), Act::LateAuthorisation(id.into())));
            }
        }
    }

    fn fail(&mut self, id: &str, reason: &str, fx: &mut Effects) {
        let Some(payment) = self.payments.get_mut(id) else { return };
        payment.status = PaymentStatus::Failed;
        payment.failure = failure(reason).copied();
        fx.payment("payment.failed", payment);
    }

    /// The bank says yes. On an order that was paid meanwhile, the money goes straight back.
    pub(crate) fn authorise(&mut self, ctx: &Ctx<'_>, id: &str, fx: &mut Effects) {
        let Some(payment) = self.payments.get_mut(id) else { return };
        if !matches!(payment.status, PaymentStatus::Created | PaymentStatus::Failed) {
            return;
        }
        payment.status = PaymentStatus::Authorized;
        payment.failure = None;
        payment.reference = Some(ctx.ids.digits(12));
        fx.payment("payment.authorized", payment);
        let Some(order_id) = &payment.order_id else { return };
        let order = self.orders.get(order_id);
        let auto_capture = order.is_some_and(|o| o.auto_capture);
        let within_min = order.map_or(DEFAULT_CAPTURE_WITHIN_MIN, |o| o.capture_within_min);
        if order.is_some_and(|o| o.status == OrderStatus::Paid) {
            self.give_back(ctx, id, fx);
        } else if auto_capture {
            self.take_money(ctx, id, fx);
        } else {
            fx.timers.push((within_min * 60_000, Act::CaptureExpiry(id.into())));
        }
    }

    /// Ten minutes without an answer.
    pub(crate) fn time_out(&mut self, id: &str, fx: &mut Effects) {
        if self.payments.get(id).is_some_and(|p| p.status == PaymentStatus::Created) {
            self.fail(id, "payment_timed_out", fx);
        }
    }

    /// Nobody captured.
    pub(crate) fn expire_capture(&mut self, ctx: &Ctx<'_>, id: &str, fx: &mut Effects) {
        if self.payments.get(id).is_some_and(|p| p.status == PaymentStatus::Authorized) {
            self.give_back(ctx, id, fx);
        }
    }

    pub(crate) fn capture(
        &mut self,
        ctx: &Ctx<'_>,
        id: &str,
        amount: i64,
        fx: &mut Effects,
    ) -> Result<Value, ApiError> {
        let refuse = |text: &str| Err(ApiError::bad(text).step("payment_capture"));
        let payment = self.payment(id)?;
        if payment.captured {
            return refuse("This payment has already been captured");
        }
        if payment.status != PaymentStatus::Authorized {
            return refuse(
                "Only payments which have been authorized and not yet captured can be captured",
            );
        }
        if payment.amount != amount {
            return refuse("Capture amount must be equal to the amount authorized");
        }
        self.take_money(ctx, id, fx);
        Ok(self.payment(id)?.json())
    }

    pub(super) fn take_money(&mut self, ctx: &Ctx<'_>, id: &str, fx: &mut Effects) {
        let Some(payment) = self.payments.get_mut(id) else { return };
        let (fee, tax) = fee(payment.amount, ctx.cfg.fee_bps);
        payment.status = PaymentStatus::Captured;
        payment.captured = true;
        payment.fee = Some(fee);
        payment.tax = Some(tax);
        self.totals.captured += payment.amount;
        self.totals.fee += fee;
        self.totals.tax += tax;
        fx.payment("payment.captured", payment);
        let order_id = payment.order_id.as_deref().unwrap_or_default();
        if let Some(order) = self.orders.get_mut(order_id) {
            order.amount_paid += payment.amount;
            order.status = OrderStatus::Paid;
            fx.order_paid(payment, order);
        }
        if self.link_of_order.get(order_id).is_some() {
            let payment = payment.clone();
            self.link_paid(ctx, &payment, fx);
        }
    }

    /// Razorpay's own refund of a payment that was never captured.
    fn give_back(&mut self, ctx: &Ctx<'_>, id: &str, fx: &mut Effects) {
        let Some(payment) = self.payments.get_mut(id) else { return };
        let refund = Refund {
            id: ctx.ids.razorpay("rfnd_"),
            payment_id: id.into(),
            amount: payment.amount,
            receipt: None,
            notes: Map::new(),
            status: RefundStatus::Processed,
            optimum: false,
            doomed: false,
            automatic: true,
            arn: Some(ctx.ids.digits(12)),
            created_at: ctx.now_s,
        };
        payment.status = PaymentStatus::Refunded;
        payment.amount_refunded = payment.amount;
        payment.refunds.push(refund.id.clone());
        self.totals.auto_refunded += refund.amount;
        self.totals.refunds += 1;
        fx.refund("refund.created", &refund, payment);
        fx.refund("refund.processed", &refund, payment);
        self.refunds.insert(refund.id.clone(), refund);
    }

    /// The refund done before under this key, if the request is the same.
    pub(crate) fn refund_by_key(
        &self,
        key: &str,
        request: RequestHash,
    ) -> Result<Option<Value>, ApiError> {
        let Some(known) = self.refund_keys.get(key) else { return Ok(None) };
        if known.request != request {
            return Err(ApiError::conflict(
                "Different request with the same idempotency key has already been processed.",
            ));
        }
        Ok(self.refunds.get(&known.refund_id).map(Refund::json))
    }

    pub(crate) fn refund(
        &mut self,
        ctx: &Ctx<'_>,
        payment_id: &str,
        new: NewRefund,
        key: Option<(&str, RequestHash)>,
        fx: &mut Effects,
    ) -> Result<Value, ApiError> {
        let payment = self.payments.get_mut(payment_id).ok_or_else(ApiError::unknown_id)?;
        let left = payment.amount - payment.amount_refunded;
        if left == 0 {
            return Err(ApiError::bad("The payment has been fully refunded already."));
        }
        if payment.status != PaymentStatus::Captured {
            return Err(ApiError::bad(
                "The payment status should be captured for action to be taken",
            ));
        }
        let amount = new.amount.unwrap_or(left);
        if amount < 100 {
            return Err(ApiError::field("amount", "The amount must be atleast INR 1.00"));
        }
        if amount > left {
            let text = "The refund amount provided is greater than amount captured.";
            return Err(ApiError::field("amount", text));
        }
        let pending = new.pending_ms.is_some() || new.doomed;
        let refund = Refund {
            id: ctx.ids.razorpay("rfnd_"),
            payment_id: payment_id.into(),
            amount,
            receipt: new.receipt,
            notes: new.notes,
            status: if pending { RefundStatus::Pending } else { RefundStatus::Processed },
            optimum: new.optimum,
            doomed: new.doomed,
            automatic: false,
            arn: (!pending).then(|| ctx.ids.digits(12)),
            created_at: ctx.now_s,
        };
        payment.amount_refunded += amount;
        if payment.amount_refunded == payment.amount {
            payment.status = PaymentStatus::Refunded;
        }
        payment.refunds.push(refund.id.clone());
        self.totals.refunded += amount;
        self.totals.refunds += 1;
        fx.refund("refund.created", &refund, payment);
        if pending {
            let wait = new.pending_ms.unwrap_or(0);
            fx.timers.push((i64::from(wait), Act::RefundEnds(refund.id.clone())));
        } else {
            fx.refund("refund.processed", &refund, payment);
        }
        if let Some((key, request)) = key {
            let done = RefundKey { request, refund_id: refund.id.clone() };
            self.refund_keys.insert(key.into(), done);
        }
        let json = refund.json();
        self.refunds.insert(refund.id.clone(), refund);
        Ok(json)
    }

    /// A pending refund is processed, or fails and the money is the shop's again.
    pub(crate) fn end_refund(&mut self, ctx: &Ctx<'_>, id: &str, fx: &mut Effects) {
        let Some(refund) = self.refunds.get_mut(id) else { return };
        if refund.status != RefundStatus::Pending {
            return;
        }
        let Some(payment) = self.payments.get_mut(&refund.payment_id) else { return };
        if refund.doomed {
            refund.status = RefundStatus::Failed;
            payment.amount_refunded -= refund.amount;
            payment.status = PaymentStatus::Captured;
            self.totals.refunded -= refund.amount;
            fx.refund("refund.failed", refund, payment);
        } else {
            refund.status = RefundStatus::Processed;
            refund.arn = Some(ctx.ids.digits(12));
            fx.refund("refund.processed", refund, payment);
        }
    }
}
