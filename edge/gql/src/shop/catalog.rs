//! Products, categories, search. Lists share one batch, so that stock and related products of a
//! whole listing are read by one statement each, however many products it shows.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use mela_base::Paise;
use mela_base::ids::{ProductId, VariantId};
use mela_catalog_api as api;
use mela_search_api::{SearchFilter, SearchRequest, Sort};
use tokio::sync::OnceCell;

use crate::context::services;
use crate::error::{fault, invalid};
use crate::page::{self, Connection, PageInfo, connection};
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

/// Order of products.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ProductSort {
    /// Best match first.
    #[default]
    Relevance,
    /// Cheapest first.
    PriceAsc,
    /// Dearest first.
    PriceDesc,
    /// Best rated first.
    Rating,
    /// Newest first.
    Newest,
}

/// Narrowing of a product list: fields are joined by AND, the values of one list by OR.
#[derive(InputObject, Default)]
pub(crate) struct ProductFilter {
    /// Slug of a category, its descendants included.
    category: Option<String>,
    /// Lowest price.
    price_min: Option<PaiseScalar>,
    /// Highest price.
    price_max: Option<PaiseScalar>,
    /// Any of these sizes.
    sizes: Option<Vec<String>>,
    /// Any of these colours.
    colors: Option<Vec<String>>,
    /// At least this many stars on average.
    rating_min: Option<i32>,
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
}

impl Product {
    /// Products that are shown together.
    pub(crate) fn list(products: Vec<Arc<api::Product>>) -> Vec<Self> {
        let batch = Arc::new(Batch {
            products: products.clone(),
            stock: OnceCell::new(),
            related: OnceCell::new(),
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
        let tree = services(ctx).catalog.categories().await.map_err(fault)?;
        Ok(Category::all(&tree).filter(|c| self.inner.category_ids.contains(&c.get().id)).collect())
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

    #[graphql(complexity = "10 * child_complexity + 1")]
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
    #[graphql(complexity = "page::cost(first, child_complexity)")]
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
    fn all(tree: &Arc<Vec<api::Category>>) -> impl Iterator<Item = Self> {
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

    #[graphql(complexity = "10 * child_complexity + 1")]
    async fn children(&self) -> Vec<Category> {
        let id = Some(self.get().id);
        Self::all(&self.tree).filter(|c| c.get().parent_id == id).collect()
    }
}

/// A completion of what is being typed.
#[derive(SimpleObject)]
pub(crate) struct Suggestion {
    text: String,
    slug: String,
    product_id: ID,
}

/// Counts of a list by the values of one field.
#[derive(SimpleObject)]
pub(crate) struct Facet {
    /// `category`, `price`, `size`, `color` or `rating`.
    field: String,
    values: Vec<FacetValue>,
}

/// One value of a facet.
#[derive(SimpleObject)]
pub(crate) struct FacetValue {
    /// What to put into the filter.
    value: String,
    /// For people.
    label: String,
    /// Number of products.
    count: u64,
}

/// A product and the cursor that continues after it.
#[derive(SimpleObject)]
pub(crate) struct ProductEdge {
    /// Pass this as `after` to continue after the product.
    cursor: String,
    /// The product.
    node: Product,
}

/// A part of a product list, with counts over all of it.
pub(crate) struct ProductConnection {
    products: Vec<Product>,
    offset: u32,
    total: u64,
    facets: Vec<mela_search_api::Facet>,
}

#[Object]
impl ProductConnection {
    async fn edges(&self) -> Vec<ProductEdge> {
        let edge = |(i, node): (u32, &Product)| ProductEdge {
            cursor: (self.offset + i + 1).to_string(),
            node: node.clone(),
        };
        (0..).zip(&self.products).map(edge).collect()
    }

    async fn nodes(&self) -> &[Product] {
        &self.products
    }

    async fn page_info(&self) -> PageInfo {
        let end = u64::from(self.offset) + self.products.len() as u64;
        PageInfo {
            has_next_page: end < self.total,
            end_cursor: (!self.products.is_empty()).then(|| end.to_string()),
        }
    }

    /// All hits.
    async fn total_count(&self) -> u64 {
        self.total
    }

    async fn facets(&self) -> Vec<Facet> {
        let value = |v: &mela_search_api::FacetValue| FacetValue {
            value: v.value.clone(),
            label: v.label.clone(),
            count: v.count,
        };
        self.facets
            .iter()
            .map(|f| Facet {
                field: f.field.to_owned(),
                values: f.values.iter().map(value).collect(),
            })
            .collect()
    }
}

/// What is known of a pincode.
#[derive(SimpleObject)]
pub(crate) struct PincodeInfo {
    code: String,
    state: String,
    district: String,
    /// Parcels get there.
    deliverable: bool,
    /// Cash on delivery is possible there.
    cash_on_delivery: bool,
    /// Usual days in transit.
    days: i64,
}

/// The shop itself.
pub(crate) struct Shop;

#[Object]
impl Shop {
    async fn name<'a>(&self, ctx: &Context<'a>) -> &'a str {
        &services(ctx).shop.name
    }

    /// Where to ask.
    async fn support_email<'a>(&self, ctx: &Context<'a>) -> Option<&'a str> {
        services(ctx).shop.support_email.as_deref()
    }

