//! `/_sim`: what only a simulator can do. Answers are JSON; a wrong request is 400 with a text that
//! says what would be right.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::{SmsTemplate, check_hook_url};
use crate::faults::Fault;
use crate::hooks::{Policy, Provider};
use crate::razorpay::error::FAILURES;
use crate::razorpay::http::paid_json;
use crate::razorpay::{PayRefused, PayRequest, Scenario};
use crate::serve::{self, MAX_BODY};
use crate::shipway::StepRefused;
use crate::world::World;

type Sims = State<Arc<World>>;

pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/", get(crate::ui::page))
        .route("/ui", get(crate::ui::page))
        .route("/feed", get(feed))
        .route("/ledger", get(get_ledger))
        .route("/clock", get(get_clock).post(set_clock))
        .route("/faults", get(get_faults).post(add_fault).delete(clear_faults))
        .route("/scenario", post(set_scenario).delete(clear_scenario))
        .route("/razorpay/pay", post(pay))
        .route("/razorpay/scan", post(scan))
        .route("/razorpay/resolve", post(resolve))
        .route("/razorpay/reasons", get(reasons))
        .route("/webhooks", get(get_webhooks).post(set_webhook))
        .route("/webhooks/policy", post(set_policy))
        .route("/webhooks/replay", post(replay))
        .route("/shipway/advance", post(advance))
        .route("/shipway/auto", post(auto))
        .route("/shipway/unserviceable", post(unserviceable))
        .route("/sms", get(get_sms).delete(clear_sms))
        .route("/sms/templates", get(get_templates).post(add_templates))
        .route("/sms/dnd", post(do_not_disturb))
        .route("/mail", get(get_mails).delete(clear_mails))
        .route("/mail/{id}", get(get_mail))
        .route("/mail/{id}/raw", get(get_raw_mail))
        .route("/mail/{id}/html", get(get_mail_html))
        .route("/mail/{id}/attachments/{index}", get(get_attachment))
        .route("/{*rest}", delete(no_such).get(no_such).post(no_such))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// A refused control call.
struct Wrong(StatusCode, Value);

impl Wrong {
    fn new(message: impl Into<String>) -> Self {
        Self(
            StatusCode::BAD_REQUEST,
            json!({ "error": { "code": "BAD_CONTROL_REQUEST", "message": message.into() } }),
        )
    }

