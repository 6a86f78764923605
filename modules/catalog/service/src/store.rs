//! All SQL of the catalogue.

use std::collections::HashMap;

use mela_base::Timestamp;
use mela_base::ids::{CategoryId, MediaId, ProductId, ReviewId, VariantId};
use mela_catalog_api::{Category, Product, Rating, Rendition, Review, VariantForSale};
use mela_db::{DbError, Query, Row, Sql, Tx, Value, params};

/// Every statement of this module.
pub const STATEMENTS: &[&Sql] = &[
    &PRODUCTS,
    &PRODUCT_BY_SLUG,
    &PRODUCTS_AFTER,
    &VERSIONS_AFTER,
    &PRODUCT_COUNT,
    &PRODUCTS_LOCK,
    &PRODUCTS_PUT,
    &PRODUCTS_KNOWN,
    &SLUGS_TAKEN,
    &CATEGORIES,
    &CATEGORIES_ADD,
    &REVIEWS,
    &REVIEWS_ADD,
    &RATINGS,
    &FOR_SALE,
    &VARIANT_OWNERS,
    &VARIANTS_PUT,
    &VARIANTS_KNOWN,
    &VARIANT_STOCK,
    &MEDIA_ADD,
    &MEDIA_GET,
    &MEDIA_SET,
    &MEDIA_PRODUCTS,
    &MEDIA_LINK,
    &MEDIA_UNLINK,
];

const PRODUCTS: Sql = Sql::new("catalog.products", "SELECT doc FROM product WHERE id IN {list}");
const PRODUCT_BY_SLUG: Sql =
    Sql::new("catalog.product_by_slug", "SELECT doc FROM product WHERE slug = ?1");
const PRODUCTS_AFTER: Sql = Sql::new(
    "catalog.products_after",
    "SELECT doc FROM product WHERE id > ?1 ORDER BY id LIMIT ?2",
);
const VERSIONS_AFTER: Sql = Sql::new(
    "catalog.versions_after",
    "SELECT id, version FROM product WHERE id > ?1 ORDER BY id LIMIT ?2",
);
const PRODUCT_COUNT: Sql = Sql::new("catalog.product_count", "SELECT count(*) FROM product");
/// Locks the products and gives them their next version.
const PRODUCTS_LOCK: Sql = Sql::new(
    "catalog.products_lock",
    "UPDATE product SET version = version + 1 WHERE id IN {list} RETURNING version, doc",
);
const PRODUCTS_PUT: Sql = Sql::new(
    "catalog.products_put",
    "INSERT INTO product (id, sku, slug, name_hi, active, version, source_hash, doc) VALUES {rows}
     ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, name_hi = excluded.name_hi,
       active = excluded.active, version = excluded.version,
       source_hash = coalesce(excluded.source_hash, product.source_hash), doc = excluded.doc",
);
const PRODUCTS_KNOWN: Sql = Sql::new(
    "catalog.products_known",
    "SELECT sku, id, slug, source_hash FROM product WHERE sku IN {list}",
);
const SLUGS_TAKEN: Sql =
    Sql::new("catalog.slugs_taken", "SELECT slug, sku FROM product WHERE slug IN {list}");
const CATEGORIES: Sql = Sql::new(
    "catalog.categories",
    "SELECT id, parent_id, slug, name, name_hi, position FROM category ORDER BY position, id",
);
const CATEGORIES_ADD: Sql = Sql::new(
    "catalog.categories_add",
    "INSERT INTO category (id, parent_id, slug, name, name_hi, position) VALUES {rows}
     ON CONFLICT (slug) DO NOTHING",
);
const REVIEWS: Sql = Sql::new(
    "catalog.reviews",
    "SELECT id, stars, title, body, reviewer, created_at FROM review
     WHERE product_id = ?1 AND (created_at, id) < (?2, ?3)
     ORDER BY created_at DESC, id DESC LIMIT ?4",
);
const REVIEWS_ADD: Sql = Sql::new(
    "catalog.reviews_add",
    "INSERT INTO review (id, product_id, stars, title, body, reviewer, created_at) VALUES {rows}
     ON CONFLICT (id) DO NOTHING",
);
const RATINGS: Sql = Sql::new(
    "catalog.ratings",
    "SELECT product_id, CAST(sum(stars) AS BIGINT), count(*) FROM review
     WHERE product_id IN {list} GROUP BY product_id",
);
const FOR_SALE: Sql = Sql::new(
    "catalog.variants_for_sale",
    "SELECT v.id, v.product_id, v.sku, v.name, p.name_hi, v.price, v.mrp, v.hsn, v.weight_g,
            v.active AND p.active
     FROM variant v JOIN product p ON p.id = v.product_id WHERE v.id IN {list}",
);
const VARIANT_OWNERS: Sql =
    Sql::new("catalog.variant_owners", "SELECT id, product_id FROM variant WHERE id IN {list}");
