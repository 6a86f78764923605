//! Who may do what: every field of the API asked by everybody, and the outcome committed, so that a
//! check that is missing shows in review. The cart, the orders and the message are one customer's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api_live::{Got, Socket};
use crate::server::{STAFF_PASSWORD, Server, text, until};

/// `%name%` stands for something of the customer's, of the catalogue, or for a fresh number.
const CASES: &[(&str, &str)] = &[
    ("Query.shop", "{ shop { name } }"),
    ("Query.product", "{ product(slug: \"%slug%\") { id } }"),
    ("Query.products", "{ products(first: 1) { totalCount } }"),
    ("Query.suggest", "{ suggest(prefix: \"la\") { text } }"),
    ("Query.categories", "{ categories { id } }"),
    ("Query.pincode", "{ pincode(code: \"302001\") { state } }"),
    ("Query.leaderboard", "{ leaderboard { total } }"),
    ("Query.me", "{ me { id } }"),
    ("Query.myCart", "{ myCart { id } }"),
    ("Query.wallet", "{ wallet { available entries { nodes { id } } } }"),
    ("Query.inbox", "{ inbox { unread nodes { id } } }"),
    ("Query.orders", "{ orders { nodes { id } } }"),
    ("Query.cart", "{ cart(id: \"%cart%\") { id address { phone } } }"),
    ("Query.order", "{ order(id: \"%order%\") { id address { phone } } }"),
    (
        "Query.order with a wrong key",
        "{ order(id: \"%order%\", key: \"%wrongkey%\") { id address { phone } } }",
    ),
    ("Query.order with its key", "{ order(id: \"%order%\", key: \"%key%\") { id } }"),
    ("Query.admin", "{ admin { __typename } }"),
    ("AdminQuery.orders", "{ admin { orders { nodes { id address { phone } } } } }"),
    ("AdminQuery.coupons", "{ admin { coupons { code } } }"),
    ("AdminQuery.staff", "{ admin { staff { email } } }"),
    ("AdminQuery.locations", "{ admin { locations { id } } }"),
    ("AdminQuery.ledgerCheck", "{ admin { ledgerCheck { transfers } } }"),
    ("Mutation.requestOtp", "mutation { requestOtp(phone: \"+9199%n%\") { expiresInS } }"),
    (
        "Mutation.verifyOtp",
        "mutation { verifyOtp(phone: \"+919800000000\", code: \"000000\") { accessToken } }",
    ),
    ("Mutation.startGuest", "mutation { startGuest { personId } }"),
    ("Mutation.refresh", "mutation { refresh(refreshToken: \"nonsense\") { accessToken } }"),
    ("Mutation.editProfile", "mutation { editProfile(name: \"Asha\") { id } }"),
    ("Mutation.setNickname", "mutation { setNickname(nickname: \"Asha\") }"),
    ("Mutation.markRead", "mutation { markRead(messageId: \"%message%\") }"),
    ("Mutation.createCart", "mutation { createCart(input: {}) { id } }"),
    (
        "Mutation.addLines",
        "mutation { addLines(cartId: \"%cart%\", lines: [{ variantId: \"%variant%\", quantity: 1 }]) { id } }",
    ),
    (
        "Mutation.setLines",
        "mutation { setLines(cartId: \"%cart%\", lines: [{ variantId: \"%variant%\", quantity: 1 }]) { id } }",
    ),
    (
        "Mutation.setAddress",
        "mutation { setAddress(cartId: \"%cart%\", address: { name: \"Asha\", phone: \"9876543210\", line1: \"12 Bazaar\", city: \"Jaipur\", pincode: \"302001\" }) { id } }",
    ),
    ("Mutation.setCoupon", "mutation { setCoupon(cartId: \"%cart%\", code: null) { id } }"),
    ("Mutation.setCoins", "mutation { setCoins(cartId: \"%cart%\", coins: 0) { id } }"),
    ("Mutation.claimCart", "mutation { claimCart(cartId: \"%cart%\") { id } }"),
    (
        "Mutation.placeOrder",
        "mutation { placeOrder(input: { cartId: \"%cart%\", method: CASH_ON_DELIVERY, idempotencyKey: \"matrix-%n%\" }) { order { id } } }",
    ),
    ("Mutation.payAgain", "mutation { payAgain(orderId: \"%waiting%\") { url } }"),
    (
        "Mutation.cancelOrder",
        "mutation { cancelOrder(orderId: \"%fresh%\", reason: \"x\") { id } }",
    ),
    (
        "Mutation.cancelOrder with a wrong key",
        "mutation { cancelOrder(orderId: \"%fresh%\", key: \"%wrongkey%\", reason: \"x\") { id } }",
    ),
    ("Mutation.admin", "mutation { admin { __typename } }"),
    (
        "AdminMutation.staffLogin",
        "mutation { admin { staffLogin(email: \"viewer@example.in\", password: \"%password%\") { accessToken } } }",
    ),
    (
        "AdminMutation.editProduct",
        "mutation { admin { editProduct(productId: \"%product%\", input: { active: true }) { id } } }",
    ),
    (
        "AdminMutation.changePrices",
        "mutation { admin { changePrices(changes: [{ variantId: \"%variant%\", price: %price% }]) } }",
    ),
    (
        "AdminMutation.setStock",
        "mutation { admin { setStock(levels: [{ variantId: \"%variant%\", locationId: \"%location%\", onHand: 500 }]) } }",
    ),
    (
        "AdminMutation.saveCoupon",
        "mutation { admin { saveCoupon(input: { code: \"MELA10\", percentBp: 1000, startsAt: \"2026-01-01T00:00:00Z\" }) } }",
    ),
    (
        "AdminMutation.cancelOrder",
        "mutation { admin { cancelOrder(orderId: \"%fresh%\", reason: \"x\") { id } } }",
    ),
    (
        "AdminMutation.grantCoins",
        "mutation { admin { grantCoins(personId: \"%person%\", amount: 1, key: \"matrix-%n%\") } }",
    ),
    (
        "AdminMutation.saveStaff",
        "mutation { admin { saveStaff(email: \"new@example.in\", password: \"%password%\", role: \"viewer\") { id } } }",
    ),
    ("Mutation.logout", "mutation { logout }"),
    ("Mutation.logoutEverywhere", "mutation { logoutEverywhere }"),
];

