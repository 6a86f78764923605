//! Keeping the index current from the catalogue's events.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mela_base::Event;
use mela_base::ids::ProductId;
use mela_bus::{Bus, Delivered};
use mela_catalog_api::{ProductChanged, ProductRemoved};
use mela_search_api::SearchError;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::service::{Batch, CHUNK, Inner, SearchService};

/// Events of this while are committed together.
const GATHER: Duration = Duration::from_millis(100);
/// How often a product is read again that is older than its event.
const PATIENCE: u32 = 50;
/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Products to read again.
#[derive(Default)]
struct Pending {
    /// The version that was announced, `None` for a removal; how often we waited for it.
    products: HashMap<ProductId, (Option<i64>, u32)>,
    /// Events were missed: compare everything.
    all: bool,
}

impl Pending {
    fn note(&mut self, event: &Delivered) {
        let noted = match event.topic.as_str() {
            ProductChanged::TOPIC => event.decode::<ProductChanged>().map(|e| {
                let known = self.products.entry(e.product_id).or_insert((Some(e.version), 0));
                known.0 = known.0.max(Some(e.version));
            }),
            ProductRemoved::TOPIC => event.decode::<ProductRemoved>().map(|e| {
                self.products.insert(e.product_id, (None, 0));
            }),
            _ => Ok(()),
        };
        if noted.is_err() {
            self.all = true;
        }
    }
}

impl SearchService {
    /// Brings the index up to the store and follows what changes in any process, until the bus
    /// or the last clone of the service is gone. Call within a runtime.
    pub fn subscribe(&self, bus: &Bus) {
        // Before the comparison, so that nothing is missed between.
        let live = bus.live();
        tokio::spawn(follow(Arc::downgrade(&self.0), live));
    }

    async fn apply(&self, pending: &mut Pending) -> Result<(), SearchError> {
        if pending.all {
            self.sync().await?;
            pending.all = false;
        }
        let ids: Vec<ProductId> = pending.products.keys().copied().collect();
        let mut batch = Batch::default();
        for chunk in ids.chunks(CHUNK) {
            let read = self.0.catalog.products(chunk).await;
            let read = read.map_err(mela_base::Internal::new)?;
            let mut found: HashMap<_, _> = read.into_iter().map(|p| (p.id, p)).collect();
            for id in chunk {
                let Some((announced, waited)) = pending.products.get_mut(id) else { continue };
                match (found.remove(id), *announced) {
                    (_, None) | (None, _) => batch.remove.push(*id),
                    // A cache that has not heard of the event yet: look again.
                    (Some(p), Some(version)) if p.version < version && *waited < PATIENCE => {
                        *waited += 1;
                        continue;
                    }
                    (Some(p), Some(_)) => batch.put.push(p),
                }
            }
        }
        if batch.put.is_empty() && batch.remove.is_empty() {
            return Ok(());
        }
        let done: Vec<ProductId> =
            batch.put.iter().map(|p| p.id).chain(batch.remove.iter().copied()).collect();
        batch.commit = true;
        self.write(batch).await?;
        for id in done {
            pending.products.remove(&id);
        }
        Ok(())
    }
}

async fn follow(service: Weak<Inner>, mut live: Receiver<Arc<Delivered>>) {
    let mut pending = Pending { all: true, ..Pending::default() };
    loop {
        if !pending.all && pending.products.is_empty() {
            match live.recv().await {
                Ok(event) => pending.note(&event),
                Err(RecvError::Lagged(_)) => pending.all = true,
                Err(RecvError::Closed) => return,
            }
            tokio::time::sleep(GATHER).await;
        }
        loop {
            match live.try_recv() {
                Ok(event) => pending.note(&event),
                Err(TryRecvError::Lagged(_)) => pending.all = true,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Closed) => return,
            }
        }
        let Some(inner) = service.upgrade() else { return };
        let service = SearchService(inner);
        if pending.all || !pending.products.is_empty() {
            if let Err(error) = service.apply(&mut pending).await {
                tracing::warn!(?error, "the search index was not brought up to date");
                tokio::time::sleep(PAUSE).await;
            } else if !pending.products.is_empty() {
                tokio::time::sleep(GATHER).await;
            }
        }
    }
}
