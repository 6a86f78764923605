//! Catalogue: products, variants, categories, prices, media, reviews.
//!
//! Prices are paise, tax included, as Indian law wants them shown. A variant is what is sold (one
//! SKU); a product is what is browsed. Products are handed out as shared, immutable snapshots with
//! a version, so that every reader of one version can share one copy.

mod error;
mod event;

use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::{CategoryId, MediaId, ProductId, ReviewId, VariantId};
use mela_base::{Op, Page, PageRequest, Paise, Timestamp};
use mela_db::{DbError, Query};

pub use error::CatalogError;
pub use event::{ProductChanged, ProductRemoved};

/// A product with all that its page shows, except stock (inventory's) and reviews' texts.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Product {
    /// Identity.
    pub id: ProductId,
    /// The merchant's own code (Magento's parent SKU).
    pub sku: String,
    /// Unique, URL-safe.
    pub slug: String,
    /// English name.
    pub name: String,
    /// Hindi name, if there is one.
    pub name_hi: Option<String>,
    /// Plain text; markup of imported files is reduced to paragraphs and bullet lines.
    pub description: String,
    /// Hindi description, if there is one.
    pub description_hi: Option<String>,
    /// Every category it stands in, the ancestors not repeated.
    pub category_ids: Vec<CategoryId>,
    /// Properties for facets and the product page (material, pattern, …).
    pub attributes: Vec<Attribute>,
    /// What distinguishes its variants (size, colour); empty for a simple product.
    pub options: Vec<ProductOption>,
    /// At least one, the cheapest first.
    pub variants: Vec<Variant>,
    /// The first is the main picture.
    pub media: Vec<Media>,
    /// Sum of stars and number of approved reviews.
    pub rating: Rating,
    /// Products to show beside it.
    pub related: Vec<ProductId>,
    /// Shown in the shop.
    pub active: bool,
    /// Grows with every change of the product.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A named property with its values.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attribute {
    /// Stable code, e.g. `material`.
    pub code: String,
    /// For people, e.g. `Material`.
    pub label: String,
    /// One or more.
    pub values: Vec<String>,
}

/// A choice that the shopper makes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProductOption {
    /// Stable code, e.g. `size`.
    pub code: String,
    /// For people, e.g. `Size`.
    pub label: String,
    /// In the order to show.
    pub values: Vec<String>,
}

/// One sellable SKU.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Variant {
    /// Identity.
    pub id: VariantId,
    /// The merchant's stock keeping unit, unique.
    pub sku: String,
    /// E.g. `Chaz Kangeroo Hoodie – XS, Black`.
    pub name: String,
    /// Option code and value, in the order of the product's options.
    pub options: Vec<(String, String)>,
    /// Price with tax.
    pub price: Paise,
    /// Maximum retail price; never below `price`.
    pub mrp: Paise,
    /// HSN code, 4 to 8 digits; decides the GST rate.
    pub hsn: String,
    /// Grams, for the courier.
    pub weight_g: i64,
    /// Its own picture, if it has one.
    pub media_id: Option<MediaId>,
    /// Can be bought.
    pub active: bool,
}

/// A picture with its renditions. URLs are `/media/{hash}/{rendition}.webp`, immutable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Media {
    /// Identity.
    pub id: MediaId,
    /// Text for those who do not see it.
    pub alt: String,
    /// Empty until the renditions are made.
    pub renditions: Vec<Rendition>,
}

/// One size of a picture.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rendition {
    /// `thumbnail`, `card` or `full`.
    pub kind: String,
    /// SHA-256 of the file, lower-case hex: names the blob and the URL.
    pub blob: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Stars in whole numbers, so that nothing is rounded twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rating {
    /// Sum of all stars.
    pub sum: i64,
    /// Number of reviews.
    pub count: i64,
}

