//! No input can be wrong.

use mela_base::Fault;
use mela_search::SearchService;
use mela_search_api::{Search, SearchFilter, SearchRequest};
use proptest::prelude::*;

use crate::shop::{Shelf, index, request};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_text_is_words(text in ".{0,400}", sort in 0u8..5, facets: bool, slug in ".{0,20}") {
        use mela_search_api::Sort::*;
        thread_local! {
            static STALL: (tokio::runtime::Runtime, SearchService) = {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let search = runtime.block_on(async { index(&Shelf::stall()).await });
                (runtime, search)
            };
        }
        STALL.with(|(runtime, search)| runtime.block_on(async {
            let sort = [Relevance, PriceAsc, PriceDesc, Rating, Newest][usize::from(sort)];
            let filter = SearchFilter { category: Some(slug.clone()), sizes: vec![slug], ..Default::default() };
            let wanted = SearchRequest { sort, facets, filter, ..request(&text) };
            search.search(&wanted).await.unwrap();
            search.search(&SearchRequest { sort, facets, ..request(&text) }).await.unwrap();
            search.suggest(&text, 20).await.unwrap();
        }));
    }
}

#[tokio::test]
async fn syntax_and_size_are_only_words() {
    let shelf = Shelf::stall();
    let search = index(&shelf).await;
    for text in [
        "name:*",
        "elephant OR 1=1",
        "\"",
        "(((((",
        "-elephant",
        "a\0b",
        &"x".repeat(100_000),
        &"elephant ".repeat(10_000),
        "/.*/",
        "[* TO *]",
        "\u{202e}",
    ] {
        search.search(&SearchRequest { facets: true, ..request(text) }).await.unwrap();
        search.suggest(text, u32::MAX).await.unwrap();
    }
    assert_eq!(search.search(&request("-elephant")).await.unwrap().total, 1);
}

#[tokio::test]
async fn an_unfilled_index_says_so() {
    let search = SearchService::in_memory(Shelf::stall()).unwrap();
    assert!(!search.ready());
    assert_eq!(search.search(&request("x")).await.unwrap_err().code(), "SEARCH_NOT_READY");
    assert_eq!(search.suggest("x", 5).await.unwrap_err().code(), "SEARCH_NOT_READY");
    search.sync().await.unwrap();
    assert!(search.ready());
    let empty = index(&Default::default()).await;
    assert_eq!(empty.search(&request("")).await.unwrap().total, 0);
}
