use std::sync::Arc;

use async_trait::async_trait;
use mela_base::{Internal, SECOND_MS};
use mela_inventory_api::InventoryError;
use mela_jobs::{Job, JobError, JobHandler, Jobs};

use crate::InventoryService;

const RELEASE: &str = "inventory.release_expired";

struct Release(InventoryService);

#[async_trait]
impl JobHandler for Release {
    async fn run(&self, _job: &Job) -> Result<(), JobError> {
        let released = self.0.release_expired().await.map_err(|error| match error {
            InventoryError::Internal(internal) => JobError::from(internal),
            other => JobError::from(Internal::new(other)),
        })?;
        if released > 0 {
            tracing::info!(released, "reservations lapsed");
        }
        Ok(())
    }
}

/// Registers the sweep of lapsed reservations: every half minute, in one process of all.
pub fn register_jobs(jobs: &Jobs, inventory: &InventoryService) {
    jobs.register(RELEASE, Arc::new(Release(inventory.clone())));
    jobs.every_ms(RELEASE, 30 * SECOND_MS);
}
