//! A catalogue in memory, of the real export or of a few Hindi products.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mela_base::ids::{CategoryId, ProductId, VariantId};
use mela_base::{Id, Internal, Op, Page, PageRequest, Paise, Timestamp};
use mela_catalog_api::{
    Attribute, Catalog, CatalogError, Category, PriceChange, Product, ProductEdit, ProductOption,
    Rating, Review, Variant, VariantForSale,
};
use mela_db::{DbError, Query};
use mela_search::SearchService;
use mela_search_api::{Search, SearchRequest, SearchResult};
use parking_lot::Mutex;

/// What the trait's other calls answer.
fn unused<T>() -> Result<T, CatalogError> {
    Err(Internal::new("not in this test").into())
}

#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) products: Mutex<BTreeMap<ProductId, Arc<Product>>>,
    pub(crate) categories: Mutex<Vec<Category>>,
}

impl Shelf {
    pub(crate) fn put(&self, product: Product) {
        self.products.lock().insert(product.id, Arc::new(product));
    }

    /// Changes the product with this SKU; returns its id and new version.
    pub(crate) fn change(&self, sku: &str, f: impl FnOnce(&mut Product)) -> (ProductId, i64) {
        let mut products = self.products.lock();
        let product = products.values_mut().find(|p| p.sku == sku).unwrap();
        let mut new = Product::clone(product);
        f(&mut new);
        new.version += 1;
        let out = (new.id, new.version);
        *product = Arc::new(new);
        out
    }

    /// The id of a category path, made if it is new.
    fn category(&self, path: &str) -> CategoryId {
        let mut parent = None;
        let mut slug = String::new();
        for name in path.split('/') {
            if !slug.is_empty() {
                slug.push('-');
            }
            slug.push_str(&name.to_lowercase().replace(" & ", "-").replace(' ', "-"));
            let id = CategoryId(Id::from_name(&slug));
            let mut categories = self.categories.lock();
            if categories.iter().all(|c| c.id != id) {
                let position = categories.len() as i64;
                let name = name.to_owned();
                let (slug, name_hi) = (slug.clone(), None);
                categories.push(Category { id, parent_id: parent, slug, name, name_hi, position });
            }
            parent = Some(id);
        }
        parent.unwrap()
    }

    /// The configurable products of the real export.
    pub(crate) fn luma() -> Arc<Self> {
        let shelf = Self::default();
        let data = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../../shared/data/magento-luma/products.csv"
        );
        let mut csv = csv::Reader::from_path(data).unwrap_or_else(|e| {
            panic!("{e}: put the shared data folder beside the workspace as ../shared/data")
        });
        let header = csv.headers().unwrap().clone();
        for (n, row) in csv.records().map(|r| r.unwrap()).enumerate() {
            let at = |name: &str| row.get(header.iter().position(|h| h == name).unwrap()).unwrap();
            if at("product_type") != "configurable" {
                continue;
            }
            let price = Paise::parse_rupees(at("price")).unwrap();
            let pairs = |cell: &str| -> Vec<(String, String)> {
                let pairs = cell.split(',').filter_map(|p| p.split_once('='));
                pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
            };
            let variants: Vec<Variant> = at("configurable_variations")
                .split('|')
                .map(|v| variant(pairs(v), price))
                .collect();
            let attributes = pairs(at("additional_attributes"))
                .into_iter()
                .filter(|(_, v)| !matches!(v.as_str(), "No" | "0" | "1"))
                .map(|(code, values)| Attribute {
                    label: code.clone(),
                    code,
                    values: values.split('|').map(str::to_owned).collect(),
                })
                .collect();
            let categories = at("categories")
                .split(',')
                .filter_map(|c| c.strip_prefix("Default Category/"))
                .map(|c| shelf.category(c))
                .collect();
            shelf.put(Product {
                description: at("description").to_owned(),
                category_ids: categories,
                attributes,
                variants,
                rating: Rating { sum: (n as i64 % 5 + 1) * 2, count: 2 },
                ..product(at("sku"), at("name"), n as i64)
            });
        }
        Arc::new(shelf)
    }

    /// A stall of the fair.
    pub(crate) fn stall() -> Arc<Self> {
        let shelf = Self::default();
        let toys = shelf.category("Toys");
        shelf.categories.lock()[0].name_hi = Some("खिलौने".to_owned());
        for (n, (sku, name, hindi, text)) in [
            ("T1", "Wooden Elephant", "लकड़ी का हाथी", "चन्नपटना में हाथ से बना खिलौना"),
            ("T2", "Clay Lamp", "मिट्टी का दीया", "दिवाली के लिए"),
            ("T3", "Silver Zari Saree", "चाँदी ज़री साड़ी", "बनारस से"),
        ]
        .into_iter()
        .enumerate()
        {
            shelf.put(Product {
                name_hi: Some(hindi.to_owned()),
                description_hi: Some(text.to_owned()),
                category_ids: vec![toys],
                variants: vec![variant(vec![("sku".into(), sku.into())], Paise::rupees(100))],
                ..product(sku, name, n as i64)
            });
        }
        Arc::new(shelf)
    }
}

