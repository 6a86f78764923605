//! Products and categories. The products of a list share one batch, so that stock and related
//! products of a whole listing are read by one statement each, however many products it shows.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use mela_base::ids::{ProductId, VariantId};
use mela_catalog_api as api;
use tokio::sync::OnceCell;

use crate::context::services;
use crate::error::fault;
use crate::page::{self, Connection, connection};
use crate::scalar::{DateTime, PaiseScalar};

/// Language of names and texts; where a translation is missing, English stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Lang {
    /// English.
    #[default]
    En,
    /// Hindi.
    Hi,
}

/// A product.
#[derive(Clone)]
pub(crate) struct Product {
    pub(crate) inner: Arc<api::Product>,
    batch: Arc<Batch>,
}

/// What the products of one list share.
struct Batch {
    products: Vec<Arc<api::Product>>,
    stock: OnceCell<HashMap<VariantId, i64>>,
    related: OnceCell<HashMap<ProductId, Product>>,
    categories: OnceCell<Arc<Vec<api::Category>>>,
}

impl Product {
    /// Products that are shown together.
    pub(crate) fn list(products: Vec<Arc<api::Product>>) -> Vec<Self> {
        let batch = Arc::new(Batch {
            products: products.clone(),
            stock: OnceCell::new(),
            related: OnceCell::new(),
            categories: OnceCell::new(),
        });
        products.into_iter().map(|inner| Self { inner, batch: batch.clone() }).collect()
    }

    async fn stock(&self, ctx: &Context<'_>, variant: VariantId) -> Result<i64> {
        let stock = self
            .batch
            .stock
            .get_or_try_init(|| async {
                let ids: Vec<VariantId> =
                    self.batch.products.iter().flat_map(|p| &p.variants).map(|v| v.id).collect();
                let found = services(ctx).inventory.availability(&ids).await.map_err(fault)?;
                Ok::<_, async_graphql::Error>(
                    found.into_iter().map(|a| (a.variant_id, a.available)).collect(),
                )
            })
            .await?;
        Ok(stock.get(&variant).copied().unwrap_or(0))
    }
}

/// A named property with its values.
#[derive(SimpleObject, Clone)]
pub(crate) struct Attribute {
    code: String,
    label: String,
    values: Vec<String>,
}

/// A choice that the shopper makes.
#[derive(SimpleObject, Clone)]
pub(crate) struct ProductOption {
    code: String,
    label: String,
    values: Vec<String>,
}

/// A chosen value of an option.
#[derive(SimpleObject, Clone)]
pub(crate) struct OptionValue {
    code: String,
    value: String,
}

/// One size of a picture.
#[derive(SimpleObject, Clone)]
pub(crate) struct Image {
    /// Immutable: may be cached for ever.
    url: String,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
}

/// Average of the reviews.
#[derive(SimpleObject, Clone)]
pub(crate) struct Rating {
    /// 1.0 – 5.0 with one decimal; null without reviews.
    average: Option<f64>,
    /// Number of reviews.
    count: i64,
}

/// A picture.
#[derive(Clone)]
pub(crate) struct Media(api::Media);

#[Object]
impl Media {
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// Text for those who do not see it.
    async fn alt(&self) -> &str {
        &self.0.alt
    }

    /// About 200 px; null until it is made.
    async fn thumbnail(&self) -> Option<Image> {
        self.image("thumbnail")
    }

    /// About 480 px; null until it is made.
    async fn card(&self) -> Option<Image> {
        self.image("card")
    }

    /// About 1,200 px; null until it is made.
    async fn full(&self) -> Option<Image> {
        self.image("full")
    }
}

impl Media {
    fn image(&self, kind: &str) -> Option<Image> {
        let r = self.0.renditions.iter().find(|r| r.kind == kind)?;
        Some(Image {
            url: format!("/media/{}/{kind}.webp", r.blob),
            width: r.width,
            height: r.height,
        })
    }
}

/// One sellable SKU of a product.
pub(crate) struct Variant {
    product: Product,
    index: usize,
}

