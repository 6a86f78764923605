//! Relevance, typing errors, facets, sorting, completion.

use std::collections::HashMap;

use mela_base::{Fault, Paise};
use mela_search_api::{Search, SearchFilter, SearchRequest, Sort};

use crate::shop::{Shelf, index, names, request};

#[tokio::test]
async fn finds_what_people_mean() {
    let shelf = Shelf::luma();
    let search = index(&shelf).await;
    assert!(search.ready());
    for text in ["hoodie", "hoodies", "HOODIE", "hoddie", "hodie", "ohodie"] {
        let found = names(&search, &shelf, &request(text)).await;
        assert!(found.len() >= 10, "{text}: {found:?}");
        assert!(found[..5].iter().all(|n| n.contains("Hoodie")), "{text}: {found:?}");
    }
    let found = names(&search, &shelf, &request("chaz hoodie")).await;
    assert_eq!(found[0], "Chaz Kangeroo Hoodie");
    let found = names(&search, &shelf, &request("kangaroo hoodie")).await;
    // Others have a kangaroo pocket; the one whose name is misspelled is found too.
    assert!(found.iter().any(|n| n == "Chaz Kangeroo Hoodie"), "{found:?}");
    let found = names(&search, &shelf, &request("yoga pants")).await;
    assert!(!found.is_empty());
    for sku in ["MH01", "mh01-xs-black"] {
        assert_eq!(names(&search, &shelf, &request(sku)).await, ["Chaz Kangeroo Hoodie"], "{sku}");
    }
    // A word that nothing has: half of the words is enough.
    let found = names(&search, &shelf, &request("chaz zzzzzzzzzzzz")).await;
    assert_eq!(found, ["Chaz Kangeroo Hoodie"]);
    assert!(names(&search, &shelf, &request("zzzzzzzzzzzz")).await.is_empty());
    assert!(names(&search, &shelf, &request("!!!")).await.is_empty());
    assert_eq!(search.search(&request("  ")).await.unwrap().total, 147);
}

#[tokio::test]
async fn filters_and_facets() {
    let shelf = Shelf::luma();
    let search = index(&shelf).await;
    let all: Vec<_> = shelf.products.lock().values().cloned().collect();
    let mut wanted = SearchRequest { facets: true, ..request("") };
    let found = search.search(&wanted).await.unwrap();
    let facet = |found: &mela_search_api::SearchResult, field: &str| -> HashMap<String, u64> {
        let facet = found.facets.iter().find(|f| f.field == field).unwrap();
        facet.values.iter().map(|v| (v.value.clone(), v.count)).collect()
    };
    let fields: Vec<_> = found.facets.iter().map(|f| f.field).collect();
    assert_eq!(fields, ["category", "price", "size", "color", "rating"]);
    let has = |p: &mela_catalog_api::Product, code: &str, value: &str| {
        p.variants.iter().any(|v| v.options.iter().any(|(c, x)| c == code && x == value))
    };
    let black = all.iter().filter(|p| has(p, "color", "Black")).count() as u64;
    assert_eq!(facet(&found, "color")["Black"], black);
    // A parent has the products of its children, each once.
    let categories = facet(&found, "category");
    assert!(categories["men"] > categories["men-tops-hoodies-sweatshirts"]);
    assert_eq!(categories["men"] + categories["women"], 147);
    assert_eq!(facet(&found, "price").values().sum::<u64>(), 147);
    let rating = facet(&found, "rating");
    assert_eq!((rating["1"], rating.get("5")), (147, None), "four steps");
    assert!(rating["4"] < rating["3"]);
    let label = &found.facets[0].values.iter().find(|v| v.value == "men-tops").unwrap().label;
    assert_eq!(label, "Tops");

    wanted.filter = SearchFilter {
        category: Some("men-tops".to_owned()),
        colors: vec!["Black".to_owned(), "Red".to_owned()],
        price_min: Some(Paise::rupees(30)),
        price_max: Some(Paise::rupees(60)),
        rating_min: Some(3),
        sizes: vec!["XL".to_owned()],
    };
    let narrow = search.search(&wanted).await.unwrap();
    assert!(narrow.total > 0 && narrow.total < 147);
    for id in &narrow.ids {
        let p = &shelf.products.lock()[id];
        assert!(has(p, "color", "Black") || has(p, "color", "Red"));
        assert!(has(p, "size", "XL"));
        assert!((Paise::rupees(30)..=Paise::rupees(60)).contains(&p.variants[0].price));
        assert!(p.rating.sum >= 3 * p.rating.count);
    }
    // The choice of colours shows what else there is, under the other filters.
    let colors = facet(&narrow, "color");
    assert!(colors.len() > 2, "{colors:?}");
    let mut other = wanted.clone();
    other.filter.colors = vec!["Blue".to_owned()];
    assert_eq!(search.search(&other).await.unwrap().total, colors["Blue"]);
    let mut other = wanted.clone();
    other.filter.category = Some("women".to_owned());
    assert_eq!(search.search(&other).await.unwrap().total, facet(&narrow, "category")["women"]);
    other.filter.category = Some("nowhere".to_owned());
    assert_eq!(search.search(&other).await.unwrap().total, 0);
}

