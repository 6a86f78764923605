//! What is done after an order moved, and the sweeps.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::{OrderId, PaymentId, RefundId};
use mela_base::{DAY_MS, ErrorKind, Fault, Id, Internal, Op, Paise, Phone, Timestamp};
use mela_jobs::{Job, JobError, JobHandler, Jobs, NewJob};
use mela_notify_api::{NotifyError, SmsTemplate};
use mela_orders_api::{OrderError, OrderState};
use mela_payments_api::{Method, NewRefund, PaymentCaptured, PaymentError, PaymentState};
use mela_shipping_api::{NewParcel, ParcelItem, Recipient, ShippingError};

use crate::OrdersService;
use crate::fail::Fail;
use crate::store::cart;
use crate::store::order::{self, OrderRow};

pub(crate) const INVOICE: &str = "orders.invoice";
pub(crate) const INVOICE_MAIL: &str = "orders.invoice_mail";
pub(crate) const PUSH_PARCEL: &str = "orders.push_parcel";
pub(crate) const CANCEL_PARCEL: &str = "orders.cancel_parcel";
pub(crate) const REFUND: &str = "orders.refund";
pub(crate) const SMS_CONFIRMED: &str = "orders.sms_confirmed";
pub(crate) const SMS_OUT: &str = "orders.sms_out";
const EXPIRE: &str = "orders.expire";
const IDLE_CARTS: &str = "orders.idle_carts";

/// An open cart that nobody has touched for so long is removed.
const IDLE_MS: i64 = 60 * DAY_MS;

/// A job about one order, at most one of its kind at a time.
pub(crate) fn of_order(kind: &'static str, id: OrderId, now: Timestamp) -> NewJob {
    NewJob {
        kind,
        payload: serde_json::json!({ "order": id }),
        run_at: now,
        unique_key: Some(format!("{kind}:{id}")),
    }
}

struct Work(OrdersService);

impl OrdersService {
    /// Registers this module's jobs and schedules.
    pub fn register_jobs(&self, jobs: &Jobs) {
        let kinds = [
            INVOICE,
            INVOICE_MAIL,
            PUSH_PARCEL,
            CANCEL_PARCEL,
            REFUND,
            SMS_CONFIRMED,
            SMS_OUT,
            EXPIRE,
            IDLE_CARTS,
        ];
        let work = Arc::new(Work(self.clone()));
        for kind in kinds {
            jobs.register(kind, work.clone());
        }
        jobs.every_ms(EXPIRE, 15_000);
        jobs.daily_ist(IDLE_CARTS, 4, 20);
    }

    /// Cancels orders that have waited for their money too long; how many.
    pub async fn cancel_expired(&self) -> Result<usize, OrderError> {
        const CHUNK: i64 = 100;
        let mut total = 0;
        loop {
            let now = self.env.now();
            let ids = self
                .db
                .read("orders.waiting", move |q| Ok::<_, Fail>(order::waiting(q, now, CHUNK)?))
                .await?;
            let paid = self.paid(&ids).await?;
            let (mut cancelled, mut confirmed) = (0, 0);
            // One by one: each is short, and one that fails does not hold up the others.
            for id in &ids {
                let (this, id) = (self.clone(), *id);
                let money = paid.iter().find(|event| event.order_id == id).cloned();
                let in_time = money.is_some();
                let done = self
                    .db
                    .write("orders.expire", move |tx| match &money {
                        Some(event) => this.captured_in(tx, event).map(|()| true),
                        None => this.expire_in(tx, id),
                    })
                    .await;
                match done {
                    Ok(done) if in_time => confirmed += usize::from(done),
                    Ok(done) => cancelled += usize::from(done),
                    Err(fail) => {
                        let error = Internal::from(fail);
                        tracing::error!(order = %id, error = error.context(), "an order cannot expire");
                    }
                }
            }
            total += cancelled;
            if cancelled + confirmed == 0 || (ids.len() as i64) < CHUNK {
                return Ok(total);
            }
        }
    }

