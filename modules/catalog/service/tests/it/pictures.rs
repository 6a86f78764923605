//! Pictures from the file to the served rendition.

use mela_catalog_api::Catalog;
use mela_testkit::{on_both, shared_data};

use crate::shop::{Folder, SETS, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_rendered_once_and_served() {
    on_both(SETS, async |t| {
        let shop = Shop::new(t);
        let folder = Folder::new();
        let photo = std::fs::read(shared_data("magento-luma/media/m/h/mh01-gray_main.jpg")).unwrap();
        folder.file("media/m/one.jpg", &photo).file("media/m/same.jpg", &photo);
        folder.file("media/m/broken.jpg", b"GIF89a, but no more").file("secret.jpg", &photo);
        std::os::unix::fs::symlink(folder.0.join("secret.jpg"), folder.0.join("media/m/link.jpg")).unwrap();
        let header = "sku,product_type,categories,name,visibility,price,base_image,additional_images,qty";
        let row = |sku: &str, base: &str, more: &str| {
            format!("{sku},simple,Default Category/Gear/Bags,{sku},\"Catalog, Search\",10,{base},\"{more}\",1")
        };
        let rows = [
            row("ONE", "/m/one.jpg", "/m/same.jpg,/m/missing.jpg"),
            row("TWO", "m/same.jpg", "/m/broken.jpg"),
            row("TRICK", "../secret.jpg", "/m/../../secret.jpg,/m/link.jpg,/etc/passwd"),
        ];
        folder.file("products.csv", format!("{header}\n{}\n", rows.join("\n")));
        let report = shop.import(&folder.0, |_| {}).await;
        assert_eq!((report.created, report.pictures), (3, 2), "{report:#?}");
        assert_eq!(report.notes.len(), 5, "{:#?}", report.notes);
        assert_eq!(report.notes.iter().filter(|p| p.sku == "TRICK").count(), 4);
        assert!(shop.by_sku("ONE").await.media[0].renditions.is_empty());
        assert_eq!(shop.by_sku("TWO").await.media.len(), 2);

        assert_eq!(shop.jobs.drain().await.unwrap(), 2);
        let one = shop.by_sku("ONE").await;
        assert_eq!(one.media.len(), 1);
        let kinds: Vec<&str> = one.media[0].renditions.iter().map(|r| r.kind.as_str()).collect();
        assert_eq!(kinds, ["thumbnail", "card", "full"]);
        let two = shop.by_sku("TWO").await;
        assert_eq!(two.media[0].renditions, one.media[0].renditions);
        assert_eq!((two.media.len(), two.version), (1, 3), "the broken one has gone");
        assert!(shop.by_sku("TRICK").await.media.is_empty());
        assert_eq!(shop.jobs.dead_count().await.unwrap(), 1);

        let webp = shop.catalog.rendition(&one.media[0].renditions[0].blob).await.unwrap().unwrap();
        assert!(webp.starts_with(b"RIFF"));
        for bad in ["", "../../etc/passwd", &"0".repeat(64), &"Z".repeat(64)] {
            assert_eq!(shop.catalog.rendition(bad).await.unwrap(), None);
        }
        // The cache has what the store has.
        let ids = [one.id, two.id];
        assert_eq!(shop.catalog.products(&ids).await.unwrap(), [one, two]);
        // A run without pictures leaves them alone, one with them makes nothing new.
        shop.import(&folder.0, |o| o.media = false).await;
        assert_eq!(shop.by_sku("ONE").await.media[0].renditions.len(), 3);
        let again = shop.import(&folder.0, |_| {}).await;
        assert_eq!(again.pictures, 0);
        assert_eq!(shop.by_sku("ONE").await.media[0].renditions.len(), 3);
        assert!(shop.import(&folder.0, |_| {}).await.changed_nothing());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_of_the_real_export() {
    let shop = Shop::new(mela_testkit::TestDb::sqlite(SETS));
    let folder = shared_data("magento-luma");
    let report = shop.import(&folder, |_| {}).await;
    assert_eq!((report.created, report.pictures, report.unlisted), (181, 147, 0));
    let missing = report.notes.iter().filter(|p| p.reason.contains("no such file")).count();
    assert_eq!(missing, 417 - 144 + 251, "each missing picture once");
    let hoodie = shop.by_sku("MH01").await;
    assert_eq!(hoodie.media.len(), 1);
    let gray = hoodie.variants.iter().filter(|v| v.name.ends_with("Gray"));
    assert!(
        gray.clone().count() == 5 && gray.clone().all(|v| v.media_id == Some(hoodie.media[0].id))
    );
    assert_eq!(shop.jobs.pending().await.unwrap(), 147);
    assert!(shop.import(&folder, |_| {}).await.changed_nothing());
    assert_eq!(shop.jobs.pending().await.unwrap(), 147);
}
