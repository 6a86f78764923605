//! The use cases.

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::{ProductId, ReviewId, VariantId};
use mela_base::{Env, Event, Id, Internal, Op, Page, PageRequest, Role, Timestamp};
use mela_blob::{BlobError, BlobRef, BlobStore};
use mela_bus::{Bus, EventRow};
use mela_catalog_api::{
    Catalog, CatalogError, Category, PriceChange, Product, ProductChanged, ProductEdit,
    ProductRemoved, Review, VariantForSale,
};
use mela_db::{Db, DbError, Query, Tx};
use tokio::sync::broadcast::error::RecvError;

use crate::cache::Cache;
use crate::{rules, store};

/// The catalogue. Cheap to clone.
#[derive(Clone)]
pub struct CatalogService {
    pub(crate) db: Db,
    pub(crate) env: Env,
    pub(crate) blobs: BlobStore,
    pub(crate) cache: Arc<Cache>,
}

/// Announces changed products, in the transaction of the change.
pub(crate) fn changed_events(
    tx: &mut Tx<'_>,
    env: &Env,
    products: &[Product],
) -> Result<(), DbError> {
    let events = products
        .iter()
        .map(|p| EventRow::new(&ProductChanged { product_id: p.id, version: p.version }))
        .collect::<Result<Vec<_>, _>>()?;
    mela_bus::emit_all(tx, env, &events)
}

impl CatalogService {
    /// A catalogue over this database, whose migrations include [`crate::MIGRATIONS`].
    pub fn new(db: Db, env: Env, blobs: BlobStore) -> Self {
        Self { db, env, blobs, cache: Arc::new(Cache::new()) }
    }

