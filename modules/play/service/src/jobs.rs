//! What play does because of others, and on its own.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::{Event, Internal};
use mela_bus::{Bus, Delivered, Handler};
use mela_identity_api::PersonMerged;

use crate::PlayService;

struct Merges(PlayService);

#[async_trait]
impl Handler for Merges {
    async fn handle(&self, event: &Delivered) -> Result<(), Internal> {
        let PersonMerged { from, to } = event.decode()?;
        self.0.merge(from, to).await
    }
}

/// Lets a guest's results follow into the account that logged in.
pub(crate) fn subscribe(play: &PlayService, bus: &Bus) {
    bus.subscribe("play.merge", &[PersonMerged::TOPIC], Arc::new(Merges(play.clone())));
}
