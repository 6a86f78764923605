//! The hosted payment page, for people without a bank: every way a payment can end is a button.
//! The page keeps nothing; what it needs goes around in hidden fields.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use qrcode::QrCode;
use qrcode::render::svg;

use super::entity::{Method, Order, OrderStatus, Payment, PaymentStatus};
use super::error::{ApiError, FAILING_CARDS, GOOD_CARDS};
use super::links::LinkStatus;
use super::{PayRefused, PayRequest, callback, input, link_callback};
use crate::serve::{self, escaped};
use crate::world::World;

/// What the shop's form said and every later form of the page repeats.
struct Checkout {
    order_id: String,
    name: String,
    description: String,
    email: String,
    contact: String,
    callback_url: String,
    cancel_url: String,
}

/// A posted form; fields that nobody asks for are ignored, as the real page does.
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().take(100).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
    }

    fn optional(&self, name: &str) -> Option<String> {
        Some(self.get(name).to_owned()).filter(|v| !v.is_empty())
    }

    fn checkout(&self) -> Result<Checkout, ApiError> {
        let short = |name: &str, max: usize| self.get(name).chars().take(max).collect::<String>();
        let checkout = Checkout {
            order_id: short("order_id", 40),
            name: short("name", 100),
            description: short("description", 255),
            email: short("prefill[email]", 200),
            contact: short("prefill[contact]", 30),
            callback_url: short("callback_url", 2_000),
            cancel_url: short("cancel_url", 2_000),
        };
        for (field, url) in
            [("callback_url", &checkout.callback_url), ("cancel_url", &checkout.cancel_url)]
        {
            if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(ApiError::field(field, format!("The {field} format is invalid.")));
            }
        }
        input::check_id(&checkout.order_id, "order_")?;
        Ok(checkout)
    }
}

impl Checkout {
    fn hidden(&self) -> String {
        [
            ("order_id", &self.order_id),
            ("name", &self.name),
            ("description", &self.description),
            ("prefill[email]", &self.email),
            ("prefill[contact]", &self.contact),
            ("callback_url", &self.callback_url),
            ("cancel_url", &self.cancel_url),
        ]
        .iter()
        .map(|(name, value)| hidden(name, value))
        .collect()
    }
}

fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(name), escaped(value))
}

/// `POST /v1/checkout/embedded`: the shop sends the customer here.
pub(crate) fn open(world: &Arc<World>, body: &[u8]) -> Response {
    let form = Form::parse(body);
    match opened(world, &form) {
        Ok(response) => response,
        Err(error) => error_page(&error),
    }
}

fn opened(world: &Arc<World>, form: &Form) -> Result<Response, ApiError> {
    let mut checkout = form.checkout()?;
    if form.get("key_id") != world.cfg.razorpay.key_id {
        return Err(ApiError::unauthenticated("The api key provided is invalid"));
    }
    let order = world.razorpay.book.lock().order(&checkout.order_id)?.clone();
    if order.status == OrderStatus::Paid {
        let text = "Payment already done for this order.";
        return Err(ApiError::bad(text).reason("order_already_paid"));
    }
    if form.optional("amount").is_some_and(|a| a != order.amount.to_string()) {
        let text = "Payment amount is different from the amount of the order.";
        return Err(ApiError::bad(text).reason("order_amount_mismatch"));
    }
    if checkout.name.is_empty() {
        checkout.name = world.cfg.razorpay.merchant_name.clone();
    }
    Ok(page(world, &payment_page(world, &checkout, &order)))
}

