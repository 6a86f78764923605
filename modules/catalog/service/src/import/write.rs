//! Drafts into the store: only what has changed, in chunks, each chunk whole or not at all.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use mela_base::ids::{CategoryId, MediaId, ProductId, ReviewId, VariantId};
use mela_base::{Id, Internal, Timestamp};
use mela_catalog_api::{Category, Media, Product, Rating, Rendition, Review, Variant};
use mela_db::{DbError, Tx};
use mela_inventory_api::{Inventory, InventoryError, StockLevel};

use super::draft::{Catalogue, Draft, Image};
use super::{ImportError, ImportOptions, ImportReport, OnProgress, Progress, pictures, text};
use crate::rules;
use crate::service::{CatalogService, changed_events};
use crate::store::{self, KnownVariant, MediaState};

/// A transaction takes at most so many variants, to be short.
const CHUNK: usize = 250;

/// A draft with the ids that it needs, ready to be written again and again.
struct Ready {
    draft: Draft,
    id: ProductId,
    new: bool,
    slug: String,
    hash: Vec<u8>,
    categories: Vec<CategoryId>,
    related: Vec<ProductId>,
    variants: Vec<(VariantId, Option<i64>)>,
}

enum WriteError {
    Db(DbError),
    Stock(InventoryError),
}

impl From<DbError> for WriteError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// What a chunk has done.
struct Written {
    products: Vec<Product>,
    pictures: u64,
}

pub(super) struct Writer<'a> {
    pub(super) catalog: &'a CatalogService,
    pub(super) inventory: Arc<dyn Inventory>,
    pub(super) options: &'a ImportOptions,
    pub(super) report: &'a mut ImportReport,
    pub(super) progress: &'a OnProgress,
}

