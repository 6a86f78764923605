//! What runs without a caller: stored webhooks, and the recovery that asks the gateway itself.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::{Env, Internal, MINUTE_MS, Paise};
use mela_bus::Bus;
use mela_db::{DbError, Tx};
use mela_jobs::{Job, JobError, JobHandler, Jobs, NewJob};
use mela_payments_api::{PaymentError, PaymentState};

use crate::razorpay::{self, client::Razorpay};
use crate::rules;
use crate::service::PaymentsService;
use crate::settle::Outcome;
use crate::store::{self, PaymentRow};

/// Processes one stored webhook.
const HOOK: &str = "payments.webhook";
/// Asks the gateway about what is open.
const RECOVER: &str = "payments.recover";
/// Payments or refunds in one round.
const ROUND: i64 = 100;
/// For how long a round has what it took for itself.
const LEASE_MS: i64 = 5 * MINUTE_MS;

/// What a round of the recovery did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Payments that the gateway was asked about.
    pub payments: usize,
    /// Refunds that were sent or asked about.
    pub refunds: usize,
    /// Of these, how many the gateway did not answer for.
    pub unanswered: usize,
}

/// The stored webhook is processed right after the commit.
pub(crate) fn enqueue_hook(tx: &mut Tx<'_>, env: &Env, event_id: &str) -> Result<(), DbError> {
    let job = NewJob {
        kind: HOOK,
        payload: serde_json::json!({ "event_id": event_id }),
        run_at: env.now(),
        unique_key: None,
    };
    mela_jobs::enqueue(tx, env, &job).map(drop)
}

/// A refund that was just written down is sent right after the commit.
pub(crate) fn enqueue_recover(tx: &mut Tx<'_>, env: &Env) -> Result<(), DbError> {
    let job = NewJob {
        kind: RECOVER,
        payload: serde_json::Value::Null,
        run_at: env.now(),
        unique_key: None,
    };
    mela_jobs::enqueue(tx, env, &job).map(drop)
}

#[async_trait]
impl JobHandler for PaymentsService {
    async fn run(&self, job: &Job) -> Result<(), JobError> {
        let result = if job.kind == HOOK {
            let event_id = job.payload["event_id"].as_str().unwrap_or_default();
            self.process_hook(event_id).await
        } else {
            // What was not answered has its next time already; the job itself is done.
            self.recover().await.map(drop)
        };
        result.map_err(|error| match error {
            PaymentError::Internal(error) => error.into(),
            error => Internal::new(format_args!("{error:?}")).into(),
        })
    }
}

impl PaymentsService {
    /// Registers what runs without a caller, and its clock.
    pub fn register_jobs(&self, jobs: &Jobs) {
        jobs.register(HOOK, Arc::new(self.clone()));
        jobs.register(RECOVER, Arc::new(self.clone()));
        jobs.every_ms(RECOVER, MINUTE_MS);
    }

    /// Payments listens to nobody's events: who depends on it calls it.
    pub fn subscribe(&self, _bus: &Bus) {}

    /// Processes a stored webhook. Again is harmless.
    pub async fn process_hook(&self, event_id: &str) -> Result<(), PaymentError> {
        let (settler, event_id) = (self.settler.clone(), event_id.to_owned());
        self.db
            .write("payments.process_hook", move |tx| {
                let Some(facts) = store::hook(tx, razorpay::NAME, &event_id)? else {
                    return Ok(());
                };
                let mut outcome = Outcome::Unknown;
                if let Some(payment) = &facts.payment {
                    outcome = settler.payment_in(tx, payment)?;
                }
                if let Some(refund) = &facts.refund {
                    let order = facts.payment.as_ref().map(|p| p.gateway_order_id.as_str());
                    outcome = settler.refund_in(tx, order, refund)?;
                }
                tracing::info!(
                    event = facts.event,
                    outcome = outcome.as_str(),
                    "webhook processed"
                );
                let now = settler.env.now();
                store::hook_done(tx, razorpay::NAME, &event_id, outcome.as_str(), now)?;
                Ok(())
            })
            .await
    }

    /// One round: asks the gateway about every open payment and refund that is due.
    pub async fn recover(&self) -> Result<Recovered, PaymentError> {
        let mut done = Recovered::default();
        let Some(gateway) = self.razorpay.clone() else { return Ok(done) };
        let now = self.env.now();
        let due = self
            .db
            .write("payments.take_due", move |tx| {
                store::take_due(tx, now, now.plus_ms(LEASE_MS), ROUND)
            })
            .await?;
        for payment in due {
            done.payments += 1;
            if let Err(error) = self.recover_payment(&gateway, &payment).await {
                done.unanswered += 1;
                tracing::warn!(payment = %payment.id, ?error, "a payment stays open");
            }
        }
        let due = self
            .db
            .write("payments.take_due_refunds", move |tx| {
                store::take_due_refunds(tx, now, now.plus_ms(LEASE_MS), ROUND)
            })
            .await?;
        for id in due {
            done.refunds += 1;
            let row =
                self.db.read("payments.refund_by_id", move |q| store::refund_by_id(q, id)).await?;
            let Some(row) = row else { continue };
            if let Err(error) = self.pursue_refund(&row).await {
                done.unanswered += 1;
                tracing::warn!(refund = %id, ?error, "a refund stays open");
            }
        }
        Ok(done)
    }

    async fn recover_payment(
        &self,
        gateway: &Razorpay,
        p: &PaymentRow,
    ) -> Result<(), PaymentError> {
        let asked = self.facts_of(gateway, p).await;
        let answer = match asked {
            Ok(facts) => {
                let mut refunds = Vec::new();
                for fact in facts.iter().filter(|f| f.amount_refunded > 0) {
                    refunds.extend(gateway.refunds(&fact.id).await?);
                }
                Ok((facts, refunds))
            }
            Err(error) => Err(error),
        };
        let (settler, p, now) = (self.settler.clone(), p.clone(), self.env.now());
        let failed = answer.as_ref().err().cloned();
        self.db
            .write("payments.recover", move |tx| {
                if let Ok((facts, refunds)) = &answer {
                    for fact in facts {
                        settler.payment_in(tx, fact)?;
                    }
                    for refund in refunds {
                        settler.refund_in(tx, p.gateway_order_id.as_deref(), refund)?;
                    }
                }
                let after = store::by_id(tx, p.id)?;
                let state = after.map_or(p.state, |a| a.state);
                let settled = p.captured > Paise::ZERO && answer.is_ok();
                let next = match state {
                    // Looked at once more after the capture; that was it.
                    PaymentState::Captured | PaymentState::Refunded | PaymentState::Cancelled
                        if settled =>
                    {
                        None
                    }
                    // What was captured just now has its own time for that look.
                    PaymentState::Captured | PaymentState::Refunded if answer.is_ok() => {
                        return Ok(());
                    }
                    _ => rules::next_check(now, p.created_at),
                };
                store::check_at(tx, p.id, next)?;
                Ok::<_, PaymentError>(())
            })
            .await?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}
