//! What the ledger does because of others and of time.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::{Event, Internal, SECOND_MS};
use mela_bus::{Bus, Delivered, Handler};
use mela_identity_api::PersonMerged;
use mela_jobs::{Job, JobError, JobHandler, Jobs};
use mela_wallet_api::WalletError;

use crate::WalletService;

struct Merges(WalletService);

#[async_trait]
impl Handler for Merges {
    async fn handle(&self, event: &Delivered) -> Result<(), Internal> {
        let PersonMerged { from, to } = event.decode()?;
        self.0.merge(from, to).await.map_err(|e| match e {
            WalletError::Internal(internal) => internal,
            other => Internal::new(other),
        })
    }
}

/// Lets a guest's coins follow into the account that logged in.
pub(crate) fn subscribe(wallet: &WalletService, bus: &Bus) {
    bus.subscribe("wallet.merge", &[PersonMerged::TOPIC], Arc::new(Merges(wallet.clone())));
}

const RELEASE_EXPIRED: &str = "wallet.release_expired";

struct ReleaseExpired(WalletService);

#[async_trait]
impl JobHandler for ReleaseExpired {
    async fn run(&self, _: &Job) -> Result<(), JobError> {
        self.0.release_expired().await.map(drop).map_err(|e| JobError::Retry(format!("{e:?}")))
    }
}

/// Gives back, twice a minute, what expired holds set aside.
pub(crate) fn register(wallet: &WalletService, jobs: &Jobs) {
    jobs.register(RELEASE_EXPIRED, Arc::new(ReleaseExpired(wallet.clone())));
    jobs.every_ms(RELEASE_EXPIRED, 30 * SECOND_MS);
}