/// Rows that show something of the customer's; nobody else who is no member of staff may see them.
const OTHERS_THINGS: &[&str] = &[
    "Query.cart",
    "Query.order",
    "Query.order with a wrong key",
    "Mutation.markRead",
    "Mutation.addLines",
    "Mutation.setLines",
    "Mutation.setAddress",
    "Mutation.setCoupon",
    "Mutation.setCoins",
    "Mutation.claimCart",
    "Mutation.placeOrder",
    "Mutation.payAgain",
    "Mutation.cancelOrder",
    "Mutation.cancelOrder with a wrong key",
    "Subscription.orderMoved",
    "GET /invoices/…",
    "GET /invoices/… with a wrong key",
];

/// The customer is last, because what they do changes their things.
const ACTORS: [&str; 8] =
    ["anonymous", "guest", "other", "viewer", "support", "manager", "owner", "customer"];

const CUSTOMER: &str = "+919876543210";

async fn login(server: &Server, actor: &str, again: bool) -> Option<String> {
    let staff = "mutation($e: String!, $p: String!) {
        admin { staffLogin(email: $e, password: $p) { accessToken } } }";
    match actor {
        "anonymous" => None,
        "guest" => Some(server.guest().await),
        // A number gets its next code after half a minute only: whoever comes back has another.
        "customer" => Some(server.customer("+919876543212").await),
        "other" => {
            let phone = if again { "+919876543213" } else { "+919876543211" };
            Some(server.customer(phone).await)
        }
        role => {
            let input = json!({ "e": format!("{role}@example.in"), "p": STAFF_PASSWORD });
            let data = server.data(None, staff, input).await;
            Some(text(&data["admin"]["staffLogin"]["accessToken"]))
        }
    }
}

/// `ok`, `null`, or the code of the refusal.
fn outcome(answer: &Value) -> String {
    if let Some(error) = answer["errors"].get(0) {
        return text(&error["extensions"]["code"]);
    }
    let mut value = &answer["data"];
    while let Some((name, inner)) = value.as_object().and_then(|o| o.iter().next()) {
        value = inner;
        if name != "admin" {
            break;
        }
    }
    if value.is_null() { "null" } else { "ok" }.to_owned()
}

struct Things {
    server: Server,
    customer: String,
    names: BTreeMap<&'static str, String>,
    number: u64,
}

