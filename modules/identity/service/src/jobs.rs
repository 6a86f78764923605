//! What happens by itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mela_base::{Event, MINUTE_MS};
use mela_identity_api::{IdentityError, SessionsEnded};
use mela_jobs::{Job, JobError, JobHandler, Jobs};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::service::IdentityService;
use crate::stop::Stop;
use crate::store;

/// How often to look whether another process has changed the signing keys.
const SIGNING_KEYS: Duration = Duration::from_secs(30);
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
    let mut keys = tokio::time::interval(SIGNING_KEYS);
    loop {
        if reload && let Err(error) = identity.load_ended().await {
            tracing::error!(?error, "ended sessions could not be loaded");
        }
        reload = false;
        let received = tokio::select! {
            received = live.recv() => Some(received),
            _ = keys.tick() => None,
            () = stopped(&mut shutdown) => return,
        };
        let Some(received) = received else {
            if let Err(error) = identity.load_signing_keys().await {
                tracing::error!(?error, "signing keys could not be loaded");
            }
            continue;
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

/// Resolves when it is time to stop, or nobody is left to say so.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
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