impl Variant {
    fn get(&self) -> &api::Variant {
        &self.product.inner.variants[self.index]
    }
}

#[Object]
impl Variant {
    async fn id(&self) -> ID {
        ID(self.get().id.to_string())
    }

    async fn sku(&self) -> &str {
        &self.get().sku
    }

    async fn name(&self) -> &str {
        &self.get().name
    }

    async fn options(&self) -> Vec<OptionValue> {
        self.get()
            .options
            .iter()
            .map(|(code, value)| OptionValue { code: code.clone(), value: value.clone() })
            .collect()
    }

    /// Tax included.
    async fn price(&self) -> PaiseScalar {
        PaiseScalar(self.get().price)
    }

    /// Maximum retail price.
    async fn mrp(&self) -> PaiseScalar {
        PaiseScalar(self.get().mrp)
    }

    /// HSN code for GST.
    async fn hsn(&self) -> &str {
        &self.get().hsn
    }

    /// How many can be bought now (a few seconds old where answers are cached).
    async fn available(&self, ctx: &Context<'_>) -> Result<i64> {
        let variant = self.get();
        if variant.active { self.product.stock(ctx, variant.id).await } else { Ok(0) }
    }

    /// Its own picture, or the product's.
    async fn media(&self) -> Option<Media> {
        let media = &self.product.inner.media;
        let own = self.get().media_id.and_then(|id| media.iter().find(|m| m.id == id));
        own.or_else(|| media.first()).cloned().map(Media)
    }
}

#[Object]
impl Product {
    async fn id(&self) -> ID {
        ID(self.inner.id.to_string())
    }

    async fn slug(&self) -> &str {
        &self.inner.slug
    }

    async fn sku(&self) -> &str {
        &self.inner.sku
    }

    async fn name(&self, #[graphql(default)] lang: Lang) -> &str {
        match (lang, &self.inner.name_hi) {
            (Lang::Hi, Some(hindi)) => hindi,
            _ => &self.inner.name,
        }
    }

    async fn name_hi(&self) -> Option<&str> {
        self.inner.name_hi.as_deref()
    }

    /// Plain text; lines that begin with `• ` are a list.
    async fn description(&self, #[graphql(default)] lang: Lang) -> &str {
        match (lang, &self.inner.description_hi) {
            (Lang::Hi, Some(hindi)) => hindi,
            _ => &self.inner.description,
        }
    }

    async fn categories(&self, ctx: &Context<'_>) -> Result<Vec<Category>> {
        let tree = self
            .batch
            .categories
            .get_or_try_init(|| async { services(ctx).catalog.categories().await.map_err(fault) });
        let tree = tree.await?;
        Ok(Category::all(tree).filter(|c| self.inner.category_ids.contains(&c.get().id)).collect())
    }

    async fn attributes(&self) -> Vec<Attribute> {
        let copy = |a: &api::Attribute| Attribute {
            code: a.code.clone(),
            label: a.label.clone(),
            values: a.values.clone(),
        };
        self.inner.attributes.iter().map(copy).collect()
    }

    async fn options(&self) -> Vec<ProductOption> {
        let copy = |o: &api::ProductOption| ProductOption {
            code: o.code.clone(),
            label: o.label.clone(),
            values: o.values.clone(),
        };
        self.inner.options.iter().map(copy).collect()
    }

    #[graphql(complexity = "page::times(10, child_complexity)")]
    async fn variants(&self) -> Vec<Variant> {
        (0..self.inner.variants.len())
            .map(|index| Variant { product: self.clone(), index })
            .collect()
    }

    async fn media(&self) -> Vec<Media> {
        self.inner.media.iter().cloned().map(Media).collect()
    }

    /// Price of the cheapest variant.
    async fn price_min(&self) -> PaiseScalar {
        PaiseScalar(self.inner.variants.iter().map(|v| v.price).min().unwrap_or_default())
    }

    /// Price of the dearest variant.
    async fn price_max(&self) -> PaiseScalar {
        PaiseScalar(self.inner.variants.iter().map(|v| v.price).max().unwrap_or_default())
    }

