//! The simulated Razorpay.

pub(crate) mod book;
pub(crate) mod entity;
pub(crate) mod error;
pub(crate) mod http;
mod input;
pub(crate) mod links;
mod links_http;
pub(crate) mod page;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::SimConfig;
use crate::hooks::{Provider, hmac_hex};
use crate::world::World;

use book::{Book, Ctx, Effects, Instrument};
use entity::{Card, Method, Outcome, Payment, PaymentStatus};
use error::{ApiError, FAILING_CARDS, failure};

pub(crate) struct Razorpay {
    pub(crate) book: Mutex<Book>,
    pub(crate) scenario: Mutex<Scenario>,
    /// Refund keys whose request is being worked on.
    busy_keys: Mutex<HashSet<String>>,
}

/// What happens to payments and refunds when nobody says it in the call itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scenario {
    /// Outcomes of the next payments, such as `success`, `fail:card_declined`, `pending`, `late`.
    pub(crate) script: VecDeque<String>,
    /// After the script: success with this probability, by method; otherwise `payment_failed`.
    pub(crate) success_rate: HashMap<Method, f64>,
    /// Refunds stay pending for this long.
    pub(crate) refund_pending_ms: Option<u32>,
    /// Refunds fail after their pending time.
    pub(crate) refunds_fail: bool,
}

impl Scenario {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.script.len() > 10_000 {
            return Err("script must have at most 10000 outcomes".into());
        }
        if self.success_rate.values().any(|p| !(0.0..=1.0).contains(p)) {
            return Err("success_rate must be between 0 and 1".into());
        }
        self.script.iter().try_for_each(|s| outcome(s, None).map(|_| ()))
    }
}

/// An attempt to pay, from the page or from `/_sim/razorpay/pay`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PayRequest {
    pub(crate) order_id: String,
    pub(crate) method: Option<Method>,
    pub(crate) outcome: Option<String>,
    pub(crate) vpa: Option<String>,
    pub(crate) card_number: Option<String>,
    pub(crate) otp: Option<String>,
    pub(crate) bank: Option<String>,
    pub(crate) wallet: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) contact: Option<String>,
    pub(crate) description: Option<String>,
    /// With `late`: when the bank's yes comes. Default five seconds.
    pub(crate) late_after_ms: Option<u32>,
}

/// Reads `success`, `fail`, `fail:<reason>`, `pending`, `late`, `cancel`.
fn outcome(text: &str, late_after_ms: Option<u32>) -> Result<Outcome, String> {
    let fail = |reason: &str| match failure(reason) {
        Some(f) => Ok(Outcome::Fail(f)),
        None => Err(format!("{reason:?} is not a failure reason; see GET /_sim/razorpay/reasons")),
    };
    match text {
        "success" => Ok(Outcome::Success),
        "pending" => Ok(Outcome::Pending),
        "late" => Ok(Outcome::Late(late_after_ms.unwrap_or(5_000))),
        "cancel" => fail("payment_cancelled"),
        "fail" => fail("payment_failed"),
        other => match other.strip_prefix("fail:") {
            Some(reason) => fail(reason),
            None => Err(format!(
                "{other:?} is not an outcome; use success, fail, fail:<reason>, pending, late or cancel"
            )),
        },
    }
}

/// A refusal of the control API or of Razorpay itself.
pub(crate) enum PayRefused {
    Control(String),
    Api(ApiError),
}

impl From<ApiError> for PayRefused {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl Razorpay {
    pub(crate) fn new(cfg: &SimConfig) -> Self {
        Self {
            book: Mutex::new(Book::new(cfg.max_objects)),
            scenario: Mutex::default(),
            busy_keys: Mutex::default(),
        }
    }

