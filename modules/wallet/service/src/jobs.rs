//! What the ledger does because of others.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::{Event, Internal};
use mela_bus::{Bus, Delivered, Handler};
use mela_identity_api::PersonMerged;
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
