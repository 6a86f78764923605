//! What happens by itself.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::{Event, MINUTE_MS};
use mela_identity_api::{IdentityError, SessionsEnded};
use mela_jobs::{Job, JobError, JobHandler, Jobs};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::service::IdentityService;
use crate::stop::Stop;
use crate::store;

/// Rows of one table that one transaction deletes.
const SWEPT_AT_ONCE: i64 = 500;

pub(crate) async fn sweep(identity: &IdentityService) -> Result<u64, IdentityError> {
    let now = identity.0.env.now();
    let mut total = 0;
    loop {
        let (most, deleted) = identity
            .0
            .db
            .write("identity.sweep", move |tx| Ok::<_, Stop>(store::sweep(tx, now, SWEPT_AT_ONCE)?))
            .await?;
        total += deleted;
        if most < SWEPT_AT_ONCE as u64 {
            return Ok(total);
        }
    }
}

pub(crate) async fn follow_endings(
    identity: &IdentityService,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut live = identity.0.bus.live();
    // What ended between the start and now; again whenever the receiver has missed something.
    let mut reload = true;
    loop {
        if reload && let Err(error) = identity.load_ended().await {
            tracing::error!(?error, "ended sessions could not be loaded");
        }
        reload = false;
        let received = tokio::select! {
            received = live.recv() => received,
            changed = shutdown.wait_for(|stop| *stop) => {
                drop(changed);
                return;
            }
        };
        match received {
            Ok(event) if event.topic == SessionsEnded::TOPIC => match event.decode() {
                Ok(SessionsEnded { sessions }) => identity.forget(&sessions),
                Err(error) => tracing::error!(error = error.context(), "unreadable event"),
            },
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => reload = true,
            Err(RecvError::Closed) => return,
        }
    }
}

const SWEEP: &str = "identity.sweep";

struct Sweep(IdentityService);

#[async_trait]
impl JobHandler for Sweep {
    async fn run(&self, _: &Job) -> Result<(), JobError> {
        sweep(&self.0).await.map(drop).map_err(|e| JobError::Retry(format!("{e:?}")))
    }
}

pub(crate) fn register(identity: &IdentityService, jobs: &Jobs) {
    jobs.register(SWEEP, Arc::new(Sweep(identity.clone())));
    jobs.every_ms(SWEEP, 10 * MINUTE_MS);
}