const VARIANTS_PUT: Sql = Sql::new(
    "catalog.variants_put",
    "INSERT INTO variant (id, product_id, sku, name, price, mrp, hsn, weight_g, active) VALUES {rows}
     ON CONFLICT (id) DO UPDATE SET sku = excluded.sku, name = excluded.name,
       price = excluded.price, mrp = excluded.mrp, hsn = excluded.hsn,
       weight_g = excluded.weight_g, active = excluded.active",
);
const VARIANTS_KNOWN: Sql = Sql::new(
    "catalog.variants_known",
    "SELECT sku, id, product_id, source_stock FROM variant WHERE sku IN {list}",
);
const VARIANT_STOCK: Sql = Sql::new(
    "catalog.variant_stock",
    "WITH v(id, stock) AS (VALUES {rows ID, BIGINT})
     UPDATE variant SET source_stock = v.stock FROM v WHERE variant.id = v.id",
);
/// Adds media and locks the ones that are there, so that no rendition is missed meanwhile.
const MEDIA_ADD: Sql = Sql::new(
    "catalog.media_add",
    "INSERT INTO media (id, original, state, renditions) VALUES {rows}
     ON CONFLICT (id) DO UPDATE SET original = excluded.original
     RETURNING id, state, renditions",
);
const MEDIA_GET: Sql =
    Sql::new("catalog.media_get", "SELECT original, state FROM media WHERE id = ?1");
const MEDIA_SET: Sql = Sql::new(
    "catalog.media_set",
    "UPDATE media SET state = ?2, reason = ?3, renditions = ?4 WHERE id = ?1",
);
const MEDIA_PRODUCTS: Sql =
    Sql::new("catalog.media_products", "SELECT product_id FROM product_media WHERE media_id = ?1");
const MEDIA_LINK: Sql = Sql::new(
    "catalog.media_link",
    "INSERT INTO product_media (media_id, product_id) VALUES {rows} ON CONFLICT DO NOTHING",
);
const MEDIA_UNLINK: Sql = Sql::new(
    "catalog.media_unlink",
    "DELETE FROM product_media WHERE product_id IN {list} RETURNING media_id",
);

fn values<T: Copy + Into<Value>>(ids: &[T]) -> Vec<Value> {
    ids.iter().map(|id| (*id).into()).collect()
}

fn texts(list: &[&str]) -> Vec<Value> {
    list.iter().map(|text| (*text).into()).collect()
}

fn product(row: &Row, column: usize) -> Result<Product, DbError> {
    let doc: String = row.get(column)?;
    serde_json::from_str(&doc).map_err(|e| DbError::Type(format!("product.doc: {e}")))
}

pub(crate) fn products(q: &mut Query<'_>, ids: &[ProductId]) -> Result<Vec<Product>, DbError> {
    q.all_in(&PRODUCTS, &[], &values(ids))?.iter().map(|r| product(r, 0)).collect()
}

pub(crate) fn product_by_slug(q: &mut Query<'_>, slug: &str) -> Result<Option<Product>, DbError> {
    q.opt(&PRODUCT_BY_SLUG, &params![slug])?.map(|r| product(&r, 0)).transpose()
}

pub(crate) fn products_after(
    q: &mut Query<'_>,
    after: ProductId,
    limit: u32,
) -> Result<Vec<Product>, DbError> {
    q.all(&PRODUCTS_AFTER, &params![after, limit])?.iter().map(|r| product(r, 0)).collect()
}

pub(crate) fn versions_after(
    q: &mut Query<'_>,
    after: ProductId,
    limit: u32,
) -> Result<Vec<(ProductId, i64)>, DbError> {
    let rows = q.all(&VERSIONS_AFTER, &params![after, limit])?;
    rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
}

pub(crate) fn product_count(q: &mut Query<'_>) -> Result<i64, DbError> {
    q.one(&PRODUCT_COUNT, &[])?.get(0)
}

/// The products, locked until the transaction ends, each with its next version.
pub(crate) fn lock(tx: &mut Tx<'_>, ids: &[ProductId]) -> Result<Vec<Product>, DbError> {
    let rows = tx.all_in(&PRODUCTS_LOCK, &[], &values(ids))?;
    rows.iter()
        .map(|r| {
            let mut product = product(r, 1)?;
            product.version = r.get(0)?;
            Ok(product)
        })
        .collect()
}

