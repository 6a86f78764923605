//! Renditions of pictures, made in the background.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::{MediaId, ProductId};
use mela_base::{Env, Internal};
use mela_blob::{BlobError, BlobRef};
use mela_catalog_api::{CatalogError, Product, Rendition};
use mela_db::{DbError, Tx};
use mela_jobs::{Job, JobError, JobHandler, Jobs, NewJob};
use mela_media::{Limits, MediaError, Renditions};
use tokio::sync::Semaphore;

use crate::service::CatalogService;
use crate::store::{self, MediaState};

const RENDER: &str = "catalog.render_media";
/// Pictures decoded at the same time: each may take some 200 MB at the limits.
const AT_ONCE: usize = 2;

#[derive(serde::Serialize, serde::Deserialize)]
struct Payload {
    media_id: MediaId,
}

/// Asks for the renditions of these pictures; returns how many had not been asked for.
pub(crate) fn enqueue_renders(
    tx: &mut Tx<'_>,
    env: &Env,
    media: &[MediaId],
) -> Result<u64, DbError> {
    let jobs = media
        .iter()
        .map(|id| {
            let payload = serde_json::to_value(Payload { media_id: *id })
                .map_err(|e| DbError::Other(e.to_string()))?;
            let unique_key = Some(format!("{RENDER}:{id}"));
            Ok(NewJob { kind: RENDER, payload, run_at: env.now(), unique_key })
        })
        .collect::<Result<Vec<_>, DbError>>()?;
    mela_jobs::enqueue_all(tx, env, &jobs)
}

impl CatalogService {
    /// Registers the job that makes renditions.
    pub fn register_jobs(&self, jobs: &Jobs) {
        let catalog = self.clone();
        jobs.register(
            RENDER,
            Arc::new(Render { catalog, slots: Arc::new(Semaphore::new(AT_ONCE)) }),
        );
    }
}

struct Render {
    catalog: CatalogService,
    slots: Arc<Semaphore>,
}

#[async_trait]
impl JobHandler for Render {
    fn bulk(&self) -> bool {
        true
    }

    async fn run(&self, job: &Job) -> Result<(), JobError> {
        let Payload { media_id } = serde_json::from_value(job.payload.clone())
            .map_err(|e| JobError::Fatal(format!("payload: {e}")))?;
        let known =
            self.catalog.db.read("catalog.media", move |q| store::media(q, media_id)).await?;
        let Some((original, state)) = known else {
            return Err(JobError::Fatal("there is no such picture".to_owned()));
        };
        if state == MediaState::Ready {
            return Ok(());
        }
        let blob: BlobRef =
            original.parse().map_err(|e: BlobError| JobError::Fatal(e.to_string()))?;
        let bytes = match self.catalog.blobs.get(blob).await {
            Ok(bytes) => bytes,
            Err(e @ (BlobError::NotFound(_) | BlobError::Damaged(_))) => {
                return self.failed(media_id, e.to_string()).await;
            }
            Err(e) => return Err(JobError::Retry(e.to_string())),
        };
        match self.render(bytes).await? {
            Ok(made) => self.ready(media_id, made).await,
            Err(MediaError::Internal(e)) => Err(e.into()),
            Err(e) => self.failed(media_id, e.to_string()).await,
        }
    }

    fn max_attempts(&self) -> i64 {
        5
    }
}

impl Render {
    async fn render(&self, bytes: Vec<u8>) -> Result<Result<Renditions, MediaError>, JobError> {
        let retry = |e: &dyn std::fmt::Display| JobError::Retry(e.to_string());
        let slot = self.slots.clone().acquire_owned().await.map_err(|e| retry(&e))?;
        tokio::task::spawn_blocking(move || {
            let made = mela_media::render(&bytes, &Limits::default());
            drop(slot);
            made
        })
        .await
        .map_err(|e| retry(&e))
    }

    async fn ready(&self, media: MediaId, made: Renditions) -> Result<(), JobError> {
        let mut renditions = Vec::new();
        let sizes = [("thumbnail", made.thumbnail), ("card", made.card), ("full", made.full)];
        for (kind, rendition) in sizes {
            let (width, height) = (rendition.width, rendition.height);
            let blob = self.catalog.blobs.put(rendition.webp).await.map_err(Internal::new)?;
            renditions.push(Rendition {
                kind: kind.to_owned(),
                blob: blob.to_string(),
                width,
                height,
            });
        }
        self.settle(media, MediaState::Ready, None, renditions).await
    }

    /// Takes the picture out of its products and leaves a dead letter for the operator.
    async fn failed(&self, media: MediaId, reason: String) -> Result<(), JobError> {
        self.settle(media, MediaState::Failed, Some(reason.clone()), Vec::new()).await?;
        Err(JobError::Fatal(reason))
    }

    async fn settle(
        &self,
        media: MediaId,
        state: MediaState,
        reason: Option<String>,
        renditions: Vec<Rendition>,
    ) -> Result<(), JobError> {
        let catalog = self.catalog.clone();
        let changed = self
            .catalog
            .db
            .write("catalog.render_media", move |tx| {
                // The row first: an import that is about to show this picture waits for it.
                store::set_media(tx, media, state, reason.as_deref(), &renditions)?;
                let mut products: Vec<ProductId> = store::media_products(tx, media)?;
                products.sort_unstable();
                catalog.change_in(tx, &products, |product| {
                    show(product, media, state, &renditions);
                    Ok(())
                })
            })
            .await
            .map_err(|e| match e {
                CatalogError::Internal(e) => JobError::from(e),
                other => JobError::Retry(other.to_string()),
            })?;
        if !changed.is_empty() {
            self.catalog.cache.written(changed);
        }
        Ok(())
    }
}

fn show(product: &mut Product, media: MediaId, state: MediaState, renditions: &[Rendition]) {
    if state == MediaState::Failed {
        product.media.retain(|m| m.id != media);
        for variant in product.variants.iter_mut().filter(|v| v.media_id == Some(media)) {
            variant.media_id = None;
        }
    }
    for shown in product.media.iter_mut().filter(|m| m.id == media) {
        shown.renditions = renditions.to_vec();
    }
}