/// `GET /i/{id}`: a payment link opens its page, a QR code shows its picture.
pub(crate) async fn short_url(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    let (order, name) = {
        let book = world.razorpay.book.lock();
        if let Some(qr) = book.qrs.get(&id) {
            let name = qr.new.name.clone().unwrap_or_default();
            let link = upi(&world, &name, &id, qr.new.fixed, "");
            let picture = format!("<?xml version=\"1.0\" standalone=\"yes\"?>{}", qr_svg(&link));
            return serve::reply(StatusCode::OK, "image/svg+xml", picture.into_bytes());
        }
        let Ok(link) = book.link(&id) else { return error_page(&ApiError::unknown_id()) };
        if link.status != LinkStatus::Created {
            return error_page(&ApiError::bad("This payment link has ended."));
        }
        match book.order(&link.order_id) {
            Ok(order) => (order.clone(), link.new.description.clone().unwrap_or_default()),
            Err(error) => return error_page(&error),
        }
    };
    let checkout = Checkout {
        order_id: order.id.clone(),
        name: world.cfg.razorpay.merchant_name.clone(),
        description: name.chars().take(255).collect(),
        email: String::new(),
        contact: String::new(),
        callback_url: String::new(),
        cancel_url: format!("{}/i/{id}", world.base_url),
    };
    page(&world, &payment_page(&world, &checkout, &order))
}

/// `POST /v1/checkout/pay`: a button of the page.
pub(crate) fn pay(world: &Arc<World>, body: &[u8]) -> Response {
    let form = Form::parse(body);
    let checkout = match form.checkout() {
        Ok(checkout) => checkout,
        Err(error) => return error_page(&error),
    };
    if form.get("outcome") == "cancel" && !checkout.cancel_url.is_empty() {
        return redirect(&checkout.cancel_url);
    }
    let request = PayRequest {
        order_id: checkout.order_id.clone(),
        method: Some(if form.get("method") == "card" { Method::Card } else { Method::Upi }),
        outcome: form.optional("outcome"),
        card_number: form.optional("card_number"),
        otp: form.optional("otp"),
        email: form.optional("prefill[email]"),
        contact: form.optional("prefill[contact]"),
        description: form.optional("description"),
        ..PayRequest::default()
    };
    after(world, &checkout, world.razorpay.pay(world, request))
}

/// `POST /v1/checkout/resolve`: the bank decides a pending payment.
pub(crate) fn resolve(world: &Arc<World>, body: &[u8]) -> Response {
    let form = Form::parse(body);
    match form.checkout() {
        Err(error) => error_page(&error),
        Ok(checkout) => {
            let outcome = form.get("outcome");
            let done = world.razorpay.resolve(world, form.get("payment_id"), outcome);
            after(world, &checkout, done)
        }
    }
}

fn after(world: &Arc<World>, checkout: &Checkout, done: Result<Payment, PayRefused>) -> Response {
    match done {
        Err(PayRefused::Api(error)) => error_page(&error),
        Err(PayRefused::Control(text)) => error_page(&ApiError::bad(text)),
        Ok(payment) if payment.status == PaymentStatus::Created => {
            page(world, &pending_page(checkout, &payment))
        }
        Ok(payment) => {
            let paid = payment.status != PaymentStatus::Failed;
            match link_callback(world, &payment).filter(|_| paid) {
                Some(url) => redirect(&url),
                None => page(world, &back_page(world, checkout, &payment)),
            }
        }
    }
}