    fn unknown(what: &str) -> Self {
        let message = format!("there is no such {what}");
        Self(StatusCode::NOT_FOUND, json!({ "error": { "code": "NOT_FOUND", "message": message } }))
    }
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<PayRefused> for Wrong {
    fn from(refused: PayRefused) -> Self {
        match refused {
            PayRefused::Control(message) => Self::new(message),
            // In Razorpay's own words: that is what a customer would meet.
            PayRefused::Api(error) => Self(error.status, error.body()),
        }
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        serve::json(self.0, &self.1)
    }
}

type Answer = Result<Response, Wrong>;

fn ok(body: Value) -> Answer {
    Ok(serve::json(StatusCode::OK, &body))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Wrong> {
    serde_json::from_slice(body).map_err(|error| Wrong::new(error.to_string()))
}

async fn no_such() -> Wrong {
    Wrong::unknown("control call")
}

#[derive(Deserialize)]
struct ListQuery {
    to: Option<String>,
    limit: Option<usize>,
    rows: Option<u8>,
}

impl ListQuery {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(100).min(5_000)
    }

    /// A plus sign that was not encoded arrives as a space.
    fn to(&self) -> Option<String> {
        self.to.as_ref().map(|to| to.replace(' ', "+"))
    }
}

async fn feed(State(world): Sims) -> Answer {
    ok(crate::ui::feed(&world))
}

async fn get_ledger(State(world): Sims, Query(query): Query<ListQuery>) -> Answer {
    ok(crate::ledger::ledger(&world, query.rows != Some(0)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockRequest {
    advance_ms: u32,
}

async fn get_clock(State(world): Sims) -> Answer {
    ok(json!({ "now_ms": world.clock.now_ms(), "ahead_ms": world.clock.ahead_ms() }))
}

async fn set_clock(state: Sims, body: Bytes) -> Answer {
    let request: ClockRequest = read(&body)?;
    state.clock.advance(request.advance_ms);
    state.agenda.look_again();
    get_clock(state).await
}

async fn get_faults(State(world): Sims) -> Answer {
    ok(json!({ "faults": world.faults.list(), "fired": world.faults.fired() }))
}

async fn add_fault(state: Sims, body: Bytes) -> Answer {
    let fault: Fault = read(&body)?;
    state.faults.add(fault)?;
    get_faults(state).await
}

/// Also ends scenario and webhook policies: afterwards everything goes well again.
async fn clear_faults(state: Sims) -> Answer {
    state.faults.clear();
    *state.razorpay.scenario.lock() = Scenario::default();
    for provider in [Provider::Razorpay, Provider::Shipway] {
        state.hooks.endpoint(provider).lock().policy = Policy::default();
    }
    get_faults(state).await
}

async fn set_scenario(State(world): Sims, body: Bytes) -> Answer {
    let scenario: Scenario = read(&body)?;
    scenario.check()?;
    *world.razorpay.scenario.lock() = scenario;
    ok(json!({ "ok": true }))
}

async fn clear_scenario(State(world): Sims) -> Answer {
    *world.razorpay.scenario.lock() = Scenario::default();
    ok(json!({ "ok": true }))
}

async fn pay(State(world): Sims, body: Bytes) -> Answer {
    let request: PayRequest = read(&body)?;
    let payment = world.razorpay.pay(&world, request)?;
    ok(paid_json(&world, &payment))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveRequest {
    payment_id: String,
    outcome: String,
}

async fn resolve(State(world): Sims, body: Bytes) -> Answer {
    let request: ResolveRequest = read(&body)?;
    let payment = world.razorpay.resolve(&world, &request.payment_id, &request.outcome)?;
    ok(paid_json(&world, &payment))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScanRequest {
    qr_id: String,
    amount: Option<i64>,
    vpa: Option<String>,
}

async fn scan(State(world): Sims, body: Bytes) -> Answer {
    let request: ScanRequest = read(&body)?;
    if request.vpa.as_ref().is_some_and(|v| v.len() > 255) {
        return Err(Wrong::new("vpa must have at most 255 characters"));
    }
    let payment = world.razorpay.move_books(&world, |book, ctx, fx| {
        let id = book.scan(ctx, &request.qr_id, request.amount, request.vpa, fx)?;
        book.payment(&id).cloned()
    });
    ok(json!({ "payment": payment.map_err(PayRefused::Api)?.json() }))
}

async fn reasons() -> Answer {
    let row = |f: &crate::razorpay::error::Failure| json!({ "reason": f.reason, "code": f.code, "source": f.source, "step": f.step, "description": f.description });
    ok(json!({ "reasons": FAILURES.iter().map(row).collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookRequest {
    provider: Provider,
    /// `null` stops the webhooks; absent leaves the address as it is.
    #[serde(default, with = "present")]
    url: Option<Option<String>>,
    secret: Option<String>,
}

/// Tells `null` from absent.
mod present {
    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<String>>, D::Error> {
        Option::deserialize(from).map(Some)
    }
}

async fn get_webhooks(State(world): Sims, Query(query): Query<ListQuery>) -> Answer {
    let endpoint = |provider| {
        let endpoint = world.hooks.endpoint(provider).lock();
        json!({ "url": endpoint.url, "disabled": endpoint.disabled, "policy": endpoint.policy })
    };
    let (under_way, overflowed) = world.hooks.counts();
    let (waiting, dropped) = world.agenda.counts();
    ok(json!({
        "razorpay": endpoint(Provider::Razorpay),
        "shipway": endpoint(Provider::Shipway),
        "under_way": under_way,
        "waiting": waiting,
        "lost_to_overflow": overflowed + dropped,
        "log": world.hooks.log_json(query.limit()),
    }))
}

async fn set_webhook(State(world): Sims, body: Bytes) -> Answer {
    let request: WebhookRequest = read(&body)?;
    if let Some(Some(url)) = &request.url {
        check_hook_url(url)?;
    }
    let mut endpoint = world.hooks.endpoint(request.provider).lock();
    if let Some(url) = request.url {
        endpoint.url = url;
        endpoint.disabled = false;
    }
    if let Some(secret) = request.secret {
        let old = std::mem::replace(&mut endpoint.secret, secret);
        endpoint.old_secret = Some(old);
    }
    ok(json!({ "ok": true }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyRequest {
    provider: Provider,
    policy: Policy,
}

async fn set_policy(State(world): Sims, body: Bytes) -> Answer {
    let request: PolicyRequest = read(&body)?;
    request.policy.check()?;
    world.hooks.endpoint(request.provider).lock().policy = request.policy;
    ok(json!({ "ok": true }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayRequest {
    event_id: String,
}

async fn replay(State(world): Sims, body: Bytes) -> Answer {
    let request: ReplayRequest = read(&body)?;
    if world.hooks.replay(&world, &request.event_id) {
        return ok(json!({ "ok": true }));
    }
    Err(Wrong::unknown("event among the last 500 deliveries"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceRequest {
    order_id: Option<String>,
    /// More than one makes one batch.
    #[serde(default)]
    order_ids: Vec<String>,
    /// Absent: the next step of the good way.
    status: Option<String>,
}

async fn advance(State(world): Sims, body: Bytes) -> Answer {
    let request: AdvanceRequest = read(&body)?;
    let ids: Vec<String> = request.order_id.into_iter().chain(request.order_ids).collect();
    if ids.is_empty() || ids.len() > 1_000 {
        return Err(Wrong::new("name order_id, or 1 to 1000 order_ids"));
    }
    if request.status.as_deref().is_some_and(|s| !crate::shipway::is_code(s)) {
        return Err(Wrong::new("status must be a code such as SCH, PKP, INT, OOD, DEL, UND, RTO"));
    }
    match world.shipway.advance(&world, &ids, request.status.as_deref()) {
        Ok(feed) => ok(json!({ "status_feed": feed })),
        Err(StepRefused::Unknown) => Err(Wrong::unknown("parcel; nothing was changed")),
        Err(StepRefused::Finished(status)) => {
            Err(Wrong::new(format!("a parcel has ended with {status}; nothing was changed")))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoRequest {
    /// Milliseconds between the steps of parcels pushed from now on; `null` stops it.
    step_ms: Option<u64>,
}

async fn auto(State(world): Sims, body: Bytes) -> Answer {
    let request: AutoRequest = read(&body)?;
    if request.step_ms.is_some_and(|ms| ms == 0 || ms > 86_400_000) {
        return Err(Wrong::new("step_ms must be between 1 and 86400000"));
    }
    world.shipway.parcels.lock().auto_step_ms = request.step_ms;
    ok(json!({ "ok": true }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PincodesRequest {
    pincodes: Vec<String>,
}

async fn unserviceable(State(world): Sims, body: Bytes) -> Answer {
    let request: PincodesRequest = read(&body)?;
    if request.pincodes.len() > 10_000 {
        return Err(Wrong::new("at most 10000 pincodes"));
    }
    world.shipway.parcels.lock().unserviceable = request.pincodes;
    ok(json!({ "ok": true }))
}

async fn get_sms(State(world): Sims, Query(query): Query<ListQuery>) -> Answer {
    let sms = world.sms.lock();
    ok(json!({ "sent": sms.sent(), "messages": sms.list(query.to().as_deref(), query.limit()) }))
}

async fn clear_sms(State(world): Sims) -> Answer {
    world.sms.lock().clear();
    ok(json!({ "ok": true }))
}

async fn get_templates(State(world): Sims) -> Answer {
    ok(json!({ "templates": world.sms.lock().templates }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplatesRequest {
    templates: Vec<SmsTemplate>,
}

async fn add_templates(State(world): Sims, body: Bytes) -> Answer {
    let request: TemplatesRequest = read(&body)?;
    let count = world.sms.lock().register(request.templates)?;
    ok(json!({ "ok": true, "registered": count }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DndRequest {
    to: String,
}

async fn do_not_disturb(State(world): Sims, body: Bytes) -> Answer {
    let request: DndRequest = read(&body)?;
    world.sms.lock().disturb_not(&request.to)?;
    ok(json!({ "ok": true }))
}

async fn get_mails(State(world): Sims, Query(query): Query<ListQuery>) -> Answer {
    let mail = world.mail.lock();
    let to = query.to.as_deref();
    ok(json!({ "arrived": mail.arrived(), "mails": mail.list(to, query.limit().min(500)) }))
}

async fn clear_mails(State(world): Sims) -> Answer {
    world.mail.lock().clear();
    ok(json!({ "ok": true }))
}

async fn get_mail(State(world): Sims, Path(id): Path<u64>) -> Answer {
    let json = world.mail.lock().get(id).map(crate::mail::mailbox::Mail::json);
    ok(json.ok_or_else(|| Wrong::unknown("mail"))?)
}

async fn get_raw_mail(State(world): Sims, Path(id): Path<u64>) -> Answer {
    let raw = world.mail.lock().get(id).map(|m| m.raw.clone());
    let raw = raw.ok_or_else(|| Wrong::unknown("mail"))?;
    Ok(serve::reply(StatusCode::OK, "text/plain; charset=utf-8", raw))
}

/// Without scripts, without loading anything from elsewhere.
async fn get_mail_html(State(world): Sims, Path(id): Path<u64>) -> Answer {
    let html = world.mail.lock().get(id).and_then(|m| m.html());
    let html = html.ok_or_else(|| Wrong::unknown("mail with an HTML part"))?;
    let mut response = serve::html(StatusCode::OK, html);
    let policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    let policy = HeaderValue::from_static(policy);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

async fn get_attachment(State(world): Sims, Path((id, index)): Path<(u64, usize)>) -> Answer {
    let file = world.mail.lock().get(id).and_then(|m| m.attachment(index));
    let file = file.ok_or_else(|| Wrong::unknown("attachment"))?;
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = file.name.chars().take(100).map(plain).collect();
    let mut response = Response::new(Body::from(file.bytes));
    let headers = response.headers_mut();
    // Always as a file to keep, so that nothing in a mail runs in this origin.
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    let content_type = HeaderValue::from_str(&file.content_type);
    headers.insert(
        header::CONTENT_DISPOSITION,
        disposition.unwrap_or(HeaderValue::from_static("attachment")),
    );
    headers.insert(
        header::CONTENT_TYPE,
        content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
