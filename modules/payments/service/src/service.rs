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
use crate::gateway::{PaymentFact, RefundState};
use crate::razorpay::client::Razorpay;
use crate::razorpay::{self, hook, signature};
use crate::settle::Outcome;
use crate::settle::Settler;
use crate::store::{self, PaymentRow};
use crate::{jobs, refund, rules};

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

    pub(crate) fn gateway(&self, name: &str) -> Result<&Arc<Razorpay>, PaymentError> {
        self.razorpay
            .as_ref()
            .filter(|_| name == razorpay::NAME)
            .ok_or(PaymentError::MethodUnavailable)
    }

    pub(crate) async fn by_id(&self, id: PaymentId) -> Result<PaymentRow, PaymentError> {
        let row = self.db.read("payments.by_id", move |q| store::by_id(q, id)).await?;
        row.ok_or(PaymentError::PaymentNotFound)
    }

    pub(crate) async fn by_gateway_order(&self, order: &str) -> Result<PaymentRow, PaymentError> {
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
    pub(crate) async fn check_soon(&self, id: PaymentId) -> Result<(), PaymentError> {
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

    async fn refund(&self, op: &Op, asked: NewRefund) -> Result<(), PaymentError> {
        if asked.amount <= Paise::ZERO {
            return Err(PaymentError::RefundTooLarge);
        }
        let env = self.env.clone();
        let row =
            self.db.write("payments.refund", move |tx| refund::refund_in(tx, &asked, &env)).await?;
        tracing::info!(request = %op.request_id, refund = %row.id, payment = %row.payment_id,
            "refund written down");
        if row.state == RefundState::Created { self.pursue_refund(&row).await } else { Ok(()) }
    }
}

/// The value of the first field of this name.
pub(crate) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}
