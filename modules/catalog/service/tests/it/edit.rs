//! What staff change.

use mela_base::ids::{ProductId, StaffId, VariantId};
use mela_base::{Actor, Fault, Op, Paise, Role};
use mela_catalog_api::{Catalog, PriceChange, ProductChanged, ProductEdit};
use mela_testkit::{on_both, shared_data};

use crate::shop::{SETS, Shop};

fn staff(role: Role) -> Op {
    let mut op = Op::system("test");
    op.actor = Actor::Staff { id: StaffId::default(), role };
    op
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_edit_and_everybody_hears_of_it() {
    on_both(SETS, async |t| {
        let shop = Shop::new(t);
        shop.import(&shared_data("magento-luma"), |o| o.media = false).await;
        while shop.bus.dispatch_once().await.unwrap() > 0 {}
        let product = shop.by_sku("MH01").await;
        let manager = staff(Role::Manager);
        let version = shop.catalog.version();

        let name = |text: &str| ProductEdit { name: Some(text.into()), ..Default::default() };
        let denied = shop.catalog.edit_product(&staff(Role::Support), product.id, name("x")).await;
        assert_eq!(denied.unwrap_err().code(), "CATALOG_DENIED");
        let missing = shop.catalog.edit_product(&manager, ProductId::default(), name("x")).await;
        assert_eq!(missing.unwrap_err().code(), "PRODUCT_NOT_FOUND");
        for bad in ["", " \n ", "a\nb", &"x".repeat(201)] {
            let bad = shop.catalog.edit_product(&manager, product.id, name(bad)).await;
            assert_eq!(bad.unwrap_err().field(), Some("name"));
        }
        assert_eq!(shop.by_sku("MH01").await, product, "a refused edit leaves nothing");
        assert_eq!(shop.catalog.version(), version);

        let edit = ProductEdit {
            name: Some("Kangaroo Hoodie\u{0}".into()),
            name_hi: Some("कंगारू हुडी".into()),
            active: Some(false),
            ..Default::default()
        };
        let edited = shop.catalog.edit_product(&manager, product.id, edit).await.unwrap();
        assert_eq!(
            (edited.name.as_str(), edited.version),
            ("Kangaroo Hoodie", product.version + 1)
        );
        assert!(edited.variants.iter().all(|v| v.name.starts_with("Kangaroo Hoodie – ")));
        assert!(shop.catalog.version() > version);
        assert_eq!(shop.catalog.products(&[product.id]).await.unwrap()[0], edited);
        assert_eq!(shop.by_sku("MH01").await, edited);
        assert_eq!(shop.catalog.product_by_slug(&edited.slug).await.unwrap(), None, "not shown");
        // PostgreSQL takes no such text; asking for it is nobody's accident of ours.
        assert_eq!(shop.catalog.product_by_slug("a\0b").await.unwrap(), None);

        let ids: Vec<VariantId> = edited.variants.iter().map(|v| v.id).collect();
        let asked = ids.clone();
        let catalog = shop.catalog.clone();
        let sale =
            shop.t.db.read("test", move |q| catalog.variants_for_sale(q, &asked)).await.unwrap();
        assert_eq!(sale.len(), 15);
        assert!(sale.iter().all(|v| !v.active && v.name_hi.as_deref() == Some("कंगारू हुडी")));

        // Prices: all or nothing.
        let change = |i: usize, price: i64, mrp: Option<i64>| PriceChange {
            variant_id: ids[i],
            price: Paise(price),
            mrp: mrp.map(Paise),
        };
        for (changes, code) in [
            (vec![change(0, 100, None), change(1, 0, None)], "INVALID_PRODUCT"),
            (vec![change(0, 100, None), change(1, 500, Some(499))], "INVALID_PRODUCT"),
            (vec![change(0, 100, None), change(0, 200, None)], "INVALID_PRODUCT"),
            (vec![], "INVALID_PRODUCT"),
            (
                vec![
                    change(0, 100, None),
                    PriceChange { variant_id: VariantId::default(), price: Paise(1), mrp: None },
                ],
                "VARIANT_NOT_FOUND",
            ),
        ] {
            let refused = shop.catalog.change_prices(&manager, &changes).await;
            assert_eq!(refused.unwrap_err().code(), code);
        }
        assert_eq!(shop.by_sku("MH01").await, edited);
        let mut live = shop.bus.live();
        shop.bus.dispatch_once().await.unwrap();
        shop.catalog
            .change_prices(&manager, &[change(3, 100, None), change(4, 900_000, None)])
            .await
            .unwrap();
        let after = shop.by_sku("MH01").await;
        assert_eq!(
            (after.variants[0].id, after.variants[0].price),
            (ids[3], Paise(100)),
            "cheapest first"
        );
        let dear = after.variants.iter().find(|v| v.id == ids[4]).unwrap();
        assert_eq!(
            (dear.price, dear.mrp),
            (Paise(900_000), Paise(900_000)),
            "the MRP is never below"
        );
        assert_eq!(shop.catalog.products(&[product.id]).await.unwrap()[0], after);

        // The outbox tells of every change.
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let bus = shop.bus.clone();
        let running = tokio::spawn(async move { bus.run_live(stopped).await });
        loop {
            let event = live.recv().await.unwrap();
            let changed: ProductChanged = event.decode().unwrap();
            if changed.product_id == product.id && changed.version == after.version {
                break;
            }
        }
        stop.send(true).unwrap();
        running.await.unwrap();
    })
    .await;
}
