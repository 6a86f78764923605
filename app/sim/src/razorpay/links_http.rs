//! `/v1/payment_links` and `/v1/payments/qr_codes`.

use serde_json::{Map, Value, json};

use super::entity::Payment;
use super::error::ApiError;
use super::http::{Answer, Call};
use super::input::{Input, Page, check_id, collection, missing};
use super::links::{Link, LinkStatus, NewLink, NewQr, Qr};

pub(super) enum LinkOp<'a> {
    Create,
    List,
    Fetch(&'a str),
    Update(&'a str),
    Cancel(&'a str),
    Notify(&'a str, &'a str),
}

pub(super) enum QrOp<'a> {
    Create,
    List,
    Fetch(&'a str),
    Payments(&'a str),
    Close(&'a str),
}

impl<'a> LinkOp<'a> {
    /// `path` is what follows `payment_links`.
    pub(super) fn route(verb: &str, path: &'a [&'a str]) -> Option<Self> {
        match (verb, path) {
            ("POST", []) => Some(Self::Create),
            ("GET", []) => Some(Self::List),
            ("GET", [id]) => Some(Self::Fetch(id)),
            ("PATCH", [id]) => Some(Self::Update(id)),
            ("POST", [id, "cancel"]) => Some(Self::Cancel(id)),
            ("POST", [id, "notify_by", medium]) => Some(Self::Notify(id, medium)),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Create => "link.create",
            Self::List => "link.list",
            Self::Fetch(_) => "link.fetch",
            Self::Update(_) => "link.update",
            Self::Cancel(_) => "link.cancel",
            Self::Notify(..) => "link.notify",
        }
    }

    pub(super) fn answer(&self, call: &Call<'_>) -> Answer {
        let book = || call.world.razorpay.book.lock();
        if let Self::Fetch(id) | Self::Update(id) | Self::Cancel(id) | Self::Notify(id, _) = self {
            check_id(id, "plink_")?;
        }
        match self {
            Self::Create => create_link(call),
            Self::List => {
                let page = Page::parse(call.query)?;
                let (payment, reference) = (page.other("payment_id"), page.other("reference_id"));
                let matches = |l: &Link| {
                    reference.is_none_or(|r| l.new.reference_id.as_deref() == Some(r))
                        && payment.is_none_or(|p| l.paid_by.as_ref().is_some_and(|b| b.0 == p))
                };
                let book = book();
                let links = book.links.newest_first();
                let mut list = page.collect(links, |l| l.created_at, matches, Link::json);
                // This list has a name of its own.
                Ok(json!({ "payment_links": list["items"].take() }))
            }
            Self::Fetch(id) => Ok(book().link(id)?.json()),
            Self::Update(id) => {
                let mut input = call.input()?;
                let notes = input.notes()?;
                let reference_id = input.text("reference_id", 40)?;
                let reminder_enable = input.flag("reminder_enable")?;
                let expire_by = input.int("expire_by")?;
                input.finish()?;
                if expire_by.is_some() {
                    return Err(ApiError::field("expire_by", "expire_by cannot be changed here."));
                }
                let mut book = book();
                let link = book.links.get_mut(id).ok_or_else(ApiError::unknown_id)?;
                if link.status != LinkStatus::Created {
                    return Err(ApiError::bad("Only a created payment link can be updated."));
                }
                link.new.notes = notes.unwrap_or(std::mem::take(&mut link.new.notes));
                link.new.reference_id = reference_id.or(link.new.reference_id.take());
                link.new.reminder_enable = reminder_enable.unwrap_or(link.new.reminder_enable);
                Ok(link.json())
            }
            Self::Cancel(id) => call.world.razorpay.move_books(call.world, |book, ctx, fx| {
                if book.end_link(ctx, id, LinkStatus::Cancelled, fx)? {
                    return Ok(book.link(id)?.json());
                }
                Err(ApiError::bad("Payment link cannot be cancelled as it has ended already"))
            }),
            Self::Notify(id, medium) => match (*medium, book().link(id)?.status) {
                ("sms" | "email", LinkStatus::Created) => Ok(json!({ "success": true })),
                ("sms" | "email", _) => Err(ApiError::bad("The payment link has ended already.")),
                _ => Err(ApiError::bad("Not a valid notification medium.")),
            },
        }
    }
}

/// At most a few short texts and flags.
fn short_object(
    input: &mut Input,
    name: &str,
    keys: &[&str],
) -> Result<Map<String, Value>, ApiError> {
    let mut kept = Map::new();
    let Some(mut object) = input.object(name)? else { return Ok(kept) };
    for key in keys {
        let value = match name {
            "notify" => object.flag(key)?.map(Value::from),
            _ => object.text(key, 255)?.map(Value::from),
        };
        if let Some(value) = value {
            kept.insert((*key).into(), value);
        }
    }
    object.finish()?;
    Ok(kept)
}

fn create_link(call: &Call<'_>) -> Answer {
    let mut input = call.input()?;
    let amount = input.amount("amount")?.ok_or_else(|| missing("amount"))?;
    input.currency(false)?;
    let partial = input.flag("accept_partial")?.unwrap_or(false);
    input.ignore(&["first_min_partial_amount", "options"]);
    let customer = short_object(&mut input, "customer", &["name", "email", "contact"])?;
    let notify = short_object(&mut input, "notify", &["sms", "email", "whatsapp"])?;
    let method = input.text("callback_method", 10)?;
    let new = NewLink {
        amount,
        reference_id: input.text("reference_id", 40)?.filter(|r| !r.is_empty()),
        description: input.text("description", 2048)?,
        customer,
        notify,
        reminder_enable: input.flag("reminder_enable")?.unwrap_or(false),
        upi_link: input.flag("upi_link")?.unwrap_or(false),
        notes: input.notes()?.unwrap_or_default(),
        callback_url: input.text("callback_url", 2000)?.filter(|u| !u.is_empty()),
        expire_by: input.int("expire_by")?.filter(|at| *at != 0),
    };
    input.finish()?;
    let web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    if !new.callback_url.as_ref().is_none_or(web) {
        return Err(ApiError::field("callback_url", "The callback_url format is invalid."));
    }
    if new.callback_url.is_some() && method.as_deref() != Some("get") {
        return Err(ApiError::field("callback_method", "The callback_method must be get."));
    }
    if partial {
        return Err(ApiError::field("accept_partial", "Partial payment is not enabled."));
    }
    if amount < 100 {
        return Err(ApiError::field("amount", "amount should be at least INR 1.00"));
    }
    call.world.razorpay.move_books(call.world, |book, ctx, fx| {
        let far = ctx.now_s + 10 * 366 * 86_400;
        if new.expire_by.is_some_and(|at| !(ctx.now_s + 900..far).contains(&at)) {
            let text = "timestamp must be atleast 15 minutes in future";
            return Err(ApiError::field("expire_by", text));
        }
        book.create_link(ctx, new, fx)
    })
}

impl<'a> QrOp<'a> {
    /// `path` is what follows `payments/qr_codes`.
    pub(super) fn route(verb: &str, path: &'a [&'a str]) -> Option<Self> {
        match (verb, path) {
            ("POST", []) => Some(Self::Create),
            ("GET", []) => Some(Self::List),
            ("GET", [id]) => Some(Self::Fetch(id)),
            ("GET", [id, "payments"]) => Some(Self::Payments(id)),
            ("POST", [id, "close"]) => Some(Self::Close(id)),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Create => "qr.create",
            Self::List => "qr.list",
            Self::Fetch(_) => "qr.fetch",
            Self::Payments(_) => "qr.payments",
            Self::Close(_) => "qr.close",
        }
    }

    pub(super) fn answer(&self, call: &Call<'_>) -> Answer {
        let book = || call.world.razorpay.book.lock();
        if let Self::Fetch(id) | Self::Payments(id) | Self::Close(id) = self {
            check_id(id, "qr_")?;
        }
        match self {
            Self::Create => create_qr(call),
            Self::List => {
                let page = Page::parse(call.query)?;
                let book = book();
                Ok(page.collect(book.qrs.newest_first(), |q| q.created_at, |_| true, Qr::json))
            }
            Self::Fetch(id) => Ok(book().qrs.get(id).ok_or_else(ApiError::unknown_id)?.json()),
            Self::Payments(id) => {
                let book = book();
                let payments = &book.qrs.get(id).ok_or_else(ApiError::unknown_id)?.payments;
                let found = payments.iter().rev().filter_map(|p| book.payments.get(p));
                Ok(collection(found.map(Payment::json).collect()))
            }
            Self::Close(id) => call
                .world
                .razorpay
                .move_books(call.world, |book, ctx, fx| book.close_qr(ctx, id, "on_demand", fx)),
        }
    }
}

fn create_qr(call: &Call<'_>) -> Answer {
    let mut input = call.input()?;
    if input.text("type", 20)?.as_deref() != Some("upi_qr") {
        return Err(ApiError::field("type", "The selected type is invalid."));
    }
    let single_use = match input.text("usage", 20)?.as_deref() {
        Some("single_use") => true,
        Some("multiple_use") => false,
        _ => return Err(ApiError::field("usage", "The selected usage is invalid.")),
    };
    let is_fixed = input.flag("fixed_amount")?.unwrap_or(false);
    let amount = input.amount("payment_amount")?;
    let new = NewQr {
        name: input.text("name", 255)?,
        description: input.text("description", 2048)?,
        single_use,
        fixed: amount.filter(|_| is_fixed),
        close_by: input.int("close_by")?,
        notes: input.notes()?.unwrap_or_default(),
    };
    input.ignore(&["customer_id"]);
    input.finish()?;
    if is_fixed && new.fixed.is_none_or(|amount| amount < 100) {
        return Err(ApiError::field("payment_amount", "The payment amount must be at least 100."));
    }
    call.world.razorpay.move_books(call.world, |book, ctx, fx| {
        let far = ctx.now_s + 10 * 366 * 86_400;
        if new.close_by.is_some_and(|at| !(ctx.now_s + 120..far).contains(&at)) {
            let text = "close_by should be at least 2 minutes after current time";
            return Err(ApiError::field("close_by", text));
        }
        Ok(book.create_qr(ctx, new, fx))
    })
}
