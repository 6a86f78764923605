//! What messaging does because of others.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::{Event, Internal};
use mela_bus::{Bus, Delivered, Handler};
use mela_identity_api::PersonMerged;

use crate::MessagingService;

struct Merges(MessagingService);

#[async_trait]
impl Handler for Merges {
    async fn handle(&self, event: &Delivered) -> Result<(), Internal> {
        let PersonMerged { from, to } = event.decode()?;
        Ok(self.0.merge(from, to).await?)
    }
}

/// Lets a guest's messages follow into the account that logged in.
pub(crate) fn subscribe(messaging: &MessagingService, bus: &Bus) {
    let handler = Arc::new(Merges(messaging.clone()));
    bus.subscribe("messaging.merge", &[PersonMerged::TOPIC], handler);
}
