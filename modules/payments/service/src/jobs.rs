//! What runs without a caller: stored webhooks, and the recovery that asks the gateway itself.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::RefundId;
use mela_base::{DAY_MS, Env, Internal, MINUTE_MS, Paise};
use mela_bus::Bus;
use mela_db::{DbError, Query, Tx};
use mela_jobs::{Job, JobError, JobHandler, Jobs, NewJob};
use mela_payments_api::{PaymentError, PaymentState};
use tokio::task::JoinSet;

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
const ROUND: usize = 100;
/// Rounds of one run, so that a run ends.
const MAX_ROUNDS: usize = 50;
/// Calls at the same time.
const AT_ONCE: usize = 8;
/// How long processed webhooks are kept; the gateway replays for 15 days.
const KEEP_HOOKS_MS: i64 = 30 * DAY_MS;
/// For how long a round has what it took for itself.
const LEASE_MS: i64 = 5 * MINUTE_MS;

/// What a run of the recovery did.
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

    /// Asks the gateway about every open payment and refund that is due, and forgets old webhooks.
    pub async fn recover(&self) -> Result<Recovered, PaymentError> {
        let mut done = Recovered::default();
        let Some(gateway) = self.razorpay.clone() else { return Ok(done) };
        for _ in 0..MAX_ROUNDS {
            let (payments, refunds) = self.take_due().await?;
            let last = payments.len() < ROUND && refunds.len() < ROUND;
            let before = (done.payments + done.refunds, done.unanswered);
            for some in payments.chunks(AT_ONCE) {
                let mut asked = JoinSet::new();
                for payment in some.iter().cloned() {
                    let (service, gateway) = (self.clone(), gateway.clone());
                    asked.spawn(async move {
                        let asked = service.recover_payment(&gateway, &payment).await;
                        answered(asked, format_args!("{}", payment.id))
                    });
                }
                done.payments += some.len();
                done.unanswered += unanswered(asked).await;
            }
            for some in refunds.chunks(AT_ONCE) {
                let mut asked = JoinSet::new();
                for id in some.iter().copied() {
                    let service = self.clone();
                    asked.spawn(async move {
                        answered(service.recover_refund(id).await, format_args!("{id}"))
                    });
                }
                done.refunds += some.len();
                done.unanswered += unanswered(asked).await;
            }
            // While nothing is answered, more questions would only wait.
            let asked = done.payments + done.refunds - before.0;
            if last || done.unanswered - before.1 == asked {
                break;
            }
        }
        let before = self.env.now().plus_ms(-KEEP_HOOKS_MS);
        let sweep = move |tx: &mut Tx<'_>| store::sweep_hooks(tx, before, 500);
        self.db.write("payments.sweep_hooks", sweep).await?;
        Ok(done)
    }

    async fn take_due(&self) -> Result<(Vec<PaymentRow>, Vec<RefundId>), PaymentError> {
        let now = self.env.now();
        let limit = i64::try_from(ROUND).unwrap_or(i64::MAX);
        let take = move |tx: &mut Tx<'_>| {
            let until = now.plus_ms(LEASE_MS);
            let payments = store::take_due(tx, now, until, limit)?;
            Ok::<_, DbError>((payments, store::take_due_refunds(tx, now, until, limit)?))
        };
        Ok(self.db.write("payments.take_due", take).await?)
    }

    async fn recover_refund(&self, id: RefundId) -> Result<(), PaymentError> {
        let read = move |q: &mut Query<'_>| store::refund_by_id(q, id);
        match self.db.read("payments.refund_by_id", read).await? {
            Some(row) => self.pursue_refund(&row).await,
            None => Ok(()),
        }
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

/// Whether the gateway answered; what it did not answer has its next time already.
fn answered(result: Result<(), PaymentError>, id: std::fmt::Arguments<'_>) -> bool {
    if let Err(error) = &result {
        tracing::warn!(%id, ?error, "stays open");
    }
    result.is_ok()
}

async fn unanswered(mut asked: JoinSet<bool>) -> usize {
    let mut count = 0;
    while let Some(answered) = asked.join_next().await {
        count += usize::from(!answered.unwrap_or(false));
    }
    count
}
