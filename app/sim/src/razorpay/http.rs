//! The REST API under `/v1`.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method as Verb, Request, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::digest;
use serde_json::{Value, json};

use super::book::{DEFAULT_CAPTURE_WITHIN_MIN, NewOrder, NewRefund, RequestHash};
use super::entity::{Order, Payment, PaymentStatus, Refund};
use super::error::{ApiError, refused};
use super::input::{Input, Page, check_id, collection, missing};
use super::links_http::{LinkOp, QrOp};
use super::page;
use crate::faults;
use crate::serve::{self, MAX_BODY};
use crate::world::World;

pub(super) type Answer = Result<Value, ApiError>;

/// What a request wants. The id is that of the path.
enum Op<'a> {
    OrderCreate,
    OrderList,
    OrderFetch(&'a str),
    OrderUpdate(&'a str),
    OrderPayments(&'a str),
    PaymentList,
    PaymentFetch(&'a str),
    PaymentUpdate(&'a str),
    PaymentCard(&'a str),
    PaymentCapture(&'a str),
    PaymentRefund(&'a str),
    PaymentRefunds(&'a str),
    PaymentRefundFetch(&'a str, &'a str),
    Downtimes,
    RefundList,
    RefundFetch(&'a str),
    RefundUpdate(&'a str),
    CheckoutPage,
    CheckoutPay,
    CheckoutResolve,
    Link(LinkOp<'a>),
    Qr(QrOp<'a>),
}

impl<'a> Op<'a> {
    fn route(verb: &Verb, path: &'a [&'a str]) -> Option<Self> {
        let op = match (verb.as_str(), path) {
            ("POST", ["orders"]) => Op::OrderCreate,
            ("GET", ["orders"]) => Op::OrderList,
            ("GET", ["orders", id]) => Op::OrderFetch(id),
            ("PATCH", ["orders", id]) => Op::OrderUpdate(id),
            ("GET", ["orders", id, "payments"]) => Op::OrderPayments(id),
            ("GET", ["payments"]) => Op::PaymentList,
            ("GET", ["payments", "downtimes"]) => Op::Downtimes,
            (verb, ["payments", "qr_codes", rest @ ..]) => Op::Qr(QrOp::route(verb, rest)?),
            (verb, ["payment_links", rest @ ..]) => Op::Link(LinkOp::route(verb, rest)?),
            ("GET", ["payments", id]) => Op::PaymentFetch(id),
            ("PATCH", ["payments", id]) => Op::PaymentUpdate(id),
            ("GET", ["payments", id, "card"]) => Op::PaymentCard(id),
            ("POST", ["payments", id, "capture"]) => Op::PaymentCapture(id),
            ("POST", ["payments", id, "refund"]) => Op::PaymentRefund(id),
            ("GET", ["payments", id, "refunds"]) => Op::PaymentRefunds(id),
            ("GET", ["payments", id, "refunds", refund]) => Op::PaymentRefundFetch(id, refund),
            ("GET", ["refunds"]) => Op::RefundList,
            ("GET", ["refunds", id]) => Op::RefundFetch(id),
            ("PATCH", ["refunds", id]) => Op::RefundUpdate(id),
            ("POST", ["checkout", "embedded"]) => Op::CheckoutPage,
            ("POST", ["checkout", "pay"]) => Op::CheckoutPay,
            ("POST", ["checkout", "resolve"]) => Op::CheckoutResolve,
            _ => return None,
        };
        Some(op)
    }

    /// The name that faults are set on.
    fn name(&self) -> &'static str {
        match self {
            Op::OrderCreate => "order.create",
            Op::OrderList => "order.list",
            Op::OrderFetch(_) => "order.fetch",
            Op::OrderUpdate(_) => "order.update",
            Op::OrderPayments(_) => "order.payments",
            Op::PaymentList => "payment.list",
            Op::PaymentFetch(_) => "payment.fetch",
            Op::PaymentUpdate(_) => "payment.update",
            Op::PaymentCard(_) => "payment.card",
            Op::PaymentCapture(_) => "payment.capture",
            Op::PaymentRefund(_) => "payment.refund",
            Op::PaymentRefunds(_) => "payment.refunds",
            Op::PaymentRefundFetch(..) => "payment.refund_fetch",
            Op::Downtimes => "payment.downtimes",
            Op::RefundList => "refund.list",
            Op::RefundFetch(_) => "refund.fetch",
            Op::RefundUpdate(_) => "refund.update",
            Op::CheckoutPage => "checkout.page",
            Op::CheckoutPay => "checkout.pay",
            Op::CheckoutResolve => "checkout.resolve",
            Op::Link(op) => op.name(),
            Op::Qr(op) => op.name(),
        }
    }

    /// The page is opened by a browser, which has no key secret.
    fn is_public(&self) -> bool {
        matches!(self, Op::CheckoutPage | Op::CheckoutPay | Op::CheckoutResolve)
    }
}

pub(super) struct Call<'a> {
    pub(super) world: &'a Arc<World>,
    headers: &'a HeaderMap,
    pub(super) query: &'a str,
    body: &'a Bytes,
}

impl Call<'_> {
    pub(super) fn input(&self) -> Result<Input, ApiError> {
        Input::parse(self.headers, self.body, self.world.cfg.strict)
    }
}

/// What is served nowhere.
pub(crate) async fn unknown() -> Response {
    ApiError::unknown_url().response()
}

pub(crate) async fn entry(State(world): State<Arc<World>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let path: Vec<&str> = parts.uri.path().split('/').filter(|s| !s.is_empty()).skip(1).collect();
    let Some(op) = Op::route(&parts.method, &path) else {
        return unknown().await;
    };
    if !op.is_public()
        && let Err(error) = authenticate(&world, &parts.headers)
    {
        return error.response();
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return ApiError::too_large().response();
    };
    let call = Call {
        world: &world,
        headers: &parts.headers,
        query: parts.uri.query().unwrap_or_default(),
        body: &body,
    };
    // Held over the whole call, so that a slow refund meets its own repetition.
    let _busy = match refund_key(&op, &call) {
        Ok(None) => None,
        Ok(Some(key)) => match BusyKey::claim(&world, key) {
            Ok(busy) => Some(busy),
            Err(error) => return error.response(),
        },
        Err(error) => return error.response(),
    };
    faults::run(&world, "razorpay", op.name(), refused, || match &op {
        Op::CheckoutPage => page::open(&world, &body),
        Op::CheckoutPay => page::pay(&world, &body),
        Op::CheckoutResolve => page::resolve(&world, &body),
        _ => match answer(&op, &call) {
            Ok(value) => serve::json(StatusCode::OK, &value),
            Err(error) => error.response(),
        },
    })
    .await
}

fn authenticate(world: &World, headers: &HeaderMap) -> Result<(), ApiError> {
    let refuse = |text| Err(ApiError::unauthenticated(text));
    let Some(value) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) else {
        return refuse("Authentication failed");
    };
    let Some((scheme, credentials)) = value.split_once(' ') else {
        return refuse("Authentication failed");
    };
    let scheme_ok =
        scheme == "Basic" || (!world.cfg.strict && scheme.eq_ignore_ascii_case("basic"));
    let decoded = BASE64.decode(credentials.trim()).unwrap_or_default();
    let cfg = &world.cfg.razorpay;
    let mut halves = decoded.splitn(2, |b| *b == b':');
    match (scheme_ok, halves.next(), halves.next()) {
        (true, Some(id), _) if id != cfg.key_id.as_bytes() => {
            refuse("The api key provided is invalid")
        }
        (true, _, Some(secret)) if secret == cfg.key_secret.as_bytes() => Ok(()),
        _ => refuse("Authentication failed"),
    }
}

fn answer(op: &Op<'_>, call: &Call<'_>) -> Answer {
    let book = || call.world.razorpay.book.lock();
    match op {
        Op::OrderCreate => create_order(call),
        Op::OrderList => list_orders(call),
        Op::OrderFetch(id) => {
            check_id(id, "order_")?;
            Ok(book().order(id)?.json())
        }
        Op::OrderUpdate(id) => {
            check_id(id, "order_")?;
            let mut input = call.input()?;
            let notes = input.notes()?.ok_or_else(|| missing("notes"))?;
            input.finish()?;
            let mut book = book();
            let order = book.orders.get_mut(id).ok_or_else(ApiError::unknown_id)?;
            order.notes = notes;
            Ok(order.json())
        }
        Op::OrderPayments(id) => {
            check_id(id, "order_")?;
            let book = book();
            let ids = book.order(id)?.payments.iter().rev();
            Ok(collection(ids.filter_map(|p| book.payments.get(p)).map(Payment::json).collect()))
        }
        Op::PaymentList => {
            let page = Page::parse(call.query)?;
            let book = book();
            let all = book.payments.newest_first();
            Ok(page.collect(all, |p| p.created_at, |_| true, Payment::json))
        }
        Op::PaymentFetch(id) => {
            check_id(id, "pay_")?;
            let page = Page::parse(call.query)?;
            let book = book();
            let payment = book.payment(id)?;
            let mut json = payment.json();
            if page.expands("card")
                && let Some(card) = &payment.card
            {
                json["card"] = card.json();
            }
            Ok(json)
        }
        Op::PaymentUpdate(id) => {
            check_id(id, "pay_")?;
            let mut input = call.input()?;
            let notes = input.notes()?.ok_or_else(|| missing("notes"))?;
            input.finish()?;
            let mut book = book();
            let payment = book.payments.get_mut(id).ok_or_else(ApiError::unknown_id)?;
            payment.notes = notes;
            Ok(payment.json())
        }
        Op::PaymentCard(id) => {
            check_id(id, "pay_")?;
            match &book().payment(id)?.card {
                Some(card) => Ok(card.json()),
                None => Err(ApiError::bad("The payment was not made with a card.")),
            }
        }
        Op::PaymentCapture(id) => capture(call, id),
        Op::PaymentRefund(id) => refund(call, id),
        Op::PaymentRefunds(id) => {
            check_id(id, "pay_")?;
            let page = Page::parse(call.query)?;
            let book = book();
            let refunds = book.payment(id)?.refunds.iter().rev();
            let refunds = refunds.filter_map(|r| book.refunds.get(r));
            Ok(page.collect(refunds, |r| r.created_at, |_| true, Refund::json))
        }
        Op::PaymentRefundFetch(payment_id, id) => {
            check_id(payment_id, "pay_")?;
            check_id(id, "rfnd_")?;
            match book().refunds.get(id) {
                Some(refund) if refund.payment_id == *payment_id => Ok(refund.json()),
                _ => Err(ApiError::unknown_id()),
            }
        }
        Op::RefundList => {
            let page = Page::parse(call.query)?;
            let book = book();
            Ok(page.collect(book.refunds.newest_first(), |r| r.created_at, |_| true, Refund::json))
        }
        Op::RefundFetch(id) => {
            check_id(id, "rfnd_")?;
            Ok(book().refunds.get(id).ok_or_else(ApiError::unknown_id)?.json())
        }
        Op::RefundUpdate(id) => {
            check_id(id, "rfnd_")?;
            let mut input = call.input()?;
            let notes = input.notes()?.ok_or_else(|| missing("notes"))?;
            input.finish()?;
            let mut book = book();
            let refund = book.refunds.get_mut(id).ok_or_else(ApiError::unknown_id)?;
            refund.notes = notes;
            Ok(refund.json())
        }
        Op::Downtimes => Ok(collection(Vec::new())),
        Op::Link(op) => op.answer(call),
        Op::Qr(op) => op.answer(call),
        Op::CheckoutPage | Op::CheckoutPay | Op::CheckoutResolve => Err(ApiError::unknown_url()),
    }
}

fn create_order(call: &Call<'_>) -> Answer {
    let mut input = call.input()?;
    let amount = input.amount("amount")?.ok_or_else(|| missing("amount"))?;
    input.currency(true)?;
    let receipt = input.text("receipt", 40)?.filter(|r| !r.is_empty());
    let notes = input.notes()?.unwrap_or_default();
    let old_style = input.flag("payment_capture")?;
    let unique_receipt = input.flag("unique_receipt")?.unwrap_or(false);
    let mut auto_capture = old_style.unwrap_or(false);
    let mut capture_within_min = DEFAULT_CAPTURE_WITHIN_MIN;
    if let Some(mut payment) = input.object("payment")? {
        match payment.text("capture", 20)?.as_deref() {
            Some("automatic") => auto_capture = true,
            Some("manual") => auto_capture = false,
            _ => return Err(ApiError::field("capture", "The selected capture is invalid.")),
        }
        if let Some(mut options) = payment.object("capture_options")? {
            if let Some(minutes) = options.int("manual_expiry_period")? {
                if !(1..=7200).contains(&minutes) {
                    let text = "The manual expiry period must be between 1 and 7200.";
                    return Err(ApiError::field("manual_expiry_period", text));
                }
                capture_within_min = minutes;
            }
            if options.int("automatic_expiry_period")?.is_some_and(|m| m < 12) {
                let text = "The automatic expiry period must be at least 12.";
                return Err(ApiError::field("automatic_expiry_period", text));
            }
            options.text("refund_speed", 20)?;
            options.finish()?;
        }
        payment.finish()?;
    }
    let partial = input.flag("partial_payment")?.unwrap_or(false);
    input.ignore(&["first_payment_min_amount", "method", "bank_account"]);
    input.finish()?;
    if amount < 100 {
        return Err(ApiError::field("amount", "Order amount less than minimum amount allowed")
            .step("order_creation")
            .reason("amount_less_than_minimum_amount"));
    }
    if partial {
        return Err(ApiError::field("partial_payment", "Partial payment is not enabled."));
    }
    let new = NewOrder { amount, receipt, notes, auto_capture, capture_within_min, unique_receipt };
    call.world.razorpay.move_books(call.world, |book, ctx, _| book.create_order(ctx, new))
}

fn list_orders(call: &Call<'_>) -> Answer {
    let page = Page::parse(call.query)?;
    let authorized = match page.other("authorized") {
        None | Some("") => None,
        Some("0") => Some(false),
        Some("1") => Some(true),
        Some(_) => {
            return Err(ApiError::field("authorized", "The selected authorized is invalid."));
        }
    };
    let receipt = page.other("receipt").filter(|r| !r.is_empty());
    let book = call.world.razorpay.book.lock();
    let has_authorised = |order: &Order| {
        order
            .payments
            .iter()
            .filter_map(|p| book.payments.get(p))
            .any(|p| matches!(p.status, PaymentStatus::Authorized | PaymentStatus::Captured))
    };
    let matches = |order: &Order| {
        receipt.is_none_or(|r| order.receipt.as_deref() == Some(r))
            && authorized.is_none_or(|wanted| wanted == has_authorised(order))
    };
    let with_payments = page.expands("payments");
    let json = |order: &Order| {
        let mut json = order.json();
        if with_payments {
            let payments = order.payments.iter().filter_map(|p| book.payments.get(p));
            json["payments"] = collection(payments.map(Payment::json).collect());
        }
        json
    };
    Ok(page.collect(book.orders.newest_first(), |o| o.created_at, matches, json))
}

fn capture(call: &Call<'_>, id: &str) -> Answer {
    check_id(id, "pay_")?;
    let mut input = call.input()?;
    let amount = input.amount("amount")?.ok_or_else(|| missing("amount"))?;
    input.currency(false)?;
    input.finish()?;
    call.world.razorpay.move_books(call.world, |book, ctx, fx| book.capture(ctx, id, amount, fx))
}

fn refund(call: &Call<'_>, id: &str) -> Answer {
    check_id(id, "pay_")?;
    let mut input = call.input()?;
    let amount = input.amount("amount")?;
    let optimum = match input.text("speed", 20)?.as_deref() {
        None | Some("normal") => false,
        Some("optimum") => true,
        Some(_) => return Err(ApiError::field("speed", "The selected speed is invalid.")),
    };
    let notes = input.notes()?.unwrap_or_default();
    let receipt = input.text("receipt", 40)?;
    input.finish()?;
    let (pending_ms, doomed) = {
        let scenario = call.world.razorpay.scenario.lock();
        (scenario.refund_pending_ms, scenario.refunds_fail)
    };
    let new = NewRefund { amount, receipt, notes, optimum, pending_ms, doomed };
    let key = header_key(call.headers);
    // The payment is part of the request: the same key on another payment is another request.
    let request = key.map(|_| request_hash(id, call.body));
    call.world.razorpay.move_books(call.world, |book, ctx, fx| {
        let keyed = key.zip(request);
        if let Some((key, request)) = keyed
            && let Some(done) = book.refund_by_key(key, request)?
        {
            return Ok(done);
        }
        book.refund(ctx, id, new, keyed, fx)
    })
}

fn request_hash(id: &str, body: &[u8]) -> RequestHash {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(id.as_bytes());
    hash.update(b"\n");
    hash.update(body);
    let mut out = RequestHash::default();
    out.copy_from_slice(hash.finish().as_ref());
    out
}

fn header_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-refund-idempotency").map(|v| v.to_str().unwrap_or_default())
}

/// The idempotency key of a refund, checked.
fn refund_key(op: &Op<'_>, call: &Call<'_>) -> Result<Option<String>, ApiError> {
    let (Op::PaymentRefund(_), Some(key)) = (op, header_key(call.headers)) else {
        return Ok(None);
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !(10..=255).contains(&key.len()) || !key.bytes().all(allowed) {
        return Err(ApiError::bad(
            "The idempotency key must have at least 10 letters, digits, hyphens or underscores.",
        ));
    }
    Ok(Some(key.into()))
}

/// Marks a refund key as being worked on, until dropped.
struct BusyKey<'a> {
    world: &'a World,
    key: String,
}

impl<'a> BusyKey<'a> {
    fn claim(world: &'a World, key: String) -> Result<Self, ApiError> {
        if world.razorpay.busy_keys.lock().insert(key.clone()) {
            return Ok(Self { world, key });
        }
        Err(ApiError::conflict(
            "Another request with the same idempotency key is still in progress.",
        ))
    }
}

impl Drop for BusyKey<'_> {
    fn drop(&mut self) {
        self.world.razorpay.busy_keys.lock().remove(&self.key);
    }
}

/// For `/_sim`: a refusal and a payment with its callback as JSON.
pub(crate) fn paid_json(world: &World, payment: &Payment) -> Value {
    json!({
        "payment": payment.json(),
        "callback": super::callback_json(world, payment),
    })
}