    /// Of orders that wait for their money, those whose money is here: its event is late, because
    /// the dispatcher stood still or could not handle it. They are not called off but confirmed.
    async fn paid(&self, ids: &[OrderId]) -> Result<Vec<PaymentCaptured>, Fail> {
        let payments = self.payments.of_orders(ids).await?;
        Ok(payments
            .into_iter()
            .filter(|p| p.state == PaymentState::Captured)
            .map(|p| PaymentCaptured { payment_id: p.id, order_id: p.order_id, amount: p.amount })
            .collect())
    }

    async fn delete_idle_carts(&self) -> Result<u64, Fail> {
        const CHUNK: i64 = 500;
        let before = self.env.now().plus_ms(-IDLE_MS);
        let mut total = 0;
        loop {
            let gone = self
                .db
                .write("orders.idle_carts", move |tx| {
                    Ok::<_, Fail>(cart::delete_idle(tx, before, CHUNK)?)
                })
                .await?;
            total += gone;
            if gone == 0 {
                return Ok(total);
            }
        }
    }

    async fn job_row(&self, job: &Job) -> Result<OrderRow, JobError> {
        let id: OrderId = field(job, "order")?;
        let row =
            self.db.read("orders.order", move |q| Ok::<_, Fail>(order::by_id(q, id)?)).await?;
        row.ok_or_else(|| JobError::Fatal(format!("{id} is not here")))
    }

    async fn push_parcel(&self, op: &Op, job: &Job) -> Result<(), JobError> {
        let id: OrderId = field(job, "order")?;
        match self.job_row(job).await?.state {
            OrderState::Confirmed => {}
            // Perhaps a try before this one ended after the courier had been told.
            OrderState::Cancelled => {
                return self.shipping.cancel(op, id).await.map_err(|e| shipping(&e));
            }
            _ => return Ok(()),
        }
        let this = self.clone();
        let loaded = self
            .db
            .read("orders.parcel", move |q| {
                let Some(row) = order::by_id(q, id)? else { return Ok(None) };
                Ok::<_, Fail>(this.load(q, vec![row.clone()])?.pop().map(|shown| (row, shown)))
            })
            .await?;
        let Some((row, order)) = loaded else { return Ok(()) };
        let Some(to) = order.address else {
            return Err(JobError::Fatal("the address was erased".into()));
        };
        let collect = match row.method {
            Method::CashOnDelivery => row.totals.to_pay,
            _ => Paise::ZERO,
        };
        let parcel = NewParcel {
            order_id: row.id,
            order_number: row.number.clone(),
            to: Recipient {
                name: to.name,
                phone: to.phone,
                email: to.email,
                line1: to.line1,
                line2: to.line2,
                city: to.city,
                state: order.state_name,
                pincode: to.pincode,
            },
            items: order
                .lines
                .iter()
                .map(|l| ParcelItem {
                    sku: l.sku.clone(),
                    name: l.name.clone(),
                    quantity: l.quantity,
                    unit_price: l.unit_price,
                })
                .collect(),
            collect,
            value: row.totals.total,
            weight_g: row.weight_g,
            ordered_at: row.placed_at,
        };
        self.shipping.push(op, parcel).await.map_err(|e| shipping(&e))?;
        // Called off while the courier was told: the job that calls it off may have come too early.
        if self.job_row(job).await?.state == OrderState::Cancelled {
            self.shipping.cancel(op, row.id).await.map_err(|e| shipping(&e))?;
        }
        Ok(())
    }

    async fn send_sms(&self, job: &Job, template: SmsTemplate) -> Result<(), JobError> {
        let row = self.job_row(job).await?;
        if row.state == OrderState::Cancelled {
            return Ok(());
        }
        let Some(address) = self.address_of(&row).await? else { return Ok(()) };
        let phone = Phone::parse(&address.phone).map_err(|e| JobError::Fatal(e.to_string()))?;
        let amount = row.totals.total.to_rupees();
        let variables: &[&str] = match template {
            SmsTemplate::OrderConfirmed => &[&row.number, &amount],
            _ => &[&row.number],
        };
        self.sms.send(&phone, template, variables).await.map_err(|e| notify(&e))
    }