    /// Highest MRP among the variants.
    async fn mrp_max(&self) -> PaiseScalar {
        PaiseScalar(self.inner.variants.iter().map(|v| v.mrp).max().unwrap_or_default())
    }

    async fn rating(&self) -> Rating {
        let api::Rating { sum, count } = self.inner.rating;
        #[allow(clippy::cast_precision_loss)] // stars, not money
        let average = (count > 0).then(|| (sum as f64 * 10.0 / count as f64).round() / 10.0);
        Rating { average, count }
    }

    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn reviews(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 10)] first: i32,
        after: Option<String>,
    ) -> Result<ReviewConnection> {
        let page = services(ctx)
            .catalog
            .reviews(self.inner.id, &page::request(first, after))
            .await
            .map_err(fault)?;
        Ok(Connection::from_page(page.map(Review::from)).into())
    }

    /// Products to show beside it.
    #[graphql(complexity = "page::times(first.min(20), child_complexity)")]
    async fn related(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 6)] first: i32,
    ) -> Result<Vec<Product>> {
        let related = self
            .batch
            .related
            .get_or_try_init(|| async {
                let mut ids: Vec<ProductId> = self
                    .batch
                    .products
                    .iter()
                    .flat_map(|p| p.related.iter().take(20))
                    .copied()
                    .collect();
                ids.sort_unstable();
                ids.dedup();
                let found = services(ctx).catalog.products(&ids).await.map_err(fault)?;
                let shown = Product::list(found.into_iter().filter(|p| p.active).collect());
                Ok::<_, async_graphql::Error>(shown.into_iter().map(|p| (p.inner.id, p)).collect())
            })
            .await?;
        let limit = usize::try_from(first.clamp(0, 20)).unwrap_or(0);
        Ok(self
            .inner
            .related
            .iter()
            .filter_map(|id| related.get(id))
            .take(limit)
            .cloned()
            .collect())
    }

    /// At least one variant can be bought now.
    async fn available(&self, ctx: &Context<'_>) -> Result<bool> {
        for variant in self.inner.variants.iter().filter(|v| v.active) {
            if self.stock(ctx, variant.id).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A review.
#[derive(SimpleObject, Clone)]
pub(crate) struct Review {
    id: ID,
    /// 1 – 5.
    stars: i64,
    title: String,
    body: String,
    /// The name the reviewer chose to show.
    reviewer: String,
    created_at: DateTime,
}

impl From<api::Review> for Review {
    fn from(r: api::Review) -> Self {
        Self {
            id: ID(r.id.to_string()),
            stars: r.stars,
            title: r.title,
            body: r.body,
            reviewer: r.reviewer,
            created_at: DateTime(r.created_at),
        }
    }
}

connection!(ReviewConnection, ReviewEdge, Review);

/// A node of the category tree.
pub(crate) struct Category {
    tree: Arc<Vec<api::Category>>,
    index: usize,
}

impl Category {
    /// Every category, in the order of the tree.
    pub(crate) fn all(tree: &Arc<Vec<api::Category>>) -> impl Iterator<Item = Self> {
        (0..tree.len()).map({
            let tree = tree.clone();
            move |index| Self { tree: tree.clone(), index }
        })
    }

    fn get(&self) -> &api::Category {
        &self.tree[self.index]
    }
}

#[Object]
impl Category {
    async fn id(&self) -> ID {
        ID(self.get().id.to_string())
    }

    async fn slug(&self) -> &str {
        &self.get().slug
    }

    async fn name(&self, #[graphql(default)] lang: Lang) -> &str {
        match (lang, &self.get().name_hi) {
            (Lang::Hi, Some(hindi)) => hindi,
            _ => &self.get().name,
        }
    }

    async fn parent_id(&self) -> Option<ID> {
        self.get().parent_id.map(|id| ID(id.to_string()))
    }

    #[graphql(complexity = "page::times(10, child_complexity)")]
    async fn children(&self) -> Vec<Category> {
        let id = Some(self.get().id);
        Self::all(&self.tree).filter(|c| c.get().parent_id == id).collect()
    }
}