    /// One move in the books, then what follows from it.
    pub(crate) fn move_books<R>(
        &self,
        world: &Arc<World>,
        make: impl FnOnce(&mut Book, &Ctx<'_>, &mut Effects) -> R,
    ) -> R {
        let now_ms = world.clock.now_ms();
        let ctx = Ctx {
            now_s: now_ms / 1000,
            ids: &world.ids,
            cfg: &world.cfg.razorpay,
            base_url: &world.base_url,
        };
        let wanted = world.hooks.wanted(Provider::Razorpay);
        let mut fx = Effects { wanted, ..Effects::default() };
        let result = make(&mut self.book.lock(), &ctx, &mut fx);
        for (after_ms, act) in fx.timers {
            world.agenda.at(now_ms + after_ms, act);
        }
        for event in fx.events {
            world.hooks.emit(world, Provider::Razorpay, event.name, |_| {
                let body = json!({
                    "entity": "event",
                    "account_id": world.cfg.razorpay.account_id,
                    "event": event.name,
                    "contains": event.contains,
                    "payload": event.payload,
                    "created_at": ctx.now_s,
                });
                body.to_string().into_bytes()
            });
        }
        result
    }

    /// Pays an order, as a customer would. Returns the payment.
    pub(crate) fn pay(
        &self,
        world: &Arc<World>,
        request: PayRequest,
    ) -> Result<Payment, PayRefused> {
        input::check_id(&request.order_id, "order_")?;
        let texts = [
            &request.vpa,
            &request.bank,
            &request.wallet,
            &request.email,
            &request.contact,
            &request.description,
        ];
        if texts.into_iter().flatten().any(|t| t.chars().count() > 255) {
            return Err(ApiError::bad("A field may not be greater than 255 characters.").into());
        }
        let (card, card_outcome) = match &request.card_number {
            Some(number) => self.card(world, number),
            None => (None, None),
        };
        let method =
            request.method.unwrap_or(if card.is_some() { Method::Card } else { Method::Upi });
        let said = match &request.outcome {
            Some(text) => Some(outcome(text, request.late_after_ms).map_err(PayRefused::Control)?),
            None => None,
        };
        let short_otp = request.otp.as_ref().is_some_and(|otp| {
            !(4..=10).contains(&otp.len()) || !otp.bytes().all(|b| b.is_ascii_digit())
        });
        let by_instrument = match request.vpa.as_deref() {
            Some("failure@razorpay") => Some("payment_failed"),
            Some(vpa) if !vpa.contains('@') => Some("invalid_vpa"),
            _ if short_otp => Some("incorrect_otp"),
            _ => card_outcome,
        };
        let by_instrument = by_instrument.and_then(failure).map(Outcome::Fail);
        let outcome = said.or(by_instrument).unwrap_or_else(|| self.scripted(world, method));
        let by = Instrument {
            method: Some(method),
            vpa: request.vpa,
            card,
            bank: request.bank,
            wallet: request.wallet,
            email: request.email,
            contact: request.contact,
            description: request.description,
            ..Instrument::default()
        };
        let paid = self.move_books(world, |book, ctx, fx| {
            let id = book.attempt(ctx, &request.order_id, by, outcome, fx)?;
            book.payment(&id).cloned()
        })?;
        Ok(paid)
    }

    /// Decides a payment that is pending, or says yes late to a failed one.
    pub(crate) fn resolve(
        &self,
        world: &Arc<World>,
        payment_id: &str,
        said: &str,
    ) -> Result<Payment, PayRefused> {
        let outcome = outcome(said, None).map_err(PayRefused::Control)?;
        let paid = self.move_books(world, |book, ctx, fx| {
            book.resolve(ctx, payment_id, outcome, fx)?;
            book.payment(payment_id).cloned()
        })?;
        Ok(paid)
    }

    /// The whole number is looked at and forgotten.
    fn card(&self, world: &World, number: &str) -> (Option<Card>, Option<&'static str>) {
        let digits: String = number.chars().filter(char::is_ascii_digit).take(20).collect();
        if !(12..=19).contains(&digits.len()) {
            return (None, Some("card_number_invalid"));
        }
        let network = match digits.as_bytes() {
            [b'4', ..] => "Visa",
            [b'5', ..] => "MasterCard",
            [b'6', ..] => "RuPay",
            _ => "Unknown",
        };
        let card = Card {
            id: world.ids.razorpay("card_"),
            last4: digits[digits.len() - 4..].into(),
            iin: digits[..6].into(),
            network,
        };
        let fails = FAILING_CARDS.iter().find(|(n, _)| *n == digits).map(|(_, reason)| *reason);
        let wrong = (!luhn(&digits) && !known_card(&digits)).then_some("card_number_invalid");
        (Some(card), fails.or(wrong))
    }

    fn scripted(&self, world: &World, method: Method) -> Outcome {
        let mut scenario = self.scenario.lock();
        if let Some(next) = scenario.script.pop_front()
            && let Ok(outcome) = outcome(&next, None)
        {
            return outcome;
        }
        match (scenario.success_rate.get(&method), failure("payment_failed")) {
            (Some(rate), Some(fails)) if !world.ids.chance(*rate) => Outcome::Fail(fails),
            _ => Outcome::Success,
        }
    }

    pub(crate) fn payment_timed_out(&self, world: &Arc<World>, id: &str) {
        self.move_books(world, |book, _, fx| book.time_out(id, fx));
    }

    pub(crate) fn authorised_late(&self, world: &Arc<World>, id: &str) {
        self.move_books(world, |book, ctx, fx| book.authorise(ctx, id, fx));
    }

    pub(crate) fn capture_expired(&self, world: &Arc<World>, id: &str) {
        self.move_books(world, |book, ctx, fx| book.expire_capture(ctx, id, fx));
    }

    pub(crate) fn link_expired(&self, world: &Arc<World>, id: &str) {
        self.move_books(world, |book, ctx, fx| {
            // Gone or paid meanwhile: nothing to do.
            let _ = book.end_link(ctx, id, links::LinkStatus::Expired, fx);
        });
    }

    pub(crate) fn qr_expired(&self, world: &Arc<World>, id: &str) {
        self.move_books(world, |book, ctx, fx| {
            // Gone or closed meanwhile: nothing to do.
            let _ = book.close_qr(ctx, id, "expired", fx);
        });
    }

    pub(crate) fn refund_ends(&self, world: &Arc<World>, id: &str) {
        self.move_books(world, |book, ctx, fx| book.end_refund(ctx, id, fx));
    }
}

/// Where the browser goes after a payment link was paid: a GET, signed over other fields.
pub(crate) fn link_callback(world: &World, payment: &Payment) -> Option<String> {
    let book = world.razorpay.book.lock();
    let id = book.link_of_order.get(payment.order_id.as_deref()?)?;
    let link = book.links.get(id)?;
    let url = link.new.callback_url.as_deref()?;
    let reference = link.new.reference_id.as_deref().unwrap_or("");
    let message = format!("{id}|{reference}|paid|{}", payment.id);
    let signature = hmac_hex(&world.cfg.razorpay.key_secret, message.as_bytes());
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("razorpay_payment_id", &payment.id)
        .append_pair("razorpay_payment_link_id", id)
        .append_pair("razorpay_payment_link_reference_id", reference)
        .append_pair("razorpay_payment_link_status", "paid")
        .append_pair("razorpay_signature", &signature)
        .finish();
    let joint = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{joint}{query}"))
}

/// The fields that the browser posts to the shop's callback URL. Empty while nothing is decided.
pub(crate) fn callback(world: &World, payment: &Payment) -> Vec<(&'static str, String)> {
    match (payment.status, payment.failure) {
        (PaymentStatus::Created, _) => Vec::new(),
        (PaymentStatus::Failed, Some(why)) => {
            let metadata = json!({ "payment_id": payment.id, "order_id": payment.order_id });
            vec![
                ("error[code]", why.code.into()),
                ("error[description]", why.description.into()),
                ("error[source]", why.source.into()),
                ("error[step]", why.step.into()),
                ("error[reason]", why.reason.into()),
                ("error[metadata]", metadata.to_string()),
            ]
        }
        _ => {
            let order_id = payment.order_id.clone().unwrap_or_default();
            let message = format!("{order_id}|{}", payment.id);
            let signature = hmac_hex(&world.cfg.razorpay.key_secret, message.as_bytes());
            vec![
                ("razorpay_payment_id", payment.id.clone()),
                ("razorpay_order_id", order_id),
                ("razorpay_signature", signature),
            ]
        }
    }
}

/// The same as a JSON object.
pub(crate) fn callback_json(world: &World, payment: &Payment) -> Value {
    callback(world, payment).into_iter().map(|(k, v)| (k.to_owned(), Value::from(v))).collect()
}

fn known_card(digits: &str) -> bool {
    FAILING_CARDS.iter().chain(error::GOOD_CARDS).any(|(n, _)| *n == digits)
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| {
            let d = u32::from(b - b'0');
            match i % 2 {
                0 => d,
                _ if d > 4 => 2 * d - 9,
                _ => 2 * d,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}
