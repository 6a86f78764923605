//! The real export, and DummyJSON's list.

use std::collections::HashSet;
use std::time::Instant;

use mela_base::{PageRequest, Paise};
use mela_catalog_api::Catalog;
use mela_testkit::{on_both, shared_data};

use crate::shop::{SETS, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn luma_becomes_products_and_a_second_run_changes_nothing() {
    on_both(SETS, async |t| {
        let shop = Shop::new(t);
        let folder = shared_data("magento-luma");
        let started = Instant::now();
        let report = shop.import(&folder, |o| o.media = false).await;
        let took = started.elapsed();
        eprintln!(
            "{:?}: {} rows in {took:?}, {:.0}/s",
            shop.t.dialect(),
            report.rows,
            report.rows as f64 / took.as_secs_f64()
        );
        // 147 configurable, 32 shown gear rows, and the balls and straps as one product each.
        assert_eq!(report.created, 147 + 32 + 2);
        assert_eq!(report.variants, 1_847 + 32 + 9 + 3);
        assert_eq!(shop.catalog.product_count().await.unwrap(), 181);
        assert_eq!(shop.stock().await, 100 * 1_891);
        assert_eq!((report.updated, report.unchanged, report.unlisted), (0, 0, 0));

        // Reviews of products that the export does not have, each with its line.
        let other: Vec<_> =
            report.refused.iter().filter(|p| &*p.file != "products_reviews.csv").collect();
        assert!(other.is_empty(), "{other:#?}");
        assert_eq!(report.reviews + report.refused.len() as u64, 500);
        assert!(report.refused.iter().any(|p| p.sku == "MJ05" && p.line > 1));
        // Links to the bundle that the export does not have; the rules of the cart.
        let links = report.notes.iter().filter(|p| p.reason.contains("24-WG080")).count();
        assert_eq!(links, 23);
        assert!(report.notes.iter().any(|p| &*p.file == "sales_rules.csv"));

        let hoodie = shop.by_sku("MH01").await;
        assert_eq!(hoodie.name, "Chaz Kangeroo Hoodie");
        assert_eq!(hoodie.slug, "chaz-kangeroo-hoodie");
        assert_eq!(hoodie.variants.len(), 15);
        let codes: Vec<_> =
            hoodie.options.iter().map(|o| (o.code.as_str(), o.values.len())).collect();
        assert_eq!(codes, [("size", 5), ("color", 3)]);
        let v = hoodie.variants.iter().find(|v| v.sku == "MH01-XS-Black").unwrap();
        assert_eq!(v.name, "Chaz Kangeroo Hoodie – XS, Black");
        assert_eq!((v.price, v.mrp), (Paise(432_900), Paise(432_900)));
        assert_eq!((v.hsn.as_str(), v.weight_g), ("6110", 1_000));
        assert!(hoodie.description.ends_with(
            "• Two-tone gray heather hoodie.\n• Drawstring-adjustable hood.\n• Machine wash/dry."
        ));
        let climate = hoodie.attributes.iter().find(|a| a.code == "climate").unwrap();
        assert_eq!(climate.values, ["All-weather", "Cool", "Indoor", "Spring", "Windy"]);
        assert!(hoodie.attributes.iter().all(|a| a.code != "performance_fabric"));

        let tote = shop.by_sku("24-WB05").await;
        assert_eq!(
            (tote.variants[0].price, tote.variants[0].mrp),
            (Paise(199_800), Paise(266_400))
        );
        assert_eq!(tote.variants[0].hsn, "4202");
        let balls = shop.by_sku("24-WG081-gray_Group").await;
        assert_eq!((balls.name.as_str(), balls.variants.len()), ("Sprite Stasis Ball", 9));
        assert_eq!(
            shop.by_sku("24-WG085_Group").await.options[0].values,
            ["6 foot", "8 foot", "10 foot"]
        );
        let band = shop.by_sku("24-UG02").await;
        assert_eq!(
            (band.name.as_str(), band.slug.as_str()),
            ("Pursuit Lumaflex™ Tone Band", "pursuit-lumaflex-tone-band")
        );

        // Related products first; a linked variant leads to its product.
        let related = shop.catalog.products(&shop.by_sku("WH01").await.related).await.unwrap();
        let skus: Vec<&str> = related.iter().map(|p| p.sku.as_str()).collect();
        assert_eq!(skus[..4], ["WP06", "WS02", "WS05", "WP09"]);
        assert!(skus.contains(&"24-WG081-gray_Group"));

        let categories = shop.catalog.categories().await.unwrap();
        let by_slug = |slug: &str| categories.iter().find(|c| c.slug == slug).unwrap();
        let hoodies = by_slug("men-tops-hoodies-sweatshirts");
        assert_eq!(hoodies.parent_id, Some(by_slug("men-tops").id));
        assert!(hoodie.category_ids.contains(&hoodies.id));
        by_slug("promotions-erin-recommends-new");
        let mut seen = HashSet::new();
        for c in categories.iter() {
            assert!(c.parent_id.is_none_or(|p| seen.contains(&p)), "parents come first");
            seen.insert(c.id);
        }

        let bag = shop.by_sku("24-MB02").await;
        let page = shop.catalog.reviews(bag.id, &PageRequest::first(2)).await.unwrap();
        assert!(page.has_next && page.items.len() == 2);
        let after = Some(page.items[1].0.clone());
        let rest = shop.catalog.reviews(bag.id, &PageRequest { first: 100, after }).await.unwrap();
        let all: Vec<_> = page.items.iter().chain(&rest.items).map(|(_, r)| r).collect();
        assert_eq!(all.len() as i64, bag.rating.count);
        assert_eq!(all.iter().map(|r| r.stars).sum::<i64>(), bag.rating.sum);
        assert!(
            shop.catalog
                .reviews(bag.id, &PageRequest { first: 1, after: Some("x".into()) })
                .await
                .is_err()
        );

        // Again.
        let before = shop.all().await;
        let version = shop.catalog.version();
        let again = shop.import(&folder, |o| o.media = false).await;
        assert!(again.changed_nothing());
        assert_eq!((again.unchanged, again.created, again.updated), (181, 0, 0));
        assert_eq!(again.refused, report.refused);
        assert_eq!(shop.all().await, before);
        assert_eq!(shop.catalog.version(), version);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dummyjson_becomes_products() {
    on_both(SETS, async |t| {
        let shop = Shop::new(t);
        let file = shared_data("dummyjson-products.json");
        let report = shop.import_json(&file).await;
        assert_eq!((report.created, report.refused), (194, Vec::new()));
        assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
        let mascara = shop.by_sku("BEA-ESS-ESS-001").await;
        let v = &mascara.variants[0];
        // 9.99 × 83.25 = 831.6675; less 10.48 %.
        assert_eq!((v.mrp, v.price), (Paise(83_167), Paise(74_451)));
        assert_eq!((mascara.rating.count, mascara.rating.sum), (3, 12));
        assert!(shop.import_json(&file).await.changed_nothing());
    })
    .await;
}