#[tokio::test]
async fn sorting_and_pages() {
    let shelf = Shelf::luma();
    let search = index(&shelf).await;
    let products = shelf.products.lock().clone();
    let sorted = async |sort: Sort| {
        let wanted = SearchRequest { sort, limit: 100, ..request("shirt") };
        let ids = search.search(&wanted).await.unwrap().ids;
        ids.iter().map(|id| products[id].clone()).collect::<Vec<_>>()
    };
    let price = |p: &mela_catalog_api::Product| p.variants[0].price;
    let newer = |p: &mela_catalog_api::Product| std::cmp::Reverse(p.created_at);
    assert!(sorted(Sort::PriceAsc).await.is_sorted_by_key(|p| (price(p), newer(p))));
    assert!(
        sorted(Sort::PriceDesc).await.is_sorted_by_key(|p| (std::cmp::Reverse(price(p)), newer(p)))
    );
    assert!(
        sorted(Sort::Rating)
            .await
            .is_sorted_by_key(|p| (std::cmp::Reverse(p.rating.sum), newer(p)))
    );
    assert!(sorted(Sort::Newest).await.is_sorted_by_key(|p| newer(p)));

    let mut pages = Vec::new();
    for offset in (0..160).step_by(20) {
        let page = SearchRequest { offset, limit: 20, sort: Sort::PriceAsc, ..request("") };
        let found = search.search(&page).await.unwrap();
        assert_eq!(found.total, 147);
        pages.extend(found.ids);
    }
    assert_eq!(pages.len(), 147);
    pages.sort();
    pages.dedup();
    assert_eq!(pages.len(), 147);

    for (bad, field) in [
        (SearchRequest { limit: 0, ..request("") }, "limit"),
        (SearchRequest { limit: 101, ..request("") }, "limit"),
        (SearchRequest { offset: 10_001, ..request("") }, "offset"),
    ] {
        assert_eq!(search.search(&bad).await.unwrap_err().field(), Some(field));
    }
}

#[tokio::test]
async fn completes_names() {
    let shelf = Shelf::luma();
    let search = index(&shelf).await;
    let texts = async |prefix: &str, limit: u32| {
        let found = search.suggest(prefix, limit).await.unwrap();
        found.into_iter().map(|s| s.text).collect::<Vec<_>>()
    };
    assert_eq!(texts("cha", 5).await[0], "Chaz Kangeroo Hoodie");
    assert_eq!(texts("Kang", 5).await, ["Chaz Kangeroo Hoodie"], "second words too");
    assert_eq!(texts("chaz hood", 5).await, ["Chaz Kangeroo Hoodie"]);
    assert!(
        texts("chaz hoof", 5).await.is_empty()
            || texts("chaz hoof", 5).await == ["Chaz Kangeroo Hoodie"]
    );
    assert_eq!(texts("kanga", 5).await, ["Chaz Kangeroo Hoodie"], "one letter forgiven");
    assert_eq!(texts("h", 7).await.len(), 7);
    assert!(texts("", 5).await.is_empty());
    assert!(texts("zzzz", 5).await.is_empty());
}

#[tokio::test]
async fn hindi() {
    let shelf = Shelf::stall();
    let search = index(&shelf).await;
    for (text, name) in [
        ("हाथी", "Wooden Elephant"),
        ("लकड़ी", "Wooden Elephant"),
        ("लकडी का हाथी", "Wooden Elephant"),
        ("खिलौना", "Wooden Elephant"),
        ("मिट्टी", "Clay Lamp"),
        ("मिटटी", "Clay Lamp"),
        ("दीया", "Clay Lamp"),
        ("जरी", "Silver Zari Saree"),
        ("चांदी", "Silver Zari Saree"),
        ("saree", "Silver Zari Saree"),
    ] {
        let found = names(&search, &shelf, &request(text)).await;
        assert_eq!(found.first().map(String::as_str), Some(name), "{text}: {found:?}");
    }
    assert!(names(&search, &shelf, &request("ह")).await.is_empty(), "a letter is not a word");
    assert_eq!(search.search(&request("खिलौने")).await.unwrap().total, 3, "the category's name");
    let found = search.suggest("हा", 5).await.unwrap();
    assert_eq!(found[0].text, "लकड़ी का हाथी");
    assert_eq!(search.suggest("wood", 5).await.unwrap()[0].text, "Wooden Elephant");
}