fn variant(pairs: Vec<(String, String)>, price: Paise) -> Variant {
    let sku = pairs.iter().find(|(k, _)| k == "sku").unwrap().1.clone();
    Variant {
        id: VariantId(Id::from_name(&sku)),
        name: sku.clone(),
        options: pairs.into_iter().filter(|(k, _)| k != "sku").collect(),
        price,
        mrp: price,
        hsn: "6109".to_owned(),
        weight_g: 400,
        media_id: None,
        active: true,
        sku,
    }
}

pub(crate) fn product(sku: &str, name: &str, n: i64) -> Product {
    Product {
        id: ProductId(Id::from_name(sku)),
        sku: sku.to_owned(),
        slug: name.to_lowercase().replace(' ', "-"),
        name: name.to_owned(),
        name_hi: None,
        description: String::new(),
        description_hi: None,
        category_ids: Vec::new(),
        attributes: Vec::new(),
        options: Vec::<ProductOption>::new(),
        variants: Vec::new(),
        media: Vec::new(),
        rating: Rating::default(),
        related: Vec::new(),
        active: true,
        version: 1,
        created_at: Timestamp::from_micros(1_700_000_000_000_000 + n * 1_000_000),
    }
}

#[async_trait]
impl Catalog for Shelf {
    async fn products(&self, ids: &[ProductId]) -> Result<Vec<Arc<Product>>, CatalogError> {
        let products = self.products.lock();
        Ok(ids.iter().filter_map(|id| products.get(id).cloned()).collect())
    }
    async fn product_by_slug(&self, _: &str) -> Result<Option<Arc<Product>>, CatalogError> {
        unused()
    }
    async fn products_after(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<Arc<Product>>, CatalogError> {
        let products = self.products.lock();
        let rest = products.values().filter(|p| after.is_none_or(|after| p.id > after));
        Ok(rest.take(limit as usize).cloned().collect())
    }
    async fn versions_after(
        &self,
        after: Option<ProductId>,
        limit: u32,
    ) -> Result<Vec<(ProductId, i64)>, CatalogError> {
        let products = self.products_after(after, limit).await?;
        Ok(products.iter().map(|p| (p.id, p.version)).collect())
    }
    async fn product_count(&self) -> Result<u64, CatalogError> {
        Ok(self.products.lock().len() as u64)
    }
    async fn categories(&self) -> Result<Arc<Vec<Category>>, CatalogError> {
        Ok(Arc::new(self.categories.lock().clone()))
    }
    async fn reviews(&self, _: ProductId, _: &PageRequest) -> Result<Page<Review>, CatalogError> {
        unused()
    }
    fn version(&self) -> u64 {
        0
    }
    fn variants_for_sale(
        &self,
        _: &mut Query<'_>,
        _: &[VariantId],
    ) -> Result<Vec<VariantForSale>, DbError> {
        Ok(Vec::new())
    }
    async fn edit_product(
        &self,
        _: &Op,
        _: ProductId,
        _: ProductEdit,
    ) -> Result<Arc<Product>, CatalogError> {
        unused()
    }
    async fn change_prices(&self, _: &Op, _: &[PriceChange]) -> Result<(), CatalogError> {
        unused()
    }
    async fn rendition(&self, _: &str) -> Result<Option<Vec<u8>>, CatalogError> {
        unused()
    }
}

/// A full index of the shelf.
pub(crate) async fn index(shelf: &Arc<Shelf>) -> SearchService {
    let search = SearchService::in_memory(shelf.clone()).unwrap();
    search.sync().await.unwrap();
    search
}

pub(crate) fn request(text: &str) -> SearchRequest {
    SearchRequest { text: text.to_owned(), limit: 100, ..Default::default() }
}

/// Names of the hits.
pub(crate) async fn names(
    search: &SearchService,
    shelf: &Shelf,
    request: &SearchRequest,
) -> Vec<String> {
    let found: SearchResult = search.search(request).await.unwrap();
    let products = shelf.products(&found.ids).await.unwrap();
    assert_eq!(products.len(), found.ids.len());
    products.iter().map(|p| p.name.clone()).collect()
}
