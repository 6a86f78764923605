//! How many SQL statements requests take, as `/metrics` counts them: the same number however long
//! a list is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::server::{ENGINES, Engine, Place, Server, text};

/// Statements so far by operation, without those of events, jobs and the search index, which run
/// beside the requests.
async fn statements(server: &Server) -> BTreeMap<String, u64> {
    let all = server.http.get(format!("{}/metrics", server.url)).send().await.unwrap();
    let all = all.text().await.unwrap();
    all.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("mela_db_statements_total{operation=\"")?;
            let (operation, value) = rest.split_once("\"} ")?;
            Some((operation.to_owned(), value.parse().unwrap()))
        })
        .filter(|(name, _)| !["bus.", "jobs.", "search."].iter().any(|p| name.starts_with(p)))
        .collect()
}

/// Runs requests; gives the statements that they took, by operation.
async fn taken(server: &Server, run: impl AsyncFnOnce()) -> BTreeMap<String, u64> {
    let before = statements(server).await;
    run().await;
    let mut after = statements(server).await;
    for (name, n) in &mut after {
        *n -= before.get(name).copied().unwrap_or(0);
    }
    after.retain(|_, n| *n > 0);
    after
}

/// A server that answers requests and does nothing beside.
fn serve(place: Place) -> Server {
    Server::start_at(place, &["--role", "web,checkout"])
}

#[tokio::test]
async fn a_listing_takes_the_same_number_however_long_it_is() {
    for engine in ENGINES {
        let mut place = Place::fair(engine);
        // The index is built before.
        let server = Server::start_at(place, &[]);
        server.ready().await;
        place = server.crash();
        let mut counts = Vec::new();
        for first in [5, 20, 50] {
            // Anew each time, so that nothing was read before.
            let server = serve(place);
            server.ready().await;
            let query = "query($n: Int!) { products(first: $n) { totalCount nodes {
                slug name(lang: HI) priceMin rating { average count } categories { name }
                variants { id name price mrp available options { code value } media { id } }
                media { alt thumbnail { url } card { url } } available } } }";
            let mut data = Value::Null;
            let count = taken(&server, async || {
                data = server.data(None, query, json!({ "n": first })).await;
            })
            .await;
            assert_eq!(data["products"]["nodes"].as_array().unwrap().len(), first);
            counts.push(count);
            place = server.crash();
        }
        println!("{engine:?}: {:?}", counts[0]);
        assert!(counts[0].values().sum::<u64>() <= 3, "{engine:?}: {counts:?}");
        assert!(counts.iter().all(|c| c == &counts[0]), "{engine:?}: {counts:?}");

        // With what hangs on each product too.
        let server = serve(place);
        server.ready().await;
        let query = "query($n: Int!) { products(first: $n) { nodes {
            related(first: 4) { slug variants { price available } } } } }";
        let mut counts = Vec::new();
        for first in [10, 20, 50] {
            let run = async || drop(server.data(None, query, json!({ "n": first })).await);
            counts.push(taken(&server, run).await.values().sum::<u64>());
        }
        assert!(counts.iter().all(|c| *c <= 4), "{engine:?}: {counts:?}");
    }
}

fn address() -> Value {
    json!({ "name": "Asha Rani", "phone": "+919876543210", "email": "asha@example.in",
        "line1": "12 Johari Bazaar", "city": "Jaipur", "pincode": "302001" })
}

/// Variants of two products that can be bought.
pub(crate) async fn two(server: &Server) -> [String; 2] {
    let query = "{ products(first: 30) { nodes { variants { id price available } } } }";
    let data = server.data(None, query, json!({})).await;
    let mut found = data["products"]["nodes"].as_array().unwrap().iter().filter_map(|p| {
        let variant = &p["variants"][0];
        let fits =
            variant["available"].as_i64() > Some(30) && variant["price"].as_i64() < Some(100_000);
        fits.then(|| text(&variant["id"]))
    });
    [found.next().unwrap(), found.next().unwrap()]
}

const CREATE: &str = "mutation($i: CreateCartInput!) { createCart(input: $i) {
    id totals { toPay } problems { code } methods lines { name quantity total } } }";
const PLACE: &str = "mutation($i: PlaceOrderInput!) { placeOrder(input: $i) {
    orderKey order { id number state totals { total tax toPay } lines { name total } } } }";

/// A whole checkout, from no cart to an order with cash on delivery: two requests.
async fn checkout(server: &Server, token: Option<&str>, variants: &[String]) -> String {
    let lines: Vec<Value> =
        variants.iter().map(|v| json!({ "variantId": v, "quantity": 1 })).collect();
    let input = json!({ "i": { "lines": lines, "address": address() } });
    let data = server.data(token, CREATE, input).await;
    let cart = &data["createCart"];
    assert_eq!(cart["problems"], json!([]), "{cart}");
    let input = json!({ "i": { "cartId": cart["id"], "method": "CASH_ON_DELIVERY",
        "idempotencyKey": format!("it-{}", text(&cart["id"])) } });
    let data = server.data(token, PLACE, input).await;
    assert_eq!(data["placeOrder"]["order"]["state"], "CONFIRMED");
    text(&data["placeOrder"]["order"]["id"])
}

#[tokio::test]
async fn a_guest_checkout_takes_fifteen_at_most() {
    for engine in ENGINES {
        let server = serve(Place::fair(engine));
        server.ready().await;
        let variants = two(&server).await;
        // The first of a kind reads what is kept from then on.
        checkout(&server, None, &variants).await;
        let run = async || drop(checkout(&server, None, &variants).await);
        let count = taken(&server, run).await;
        println!("{engine:?}: {count:?}");
        assert!(count.values().sum::<u64>() <= 15, "{engine:?}: {count:?}");
        let guest = server.guest().await;
        let run = async || drop(checkout(&server, Some(&guest), &variants).await);
        let count = taken(&server, run).await;
        println!("{engine:?} with a session: {count:?}");
        assert!(count.values().sum::<u64>() <= 16, "{engine:?}: {count:?}");
    }
}

#[tokio::test]
async fn a_list_of_orders_takes_the_same_number_however_long_it_is() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = serve(Place::fair(engine));
        server.ready().await;
        let variants = two(&server).await;
        let guest = server.guest().await;
        for _ in 0..20 {
            checkout(&server, Some(&guest), &variants).await;
        }
        let viewer = server.staff("viewer@example.in", "viewer").await;
        let fields = "nodes { id number state totals { total } lines { name quantity total }
            payment { state amount } parcel { awb state scans { code } } history { state at }
            address { name } invoiceUrl }";
        for (token, query) in [
            (&guest, format!("query($n: Int!) {{ orders(first: $n) {{ {fields} }} }}")),
            (
                &viewer,
                format!("query($n: Int!) {{ admin {{ orders(first: $n) {{ {fields} }} }} }}"),
            ),
        ] {
            let mut counts = Vec::new();
            for first in [1, 5, 20] {
                let mut data = Value::Null;
                let count = taken(&server, async || {
                    data = server.data(Some(token), &query, json!({ "n": first })).await;
                })
                .await;
                let orders = if data["admin"].is_null() {
                    &data["orders"]
                } else {
                    &data["admin"]["orders"]
                };
                assert_eq!(orders["nodes"].as_array().unwrap().len(), first);
                counts.push(count);
            }
            println!("{engine:?}: {:?}", counts[0]);
            assert!(counts.iter().all(|c| c == &counts[0]), "{engine:?}: {counts:?}");
            assert!(counts[0].values().sum::<u64>() <= 5, "{engine:?}: {counts:?}");
        }
    }
}
