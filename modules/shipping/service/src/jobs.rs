//! What runs without a caller: following parcels.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::{DAY_MS, Env, Internal, MINUTE_MS};
use mela_bus::Bus;
use mela_db::{DbError, Tx};
use mela_jobs::{Job, JobError, JobHandler, Jobs, NewJob};
use mela_shipping_api::ShippingError;
use tokio::task::JoinSet;

use crate::service::{ShippingService, failed, internal};
use crate::shipway::call::MAX_AWBS;
use crate::store::{self, ParcelRow};

/// Looks at what is due: nudged by webhooks, or without news for a while.
const FOLLOW: &str = "shipping.follow";
/// The same, on the clock.
const SWEEP: &str = "shipping.sweep";
/// Parcels in one round.
const ROUND: usize = 200;
/// Rounds of one run, so that a run ends.
const MAX_ROUNDS: usize = 50;
/// Calls at the same time.
const AT_ONCE: usize = 8;
/// For how long a round has what it took for itself.
const LEASE_MS: i64 = 5 * MINUTE_MS;
/// How long it is kept that a webhook came.
const KEEP_HOOKS_MS: i64 = 30 * DAY_MS;

/// What a run of following did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed {
    /// Parcels that were due.
    pub parcels: usize,
    /// Of these, how many the courier did not answer for.
    pub unanswered: usize,
}

/// Asks for a round of following; one is enough for many nudges.
pub(crate) fn enqueue_follow(tx: &mut Tx<'_>, env: &Env) -> Result<(), DbError> {
    let job = NewJob {
        kind: FOLLOW,
        payload: serde_json::Value::Null,
        run_at: env.now(),
        unique_key: None,
    };
    mela_jobs::enqueue(tx, env, &job).map(drop)
}

impl ShippingService {
    /// Registers what runs without a caller, and its clock.
    pub fn register_jobs(&self, jobs: &Jobs) {
        jobs.register(FOLLOW, Arc::new(self.clone()));
        jobs.register(SWEEP, Arc::new(self.clone()));
        jobs.every_ms(SWEEP, MINUTE_MS);
    }

    /// Shipping listens to nobody's events.
    pub fn subscribe(&self, _bus: &Bus) {}

    /// Asks the courier about every parcel that is due.
    pub async fn follow(&self) -> Result<Followed, ShippingError> {
        let mut done = Followed::default();
        for _ in 0..MAX_ROUNDS {
            let round = self.follow_round().await?;
            done.parcels += round.parcels;
            done.unanswered += round.unanswered;
            // While nothing is answered, more questions would only wait.
            if round.parcels < ROUND || round.unanswered == round.parcels {
                break;
            }
        }
        Ok(done)
    }

    async fn follow_round(&self) -> Result<Followed, ShippingError> {
        let inner = &self.0;
        let now = inner.env.now();
        let limit = i64::try_from(ROUND).unwrap_or(i64::MAX);
        let take = move |tx: &mut Tx<'_>| store::take_due(tx, now, now.plus_ms(LEASE_MS), limit);
        let due = inner.db.write("shipping.take_due", take).await.map_err(internal)?;
        let mut done = Followed { parcels: due.len(), unanswered: 0 };
        let (with, without): (Vec<_>, Vec<_>) = due.into_iter().partition(|p| p.awb.is_some());
        for chunk in with.chunks(MAX_AWBS) {
            if let Err(error) = self.track(chunk).await {
                done.unanswered += chunk.len();
                tracing::warn!(parcels = chunk.len(), ?error, "parcels were not followed");
            }
        }
        for some in without.chunks(AT_ONCE) {
            let mut asked = JoinSet::new();
            for parcel in some.iter().cloned() {
                let service = self.clone();
                asked.spawn(async move {
                    let asked = service.ask_for_number(&parcel).await;
                    if let Err(error) = &asked {
                        tracing::warn!(order = %parcel.order_id, ?error, "a parcel was not followed");
                    }
                    asked.is_ok()
                });
            }
            while let Some(answered) = asked.join_next().await {
                done.unanswered += usize::from(!answered.unwrap_or(false));
            }
        }
        Ok(done)
    }

    /// A parcel without a number yet: the order knows.
    async fn ask_for_number(&self, parcel: &ParcelRow) -> Result<(), ShippingError> {
        let known = self.0.shipway.order(&parcel.order_number).await.map_err(failed)?;
        let booking = known.unwrap_or_default();
        let awb = booking.awb.clone();
        self.0.apply(parcel.order_id, booking).await?;
        match awb {
            // The number is new, so there may be more to know.
            Some(awb) => self.track(&[ParcelRow { awb: Some(awb), ..parcel.clone() }]).await,
            None => Ok(()),
        }
    }

    async fn track(&self, parcels: &[ParcelRow]) -> Result<(), ShippingError> {
        let awbs: Vec<&str> = parcels.iter().filter_map(|p| p.awb.as_deref()).collect();
        let mut bookings = self.0.shipway.tracking(&awbs).await.map_err(failed)?;
        for parcel in parcels {
            let at = bookings.iter().position(|(awb, _)| Some(awb) == parcel.awb.as_ref());
            // One that is not in the answer has no news.
            let booking = at.map(|i| bookings.swap_remove(i).1).unwrap_or_default();
            self.0.apply(parcel.order_id, booking).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl JobHandler for ShippingService {
    async fn run(&self, job: &Job) -> Result<(), JobError> {
        if job.kind == SWEEP {
            let before = self.0.env.now().plus_ms(-KEEP_HOOKS_MS);
            self.0
                .db
                .write("shipping.sweep_hooks", move |tx| store::sweep_hooks(tx, before))
                .await?;
        }
        // What was not answered has its next time already; the job itself is done.
        match self.follow().await {
            Ok(_) => Ok(()),
            Err(ShippingError::Internal(error)) => Err(error.into()),
            Err(error) => Err(Internal::new(format_args!("{error:?}")).into()),
        }
    }
}