/// A node of the category tree.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Category {
    /// Identity.
    pub id: CategoryId,
    /// `None` at the top.
    pub parent_id: Option<CategoryId>,
    /// Unique, URL-safe; the path joined by dashes.
    pub slug: String,
    /// English name.
    pub name: String,
    /// Hindi name, if there is one.
    pub name_hi: Option<String>,
    /// Order among siblings.
    pub position: i64,
}

/// A review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Identity.
    pub id: ReviewId,
    /// 1 to 5.
    pub stars: i64,
    /// Headline.
    pub title: String,
    /// Text.
    pub body: String,
    /// The name the reviewer chose to show.
    pub reviewer: String,
    /// When.
    pub created_at: Timestamp,
}

/// What checkout must know of a variant, read inside its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantForSale {
    /// Identity.
    pub id: VariantId,
    /// Its product.
    pub product_id: ProductId,
    /// SKU.
    pub sku: String,
    /// Name for the order line and the invoice.
    pub name: String,
    /// Hindi name of the product, printed on the invoice beside the English one.
    pub name_hi: Option<String>,
    /// Price with tax.
    pub price: Paise,
    /// Maximum retail price.
    pub mrp: Paise,
    /// HSN code.
    pub hsn: String,
    /// Grams.
    pub weight_g: i64,
    /// Product and variant are both active.
    pub active: bool,
}

/// A change of one variant's price by staff.
#[derive(Clone, Debug)]
pub struct PriceChange {
    /// Which.
    pub variant_id: VariantId,
    /// New price with tax; positive.
    pub price: Paise,
    /// New MRP; `None` keeps the old one, raised to the price if it is below.
    pub mrp: Option<Paise>,
}

/// What staff may change of a product's face.
#[derive(Clone, Debug, Default)]
pub struct ProductEdit {
    /// New name.
    pub name: Option<String>,
    /// New Hindi name; empty removes it.
    pub name_hi: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// Shown in the shop or not.
    pub active: Option<bool>,
}

/// The catalogue's contract.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Products in the order of `ids`; unknown ids are left out. Inactive ones are included:
    /// whoever shows them decides.
    async fn products(&self, ids: &[ProductId]) -> Result<Vec<Arc<Product>>, CatalogError>;
    /// The active product with this slug.
    async fn product_by_slug(&self, slug: &str) -> Result<Option<Arc<Product>>, CatalogError>;
    /// All products in id order, for index rebuilds: up to `limit` after `after`.
    async fn products_after(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<Arc<Product>>, CatalogError>;
    /// Id and version of all products in id order, from the store: up to `limit` (≤ 10,000)
    /// after `after`. Tells an index what it has missed without reading every product.
    async fn versions_after(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<(ProductId, i64)>, CatalogError>;
    /// How many products there are.
    async fn product_count(&self) -> Result<u64, CatalogError>;
    /// The whole category tree, parents before children.
    async fn categories(&self) -> Result<Arc<Vec<Category>>, CatalogError>;
    /// Reviews, newest first.
    async fn reviews(
        &self,
        product: ProductId,
        page: &PageRequest,
    ) -> Result<Page<Review>, CatalogError>;
    /// The bytes of a picture's rendition (WebP) by its hash; `None` for unknown or malformed ones.
    async fn rendition(&self, blob: &str) -> Result<Option<Vec<u8>>, CatalogError>;
    /// Grows with every change that a shopper could see; keys caches of anonymous answers.
    fn version(&self) -> u64;

    /// Inside a transaction: the variants with these ids, one statement, any order.
    fn variants_for_sale(
        &self,
        q: &mut Query<'_>,
        ids: &[VariantId],
    ) -> Result<Vec<VariantForSale>, DbError>;

    /// Staff (manager): changes name, description, visibility.
    async fn edit_product(
        &self,
        op: &Op,
        id: ProductId,
        edit: ProductEdit,
    ) -> Result<Arc<Product>, CatalogError>;
    /// Staff (manager): changes prices; all or nothing.
    async fn change_prices(&self, op: &Op, changes: &[PriceChange]) -> Result<(), CatalogError>;
}