fn redirect(url: &str) -> Response {
    let mut response = serve::html(StatusCode::SEE_OTHER, String::new());
    if let Ok(value) = HeaderValue::from_str(url) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// `₹1,23,456.50`, grouped the Indian way.
pub(crate) fn rupees(paise: i64) -> String {
    let whole = (paise / 100).to_string();
    let (head, tail) = whole.split_at(whole.len().saturating_sub(3));
    let mut grouped = String::new();
    for (i, digit) in head.chars().enumerate() {
        if i > 0 && (head.len() - i) % 2 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !grouped.is_empty() {
        grouped.push(',');
    }
    format!("₹{grouped}{tail}.{:02}", paise % 100)
}

/// Percent-encoded for a UPI link: everything but letters, digits and `-._`.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The payment as a link that UPI apps open. Without an amount the payer types it.
fn upi(world: &World, payee: &str, reference: &str, amount: Option<i64>, note: &str) -> String {
    let mut link = format!(
        "upi://pay?pa={}&pn={}&mc=5399&tr={}",
        encoded(&world.cfg.razorpay.merchant_vpa),
        encoded(&payee.chars().take(40).collect::<String>()),
        encoded(&reference.replace('_', "")),
    );
    if !note.is_empty() {
        link.push_str(&format!("&tn={}", encoded(note)));
    }
    if let Some(paise) = amount {
        link.push_str(&format!("&am={}.{:02}", paise / 100, paise % 100));
    }
    link.push_str("&cu=INR&mode=15");
    link
}

fn qr_svg(link: &str) -> String {
    let picture = QrCode::new(link.as_bytes())
        .map(|code| code.render::<svg::Color<'_>>().min_dimensions(220, 220).build())
        .unwrap_or_default();
    // An inline picture needs no XML prologue.
    picture.split_once("?>").map_or(picture.clone(), |(_, rest)| rest.to_owned())
}

const HEAD: &str = concat!(
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">",
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">",
    "<title>Payment (simulated)</title><style>",
    include_str!("page.css"),
    "</style></head><body><main>",
);

fn payment_page(world: &World, checkout: &Checkout, order: &Order) -> String {
    let note = order.receipt.as_deref().unwrap_or("Order");
    let link = upi(world, &checkout.name, &order.id, Some(order.amount), note);
    let qr = qr_svg(&link);
    let hidden = checkout.hidden();
    let row = |(number, meaning): &(&str, &str)| {
        let spaced: Vec<&str> = (0..4).map(|i| &number[i * 4..i * 4 + 4]).collect();
        format!("<tr><td><code>{}</code></td><td>{}</td></tr>", spaced.join(" "), meaning)
    };
    let cards: String = GOOD_CARDS
        .iter()
        .map(|(number, network)| row(&(*number, &format!("{network}, pays"))))
        .chain(FAILING_CARDS.iter().map(row))
        .collect();
    let description = match checkout.description.as_str() {
        "" => String::new(),
        text => format!("<p>{}</p>", escaped(text)),
    };
    format!(
        r#"{HEAD}<p class="note">Simulated Razorpay: no money moves. Never enter a real card.</p>
<header><h1>{name}</h1>{description}<p class="sum">{sum}</p><p class="id">{order}</p></header>
<section aria-labelledby="upi"><h2 id="upi">UPI</h2>
<div class="qr" role="img" aria-label="QR code of the UPI payment link">{qr}</div>
<p><a href="{link}">Open in a UPI app</a></p>
<form method="post" action="/v1/checkout/pay">{hidden}
<button class="go" name="outcome" value="success">Pay {sum}</button>
<button name="outcome" value="fail">Fail</button>
<button name="outcome" value="pending">Leave pending</button>
<button name="outcome" value="late">Succeed late</button>
<button name="outcome" value="cancel">Cancel</button>
<p class="hint">“Succeed late” fails now; the bank says yes five seconds later.</p></form></section>
<section aria-labelledby="card"><h2 id="card">Card</h2>
<form method="post" action="/v1/checkout/pay">{hidden}<input type="hidden" name="method" value="card">
<label>Card number<input name="card_number" inputmode="numeric" autocomplete="off" required maxlength="23" value="4100 2800 0000 1007"></label>
<div class="pair"><label>Expiry<input name="expiry" autocomplete="off" value="12/30" maxlength="7"></label>
<label>CVV<input name="cvv" inputmode="numeric" autocomplete="off" value="123" maxlength="4"></label></div>
<label>One-time password (4 to 10 digits pass)<input name="otp" inputmode="numeric" autocomplete="off" value="1234" maxlength="10"></label>
<button class="go">Pay {sum} by card</button></form>
<details><summary>Test cards</summary><table><thead><tr><th scope="col">Number</th><th scope="col">What happens</th></tr></thead><tbody>{cards}</tbody></table></details>
</section></main></body></html>"#,
        name = escaped(&checkout.name),
        sum = rupees(order.amount),
        order = escaped(&order.id),
        link = escaped(&link),
    )
}

fn pending_page(checkout: &Checkout, payment: &Payment) -> String {
    let back = match checkout.cancel_url.as_str() {
        "" => String::new(),
        url => {
            format!("<p><a href=\"{}\">Back to the shop without an answer</a></p>", escaped(url))
        }
    };
    format!(
        r#"{HEAD}<p class="note">Simulated Razorpay: no money moves.</p>
<header><h1>Waiting for the bank</h1><p class="sum">{sum}</p><p class="id">{id}</p></header>
<section><p role="status">The bank has not answered. Without an answer the payment fails after ten minutes.</p>
<form method="post" action="/v1/checkout/resolve">{hidden}{payment}
<button class="go" name="outcome" value="success">The bank says yes</button>
<button name="outcome" value="fail:bank_technical_error">The bank says no</button></form>{back}</section></main></body></html>"#,
        sum = rupees(payment.amount),
        id = escaped(&payment.id),
        hidden = checkout.hidden(),
        payment = hidden("payment_id", &payment.id),
    )
}

/// Sends the browser back to the shop with the result, by itself where scripts run.
fn back_page(world: &World, checkout: &Checkout, payment: &Payment) -> String {
    let fields = callback(world, payment);
    let paid = payment.status != PaymentStatus::Failed;
    let head = if paid { "Payment done" } else { "Payment failed" };
    let why = payment.failure.map_or("", |f| f.description);
    if checkout.callback_url.is_empty() {
        let rows: String = fields
            .iter()
            .map(|(n, v)| format!("<tr><td>{}</td><td><code>{}</code></td></tr>", n, escaped(v)))
            .collect();
        return format!(
            "{HEAD}<header><h1>{head}</h1><p>{why}</p></header><section><table><tbody>{rows}</tbody></table></section></main></body></html>"
        );
    }
    let inputs: String = fields.iter().map(|(n, v)| hidden(n, v)).collect();
    format!(
        r#"{HEAD}<header><h1>{head}</h1><p>{why}</p></header><section>
<form id="back" method="post" action="{url}">{inputs}<button class="go">Back to the shop</button></form></section></main>
<script nonce="NONCE">document.getElementById("back").submit()</script></body></html>"#,
        url = escaped(&checkout.callback_url),
    )
}

fn error_page(error: &ApiError) -> Response {
    let page = format!(
        "{HEAD}<header><h1>This payment cannot be made</h1><p role=\"alert\">{}</p><p class=\"id\">{}</p></header></main></body></html>",
        escaped(&error.description),
        escaped(error.reason),
    );
    guarded(serve::html(error.status, page), "")
}

fn page(world: &World, text: &str) -> Response {
    let nonce = world.ids.razorpay("n");
    let html = text.replace("nonce=\"NONCE\"", &format!("nonce=\"{nonce}\""));
    guarded(serve::html(StatusCode::OK, html), &nonce)
}

fn guarded(mut response: Response, nonce: &str) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; script-src 'nonce-{nonce}'"
    );
    if let Ok(value) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::{encoded, rupees};

    #[test]
    fn money_reads_the_indian_way() {
        assert_eq!(rupees(5), "₹0.05");
        assert_eq!(rupees(99_900), "₹999.00");
        assert_eq!(rupees(12_345_650), "₹1,23,456.50");
        assert_eq!(rupees(1_234_567_800), "₹1,23,45,678.00");
    }

    #[test]
    fn links_encode_spaces_and_hindi() {
        assert_eq!(encoded("a b@c"), "a%20b@c");
        assert_eq!(encoded("मे"), "%E0%A4%AE%E0%A5%87");
    }
}