    async fn refund(&self, op: &Op, job: &Job) -> Result<(), JobError> {
        let refund = NewRefund {
            id: field::<RefundId>(job, "refund")?,
            payment_id: field::<PaymentId>(job, "payment")?,
            amount: field(job, "amount")?,
            reason: field(job, "reason")?,
        };
        let mut done = self.payments.refund(op, refund.clone()).await;
        if matches!(done, Err(PaymentError::RefundTooLarge)) {
            let Some(rest) = self.rest(job, refund).await? else { return Ok(()) };
            done = self.payments.refund(op, rest).await;
        }
        match done {
            Ok(()) => Ok(()),
            Err(error) => {
                let text = format!("{}: {error}", error.code());
                match error.kind() {
                    ErrorKind::Unavailable | ErrorKind::Internal => Err(JobError::Retry(text)),
                    // Another part of it went back at this moment.
                    _ if matches!(error, PaymentError::RefundTooLarge) => {
                        Err(JobError::Retry(text))
                    }
                    _ => Err(JobError::Fatal(text)),
                }
            }
        }
    }

    /// A part of the money went back before, by hand at the gateway: the refund of what is left.
    /// `None` if nothing is. Its own id, because the same id with another amount is refused.
    async fn rest(&self, job: &Job, whole: NewRefund) -> Result<Option<NewRefund>, JobError> {
        let order: OrderId = field(job, "order")?;
        let payments = self.payments.of_orders(&[order]).await.map_err(Fail::from)?;
        let left = payments
            .iter()
            .find(|p| p.id == whole.payment_id)
            .map_or(Paise::ZERO, |p| p.amount - p.refunded);
        let id = RefundId(Id::from_name(&format!("order-rest:{}", whole.payment_id)));
        Ok((left > Paise::ZERO).then(|| NewRefund { id, amount: left.min(whole.amount), ..whole }))
    }
}

/// A field of a job's payload.
pub(crate) fn field<T: serde::de::DeserializeOwned>(
    job: &Job,
    name: &'static str,
) -> Result<T, JobError> {
    job.payload
        .get(name)
        .and_then(|value| T::deserialize(value).ok())
        .ok_or_else(|| JobError::Fatal(format!("the payload has no good `{name}`")))
}

fn shipping(error: &ShippingError) -> JobError {
    match error.kind() {
        ErrorKind::Unavailable => JobError::Retry(error.to_string()),
        ErrorKind::Internal => JobError::Retry(format!("{error:?}")),
        _ => JobError::Fatal(error.to_string()),
    }
}

pub(crate) fn notify(error: &NotifyError) -> JobError {
    match error {
        NotifyError::Unavailable => JobError::Retry(error.to_string()),
        NotifyError::Refused(_) => JobError::Fatal(error.to_string()),
        NotifyError::Internal(internal) => JobError::Retry(internal.context().to_owned()),
    }
}

#[async_trait]
impl JobHandler for Work {
    async fn run(&self, job: &Job) -> Result<(), JobError> {
        let orders = &self.0;
        let op = Op::system(&job.id.to_string());
        match job.kind.as_str() {
            INVOICE => {
                let row = orders.job_row(job).await?;
                orders.make_invoice(&row).await
            }
            INVOICE_MAIL => {
                let row = orders.job_row(job).await?;
                orders.mail_invoice(&row).await
            }
            PUSH_PARCEL => orders.push_parcel(&op, job).await,
            CANCEL_PARCEL => {
                let id: OrderId = field(job, "order")?;
                orders.shipping.cancel(&op, id).await.map_err(|e| shipping(&e))
            }
            REFUND => orders.refund(&op, job).await,
            SMS_CONFIRMED => orders.send_sms(job, SmsTemplate::OrderConfirmed).await,
            SMS_OUT => orders.send_sms(job, SmsTemplate::OutForDelivery).await,
            EXPIRE => {
                let cancelled = orders.cancel_expired().await.map_err(Fail::from)?;
                if cancelled > 0 {
                    tracing::info!(cancelled, "orders were not paid in time");
                }
                Ok(())
            }
            IDLE_CARTS => {
                let deleted = orders.delete_idle_carts().await?;
                tracing::info!(deleted, "idle carts removed");
                Ok(())
            }
            other => Err(JobError::Fatal(format!("no handler for {other}"))),
        }
    }
}
