use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::{OrderId, PaymentId};
use mela_base::{Env, Internal, MINUTE_MS, Op, Paise};
use mela_crypto::sha256;
use mela_db::{Db, DbError, Tx};
use mela_payments_api::{
    Callback, Method, NewPayment, NewRefund, NextStep, Payment, PaymentError, PaymentState,
    Payments, WebhookAck,
};
use mela_wallet_api::Wallet;

use crate::config::PaymentsConfig;
use crate::gateway::{GatewayError, PaymentFact, RefundState, Status};
use crate::jobs;
use crate::razorpay::client::Razorpay;
use crate::razorpay::{self, hook, is_id, reason, signature};
use crate::settle::Settler;
use crate::store::{self, NewRefundRow, PaymentRow, RefundRow};
use crate::{rules, settle::Outcome};

/// The largest webhook that is looked at.
const MAX_WEBHOOK: usize = 256 << 10;
/// How soon the first look at the gateway comes, if nothing is heard.
const FIRST_CHECK_MS: i64 = MINUTE_MS;

/// What the service works with.
#[derive(Clone)]
pub struct PaymentsDeps {
    /// The database.
    pub db: Db,
    /// Clock and randomness.
    pub env: Env,
    /// Books the money.
    pub wallet: Arc<dyn Wallet>,
}

/// The payments service; cheap to clone.
#[derive(Clone)]
pub struct PaymentsService {
    pub(crate) db: Db,
    pub(crate) env: Env,
    pub(crate) settler: Settler,
    pub(crate) razorpay: Option<Arc<Razorpay>>,
    public_url: String,
    shop_name: String,
}

impl PaymentsService {
    /// Makes the service. Nothing is called yet.
    pub fn new(deps: PaymentsDeps, config: PaymentsConfig) -> Result<Self, Internal> {
        let razorpay = config.razorpay.map(Razorpay::new).transpose()?.map(Arc::new);
        Ok(Self {
            settler: Settler { env: deps.env.clone(), wallet: deps.wallet },
            db: deps.db,
            env: deps.env,
            razorpay,
            public_url: config.public_url.trim_end_matches('/').to_owned(),
            shop_name: config.shop_name,
        })
    }

    fn gateway(&self, name: &str) -> Result<&Arc<Razorpay>, PaymentError> {
        self.razorpay
            .as_ref()
            .filter(|_| name == razorpay::NAME)
            .ok_or(PaymentError::MethodUnavailable)
    }

    async fn by_id(&self, id: PaymentId) -> Result<PaymentRow, PaymentError> {
        let row = self.db.read("payments.by_id", move |q| store::by_id(q, id)).await?;
        row.ok_or(PaymentError::PaymentNotFound)
    }

    async fn by_gateway_order(&self, order: &str) -> Result<PaymentRow, PaymentError> {
        let order = order.to_owned();
        let read = move |q: &mut mela_db::Query<'_>| store::by_gateway_order(q, &order);
        let row = self.db.read("payments.by_gateway_order", read).await?;
        row.ok_or(PaymentError::PaymentNotFound)
    }

    /// Applies facts about payments in one transaction.
    pub(crate) async fn settle(
        &self,
        facts: Vec<PaymentFact>,
    ) -> Result<Vec<Outcome>, PaymentError> {
        let settler = self.settler.clone();
        self.db
            .write("payments.settle", move |tx| {
                facts.iter().map(|fact| settler.payment_in(tx, fact)).collect()
            })
            .await
    }

    /// Look at this payment as soon as the recovery runs.
    async fn check_soon(&self, id: PaymentId) -> Result<(), PaymentError> {
        let now = self.env.now();
        let write = move |tx: &mut Tx<'_>| store::check_at(tx, id, Some(now));
        Ok(self.db.write("payments.check_soon", write).await?)
    }