/// Writes products with their variants. A hash of `None` keeps the stored one.
pub(crate) fn put(
    tx: &mut Tx<'_>,
    products: &[(&Product, Option<Vec<u8>>)],
) -> Result<(), DbError> {
    let mut rows = Vec::with_capacity(products.len());
    let mut variants = Vec::new();
    for (p, hash) in products {
        let doc = serde_json::to_value(p)
            .map_err(|e| DbError::Other(format!("a product does not become JSON: {e}")))?;
        let hash = Value::from(hash.clone());
        rows.push(
            params![p.id, &p.sku, &p.slug, &p.name_hi, p.active, p.version, hash, doc].to_vec(),
        );
        for v in &p.variants {
            variants.push(
                params![v.id, p.id, &v.sku, &v.name, v.price, v.mrp, &v.hsn, v.weight_g, v.active]
                    .to_vec(),
            );
        }
    }
    tx.exec_rows(&PRODUCTS_PUT, &[], &rows)?;
    tx.exec_rows(&VARIANTS_PUT, &[], &variants)?;
    Ok(())
}

/// A stored product as an import needs to know it.
pub(crate) struct KnownProduct {
    pub(crate) id: ProductId,
    pub(crate) slug: String,
    pub(crate) hash: Option<Vec<u8>>,
}

pub(crate) fn products_known(
    q: &mut Query<'_>,
    skus: &[&str],
) -> Result<HashMap<String, KnownProduct>, DbError> {
    let rows = q.all_in(&PRODUCTS_KNOWN, &[], &texts(skus))?;
    rows.iter()
        .map(|r| {
            let known = KnownProduct { id: r.get(1)?, slug: r.get(2)?, hash: r.get(3)? };
            Ok((r.get(0)?, known))
        })
        .collect()
}

/// Which SKU has each of these slugs.
pub(crate) fn slugs_taken(
    q: &mut Query<'_>,
    slugs: &[&str],
) -> Result<HashMap<String, String>, DbError> {
    let rows = q.all_in(&SLUGS_TAKEN, &[], &texts(slugs))?;
    rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
}

/// A stored variant as an import needs to know it.
#[derive(Clone, Copy)]
pub(crate) struct KnownVariant {
    pub(crate) id: VariantId,
    pub(crate) product_id: ProductId,
    pub(crate) stock: Option<i64>,
}

pub(crate) fn variants_known(
    q: &mut Query<'_>,
    skus: &[&str],
) -> Result<HashMap<String, KnownVariant>, DbError> {
    let rows = q.all_in(&VARIANTS_KNOWN, &[], &texts(skus))?;
    rows.iter()
        .map(|r| {
            let known = KnownVariant { id: r.get(1)?, product_id: r.get(2)?, stock: r.get(3)? };
            Ok((r.get(0)?, known))
        })
        .collect()
}

pub(crate) fn set_source_stock(tx: &mut Tx<'_>, stock: &[(VariantId, i64)]) -> Result<(), DbError> {
    let rows: Vec<_> = stock.iter().map(|(id, n)| params![*id, *n].to_vec()).collect();
    tx.exec_rows(&VARIANT_STOCK, &[], &rows).map(drop)
}

pub(crate) fn categories(q: &mut Query<'_>) -> Result<Vec<Category>, DbError> {
    let rows = q.all(&CATEGORIES, &[])?;
    rows.iter()
        .map(|r| {
            Ok(Category {
                id: r.get(0)?,
                parent_id: r.get(1)?,
                slug: r.get(2)?,
                name: r.get(3)?,
                name_hi: r.get(4)?,
                position: r.get(5)?,
            })
        })
        .collect()
}

/// Adds categories, parents before children.
pub(crate) fn add_categories(tx: &mut Tx<'_>, new: &[Category]) -> Result<u64, DbError> {
    let rows: Vec<_> = new
        .iter()
        .map(|c| params![c.id, c.parent_id, &c.slug, &c.name, &c.name_hi, c.position].to_vec())
        .collect();
    tx.exec_rows(&CATEGORIES_ADD, &[], &rows)
}

/// Reviews older than this place, newest first.
pub(crate) fn reviews(
    q: &mut Query<'_>,
    product: ProductId,
    before: (Timestamp, ReviewId),
    limit: u32,
) -> Result<Vec<Review>, DbError> {
    let rows = q.all(&REVIEWS, &params![product, before.0, before.1, limit])?;
    rows.iter()
        .map(|r| {
            Ok(Review {
                id: r.get(0)?,
                stars: r.get(1)?,
                title: r.get(2)?,
                body: r.get(3)?,
                reviewer: r.get(4)?,
                created_at: r.get(5)?,
            })
        })
        .collect()
}

