//! Listings cost a constant number of statements, and another process's change is seen.

use std::time::Duration;

use mela_base::Op;
use mela_blob::BlobStore;
use mela_bus::Bus;
use mela_catalog::CatalogService;
use mela_catalog_api::{Catalog, ProductEdit};
use mela_testkit::{on_both, shared_data};

use crate::shop::{SETS, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_one_statement_and_then_none() {
    on_both(SETS, async |t| {
        let shop = Shop::new(t);
        shop.import(&shared_data("magento-luma"), |o| o.media = false).await;
        let store = BlobStore::open(&shop._blobs.0, shop.t.env.clone()).unwrap();
        let other = CatalogService::new(shop.t.db.clone(), shop.t.env.clone(), store);
        let ids: Vec<_> = shop.all().await.iter().take(20).map(|p| p.id).collect();
        let mut asked = ids.clone();
        asked.insert(3, Default::default());
        asked.push(ids[0]);
        let before = shop.t.db.statement_count();
        let listed = other.products(&asked).await.unwrap();
        assert_eq!(shop.t.db.statement_count() - before, 1);
        let got: Vec<_> = listed.iter().map(|p| p.id).collect();
        assert_eq!(got[..20], ids[..]);
        assert_eq!(got[20..], ids[..1]);
        let again = other.products(&ids).await.unwrap();
        let slug = other.product_by_slug(&listed[5].slug).await.unwrap().unwrap();
        assert_eq!(shop.t.db.statement_count() - before, 1);
        assert!(std::sync::Arc::ptr_eq(&again[5], &slug));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_is_heard() {
    on_both(SETS, async |t| {
        let shop = Shop::new(t);
        shop.import(&shared_data("magento-luma"), |o| o.media = false).await;
        // The other process.
        let db = shop.t.another();
        let store = BlobStore::open(&shop._blobs.0, shop.t.env.clone()).unwrap();
        let other = CatalogService::new(db.clone(), shop.t.env.clone(), store);
        let bus = Bus::new(db, shop.t.env.clone());
        other.subscribe(&bus);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let live = bus.clone();
        let running = tokio::spawn(async move { live.run_live(stopped).await });

        let id = shop.by_sku("MH02").await.id;
        let old = other.products(&[id]).await.unwrap().remove(0);
        let version = other.version();
        let mut name = 0;
        // The live feed may begin only after the first change.
        let seen = async {
            loop {
                name += 1;
                let edit = ProductEdit { name: Some(format!("Name {name}")), ..Default::default() };
                shop.catalog.edit_product(&Op::system("t"), id, edit).await.unwrap();
                for _ in 0..20 {
                    let now = other.products(&[id]).await.unwrap().remove(0);
                    if now.name != old.name && other.version() > version {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), seen).await.expect("the change is heard");
        stop.send(true).unwrap();
        running.await.unwrap();
    })
    .await;
}