    /// Follows what other processes change, until the bus is gone. Call within a runtime.
    pub fn subscribe(&self, bus: &Bus) {
        let mut live = bus.live();
        let cache = Arc::downgrade(&self.cache);
        tokio::spawn(async move {
            loop {
                let received = live.recv().await;
                let Some(cache) = cache.upgrade() else { return };
                match received {
                    Ok(event) if event.topic == ProductChanged::TOPIC => {
                        match event.decode::<ProductChanged>() {
                            Ok(e) => cache.announced(e.product_id, e.version),
                            Err(_) => cache.clear(),
                        }
                    }
                    Ok(event) if event.topic == ProductRemoved::TOPIC => cache.clear(),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => cache.clear(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }

    /// Locks the products of `ids`, changes them by `change`, stores and announces them.
    pub(crate) fn change_in(
        &self,
        tx: &mut Tx<'_>,
        ids: &[ProductId],
        mut change: impl FnMut(&mut Product) -> Result<(), CatalogError>,
    ) -> Result<Vec<Product>, CatalogError> {
        let mut products = store::lock(tx, ids)?;
        for product in &mut products {
            change(product)?;
            rules::sort_variants(product);
        }
        let rows: Vec<_> = products.iter().map(|p| (p, None)).collect();
        store::put(tx, &rows)?;
        changed_events(tx, &self.env, &products)?;
        Ok(products)
    }
}

#[async_trait]
impl Catalog for CatalogService {
    async fn products(&self, ids: &[ProductId]) -> Result<Vec<Arc<Product>>, CatalogError> {
        let seen = self.cache.seen();
        let mut found = self.cache.products(ids);
        let mut missing: Vec<ProductId> =
            ids.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(id, _)| *id).collect();
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            let read =
                self.db.read("catalog.products", move |q| store::products(q, &missing)).await?;
            let mut read: Vec<Arc<Product>> = read.into_iter().map(Arc::new).collect();
            self.cache.keep(seen, &read);
            read.sort_unstable_by_key(|p| p.id);
            for (id, place) in ids.iter().zip(&mut found) {
                if place.is_none() {
                    let at = read.binary_search_by_key(id, |p| p.id).ok();
                    *place = at.map(|i| read[i].clone());
                }
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    async fn product_by_slug(&self, slug: &str) -> Result<Option<Arc<Product>>, CatalogError> {
        let seen = self.cache.seen();
        let product = match self.cache.by_slug(slug) {
            Some(product) => Some(product),
            // No slug is longer or holds such signs; PostgreSQL would refuse a NUL as our mistake.
            None if slug.len() > 300 || slug.contains(char::is_control) => None,
            None => {
                let slug = slug.to_owned();
                let read = move |q: &mut Query<'_>| store::product_by_slug(q, &slug);
                let product = self.db.read("catalog.product_by_slug", read).await?.map(Arc::new);
                if let Some(product) = &product {
                    self.cache.keep(seen, std::slice::from_ref(product));
                }
                product
            }
        };
        Ok(product.filter(|p| p.active))
    }

    async fn products_after(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<Arc<Product>>, CatalogError> {
        let (after, limit) = (after.unwrap_or_default(), limit.clamp(1, 1_000));
        let read = move |q: &mut Query<'_>| store::products_after(q, after, limit);
        let products = self.db.read("catalog.products_after", read).await?;
        Ok(products.into_iter().map(Arc::new).collect())
    }

    async fn versions_after(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<(ProductId, i64)>, CatalogError> {
        let (after, limit) = (after.unwrap_or_default(), limit.clamp(1, 10_000));
        let read = move |q: &mut Query<'_>| store::versions_after(q, after, limit);
        Ok(self.db.read("catalog.versions_after", read).await?)
    }

    async fn product_count(&self) -> Result<u64, CatalogError> {
        let count = self.db.read("catalog.product_count", store::product_count).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn categories(&self) -> Result<Arc<Vec<Category>>, CatalogError> {
        let seen = self.cache.seen();
        if let Some(categories) = self.cache.categories() {
            return Ok(categories);
        }
        let categories = Arc::new(self.db.read("catalog.categories", store::categories).await?);
        self.cache.keep_categories(seen, &categories);
        Ok(categories)
    }

    async fn reviews(
        &self,
        product: ProductId,
        page: &PageRequest,
    ) -> Result<Page<Review>, CatalogError> {
        let before = match &page.after {
            Some(cursor) => parse_cursor(cursor)?,
            None => (Timestamp::from_micros(MAX_MICROS), ReviewId(Id::from_bytes([255; 16]))),
        };
        let limit = page.limit();
        let read = move |q: &mut Query<'_>| store::reviews(q, product, before, limit + 1);
        let rows = self.db.read("catalog.reviews", read).await?;
        let rows = rows.into_iter().map(|r| (cursor(&r), r)).collect();
        Ok(Page::from_rows(rows, limit))
    }

    fn version(&self) -> u64 {
        self.cache.version()
    }

    fn variants_for_sale(
        &self,
        q: &mut Query<'_>,
        ids: &[VariantId],
    ) -> Result<Vec<VariantForSale>, DbError> {
        store::for_sale(q, ids)
    }

    async fn edit_product(
        &self,
        op: &Op,
        id: ProductId,
        edit: ProductEdit,
    ) -> Result<Arc<Product>, CatalogError> {
        if !op.may(Role::Manager) {
            return Err(CatalogError::Denied);
        }
        let this = self.clone();
        let changed = self
            .db
            .write("catalog.edit_product", move |tx| {
                this.change_in(tx, &[id], |product| rules::edit(product, &edit))
            })
            .await?;
        let product = changed.first().cloned().ok_or(CatalogError::ProductNotFound)?;
        self.cache.written(changed);
        Ok(Arc::new(product))
    }

    async fn change_prices(&self, op: &Op, changes: &[PriceChange]) -> Result<(), CatalogError> {
        if !op.may(Role::Manager) {
            return Err(CatalogError::Denied);
        }
        let invalid = |message: String| CatalogError::Invalid { field: "changes", message };
        if changes.is_empty() || changes.len() > rules::MAX_CHANGES {
            let most = rules::MAX_CHANGES;
            return Err(invalid(format!("one call changes 1 to {most} prices")));
        }
        let mut variants: Vec<VariantId> = changes.iter().map(|c| c.variant_id).collect();
        variants.sort_unstable();
        variants.dedup();
        if variants.len() != changes.len() {
            return Err(invalid("a variant is named twice; name it once".to_owned()));
        }
        let (this, changes) = (self.clone(), changes.to_vec());
        let changed = self
            .db
            .write("catalog.change_prices", move |tx| {
                let owners = store::variant_owners(tx, &variants)?;
                if owners.len() != variants.len() {
                    return Err(CatalogError::VariantNotFound);
                }
                let mut ids: Vec<ProductId> = owners.values().copied().collect();
                ids.sort_unstable();
                ids.dedup();
                this.change_in(tx, &ids, |product| {
                    let own = |c: &&PriceChange| owners.get(&c.variant_id) == Some(&product.id);
                    let own: Vec<&PriceChange> = changes.iter().filter(own).collect();
                    own.into_iter().try_for_each(|change| rules::price(product, change))
                })
            })
            .await?;
        self.cache.written(changed);
        Ok(())
    }

    async fn rendition(&self, blob: &str) -> Result<Option<Vec<u8>>, CatalogError> {
        // Anything but 64 hex digits is no blob's name.
        let Ok(blob) = blob.parse::<BlobRef>() else { return Ok(None) };
        match self.blobs.get(blob).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(BlobError::NotFound(_)) => Ok(None),
            Err(e) => Err(Internal::new(e).into()),
        }
    }
}

/// Year 9999: later than every review, within both engines' range.
const MAX_MICROS: i64 = 253_402_300_799_000_000;

fn cursor(review: &Review) -> String {
    format!("{:x}.{}", review.created_at.micros(), review.id.0)
}

fn parse_cursor(text: &str) -> Result<(Timestamp, ReviewId), CatalogError> {
    text.split_once('.')
        .filter(|(at, _)| at.len() <= 16 && at.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|(at, id)| Some((i64::from_str_radix(at, 16).ok()?, Id::parse(id)?)))
        .filter(|(at, _)| (0..=MAX_MICROS).contains(at))
        .map(|(at, id)| (Timestamp::from_micros(at), ReviewId(id)))
        .ok_or_else(|| CatalogError::Invalid {
            field: "after",
            message: "this cursor is not valid; start from the first page".to_owned(),
        })
}