    fn hosted_page(&self, gateway: &Razorpay, p: &PaymentRow, order: &str) -> NextStep {
        let field = |name: &str, value: String| (name.to_owned(), value);
        let base = gateway.config.base_url.trim_end_matches('/');
        NextStep::HostedPage {
            url: format!("{base}/v1/checkout/embedded"),
            fields: vec![
                field("key_id", gateway.config.key_id.clone()),
                field("order_id", order.to_owned()),
                field("amount", p.amount.0.to_string()),
                field("currency", "INR".to_owned()),
                field("name", self.shop_name.clone()),
                field("description", format!("Order {}", p.order_number)),
                field("callback_url", format!("{}/payments/razorpay/callback", self.public_url)),
                field(
                    "cancel_url",
                    format!("{}/payments/razorpay/cancel?order={}", self.public_url, p.order_id),
                ),
            ],
        }
    }

    /// The redirect after a success: signed, but only a hint all the same.
    async fn success(
        &self,
        gateway: &Razorpay,
        fields: &[(String, String)],
    ) -> Result<Callback, PaymentError> {
        let payment = field(fields, "razorpay_payment_id").unwrap_or_default();
        let order = field(fields, "razorpay_order_id")
            .ok_or(PaymentError::Malformed("razorpay_order_id is missing"))?;
        let given = field(fields, "razorpay_signature")
            .ok_or(PaymentError::Malformed("razorpay_signature is missing"))?;
        if !is_id(order, "order_") || !is_id(payment, "pay_") {
            return Err(PaymentError::Malformed("razorpay_order_id or razorpay_payment_id"));
        }
        let p = self.by_gateway_order(order).await?;
        let stored = p.gateway_order_id.as_deref().unwrap_or_default();
        if !signature::checkout(&gateway.config.key_secret, stored, payment, given) {
            tracing::warn!(payment = %p.id, "a redirect with a wrong signature was refused");
            return Err(PaymentError::BadSignature);
        }
        match self.look_at(gateway, &p, payment).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(payment = %p.id, %error, "cannot confirm a payment now; the recovery will");
                self.check_soon(p.id).await?;
            }
        }
        self.callback_of(p.id).await
    }

    /// Reads one payment at the gateway, captures it if the bank agreed, and settles it.
    async fn look_at(
        &self,
        gateway: &Razorpay,
        p: &PaymentRow,
        gateway_payment: &str,
    ) -> Result<(), LookError> {
        let mut fact = gateway.payment(gateway_payment).await?;
        if Some(fact.gateway_order_id.as_str()) != p.gateway_order_id.as_deref() {
            return Err(GatewayError::Unknown("the payment is of another order").into());
        }
        if wants_capture(p, &fact) {
            fact = gateway.capture(gateway_payment, p.amount).await?;
        }
        self.settle(vec![fact]).await?;
        Ok(())
    }

    /// The redirect after a failure is not signed: the gateway's own list decides. Only if
    /// nothing there is under way, the browser's word is shown.
    async fn failure(
        &self,
        gateway: &Razorpay,
        fields: &[(String, String)],
    ) -> Result<Callback, PaymentError> {
        let order = field(fields, "error[metadata]")
            .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
            .and_then(|m| m.get("order_id")?.as_str().map(str::to_owned))
            .or_else(|| field(fields, "razorpay_order_id").map(str::to_owned))
            .filter(|id| is_id(id, "order_"))
            .ok_or(PaymentError::Malformed("error[metadata] does not name the order"))?;
        let said = field(fields, "error[reason]").unwrap_or_default().to_owned();
        let p = self.by_gateway_order(&order).await?;
        let facts = match self.facts_of(gateway, &p).await {
            Ok(facts) => facts,
            Err(error) => {
                tracing::warn!(payment = %p.id, %error, "cannot look at a failed payment now");
                self.check_soon(p.id).await?;
                return self.callback_of(p.id).await;
            }
        };
        let alive = facts.iter().any(|f| !matches!(f.status, Status::Failed | Status::Open));
        self.settle(facts).await?;
        if !alive {
            let settler = self.settler.clone();
            let id = p.id;
            self.db
                .write("payments.fail", move |tx| {
                    let Some(p) = store::by_id(tx, id)? else { return Ok(()) };
                    if rules::may_move(p.state, PaymentState::Failed)
                        && store::fail(tx, &p, reason::sentence(&said), settler.env.now())?
                    {
                        settler.failed_in(tx, &p)?;
                    }
                    Ok::<_, PaymentError>(())
                })
                .await?;
        }
        self.callback_of(p.id).await
    }

    async fn callback_of(&self, id: PaymentId) -> Result<Callback, PaymentError> {
        let p = self.by_id(id).await?;
        Ok(Callback { order_id: p.order_id, paid: p.state == PaymentState::Captured && p.kept })
    }

    /// What the gateway has for a payment of ours, captured where the bank agreed.
    pub(crate) async fn facts_of(
        &self,
        gateway: &Razorpay,
        p: &PaymentRow,
    ) -> Result<Vec<PaymentFact>, GatewayError> {
        let Some(order) = &p.gateway_order_id else { return Ok(Vec::new()) };
        let mut facts = gateway.payments(order).await?;
        // Of several only one: the others lapse by themselves, which is faster than a refund.
        let mut arrived = facts.iter().any(|f| f.status == Status::Captured);
        for fact in &mut facts {
            if !arrived && wants_capture(p, fact) {
                *fact = gateway.capture(&fact.id, p.amount).await?;
                arrived = fact.status == Status::Captured;
            }
        }
        // What is decided first is kept: a captured one before one that went back.
        facts.sort_by_key(|f| f.status != Status::Captured);
        Ok(facts)
    }

    /// Sends a refund that is written down, or looks how it stands.
    pub(crate) async fn pursue_refund(&self, row: &RefundRow) -> Result<(), PaymentError> {
        let gateway = self.gateway(razorpay::NAME)?;
        let answer = match (row.state, &row.gateway_refund_id) {
            (RefundState::Created, _) => {
                gateway.refund(&row.gateway_payment_id, row.id, row.amount).await
            }
            (RefundState::Pending, Some(id)) => gateway.refund_by_id(id).await,
            _ => return Ok(()),
        };
        let (settler, id) = (self.settler.clone(), row.id);
        let next = rules::next_refund_check(self.env.now(), row.created_at);
        let refused = match &answer {
            Err(GatewayError::Refused { description, .. }) => Some(description.clone()),
            _ => None,
        };
        self.db
            .write("payments.refund_settle", move |tx| {
                let Some(row) = store::refund_by_id(tx, id)? else { return Ok(()) };
                match &answer {
                    Ok(fact) => {
                        let known = store::refund_by_gateway(tx, &fact.id)?;
                        let to = if known.is_some_and(|other| other.id != row.id) {
                            // Made by hand and counted before ours could be sent.
                            RefundState::Failed
                        } else {
                            fact.state
                        };
                        let gateway_id = (to != RefundState::Failed).then_some(fact.id.as_str());
                        if rules::refund_may_move(row.state, to) {
                            settler.move_refund_in(tx, &row, to, gateway_id, None)?;
                        }
                    }
                    Err(GatewayError::Refused { description, .. }) => {
                        if row.state == RefundState::Created {
                            let failure = Some(description.as_str());
                            settler.move_refund_in(tx, &row, RefundState::Failed, None, failure)?;
                        }
                    }
                    Err(GatewayError::Unknown(why)) => {
                        tracing::warn!(refund = %id, why, "a refund is not confirmed yet");
                    }
                }
                Ok::<_, PaymentError>(store::refund_check_at(tx, id, next)?)
            })
            .await?;
        match refused {
            Some(description) => Err(PaymentError::GatewayRefused(description)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Payments for PaymentsService {
    fn begin_in(&self, tx: &mut Tx<'_>, payment: &NewPayment) -> Result<(), PaymentError> {
        let coins = payment.method == Method::Coins;
        if payment.amount < Paise::ZERO || coins != (payment.amount == Paise::ZERO) {
            return Err(Internal::new("only coins leave nothing to pay").into());
        }
        let state = rules::first_state(payment.method);
        Ok(store::insert(tx, payment, state, self.env.now())?)
    }

    fn cancel_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), PaymentError> {
        Ok(store::cancel(tx, order, self.env.now())?)
    }

    fn collected_in(&self, tx: &mut Tx<'_>, order: OrderId) -> Result<(), PaymentError> {
        Ok(store::collect(tx, order, self.env.now())?)
    }

    async fn start(&self, op: &Op, payment: PaymentId) -> Result<NextStep, PaymentError> {
        let p = self.by_id(payment).await?;
        match (p.method, p.state) {
            (Method::CashOnDelivery | Method::Coins, _) => return Ok(NextStep::None),
            (_, PaymentState::Authorized | PaymentState::Captured) => return Ok(NextStep::None),
            (_, PaymentState::Created | PaymentState::Pending | PaymentState::Failed) => {}
            _ => return Err(PaymentError::WrongState),
        }
        let gateway = self.gateway(razorpay::NAME)?;
        let order = match &p.gateway_order_id {
            Some(order) => order.clone(),
            None => gateway.order(p.id, p.order_id, p.amount).await.map_err(|error| {
                tracing::warn!(request = %op.request_id, payment = %p.id, %error,
                    "the gateway did not take an order");
                error
            })?,
        };
        let now = self.env.now();
        let stored = order.clone();
        let known = self
            .db
            .write("payments.start", move |tx| {
                let check_at = now.plus_ms(FIRST_CHECK_MS);
                store::known_to_gateway(tx, payment, &stored, now, check_at)
            })
            .await?;
        if known {
            return Ok(self.hosted_page(gateway, &p, &order));
        }
        // It moved in the meantime.
        match self.by_id(payment).await?.state {
            PaymentState::Authorized | PaymentState::Captured => Ok(NextStep::None),
            _ => Err(PaymentError::WrongState),
        }
    }

    async fn callback(
        &self,
        _op: &Op,
        gateway: &str,
        fields: &[(String, String)],
    ) -> Result<Callback, PaymentError> {
        let gateway = self.gateway(gateway)?;
        if fields.len() > 64 || fields.iter().any(|(n, v)| n.len() > 256 || v.len() > 4096) {
            return Err(PaymentError::Malformed("too many or too long fields"));
        }
        if field(fields, "razorpay_payment_id").is_some() {
            self.success(gateway, fields).await
        } else if fields.iter().any(|(name, _)| name.starts_with("error[")) {
            self.failure(gateway, fields).await
        } else {
            Err(PaymentError::Malformed("neither a payment nor an error"))
        }
    }

    async fn webhook(
        &self,
        op: &Op,
        gateway: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<WebhookAck, PaymentError> {
        let config = &self.gateway(gateway)?.config;
        if body.len() > MAX_WEBHOOK {
            return Err(PaymentError::Malformed("larger than 256 KiB"));
        }
        let given = field(headers, "x-razorpay-signature").unwrap_or_default();
        let secrets = [&config.webhook_secret, &config.webhook_secret_previous];
        if !signature::webhook(&secrets, body, given) {
            tracing::warn!(request = %op.request_id, "a webhook with a wrong signature was refused");
            return Err(PaymentError::BadSignature);
        }
        let facts = hook::read(body).map_err(PaymentError::Malformed)?;
        let event_id = field(headers, "x-razorpay-event-id")
            .filter(|id| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or(PaymentError::Malformed("x-razorpay-event-id"))?
            .to_owned();
        let (hash, env) = (sha256(body), self.env.clone());
        let new = self
            .db
            .write("payments.webhook", move |tx| {
                let now = env.now();
                let new = store::insert_hook(tx, razorpay::NAME, &event_id, &facts, hash, now)?;
                if new && (facts.payment.is_some() || facts.refund.is_some()) {
                    jobs::enqueue_hook(tx, &env, &event_id)?;
                } else if new {
                    store::hook_done(tx, razorpay::NAME, &event_id, "ignored", now)?;
                }
                Ok::<_, DbError>(new)
            })
            .await?;
        Ok(if new { WebhookAck::Accepted } else { WebhookAck::Duplicate })
    }

    async fn of_orders(&self, orders: &[OrderId]) -> Result<Vec<Payment>, PaymentError> {
        let orders = orders.to_vec();
        let read = move |q: &mut mela_db::Query<'_>| store::of_orders(q, &orders);
        let mut rows = self.db.read("payments.of_orders", read).await?;
        rows.sort_by_key(|p| std::cmp::Reverse((p.created_at, p.id)));
        rows.dedup_by_key(|p| p.id);
        Ok(rows.into_iter().map(Payment::from).collect())
    }

    async fn refund(&self, op: &Op, refund: NewRefund) -> Result<(), PaymentError> {
        if refund.amount <= Paise::ZERO {
            return Err(PaymentError::RefundTooLarge);
        }
        let env = self.env.clone();
        let asked = refund.clone();
        let row = self.db.write("payments.refund", move |tx| refund_in(tx, &asked, &env)).await?;
        tracing::info!(request = %op.request_id, refund = %row.id, payment = %row.payment_id,
            "refund written down");
        if row.state == RefundState::Created { self.pursue_refund(&row).await } else { Ok(()) }
    }
}

/// Writes a refund down and sets its money aside; the one that is there if it was asked before.
fn refund_in(tx: &mut Tx<'_>, asked: &NewRefund, env: &Env) -> Result<RefundRow, PaymentError> {
    let now = env.now();
    let same = |row: RefundRow| {
        let same = row.payment_id == asked.payment_id && row.amount == asked.amount;
        if same { Ok(row) } else { Err(PaymentError::RefundDiffers) }
    };
    if let Some(row) = store::refund_by_id(tx, asked.id)? {
        return same(row);
    }
    let Some(gateway_payment) = store::reserve_refund(tx, asked.payment_id, asked.amount, now)?
    else {
        let p = store::by_id(tx, asked.payment_id)?.ok_or(PaymentError::PaymentNotFound)?;
        let refundable = p.method == Method::Razorpay && p.captured > Paise::ZERO;
        return Err(if refundable {
            PaymentError::RefundTooLarge
        } else {
            PaymentError::WrongState
        });
    };
    let row = NewRefundRow {
        id: asked.id,
        payment_id: asked.payment_id,
        gateway_payment_id: &gateway_payment,
        amount: asked.amount,
        surplus: false,
        state: RefundState::Created,
        reason: &asked.reason,
        gateway_refund_id: None,
        // The recovery takes over if the call right after this is lost.
        next_check_at: Some(now.plus_ms(MINUTE_MS)),
    };
    if !store::insert_refund(tx, &row, now)? {
        // Asked twice at the same moment; what was set aside here is undone with the transaction.
        return Err(Internal::new("the same refund is being written by another call").into());
    }
    let row = store::refund_by_id(tx, asked.id)?;
    row.ok_or_else(|| Internal::new("a refund that was just written is gone").into())
}

/// Whether an authorised payment is to be captured: it pays what we asked for, and we still ask.
fn wants_capture(p: &PaymentRow, fact: &PaymentFact) -> bool {
    fact.status == Status::Authorized
        && fact.amount == p.amount.0
        && fact.currency == "INR"
        && p.captured == Paise::ZERO
        && rules::may_move(p.state, PaymentState::Captured)
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// Why a look at the gateway led to nothing.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("{0:?}")]
    Payment(#[from] PaymentError),
}
