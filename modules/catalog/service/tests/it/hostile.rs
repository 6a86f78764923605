//! Files that lie, break and attack.

use mela_base::{Fault, Paise};
use mela_catalog::{CatalogService, HsnMap, HsnRule, ImportOptions, Rate};
use mela_catalog_api::Catalog;
use mela_testkit::on_both;
use proptest::prelude::*;

use crate::shop::{Folder, SETS, Shop};

const HEADER: &str = "sku,store_view_code,product_type,categories,name,description,weight,product_online,visibility,price,special_price,url_key,base_image,additional_attributes,qty,is_in_stock,configurable_variations,additional_images";

fn row(sku: &str, price: &str, more: &str) -> String {
    format!(
        "{sku},,simple,Default Category/Gear/Bags,Name of {sku},,0.4,1,\"Catalog, Search\",{price},,,,{more},5,1,,"
    )
}

fn csv(rows: &[String]) -> String {
    format!("{HEADER}\n{}\n", rows.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_named_and_good_ones_are_taken() {
    on_both(SETS, async |t| {
        let shop = Shop::new(t);
        let folder = Folder::new();
        let mut bytes = csv(&[
            row("GOOD", "10", "\"hsn=42021250,name_hi=लाल, थैला,description_hi=मज़बूत\""), // 2
            row("", "10", ""),
            row("NEG", "-5", ""),
            row("ZERO", "0", ""),
            row("ABSURD", "99999999999", ""),
            row("EXP", "1e3", ""),
            row("GOOD", "11", ""), // 8: twice
            row("BADHSN", "10", "hsn=12x"),
            row("A,B,C", "10", ""), // 10: too many fields
            row("HUGE", "10", &"x".repeat(200 * 1024)),
            row("NOHSN", "10", "").replace("Gear/Bags", "Nowhere"),
            row("HIDDEN", "10", "").replace("\"Catalog, Search\"", "Not Visible Individually"),
            row("BUNDLE", "10", "").replace("simple", "bundle"),
            row("TRICK", "10", ""), // 15: fine
            row("RESERVED", "10", "").replace(",5,1,", ",777,1,"), // 16: refused by the inventory
            row("CHECKED", "10", "").replace(",5,1,", ",666,1,"), // 17: refused by the database
            "LOOP,,configurable,Default Category/Gear/Bags,Loop,,,1,\"Catalog, Search\",,,,,,0,1,\"sku=LOOP,size=S|sku=GHOST,size=M\",".to_owned(),
            "GOOD,hi_IN,,,बढ़िया थैला,<p>बहुत बढ़िया</p>,,,,,,,,,,,,".to_owned(),
            "GOOD,fr,,,Sac,,,,,,,,,,,,,".to_owned(),
        ])
        .into_bytes();
        bytes.extend(b"BAD\xff,,simple,,x,,,,,,,,,,,,,\n");
        folder.file("products.csv", &bytes);
        folder.file("garbage.csv", [0u8, 159, 146, 150, 10, 34, 44, 255]);
        folder.file("empty.csv", "");
        folder.file("twice.csv", "sku,sku\n1,2\n");
        folder.file("reviews.csv", "sku,rating_value,title,review,reviewer,email\nGOOD,9,t,b,r,\nGOOD,5,Nice <b>bag</b>,\"good\u{0} bag\",Asha,asha@example.org\nGOOD,x,t,b,r,\n");
        folder.file("links.csv", "sku,linked_sku\nGOOD,\"GOOD\nTRICK\nGHOST\"\nGHOST,GOOD\n");

        let report = shop.import(&folder.0, |o| o.rate = Rate::ONE).await;
        let lines: Vec<(u64, &str)> = report
            .refused
            .iter()
            .filter(|p| &*p.file == "products.csv")
            .map(|p| (p.line, p.reason.as_str()))
            .collect();
        let mut numbers: Vec<u64> = lines.iter().map(|(n, _)| *n).collect();
        numbers.sort_unstable();
        assert_eq!(
            numbers,
            [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 21],
            "{lines:#?}"
        );
        let mut skus: Vec<String> = shop.all().await.iter().map(|p| p.sku.clone()).collect();
        skus.sort();
        assert_eq!(skus, ["GOOD", "TRICK"]);
        let good = shop.by_sku("GOOD").await;
        assert_eq!(good.name_hi.as_deref(), Some("बढ़िया थैला"));
        assert_eq!(good.description_hi.as_deref(), Some("बहुत बढ़िया"));
        assert_eq!(good.variants[0].hsn, "42021250");
        assert_eq!((good.variants[0].price, good.variants[0].weight_g), (Paise::rupees(10), 400));
        assert_eq!((good.rating.count, good.rating.sum), (1, 5));
        assert_eq!(good.related, [shop.by_sku("TRICK").await.id]);
        let review = &shop.catalog.reviews(good.id, &Default::default()).await.unwrap().items[0].1;
        assert_eq!((review.title.as_str(), review.body.as_str()), ("Nice <b>bag</b>", "good bag"));
        // Nothing half-done: the refused ones have no stock either.
        assert_eq!(shop.stock().await, 10);
        let of = |file: &str| report.refused.iter().filter(|p| &*p.file == file).count();
        assert_eq!((of("empty.csv"), of("twice.csv"), of("reviews.csv"), of("links.csv")), (1, 1, 2, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_files_are_followed_and_sales_are_kept() {
    on_both(SETS, async |t| {
        let shop = Shop::new(t);
        let folder = Folder::new();
        let parent = |variants: &str| {
            format!("P,,configurable,Default Category/Gear/Bags,Parent,,,1,\"Catalog, Search\",,,,,,0,1,\"{variants}\",")
        };
        let hidden = |sku: &str, price: &str| {
            row(sku, price, "").replace("\"Catalog, Search\"", "Not Visible Individually")
        };
        let rows = [hidden("A", "10"), hidden("B", "12"), parent("sku=A,size=S|sku=B,size=M"), row("X", "1", "")];
        folder.file("products.csv", csv(&rows));
        let first = shop.import(&folder.0, |o| o.rate = Rate::ONE).await;
        assert_eq!(first.created, 2, "{:?}", first.refused);
        let before = shop.by_sku("P").await;

        // B goes, A becomes dearer, C is new; X stays.
        let rows = [hidden("A", "20"), hidden("C", "5"), parent("sku=C,size=L|sku=A,size=S"), row("X", "1", "")];
        folder.file("products.csv", csv(&rows));
        let second = shop.import(&folder.0, |o| o.rate = Rate::ONE).await;
        assert_eq!((second.created, second.updated, second.unchanged), (0, 1, 1));
        let after = shop.by_sku("P").await;
        assert_eq!((after.id, after.version, after.created_at), (before.id, before.version + 1, before.created_at));
        let seen: Vec<_> = after.variants.iter().map(|v| (v.sku.as_str(), v.price.0, v.active)).collect();
        assert_eq!(seen, [("C", 500, true), ("A", 2_000, true), ("B", 1_200, false)]);
        let id = |p: &mela_catalog_api::Product, sku: &str| p.variants.iter().find(|v| v.sku == sku).map(|v| v.id);
        assert_eq!(id(&after, "A"), id(&before, "A"));

        // A variant cannot be taken from another product.
        folder.file("products.csv", csv(&[row("A", "1", "")]));
        let third = shop.import(&folder.0, |o| o.rate = Rate::ONE).await;
        assert_eq!(third.refused.len(), 1);
        assert!(third.refused[0].reason.contains("another product"), "{third:?}");
        assert_eq!(shop.stock().await, 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_needs_files_and_a_location() {
    let shop = Shop::new(mela_testkit::TestDb::sqlite(SETS));
    let inventory = crate::shop::shelf();
    let run = |folder: std::path::PathBuf, options: ImportOptions| {
        let catalog: CatalogService = shop.catalog.clone();
        let inventory = inventory.clone();
        async move {
            let done = catalog
                .import_magento(inventory, &folder, options, std::sync::Arc::new(|_| {}))
                .await;
            done.unwrap_err().code()
        }
    };
    let options = || ImportOptions::new(crate::shop::location());
    let folder = Folder::new();
    assert_eq!(run(folder.0.join("missing"), options()).await, "IMPORT_UNREADABLE");
    assert_eq!(run(folder.0.clone(), options()).await, "IMPORT_EMPTY");
    folder.file("x.csv", "a,b\n1,2\n");
    assert_eq!(run(folder.0.clone(), options()).await, "IMPORT_EMPTY");
    folder.file("products.csv", csv(&[row("X", "1", "")]));
    let elsewhere = ImportOptions::new(mela_base::ids::LocationId::default());
    assert_eq!(run(folder.0.clone(), elsewhere).await, "NO_LOCATION");
    assert_eq!(shop.catalog.product_count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_merchants_own_codes_come_first() {
    let shop = Shop::new(mela_testkit::TestDb::sqlite(SETS));
    let folder = Folder::new();
    folder.file("products.csv", csv(&[row("X", "1", "")]));
    let rule = HsnRule { category: "gear/bags".into(), word: String::new(), hsn: "9999".into() };
    shop.import(&folder.0, |o| o.hsn = HsnMap::with(vec![rule])).await;
    assert_eq!(shop.by_sku("X").await.variants[0].hsn, "9999");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_file_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..3_000), json: String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let shop = Shop::new(mela_testkit::TestDb::sqlite(SETS));
            let folder = Folder::new();
            let mut text = format!("{HEADER}\n").into_bytes();
            text.extend(&bytes);
            folder.file("products.csv", text).file("list.json", format!("[{json}"));
            shop.import(&folder.0, |_| {}).await;
            let done = shop.catalog.import_json(
                crate::shop::shelf(), &folder.0.join("list.json"),
                ImportOptions::new(crate::shop::location()), std::sync::Arc::new(|_| {}),
            ).await;
            if let Ok(report) = done {
                assert_eq!(report.created, 0);
            }
        });
    }
}
