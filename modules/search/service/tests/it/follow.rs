//! The index follows the catalogue, and can be made anew.

use std::time::Duration;

use mela_base::Paise;
use mela_bus::Bus;
use mela_catalog_api::{ProductChanged, ProductRemoved};
use mela_db::Tx;
use mela_search::SearchService;
use mela_search_api::{Search, SearchRequest, Sort};
use mela_testkit::TestDb;

use crate::shop::{Shelf, index, names, product, request};

/// A folder that goes away.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("mela-search-{name}-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a shopper sees, in an order that does not hang on the history of the index.
async fn view(search: &SearchService, text: &str) -> mela_search_api::SearchResult {
    let wanted = SearchRequest { facets: true, sort: Sort::Newest, ..request(text) };
    search.search(&wanted).await.unwrap()
}

#[tokio::test]
async fn incremental_equals_rebuilt() {
    let shelf = Shelf::luma();
    let search = index(&shelf).await;
    shelf.change("MH01", |p| p.name = "Peacock Jumper".to_owned());
    shelf.change("MH02", |p| p.active = false);
    shelf.change("MH03", |p| p.variants[0].price = Paise(100));
    let gone = shelf.change("MH04", |_| {}).0;
    shelf.products.lock().remove(&gone);
    shelf.put(product("NEW", "Brand New Thing", 999));
    assert_eq!(search.sync().await.unwrap(), 5);
    assert_eq!(search.sync().await.unwrap(), 0);
    let rebuilt = index(&shelf).await;
    for text in ["", "hoodie", "peacock", "thing", "teton", "black"] {
        assert_eq!(view(&search, text).await, view(&rebuilt, text).await, "{text}");
    }
    assert_eq!(view(&search, "").await.total, 146);
    assert!(names(&search, &shelf, &request("kangeroo")).await.is_empty());
    let seen = std::sync::Mutex::new(Vec::new());
    search.rebuild(&|done, total| seen.lock().unwrap().push((done, total))).await.unwrap();
    assert_eq!(seen.into_inner().unwrap(), [(0, 147), (147, 147)]);
    assert_eq!(view(&search, "").await, view(&rebuilt, "").await);
}

#[tokio::test]
async fn a_folder_is_kept_and_a_damaged_one_made_anew() {
    let folder = Folder::new("kept");
    let shelf = Shelf::stall();
    let search = SearchService::open(&folder.0, shelf.clone()).unwrap();
    assert_eq!(search.sync().await.unwrap(), 3);
    let error = SearchService::open(&folder.0, shelf.clone()).err().unwrap();
    assert!(error.context().contains("another process"), "{error:?}");
    drop(search);

    shelf.change("T1", |p| p.name = "Wooden Camel".to_owned());
    let search = SearchService::open(&folder.0, shelf.clone()).unwrap();
    // What was there is found at once; the change after a look.
    assert_eq!(search.search(&request("elephant")).await.unwrap().total, 1);
    assert_eq!(search.sync().await.unwrap(), 1);
    assert_eq!(search.search(&request("camel")).await.unwrap().total, 1);
    drop(search);

    let inside = std::fs::read_dir(&folder.0).unwrap().next().unwrap().unwrap().path();
    std::fs::write(inside.join("meta.json"), "garbage").unwrap();
    let search = SearchService::open(&folder.0, shelf.clone()).unwrap();
    assert_eq!(search.sync().await.unwrap(), 3);
    assert_eq!(search.search(&request("camel")).await.unwrap().total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed() {
    let t = TestDb::sqlite(&[mela_bus::MIGRATIONS]);
    let bus = Bus::new(t.db.clone(), t.env.clone());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let live = bus.clone();
    let running = tokio::spawn(async move { live.run_live(stopped).await });
    let shelf = Shelf::stall();
    let search = SearchService::in_memory(shelf.clone()).unwrap();
    search.subscribe(&bus);

    let until = async |text: &'static str, total: u64| {
        let wait = async {
            loop {
                if search.ready() && search.search(&request(text)).await.unwrap().total == total {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect(text);
    };
    let emit = async |changes: Vec<(mela_base::ids::ProductId, i64)>| {
        let env = t.env.clone();
        let write = move |tx: &mut Tx<'_>| {
            for (product_id, version) in &changes {
                let (product_id, version) = (*product_id, *version);
                mela_bus::emit(tx, &env, &ProductChanged { product_id, version })?;
            }
            Ok::<_, mela_db::DbError>(())
        };
        t.db.write("test.emit", write).await.unwrap();
    };
    until("elephant", 1).await;
    // The live feed may begin only after the first events: tell until one is heard.
    let mut heard = 0;
    for n in 0..200 {
        let name = format!("Wooden Camel {n}");
        emit(vec![shelf.change("T1", |p| p.name = name)]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        heard = search.search(&request("camel")).await.unwrap().total;
        if heard == 1 {
            break;
        }
    }
    assert_eq!(heard, 1, "an event was heard");
    until("elephant", 0).await;
    // Many at once, one of them announced before the catalogue shows it.
    let (id, version) = shelf.change("T2", |p| p.name = "Brass Bell".to_owned());
    emit(vec![(id, version + 1), shelf.change("T3", |p| p.name = "Silk Scarf".to_owned())]).await;
    until("scarf", 1).await;
    assert_eq!(search.search(&request("gong")).await.unwrap().total, 0);
    shelf.change("T2", |p| p.name = "Copper Gong".to_owned());
    until("gong", 1).await;
    assert_eq!(search.search(&request("bell")).await.unwrap().total, 0);
    // Gone for good.
    let env = t.env.clone();
    shelf.products.lock().remove(&id);
    let removed = ProductRemoved { product_id: id };
    t.db.write("test.emit", move |tx| mela_bus::emit(tx, &env, &removed)).await.unwrap();
    until("gong", 0).await;

    stop.send(true).unwrap();
    running.await.unwrap();
}