impl Things {
    async fn new() -> Self {
        let server = Server::start(&[]);
        server.ready().await;
        for role in ["viewer", "support", "manager", "owner"] {
            server.place.staff(&format!("{role}@example.in"), role);
        }
        let customer = server.customer(CUSTOMER).await;
        let owner = login(&server, "owner", false).await;
        let mut names = BTreeMap::from([
            ("password", STAFF_PASSWORD.to_owned()),
            ("wrongkey", "7dfnyjvwegy3r8ep548y9b0njt".to_owned()),
        ]);
        let query = "{ products(first: 30) { nodes { id slug variants { id price available } } } }";
        let data = server.data(None, query, json!({})).await;
        let products = data["products"]["nodes"].as_array().unwrap().clone();
        let fits =
            |v: &Value| v["available"].as_i64() > Some(30) && v["price"].as_i64() < Some(100_000);
        let product = products.iter().find(|p| fits(&p["variants"][0])).unwrap();
        names.insert("product", text(&product["id"]));
        names.insert("slug", text(&product["slug"]));
        names.insert("variant", text(&product["variants"][0]["id"]));
        names.insert("price", product["variants"][0]["price"].to_string());
        let data = server.data(owner.as_deref(), "{ admin { locations { id } } }", json!({})).await;
        names.insert("location", text(&data["admin"]["locations"][0]["id"]));
        let stock = "mutation($v: ID!, $l: ID!) { admin {
            setStock(levels: [{ variantId: $v, locationId: $l, onHand: 500 }]) } }";
        let input = json!({ "v": names["variant"], "l": names["location"] });
        server.data(owner.as_deref(), stock, input).await;
        let data = server.data(Some(&customer), "{ me { id } }", json!({})).await;
        names.insert("person", text(&data["me"]["id"]));
        let mut things = Self { server, customer, names, number: 10_000_000 };
        let (order, key) = things.place("CASH_ON_DELIVERY").await;
        things.names.insert("order", order.clone());
        things.names.insert("key", key);
        let (waiting, _) = things.place("RAZORPAY").await;
        things.names.insert("waiting", waiting);
        let cart = things.cart().await;
        things.names.insert("cart", cart);
        let server = &things.server;
        let message = until("a message and the invoice", async || {
            let query = "query($o: ID!) { inbox { nodes { id } } order(id: $o) { invoiceNumber } }";
            let data = server.data(Some(&things.customer), query, json!({ "o": order })).await;
            data["order"]["invoiceNumber"].as_str()?;
            data["inbox"]["nodes"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
        things.names.insert("message", message);
        things
    }

    async fn cart(&self) -> String {
        let create = "mutation($v: ID!) { createCart(input: {
            lines: [{ variantId: $v, quantity: 1 }],
            address: { name: \"Asha\", phone: \"9876543210\", email: \"asha@example.in\",
                line1: \"12 Bazaar\", city: \"Jaipur\", pincode: \"302001\" } }) { id } }";
        let input = json!({ "v": self.names["variant"] });
        let data = self.server.data(Some(&self.customer), create, input).await;
        text(&data["createCart"]["id"])
    }

    /// A new order of the customer's, and its key.
    async fn place(&mut self, method: &str) -> (String, String) {
        let place =
            "mutation($i: PlaceOrderInput!) { placeOrder(input: $i) { orderKey order { id } } }";
        let cart = self.cart().await;
        let input =
            json!({ "cartId": cart, "method": method, "idempotencyKey": format!("place-{cart}") });
        let data = self.server.data(Some(&self.customer), place, json!({ "i": input })).await;
        let placed = &data["placeOrder"];
        (text(&placed["order"]["id"]), text(&placed["orderKey"]))
    }

    async fn fill(&mut self, template: &str) -> String {
        let mut query = template.to_owned();
        if template.contains("%fresh%") {
            let fresh = self.place("CASH_ON_DELIVERY").await.0;
            query = query.replace("%fresh%", &fresh);
        }
        self.number += 1;
        query = query.replace("%n%", &self.number.to_string());
        for (name, value) in &self.names {
            query = query.replace(&format!("%{name}%"), value);
        }
        assert!(!query.contains('%'), "{query}");
        query
    }

    /// The outcome of a subscription: of its first answer, or `ok` if it waits for one.
    async fn subscribe(&self, token: Option<&str>, query: &str) -> String {
        let mut socket =
            Socket::connect(&self.server, "/graphql", Some("graphql-transport-ws")).await;
        let payload = token.map(|t| json!({ "authorization": t }));
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        socket.json().await;
        socket.say(json!({ "type": "subscribe", "id": "1", "payload": { "query": query } })).await;
        match tokio::time::timeout(Duration::from_secs(1), socket.next()).await {
            Err(_) => "ok".to_owned(),
            Ok(Got::Json(m)) if m["type"] == "error" => outcome(&json!({ "errors": m["payload"] })),
            Ok(Got::Json(m)) => outcome(&m["payload"]),
            Ok(other) => panic!("{other:?}"),
        }
    }

    async fn get(&self, token: Option<&str>, path: &str) -> String {
        let mut request = self.server.http.get(format!("{}{path}", self.server.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        if answer.status().is_success() {
            assert!(answer.bytes().await.unwrap().starts_with(b"%PDF"));
            return "ok".to_owned();
        }
        text(&answer.json::<Value>().await.unwrap()["code"])
    }
}

#[tokio::test]
async fn everybody_may_do_what_the_table_says() {
    let mut things = Things::new().await;
    let mut tokens = BTreeMap::new();
    for actor in ACTORS {
        let token = if actor == "customer" {
            Some(things.customer.clone())
        } else {
            login(&things.server, actor, false).await
        };
        tokens.insert(actor, token);
    }
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let order = things.names["order"].clone();
    let live = [
        (
            "Subscription.orderMoved",
            format!("subscription {{ orderMoved(orderId: \"{order}\") {{ id }} }}"),
        ),
        ("Subscription.inboxMessage", "subscription { inboxMessage { id } }".to_owned()),
    ];
    for (name, query) in &live {
        let all = ACTORS.map(|actor| things.subscribe(tokens[actor].as_deref(), query));
        rows.push(((*name).to_owned(), futures_util::future::join_all(all).await));
    }
    let (key, wrong) = (&things.names["key"], &things.names["wrongkey"]);
    until("the invoice", async || {
        let path = format!("/invoices/{order}.pdf?key={key}");
        (things.get(None, &path).await == "ok").then_some(())
    })
    .await;
    for (name, query) in [
        ("GET /invoices/…", String::new()),
        ("GET /invoices/… with a wrong key", format!("?key={wrong}")),
        ("GET /invoices/… with its key", format!("?key={key}")),
    ] {
        let mut row = Vec::new();
        for actor in ACTORS {
            let path = format!("/invoices/{order}.pdf{query}");
            row.push(things.get(tokens[actor].as_deref(), &path).await);
        }
        rows.push((name.to_owned(), row));
    }
    for (name, template) in CASES {
        let mut row = Vec::new();
        for actor in ACTORS {
            if *name == "Mutation.logoutEverywhere" {
                tokens.insert(actor, login(&things.server, actor, true).await);
            }
            let query = things.fill(template).await;
            let answer = things.server.ask(tokens[actor].as_deref(), &query, json!({})).await;
            row.push(outcome(&answer));
        }
        rows.push(((*name).to_owned(), row));
    }
    // What was logged out is out at once.
    for actor in ACTORS.into_iter().filter(|a| *a != "anonymous") {
        let url = format!("{}/graphql", things.server.url);
        let request = things.server.http.post(url).json(&json!({ "query": "{ me { id } }" }));
        let answer = request.bearer_auth(tokens[actor].as_deref().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{actor}");
    }

    for (name, row) in &rows {
        if OTHERS_THINGS.contains(&name.as_str()) {
            for (actor, outcome) in ACTORS.iter().zip(row).take(3) {
                assert_ne!(outcome, "ok", "{actor} may do {name} with somebody else's things");
            }
            assert_eq!(row[7], if name.ends_with("wrong key") { &row[7] } else { "ok" }, "{name}");
        }
        if name.starts_with("Admin") && name != "AdminMutation.staffLogin" {
            for actor in [0, 1, 2, 7] {
                assert_eq!(row[actor], "STAFF_ONLY", "{} may do {name}", ACTORS[actor]);
            }
        }
    }
    every_field_is_there(&rows);
    compare(&rows);
}

/// No field of the schema is left out of the table.
fn every_field_is_there(rows: &[(String, Vec<String>)]) {
    let mut of = None;
    let sdl = mela_gql::sdl();
    for line in sdl.lines() {
        if let Some(name) = line.strip_prefix("type ").and_then(|l| l.strip_suffix(" {")) {
            let roots = ["Query", "Mutation", "AdminQuery", "AdminMutation", "Subscription"];
            of = roots.contains(&name).then_some(name);
        }
        let field = line.strip_prefix('\t').and_then(|l| l.split(['(', ':']).next());
        if let (Some(of), Some(field)) = (of, field)
            && field.chars().all(|c| c.is_ascii_alphanumeric())
            && line.contains(": ")
            && !field.is_empty()
        {
            let name = format!("{of}.{field}");
            assert!(rows.iter().any(|(n, _)| *n == name), "{name} is not in the table of rights");
        }
    }
}

fn compare(rows: &[(String, Vec<String>)]) {
    let mut table = String::from(
        "# Who may do what; renew with UPDATE=1 cargo test -p mela --test it api_rights\n\
         # The cart, orders and messages asked for are the customer's.\n",
    );
    let head = ACTORS.map(str::to_owned).to_vec();
    for (name, row) in std::iter::once(&("field".to_owned(), head)).chain(rows) {
        let _ = write!(table, "{name:<40}");
        for outcome in row {
            let _ = write!(table, " {outcome:<19}");
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/api_rights.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let lines = table.lines().filter(|l| !committed.lines().any(|c| c == *l));
    let changed: Vec<&str> = lines.collect();
    assert!(
        committed == table,
        "rights changed; look at each, then renew:\n{}",
        changed.join("\n")
    );
}