    /// What a coin is worth on an order.
    async fn paise_per_coin(&self, ctx: &Context<'_>) -> PaiseScalar {
        PaiseScalar(Paise(services(ctx).shop.paise_per_coin))
    }

    /// Largest share of an order that coins may pay.
    async fn coins_max_percent(&self, ctx: &Context<'_>) -> i64 {
        services(ctx).shop.coins_max_percent
    }

    /// From this amount delivery is free.
    async fn free_shipping_above(&self, ctx: &Context<'_>) -> Option<PaiseScalar> {
        services(ctx).shop.free_shipping_above.map(PaiseScalar)
    }

    /// Where the game socket is.
    async fn play_path(&self) -> &str {
        "/play"
    }
}

/// Catalogue queries: the same answer for everybody.
#[derive(Default)]
pub(crate) struct CatalogQuery;

#[Object]
impl CatalogQuery {
    /// The shop itself.
    async fn shop(&self) -> Shop {
        Shop
    }

    /// The product with this slug; null if there is none.
    async fn product(&self, ctx: &Context<'_>, slug: String) -> Result<Option<Product>> {
        let found = services(ctx).catalog.product_by_slug(&slug).await.map_err(fault)?;
        Ok(found.and_then(|p| Product::list(vec![p]).pop()))
    }

    /// Products by words, filter and order.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn products(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "page::DEFAULT_FIRST")] first: i32,
        after: Option<String>,
        search: Option<String>,
        filter: Option<ProductFilter>,
        #[graphql(default)] sort: ProductSort,
    ) -> Result<ProductConnection> {
        let offset = match &after {
            None => 0,
            Some(cursor) => cursor.parse::<u32>().map_err(|_| {
                invalid(
                    "INVALID_CURSOR",
                    "after",
                    "this cursor is not valid; start from the first page",
                )
            })?,
        };
        let filter = filter.unwrap_or_default();
        let wants_facets = ctx.look_ahead().field("facets").exists();
        let request = SearchRequest {
            text: search.unwrap_or_default(),
            filter: SearchFilter {
                category: filter.category,
                price_min: filter.price_min.map(|p| p.0),
                price_max: filter.price_max.map(|p| p.0),
                sizes: filter.sizes.unwrap_or_default(),
                colors: filter.colors.unwrap_or_default(),
                rating_min: filter.rating_min.map(|r| u8::try_from(r.clamp(1, 5)).unwrap_or(1)),
            },
            sort: match sort {
                ProductSort::Relevance => Sort::Relevance,
                ProductSort::PriceAsc => Sort::PriceAsc,
                ProductSort::PriceDesc => Sort::PriceDesc,
                ProductSort::Rating => Sort::Rating,
                ProductSort::Newest => Sort::Newest,
            },
            offset,
            limit: u32::try_from(first.clamp(1, 100)).unwrap_or(20),
            facets: wants_facets,
        };
        let found = services(ctx).search.search(&request).await.map_err(fault)?;
        let products = services(ctx).catalog.products(&found.ids).await.map_err(fault)?;
        Ok(ProductConnection {
            products: Product::list(products),
            offset,
            total: found.total,
            facets: found.facets,
        })
    }

    /// Completions while typing.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn suggest(
        &self,
        ctx: &Context<'_>,
        prefix: String,
        #[graphql(default = 8)] first: i32,
    ) -> Result<Vec<Suggestion>> {
        let limit = u32::try_from(first.clamp(1, 20)).unwrap_or(8);
        let found = services(ctx).search.suggest(&prefix, limit).await.map_err(fault)?;
        let suggestion = |s: mela_search_api::Suggestion| Suggestion {
            text: s.text,
            slug: s.slug,
            product_id: ID(s.product_id.to_string()),
        };
        Ok(found.into_iter().map(suggestion).collect())
    }

    /// All categories, parents before children.
    #[graphql(complexity = "20 * child_complexity + 1")]
    async fn categories(&self, ctx: &Context<'_>) -> Result<Vec<Category>> {
        let tree = services(ctx).catalog.categories().await.map_err(fault)?;
        Ok(Category::all(&tree).collect())
    }

    /// What is known of a pincode, and what can be delivered there.
    async fn pincode(&self, ctx: &Context<'_>, code: String) -> Result<PincodeInfo> {
        let service = services(ctx).shipping.serviceability(&code).map_err(fault)?;
        let place = mela_base::pincode::lookup(&code).ok_or_else(|| {
            fault(mela_shipping_api::ShippingError::InvalidPincode(code.chars().take(12).collect()))
        })?;
        Ok(PincodeInfo {
            code,
            state: place.state.name.to_owned(),
            district: place.district.to_owned(),
            deliverable: service.deliverable,
            cash_on_delivery: service.cash_on_delivery,
            days: service.days,
        })
    }
}
