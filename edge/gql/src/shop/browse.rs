//! How a shopper finds things: lists with search, filter and facets, and what the shop says of
//! itself. The same answers for everybody.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use mela_base::Paise;
use mela_search_api::{SearchFilter, SearchRequest, Sort};

use crate::context::services;
use crate::error::{fault, invalid};
use crate::page::{self, PageInfo};
use crate::scalar::PaiseScalar;
use crate::shop::catalog::{Category, Product};

/// What a search costs beyond its hits: all that match are counted, however few are asked for.
const SEARCHING: usize = 200;

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
    #[graphql(complexity = "page::call(child_complexity)")]
    async fn product(&self, ctx: &Context<'_>, slug: String) -> Result<Option<Product>> {
        let found = services(ctx).catalog.product_by_slug(&slug).await.map_err(fault)?;
        Ok(found.and_then(|p| Product::list(vec![p]).pop()))
    }

    /// Products by words, filter and order.
    #[graphql(complexity = "page::cost(first, child_complexity) + SEARCHING")]
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
    #[graphql(complexity = "page::cost(first, child_complexity) + SEARCHING")]
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
    #[graphql(complexity = "page::times(20, child_complexity)")]
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
