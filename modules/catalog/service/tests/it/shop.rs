//! A catalogue over a fresh database, and an inventory that only remembers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use mela_base::ids::{LocationId, OrderId, VariantId};
use mela_base::{Id, Internal, Op, Timestamp};
use mela_blob::BlobStore;
use mela_bus::Bus;
use mela_catalog::{CatalogService, ImportOptions, ImportReport, Rate};
use mela_catalog_api::{Catalog, Product};
use mela_db::{DbError, MigrationSet, Sql, Tx, params};
use mela_inventory_api::{Availability, Inventory, InventoryError, Location, Quantity, StockLevel};
use mela_jobs::Jobs;
use mela_testkit::TestDb;

/// Stock as the tests see it.
const STOCK: MigrationSet = MigrationSet {
    module: "test_stock",
    migrations: &[mela_db::Migration::new(
        "001",
        "CREATE TABLE test_stock (variant_id ID PRIMARY KEY, on_hand BIGINT NOT NULL CHECK (on_hand <> 666));",
    )],
};
const SET: Sql = Sql::new(
    "test.stock_set",
    "INSERT INTO test_stock (variant_id, on_hand) VALUES {rows}
     ON CONFLICT (variant_id) DO UPDATE SET on_hand = excluded.on_hand",
);
const SUM: Sql =
    Sql::new("test.stock_sum", "SELECT CAST(coalesce(sum(on_hand), 0) AS BIGINT) FROM test_stock");

pub(crate) const SETS: &[MigrationSet] =
    &[mela_bus::MIGRATIONS, mela_jobs::MIGRATIONS, mela_catalog::MIGRATIONS, STOCK];

pub(crate) fn location() -> LocationId {
    LocationId(Id::from_name("warehouse"))
}

pub(crate) fn shelf() -> Arc<dyn Inventory> {
    Arc::new(Shelf)
}

struct Shelf;

#[async_trait]
impl Inventory for Shelf {
    async fn availability(&self, _: &[VariantId]) -> Result<Vec<Availability>, InventoryError> {
        Err(Internal::new("not in this test").into())
    }
    async fn locations(&self) -> Result<Vec<Location>, InventoryError> {
        let text = String::new;
        Ok(vec![Location {
            id: location(),
            name: text(),
            gstin: text(),
            state_code: text(),
            address: text(),
            pincode: text(),
        }])
    }
    async fn set_stock(&self, _: &Op, _: &[StockLevel]) -> Result<(), InventoryError> {
        Err(Internal::new("not in this test").into())
    }
    async fn save_location(&self, _: &Op, _: Location) -> Result<(), InventoryError> {
        Err(Internal::new("not in this test").into())
    }
    fn reserve_in(
        &self,
        _: &mut Tx<'_>,
        _: OrderId,
        _: LocationId,
        _: &[Quantity],
        _: Option<Timestamp>,
    ) -> Result<(), InventoryError> {
        Err(Internal::new("not in this test").into())
    }
    fn claim_in(&self, _: &mut Tx<'_>, _: OrderId) -> Result<bool, InventoryError> {
        Err(Internal::new("not in this test").into())
    }
    fn release_in(&self, _: &mut Tx<'_>, _: OrderId) -> Result<(), InventoryError> {
        Err(Internal::new("not in this test").into())
    }
    fn ship_in(&self, _: &mut Tx<'_>, _: OrderId) -> Result<(), InventoryError> {
        Err(Internal::new("not in this test").into())
    }
    fn set_stock_in(&self, tx: &mut Tx<'_>, levels: &[StockLevel]) -> Result<(), InventoryError> {
        if levels.iter().any(|l| l.on_hand == 777) {
            let message = "777 pieces are reserved".to_owned();
            return Err(InventoryError::Invalid { field: "on_hand", message });
        }
        let rows: Vec<_> =
            levels.iter().map(|l| params![l.variant_id, l.on_hand].to_vec()).collect();
        tx.exec_rows(&SET, &[], &rows)?;
        Ok(())
    }
}

/// A folder that goes away.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mela-catalog-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Shop {
    pub(crate) t: TestDb,
    pub(crate) catalog: CatalogService,
    pub(crate) jobs: Jobs,
    pub(crate) bus: Bus,
    pub(crate) _blobs: Folder,
}

impl Shop {
    pub(crate) fn new(t: TestDb) -> Self {
        let blobs = Folder::new();
        let store = BlobStore::open(&blobs.0, t.env.clone()).unwrap();
        let catalog = CatalogService::new(t.db.clone(), t.env.clone(), store);
        let jobs = Jobs::new(t.db.clone(), t.env.clone());
        catalog.register_jobs(&jobs);
        let bus = Bus::new(t.db.clone(), t.env.clone());
        Self { t, catalog, jobs, bus, _blobs: blobs }
    }

    pub(crate) async fn import(
        &self,
        folder: &Path,
        change: impl FnOnce(&mut ImportOptions),
    ) -> ImportReport {
        let mut options = ImportOptions::new(location());
        options.rate = Rate::rupees_per_unit("83.25").unwrap();
        change(&mut options);
        let progress = Arc::new(|_| {});
        self.catalog.import_magento(Arc::new(Shelf), folder, options, progress).await.unwrap()
    }

    pub(crate) async fn import_json(&self, file: &Path) -> ImportReport {
        let mut options = ImportOptions::new(location());
        options.rate = Rate::rupees_per_unit("83.25").unwrap();
        self.catalog.import_json(Arc::new(Shelf), file, options, Arc::new(|_| {})).await.unwrap()
    }

    /// All products by SKU, from the store.
    pub(crate) async fn all(&self) -> Vec<Arc<Product>> {
        let mut out = Vec::new();
        loop {
            let after = out.last().map(|p: &Arc<Product>| p.id);
            let more = self.catalog.products_after(after, 500).await.unwrap();
            if more.is_empty() {
                out.sort_by(|a, b| a.sku.cmp(&b.sku));
                return out;
            }
            out.extend(more);
        }
    }

    pub(crate) async fn by_sku(&self, sku: &str) -> Arc<Product> {
        self.all().await.into_iter().find(|p| p.sku == sku).unwrap_or_else(|| panic!("no {sku}"))
    }

    pub(crate) async fn stock(&self) -> i64 {
        let sum = self.t.db.read("test.stock", |q| q.one(&SUM, &[])?.get::<i64>(0)).await;
        sum.unwrap_or_else(|e: DbError| panic!("{e}"))
    }
}