pub(crate) fn add_reviews(
    tx: &mut Tx<'_>,
    reviews: &[(ProductId, Review)],
) -> Result<u64, DbError> {
    let rows: Vec<_> = reviews
        .iter()
        .map(|(product, r)| {
            params![r.id, *product, r.stars, &r.title, &r.body, &r.reviewer, r.created_at].to_vec()
        })
        .collect();
    tx.exec_rows(&REVIEWS_ADD, &[], &rows)
}

pub(crate) fn ratings(
    q: &mut Query<'_>,
    products: &[ProductId],
) -> Result<HashMap<ProductId, Rating>, DbError> {
    let rows = q.all_in(&RATINGS, &[], &values(products))?;
    rows.iter().map(|r| Ok((r.get(0)?, Rating { sum: r.get(1)?, count: r.get(2)? }))).collect()
}

pub(crate) fn for_sale(
    q: &mut Query<'_>,
    ids: &[VariantId],
) -> Result<Vec<VariantForSale>, DbError> {
    let rows = q.all_in(&FOR_SALE, &[], &values(ids))?;
    rows.iter()
        .map(|r| {
            Ok(VariantForSale {
                id: r.get(0)?,
                product_id: r.get(1)?,
                sku: r.get(2)?,
                name: r.get(3)?,
                name_hi: r.get(4)?,
                price: r.get(5)?,
                mrp: r.get(6)?,
                hsn: r.get(7)?,
                weight_g: r.get(8)?,
                active: r.get(9)?,
            })
        })
        .collect()
}

/// The product of each variant.
pub(crate) fn variant_owners(
    q: &mut Query<'_>,
    ids: &[VariantId],
) -> Result<HashMap<VariantId, ProductId>, DbError> {
    let rows = q.all_in(&VARIANT_OWNERS, &[], &values(ids))?;
    rows.iter().map(|r| Ok((r.get(0)?, r.get(1)?))).collect()
}

/// How far a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaState {
    Pending,
    Ready,
    Failed,
}

impl MediaState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Result<Self, DbError> {
        [Self::Pending, Self::Ready, Self::Failed]
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| DbError::Type(format!("media.state: {text}")))
    }
}

fn renditions(row: &Row, column: usize) -> Result<Vec<Rendition>, DbError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|e| DbError::Type(format!("media.renditions: {e}")))
}

/// Makes sure that the media are there and locks them: state and renditions of each.
pub(crate) fn add_media(
    tx: &mut Tx<'_>,
    media: &[(MediaId, String)],
) -> Result<HashMap<MediaId, (MediaState, Vec<Rendition>)>, DbError> {
    let none = serde_json::Value::Array(Vec::new());
    let rows: Vec<_> =
        media.iter().map(|(id, hash)| params![*id, hash, "pending", &none].to_vec()).collect();
    let rows = tx.all_rows(&MEDIA_ADD, &[], &rows)?;
    rows.iter()
        .map(|r| {
            let state = MediaState::parse(&r.get::<String>(1)?)?;
            Ok((r.get(0)?, (state, renditions(r, 2)?)))
        })
        .collect()
}

pub(crate) fn media(
    q: &mut Query<'_>,
    id: MediaId,
) -> Result<Option<(String, MediaState)>, DbError> {
    q.opt(&MEDIA_GET, &params![id])?
        .map(|r| Ok((r.get(0)?, MediaState::parse(&r.get::<String>(1)?)?)))
        .transpose()
}

pub(crate) fn set_media(
    tx: &mut Tx<'_>,
    id: MediaId,
    state: MediaState,
    reason: Option<&str>,
    renditions: &[Rendition],
) -> Result<(), DbError> {
    let json = serde_json::to_value(renditions)
        .map_err(|e| DbError::Other(format!("renditions do not become JSON: {e}")))?;
    tx.exec(&MEDIA_SET, &params![id, state.as_str(), reason, json]).map(drop)
}

pub(crate) fn media_products(q: &mut Query<'_>, id: MediaId) -> Result<Vec<ProductId>, DbError> {
    q.all(&MEDIA_PRODUCTS, &params![id])?.iter().map(|r| r.get(0)).collect()
}

/// Says which pictures these products show, in place of what was said before.
pub(crate) fn link_media(
    tx: &mut Tx<'_>,
    products: &[ProductId],
    links: &[(MediaId, ProductId)],
) -> Result<(), DbError> {
    tx.all_in(&MEDIA_UNLINK, &[], &values(products))?;
    let rows: Vec<_> = links.iter().map(|(m, p)| params![*m, *p].to_vec()).collect();
    tx.exec_rows(&MEDIA_LINK, &[], &rows).map(drop)
}

/// A new category's id goes with its slug, so that two imports agree.
pub(crate) fn category_id(slug: &str) -> CategoryId {
    CategoryId(mela_base::Id::from_name(&format!("catalog.category/{slug}")))
}