impl Writer<'_> {
    pub(super) async fn write(&mut self, catalogue: Catalogue) -> Result<(), ImportError> {
        let locations = self.inventory.locations().await;
        let locations = locations.map_err(|e| Internal::new(format_args!("{e:?}")))?;
        if !locations.iter().any(|l| l.id == self.options.location) {
            return Err(ImportError::NoLocation);
        }
        let Catalogue { drafts, pictures } = catalogue;
        let categories = self.categories(&drafts).await?;
        let total = drafts.len() as u64;

        let skus: Vec<String> = drafts.iter().map(|d| d.sku.clone()).collect();
        let mut known = self
            .catalog
            .db
            .read("catalog.import_known", move |q| {
                store::products_known(q, &skus.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .await?;
        let ids: HashMap<String, ProductId> = drafts
            .iter()
            .map(|d| {
                let id = known.get(&d.sku).map_or_else(|| self.catalog.env.new_id(), |k| k.id);
                (d.sku.clone(), id)
            })
            .collect();

        let mut done = 0;
        let mut chunk: Vec<Ready> = Vec::new();
        let mut size = 0;
        for draft in drafts {
            done += 1;
            let hash = draft.hash();
            let known = known.remove(&draft.sku);
            if known.as_ref().is_some_and(|k| k.hash.as_ref() == Some(&hash)) {
                self.report.unchanged += 1;
                continue;
            }
            size += draft.variants.len();
            chunk.push(Ready {
                id: ids.get(&draft.sku).copied().unwrap_or_default(),
                new: known.is_none(),
                slug: known.map_or_else(|| draft.slug.clone(), |k| k.slug),
                hash,
                categories: draft
                    .categories
                    .iter()
                    .filter_map(|p| categories.get(p))
                    .copied()
                    .collect(),
                related: draft.related.iter().filter_map(|sku| ids.get(sku)).copied().collect(),
                variants: Vec::new(),
                draft,
            });
            if size >= CHUNK {
                self.chunk(std::mem::take(&mut chunk), &pictures).await?;
                (self.progress)(Progress { stage: "writing", done, total });
                size = 0;
            }
        }
        self.chunk(chunk, &pictures).await?;
        (self.progress)(Progress { stage: "writing", done, total });
        Ok(())
    }

    /// Makes the missing categories; returns the id of each path.
    async fn categories(
        &mut self,
        drafts: &[Draft],
    ) -> Result<HashMap<Vec<String>, CategoryId>, ImportError> {
        let stored = self.catalog.db.read("catalog.categories", store::categories).await?;
        let by_slug: HashMap<String, CategoryId> =
            stored.iter().map(|c| (c.slug.clone(), c.id)).collect();
        let mut ids: HashMap<Vec<String>, CategoryId> = HashMap::new();
        let mut new: Vec<Category> = Vec::new();
        let mut slugs: HashMap<Vec<String>, String> = HashMap::new();
        for path in drafts.iter().flat_map(|d| &d.categories) {
            for depth in 1..=path.len() {
                let (path, parent) = (&path[..depth], &path[..depth - 1]);
                if ids.contains_key(path) {
                    continue;
                }
                let name = &path[depth - 1];
                let mut own = text::slug(name);
                if own.is_empty() {
                    own = Id::from_name(name).to_string()[..8].to_owned();
                }
                let slug = match slugs.get(parent) {
                    Some(parent) => format!("{parent}-{own}"),
                    None => own,
                };
                let id = by_slug.get(&slug).copied().unwrap_or_else(|| store::category_id(&slug));
                let unknown = !by_slug.contains_key(&slug) && new.iter().all(|c| c.id != id);
                if unknown {
                    new.push(Category {
                        id,
                        parent_id: ids.get(parent).copied(),
                        slug: slug.clone(),
                        name: name.clone(),
                        name_hi: None,
                        position: i64::try_from(stored.len() + new.len()).unwrap_or(i64::MAX),
                    });
                }
                ids.insert(path.to_vec(), id);
                slugs.insert(path.to_vec(), slug);
            }
        }
        if !new.is_empty() {
            let added = self
                .catalog
                .db
                .write("catalog.import_categories", move |tx| store::add_categories(tx, &new))
                .await?;
            self.report.categories += added;
            self.catalog.cache.written(Vec::new());
        }
        Ok(ids)
    }

    async fn chunk(
        &mut self,
        mut chunk: Vec<Ready>,
        pictures: &HashMap<Image, PathBuf>,
    ) -> Result<(), ImportError> {
        self.check(&mut chunk).await?;
        self.originals(&mut chunk, pictures).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        let chunk: Vec<Arc<Ready>> = chunk.into_iter().map(Arc::new).collect();
        if self.attempt(&chunk).await?.is_none() {
            return Ok(());
        }
        // Something in the chunk is refused by the store: find out what, the rest goes in.
        for ready in &chunk {
            if let Some(reason) = self.attempt(std::slice::from_ref(ready)).await? {
                self.report.refuse(ready.draft.source.problem(&ready.draft.sku, reason));
            }
        }
        Ok(())
    }

    /// Finds the variants' ids and free slugs; drops what belongs to other products.
    async fn check(&mut self, chunk: &mut Vec<Ready>) -> Result<(), ImportError> {
        let skus: Vec<String> =
            chunk.iter().flat_map(|r| &r.draft.variants).map(|v| v.sku.clone()).collect();
        let slugs: Vec<String> = chunk.iter().map(|r| r.slug.clone()).collect();
        let (variants, taken) = self
            .catalog
            .db
            .read("catalog.import_check", move |q| {
                let skus: Vec<&str> = skus.iter().map(String::as_str).collect();
                let slugs: Vec<&str> = slugs.iter().map(String::as_str).collect();
                Ok::<_, DbError>((store::variants_known(q, &skus)?, store::slugs_taken(q, &slugs)?))
            })
            .await?;
        let (catalog, report) = (self.catalog, &mut *self.report);
        chunk.retain_mut(|ready| {
            let id = ready.id;
            let foreign = |v: &&super::draft::DraftVariant| {
                variants.get(&v.sku).is_some_and(|known| known.product_id != id)
            };
            if let Some(variant) = ready.draft.variants.iter().find(foreign) {
                let why = "the SKU belongs to another product of the shop";
                report.refuse(variant.source.problem(&variant.sku, why));
                return false;
            }
            if taken.get(&ready.slug).is_some_and(|sku| *sku != ready.draft.sku) {
                ready.slug = format!("{}-{}", ready.slug, text::slug(&ready.draft.sku));
            }
            ready.variants = ready
                .draft
                .variants
                .iter()
                .map(|v| match variants.get(&v.sku) {
                    Some(KnownVariant { id, stock, .. }) => (*id, *stock),
                    None => (catalog.env.new_id(), None),
                })
                .collect();
            true
        });
        Ok(())
    }

    /// Stores the pictures' originals.
    async fn originals(
        &mut self,
        chunk: &mut Vec<Ready>,
        files: &HashMap<Image, PathBuf>,
    ) -> Result<(), ImportError> {
        let wanted: HashSet<Image> =
            chunk.iter().filter_map(|r| r.draft.images.as_ref()).flatten().cloned().collect();
        let mut lost: HashMap<Image, String> = HashMap::new();
        for image in wanted {
            let Some(file) = files.get(&image).cloned() else { continue };
            let read = tokio::task::spawn_blocking(move || pictures::read_picture(&file)).await;
            let stored = match read.map_err(Internal::new)? {
                Err(reason) => Err(reason),
                Ok(bytes) => {
                    let put = self.catalog.blobs.put(bytes).await;
                    let blob = put.map_err(Internal::new)?;
                    if blob.to_string() == image.hash {
                        Ok(())
                    } else {
                        Err("a picture changed during the import; run it again".to_owned())
                    }
                }
            };
            if let Err(reason) = stored {
                lost.insert(image, reason);
            }
        }
        let report = &mut *self.report;
        chunk.retain(|ready| {
            let images = ready.draft.images.iter().flatten();
            match images.filter_map(|i| lost.get(i)).next() {
                Some(reason) => {
                    report.refuse(ready.draft.source.problem(&ready.draft.sku, reason.as_str()));
                    false
                }
                None => true,
            }
        });
        Ok(())
    }

    /// Writes the chunk; the reason if the store refuses something in it.
    async fn attempt(&mut self, chunk: &[Arc<Ready>]) -> Result<Option<String>, ImportError> {
        let (catalog, inventory) = (self.catalog.clone(), self.inventory.clone());
        let location = self.options.location;
        let now = catalog.env.now();
        let rows = chunk.to_vec();
        let written = self
            .catalog
            .db
            .write("catalog.import", move |tx| {
                let mut levels = Vec::new();
                let mut stock = Vec::new();
                for (ready, i) in
                    rows.iter().flat_map(|r| (0..r.variants.len()).map(move |i| (r, i)))
                {
                    let ((variant_id, before), on_hand) =
                        (ready.variants[i], ready.draft.variants[i].stock);
                    if before != Some(on_hand) {
                        levels.push(StockLevel { variant_id, location_id: location, on_hand });
                        stock.push((variant_id, on_hand));
                    }
                }
                let written = write_chunk(&catalog, tx, &rows, now)?;
                if !levels.is_empty() {
                    store::set_source_stock(tx, &stock)?;
                    inventory.set_stock_in(tx, &levels).map_err(WriteError::Stock)?;
                }
                Ok::<_, WriteError>(written)
            })
            .await;
        match written {
            Ok(written) => {
                for ready in chunk {
                    if ready.new {
                        self.report.created += 1
                    } else {
                        self.report.updated += 1
                    }
                    self.report.variants += ready.variants.len() as u64;
                    self.report.reviews += ready.draft.reviews.len() as u64;
                }
                self.report.pictures += written.pictures;
                self.catalog.cache.written(written.products);
                Ok(None)
            }
            Err(WriteError::Stock(InventoryError::Internal(e))) => {
                tracing::warn!(error = e.context(), "stock was not set");
                Ok(Some("its stock was refused".to_owned()))
            }
            Err(WriteError::Stock(e)) => Ok(Some(e.to_string())),
            Err(WriteError::Db(e @ (DbError::Unique { .. } | DbError::Check { .. }))) => {
                Ok(Some(e.to_string()))
            }
            Err(WriteError::Db(e)) => Err(e.into()),
        }
    }
}

fn write_chunk(
    catalog: &CatalogService,
    tx: &mut Tx<'_>,
    chunk: &[Arc<Ready>],
    now: Timestamp,
) -> Result<Written, DbError> {
    let old_ids: Vec<ProductId> = chunk.iter().filter(|r| !r.new).map(|r| r.id).collect();
    let mut old: HashMap<ProductId, Product> =
        store::lock(tx, &old_ids)?.into_iter().map(|p| (p.id, p)).collect();

    let images: HashSet<&Image> =
        chunk.iter().filter_map(|r| r.draft.images.as_ref()).flatten().collect();
    let mut images: Vec<(MediaId, String)> =
        images.into_iter().map(|i| (media_id(i), i.hash.clone())).collect();
    // Everybody locks in the same order.
    images.sort();
    let media = store::add_media(tx, &images)?;
    let pending: Vec<MediaId> = media
        .iter()
        .filter(|(_, (state, _))| *state == MediaState::Pending)
        .map(|(id, _)| *id)
        .collect();

    let reviews: Vec<(bool, ProductId, Review)> = chunk
        .iter()
        .flat_map(|r| reviews(&r.draft, now).into_iter().map(|review| (r.new, r.id, review)))
        .collect();
    let of = |new: bool| -> Vec<(ProductId, Review)> {
        reviews.iter().filter(|r| r.0 == new).map(|r| (r.1, r.2.clone())).collect()
    };
    store::add_reviews(tx, &of(false))?;
    let mut ratings = store::ratings(tx, &old_ids)?;
    for (product, review) in of(true) {
        let rating: &mut Rating = ratings.entry(product).or_default();
        rating.sum += review.stars;
        rating.count += 1;
    }

    let mut links = Vec::new();
    let mut products = Vec::with_capacity(chunk.len());
    for ready in chunk {
        let rating = ratings.get(&ready.id).copied().unwrap_or_default();
        let product = build(ready, old.remove(&ready.id), &media, rating, now);
        if ready.draft.images.is_some() {
            let mut shown: HashSet<MediaId> = product.media.iter().map(|m| m.id).collect();
            shown.extend(product.variants.iter().filter_map(|v| v.media_id));
            links.extend(shown.into_iter().map(|m| (m, product.id)));
        }
        products.push(product);
    }
    let rows: Vec<_> = products.iter().zip(chunk).map(|(p, r)| (p, Some(r.hash.clone()))).collect();
    store::put(tx, &rows)?;
    store::add_reviews(tx, &of(true))?;
    let pictured: Vec<ProductId> =
        chunk.iter().filter(|r| r.draft.images.is_some()).map(|r| r.id).collect();
    links.retain(|(m, _)| media.contains_key(m));
    store::link_media(tx, &pictured, &links)?;
    let pictures = crate::jobs::enqueue_renders(tx, &catalog.env, &pending)?;
    changed_events(tx, &catalog.env, &products)?;
    Ok(Written { products, pictures })
}

/// The same picture has the same id wherever it comes from, so it is rendered once.
fn media_id(image: &Image) -> MediaId {
    MediaId(Id::from_name(&format!("catalog.media/{}", image.hash)))
}

/// The same review of the same product has the same id at every import.
fn reviews(draft: &Draft, now: Timestamp) -> Vec<Review> {
    let mut same: HashMap<String, u32> = HashMap::new();
    let mut out = Vec::with_capacity(draft.reviews.len());
    for r in &draft.reviews {
        let text =
            [draft.sku.as_str(), &r.reviewer, &r.title, &r.body, &r.stars.to_string()].join("\0");
        let nth = same.entry(text.clone()).or_default();
        *nth += 1;
        out.push(Review {
            id: ReviewId(Id::from_name(&format!("catalog.review/{nth}/{text}"))),
            stars: r.stars,
            title: r.title.clone(),
            body: r.body.clone(),
            reviewer: r.reviewer.clone(),
            created_at: r.at.unwrap_or(now),
        });
    }
    out
}

type MediaStates = HashMap<MediaId, (MediaState, Vec<Rendition>)>;

fn build(
    ready: &Ready,
    old: Option<Product>,
    media: &MediaStates,
    rating: Rating,
    now: Timestamp,
) -> Product {
    let draft = &ready.draft;
    let usable = |id: &MediaId| media.get(id).is_some_and(|(s, _)| *s != MediaState::Failed);
    let old_variants = old.as_ref().map(|o| o.variants.clone()).unwrap_or_default();
    let mut variants: Vec<Variant> = draft
        .variants
        .iter()
        .zip(&ready.variants)
        .map(|(v, (id, _))| Variant {
            id: *id,
            sku: v.sku.clone(),
            name: v.name.clone(),
            options: v.options.clone(),
            price: v.price,
            mrp: v.mrp,
            hsn: v.hsn.clone(),
            weight_g: v.weight_g,
            media_id: match draft.images {
                Some(_) => v.image.as_ref().map(media_id).filter(usable),
                None => old_variants.iter().find(|o| o.id == *id).and_then(|o| o.media_id),
            },
            active: v.active,
        })
        .collect();
    // What the file no longer has cannot be bought any more, but orders still name it.
    for mut gone in old_variants {
        if variants.iter().all(|v| v.id != gone.id) {
            gone.active = false;
            variants.push(gone);
        }
    }
    let pictures = match &draft.images {
        Some(images) => images
            .iter()
            .map(media_id)
            .filter(usable)
            .map(|id| Media {
                id,
                alt: draft.name.clone(),
                renditions: media.get(&id).map(|(_, r)| r.clone()).unwrap_or_default(),
            })
            .collect(),
        None => old.as_ref().map(|o| o.media.clone()).unwrap_or_default(),
    };
    let mut product = Product {
        id: ready.id,
        sku: draft.sku.clone(),
        slug: ready.slug.clone(),
        name: draft.name.clone(),
        name_hi: draft.name_hi.clone(),
        description: draft.description.clone(),
        description_hi: draft.description_hi.clone(),
        category_ids: ready.categories.clone(),
        attributes: draft.attributes.clone(),
        options: draft.options.clone(),
        variants,
        media: pictures,
        rating,
        related: ready.related.clone(),
        active: draft.active,
        version: old.as_ref().map_or(1, |o| o.version),
        created_at: old.map_or(now, |o| o.created_at),
    };
    rules::sort_variants(&mut product);
    product
}
