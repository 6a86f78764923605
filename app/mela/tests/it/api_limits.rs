//! What the GraphQL endpoint refuses, and what it remembers.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use reqwest::{Method, Response, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::server::{ENGINES, Server, text, until};

async fn post(server: &Server, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let url = format!("{}/graphql", server.url);
    let request = server.http.post(url).header("content-type", "application/json");
    read(request.body(body).send().await.unwrap()).await
}

async fn read(answer: Response) -> (StatusCode, Value) {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text:?}"));
    (status, json)
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("-")
}

/// Fragments that use the next one twice.
fn doubling(levels: usize) -> String {
    let fragment = |i| format!("fragment f{i} on Query {{ ...f{0} ...f{0} }} ", i + 1);
    let fragments: String = (0..levels).map(fragment).collect();
    format!("{{ ...f0 }} {fragments} fragment f{levels} on Query {{ shop {{ name }} }}")
}

fn nested(times: usize, opening: &str, inner: &str, closing: &str) -> String {
    format!("{}{inner}{}", opening.repeat(times), closing.repeat(times))
}

#[tokio::test]
async fn a_document_that_asks_for_too_much_is_refused_before_it_runs() {
    let server = Server::start(&[]);
    server.ready().await;
    let aliases =
        |n: usize, field: &str| -> String { (0..n).map(|i| format!("a{i}: {field} ")).collect() };
    let related = |n| nested(n, "related(first: 20) { ", "name", " }");
    let cyclic = |n: usize| {
        let spreads = "...a ".repeat(n);
        format!("{{ ...a }} fragment a on Query {{ {spreads} }}")
    };
    let heavy = [
        format!("{{ categories {{ {} }} }}", nested(20, "children { ", "name", " }")),
        format!("{{ products(first: 100) {{ nodes {{ {} }} }} }}", related(3)),
        format!("{{ products(first: 100) {{ nodes {{ {} }} }} }}", related(12)),
        // So large that a careless product of costs would overflow.
        format!("{{ {} }}", nested(14, "categories { children { ", "name", " } }")),
        "{ products(first: 100) { nodes { reviews(first: 100) { nodes { id } } } } }".to_owned(),
        "{ products(first: 2000000000) { nodes { variants { id price available sku name mrp
           options { code value } media { card { url width height } } } reviews { totalCount: nodes { id } } } } }".to_owned(),
        format!("{{ {} }}", aliases(3_000, "categories { id }")),
        format!("{{ {} }}", aliases(500, "products(first: 1) { totalCount }")),
        format!("{{ {} }}", aliases(500, "product(slug: \"x\") { id }")),
        // Few rows, but a walk over an index for each.
        format!("{{ {} }}", aliases(100, "products(first: 1) { facets { field } }")),
        format!("{{ {} }}", aliases(25, "leaderboard(first: 1) { total }")),
        format!("mutation {{ {} }}", aliases(100, "startGuest { accessToken }")),
        format!("mutation {{ {} }}", aliases(100, "createCart(input: {}) { id }")),
        doubling(20),
        doubling(33),
        doubling(500),
        cyclic(1),
        cyclic(50),
        format!("{{ products(filter: {{ sizes: {} }}) {{ totalCount }} }}", nested(5_000, "[", "", "]")),
        format!("{{ products(filter: {} ) {{ totalCount }} }}", nested(50_000, "{a:", "1", "}")),
        nested(50_000, "{ a ", "", "}"),
        "{ a ".repeat(60_000),
        "[".repeat(250_000),
        format!("query($x: {}) {{ shop {{ name }} }}", nested(90_000, "[", "Int", "]")),
        format!("{{ {} }}", aliases(20_000, "x")),
    ];
    for query in heavy {
        let (status, answer) = post(&server, json!({ "query": query }).to_string()).await;
        let start: String = query.chars().take(120).collect();
        let told: String = answer.to_string().chars().take(300).collect();
        assert_eq!(code(&answer), "QUERY_TOO_HEAVY", "{start}: {told}");
        assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST, "{start}");
        assert!(answer.get("data").is_none(), "{start}");
    }
    // Heavy in other ways, and refused for it or harmless.
    let directives = "@include(if: true) ".repeat(2_000);
    for (query, expected) in [
        (format!("{{ shop {directives} {{ name }} }}"), "INVALID_DOCUMENT"),
        (format!("{{ shop @{} {{ name }} }}", "x".repeat(100_000)), "INVALID_DOCUMENT"),
        (format!("{{ {} }}", "x".repeat(200_000)), "INVALID_DOCUMENT"),
        (format!("{{ product(slug: \"{}\") {{ id }} }}", "x".repeat(200_000)), "-"),
        (format!("{{ products(search: \"{}\") {{ totalCount }} }}", "मेला ".repeat(10_000)), "-"),
        (
            format!(
                "{{ products(search: \"{}\") {{ totalCount }} }}",
                "a b* \\\"(c) ".repeat(5_000)
            ),
            "-",
        ),
        (format!("#{}\n{{ shop {{ name }} }}", "[".repeat(200_000)), "-"),
        ("{ products(first: -5) { totalCount } }".to_owned(), "-"),
        ("{ products(after: \"-1\") { totalCount } }".to_owned(), "INVALID_CURSOR"),
        (
            "{ products(after: \"4294967295\", first: 100) { totalCount nodes { id } } }"
                .to_owned(),
            "-",
        ),
        ("{ suggest(prefix: \"\", first: -1) { text } }".to_owned(), "-"),
        ("{ products(first: 99999999999999999999) { totalCount } }".to_owned(), "INVALID_DOCUMENT"),
    ] {
        let (_, answer) = post(&server, json!({ "query": query }).to_string()).await;
        let start: String = query.chars().take(80).collect();
        let told = code(&answer);
        assert!(
            told == expected || (expected == "-" && told.starts_with("INVALID")),
            "{start}: {told}, {answer}"
        );
    }
    let variables: Vec<String> = (0..9_000).map(|i| format!("v{i}")).collect();
    let variables: Value = variables.into_iter().map(|v| (v, json!("x"))).collect();
    let body = json!({ "query": "{ shop { name } }", "variables": variables }).to_string();
    assert_eq!(post(&server, body).await.0, StatusCode::OK);
    let body = format!(
        "{{\"query\":\"{{ shop {{ name }} }}\",\"variables\":{{\"a\":{}}}}}",
        "[".repeat(100_000)
    );
    assert_eq!(code(&post(&server, body).await.1), "MALFORMED_JSON");
    assert_eq!(server.data(None, "{ shop { name } }", json!({})).await["shop"]["name"], "Mela");
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_with_its_status() {
    let server = Server::start(&["--set", "server.body_limit_kib=64"]);
    for (body, expected) in [
        (&b""[..], "MALFORMED_JSON"),
        (b"\xff\xfe\x00", "MALFORMED_JSON"),
        (b"{\"query\":\"{ shop { name } } # \xc3\x28\"}", "MALFORMED_JSON"),
        (b"{\"query\":", "MALFORMED_JSON"),
        (b"nonsense", "MALFORMED_JSON"),
        (b"null", "MALFORMED_REQUEST"),
        (b"[]", "MALFORMED_REQUEST"),
        (
            b"[{\"query\":\"{ shop { name } }\"},{\"query\":\"{ shop { name } }\"}]",
            "MALFORMED_REQUEST",
        ),
        (b"{}", "QUERY_MISSING"),
        (b"{\"query\":null}", "QUERY_MISSING"),
        (b"{\"query\":1}", "MALFORMED_REQUEST"),
        (b"{\"query\":\"{a}\",\"variables\":\"x\"}", "MALFORMED_REQUEST"),
        (b"{\"query\":\"{a}\",\"operationName\":{}}", "MALFORMED_REQUEST"),
        (b"{\"query\":\"{a}\",\"extensions\":[]}", "MALFORMED_REQUEST"),
    ] {
        let (status, answer) = post(&server, body).await;
        assert_eq!((status, code(&answer)), (StatusCode::BAD_REQUEST, expected), "{body:?}");
        assert!(text(&answer["errors"][0]["extensions"]["requestId"]).len() > 4, "{answer}");
    }
    let url = format!("{}/graphql", server.url);
    let fine = json!({ "query": "{ shop { name } }" }).to_string();
    for content_type in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonx",
        "application/graphql",
    ] {
        let request =
            server.http.post(&url).header("content-type", content_type).body(fine.clone());
        let (status, answer) = read(request.send().await.unwrap()).await;
        let expected = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE");
        assert_eq!((status, code(&answer)), expected, "{content_type}");
    }
    for accept in ["text/html", "image/png, text/plain;q=0.5"] {
        let request = server
            .http
            .post(&url)
            .header("accept", accept)
            .header("content-type", "application/json");
        let (status, answer) = read(request.body(fine.clone()).send().await.unwrap()).await;
        assert_eq!((status, code(&answer)), (StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE"));
    }
    // Too large, told before and not told before.
    let large = json!({ "query": "{ shop { name } }", "x": "x".repeat(70_000) }).to_string();
    assert_eq!(post(&server, large.clone()).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let part = format!("2710\r\n{}\r\n", "x".repeat(10_000));
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let told = server.raw(format!("{head}{}", part.repeat(20)).as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 413 ") && told.contains("BODY_TOO_LARGE"), "{told}");

    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = server.http.request(method.clone(), &url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.headers()["allow"], "GET, POST");
    }
    for (query, expected) in [
        (
            "?query=mutation%7BstartGuest%7BaccessToken%7D%7D",
            (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
        ),
        (
            "?query=query+a%7Bshop%7Bname%7D%7Dmutation+b%7BstartGuest%7BaccessToken%7D%7D&operationName=b",
            (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
        ),
        (
            "?query=subscription%7BinboxMessage%7Bid%7D%7D",
            (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
        ),
        ("", (StatusCode::BAD_REQUEST, "QUERY_MISSING")),
        ("?query=", (StatusCode::OK, "INVALID_DOCUMENT")),
        ("?query=%FF%FE", (StatusCode::OK, "INVALID_DOCUMENT")),
        (
            "?query=%7Bshop%7Bname%7D%7D&variables=nonsense",
            (StatusCode::BAD_REQUEST, "MALFORMED_REQUEST"),
        ),
        (
            "?query=%7Bshop%7Bname%7D%7D&variables=%5B%5D",
            (StatusCode::BAD_REQUEST, "MALFORMED_REQUEST"),
        ),
        (
            "?query=%7Bshop%7Bname%7D%7D&extensions=%5B",
            (StatusCode::BAD_REQUEST, "MALFORMED_REQUEST"),
        ),
        ("?%00%ff=%zz&&&=", (StatusCode::BAD_REQUEST, "QUERY_MISSING")),
    ] {
        let (status, answer) =
            read(server.http.get(format!("{url}{query}")).send().await.unwrap()).await;
        assert_eq!((status, code(&answer)), expected, "{query}: {answer}");
    }
    // A socket's handshake that is none.
    let answer = server.http.get(&url).header("upgrade", "websocket").send().await.unwrap();
    assert!(answer.status().is_client_error(), "{}", answer.status());
    let answer =
        server.http.get(format!("{url}?query=%7Bshop%7Bname%7D%7D")).header("upgrade", "h2c");
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::OK);
    // A token that is none never counts as anonymous.
    for token in
        ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer nonsense", "bearer é"]
    {
        let request =
            server.http.post(&url).header("authorization", token.as_bytes()).body(fine.clone());
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{token}");
    }
}

/// Bodies between noise and nearly right.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "...",
        ":",
        "$",
        "@",
        "!",
        "\"",
        "\"\"\"",
        "#",
        "\\",
        "\\u00",
        "query",
        "mutation",
        "fragment",
        "on",
        "Query",
        "shop",
        "name",
        "products",
        "first",
        "100",
        "-1",
        "1e999",
        "null",
        "true",
        "$x: Int!",
        "@skip(if: true)",
        "__schema",
        "__typename",
        "orders",
        "placeOrder",
        "input",
        "admin",
        "\u{202e}",
        "\0",
        "é",
        "मेला",
        " ",
    ]);
    let document = prop::collection::vec(words, 0..40).prop_map(|w| w.join(" "));
    let variables = prop::sample::select(vec![
        json!({}),
        json!({ "x": 1 }),
        json!({ "x": null }),
        json!({ "x": [[{}]] }),
        json!(null),
        json!([1]),
    ]);
    let request = (document, variables)
        .prop_map(|(q, v)| json!({ "query": q, "variables": v }).to_string().into_bytes());
    let damaged = (request.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut b, at, with)| {
            let at = at.index(b.len());
            b[at] = with;
            b
        },
    );
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), request, damaged]
}

#[tokio::test]
async fn noise_is_refused_and_never_breaks_anything() {
    let mut server = Server::start(&[]);
    let rng = TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..1_500 {
        let body = bodies().new_tree(&mut runner).unwrap().current();
        let shown = String::from_utf8_lossy(&body).into_owned();
        let (status, answer) = post(&server, body).await;
        assert!(status.as_u16() < 500, "{status} for {shown}");
        if let Some(errors) = answer["errors"].as_array() {
            for error in errors {
                let code = text(&error["extensions"]["code"]);
                assert!(code != "INTERNAL", "{shown}: {answer}");
            }
        } else {
            assert!(answer["data"].is_object(), "{shown}: {answer}");
        }
    }
    assert!(server.alive());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

fn hash(query: &str) -> String {
    digest(&SHA256, query.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn persisted(hash: &str, query: Option<&str>) -> String {
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    json!({ "query": query, "extensions": extensions }).to_string()
}

#[tokio::test]
async fn persisted_queries() {
    let server = Server::start(&[]);
    let query = "query Name($lang: Lang) { categories { name(lang: $lang) } }";
    let key = hash(query);
    let (status, answer) = post(&server, persisted(&key, None)).await;
    assert_eq!((status, code(&answer)), (StatusCode::OK, "PERSISTED_QUERY_NOT_FOUND"));
    assert_eq!(answer["errors"][0]["message"], "PersistedQueryNotFound");
    // A hash of something else is neither run nor kept.
    let other = hash("{ shop { name } }");
    let (status, answer) = post(&server, persisted(&other, Some(query))).await;
    assert_eq!((status, code(&answer)), (StatusCode::BAD_REQUEST, "PERSISTED_QUERY_MISMATCH"));
    assert_eq!(code(&post(&server, persisted(&other, None)).await.1), "PERSISTED_QUERY_NOT_FOUND");
    for bad in ["", "zz", &"z".repeat(64), &"é".repeat(32), &key[..63]] {
        let (status, answer) = post(&server, persisted(bad, Some(query))).await;
        assert_eq!((status, code(&answer)), (StatusCode::BAD_REQUEST, "PERSISTED_QUERY_MALFORMED"));
    }
    for bad in [
        json!(1),
        json!("x"),
        json!([]),
        json!({ "version": 2, "sha256Hash": key }),
        json!({ "sha256Hash": key }),
    ] {
        let body = json!({ "query": query, "extensions": { "persistedQuery": bad } }).to_string();
        assert_eq!(code(&post(&server, body).await.1), "PERSISTED_QUERY_MALFORMED");
    }
    // What does not parse, and what is too heavy, is not kept.
    for bad in ["{ shop {".to_owned(), doubling(40)] {
        let key = hash(&bad);
        assert_ne!(code(&post(&server, persisted(&key, Some(&bad))).await.1), "-");
        assert_eq!(
            code(&post(&server, persisted(&key, None)).await.1),
            "PERSISTED_QUERY_NOT_FOUND"
        );
    }
    // Sent once, known from then on: by POST and by GET, in upper case too.
    assert!(post(&server, persisted(&key, Some(query))).await.1["data"].is_object());
    assert!(post(&server, persisted(&key, None)).await.1["data"].is_object());
    assert!(post(&server, persisted(&key.to_uppercase(), None)).await.1["data"].is_object());
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": key } }).to_string();
    let url = format!("{}/graphql", server.url);
    let parameters = [("extensions", extensions), ("variables", "{\"lang\":\"HI\"}".to_owned())];
    let parameters: Vec<String> =
        parameters.iter().map(|(n, v)| format!("{n}={}", encoded(v))).collect();
    let get = format!("{url}?{}", parameters.join("&"));
    let answer = server.http.get(&get).send().await.unwrap();
    assert!(answer.headers().contains_key("etag"));
    let data = read(answer).await.1;
    assert!(data["data"]["categories"][0]["name"].is_string(), "{data}");
    // A mutation by hash is still none for GET.
    let mutation = "mutation { startGuest { accessToken } }";
    let key_of_mutation = hash(mutation);
    post(&server, persisted(&key_of_mutation, Some(mutation))).await;
    let extensions =
        json!({ "persistedQuery": { "version": 1, "sha256Hash": key_of_mutation } }).to_string();
    let answer =
        server.http.get(format!("{url}?extensions={}", encoded(&extensions))).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    // The store is bounded: a flood of others pushes it out, and the client is asked for it again.
    for i in 0..1_100 {
        let flood = format!("{{ shop {{ n{i}: name }} }}");
        post(&server, persisted(&hash(&flood), Some(&flood))).await;
    }
    assert_eq!(code(&post(&server, persisted(&key, None)).await.1), "PERSISTED_QUERY_NOT_FOUND");
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

const LISTING: &str =
    "{ products(first: 20) { totalCount nodes { slug variants { id price mrp } } } }";

#[tokio::test]
async fn answers_to_everybody_are_kept_until_the_catalogue_changes() {
    for engine in ENGINES {
        let server = Server::start_on(engine, &[]);
        server.ready().await;
        let manager = server.staff("manager@example.in", "manager").await;
        let customer = server.customer("+919876543210").await;
        until("the products to be found", async || {
            let data = server.data(None, LISTING, json!({})).await;
            (data["products"]["totalCount"].as_u64() > Some(100)).then_some(())
        })
        .await;
        let kept = async || server.metric("mela_graphql_kept_answers_total").await;
        let first = server.data(None, LISTING, json!({})).await;
        let before = kept().await;
        let second = server.data(None, LISTING, json!({})).await;
        assert_eq!(first, second);
        assert_eq!(kept().await, before + 1, "the second answer was not a kept one");
        // Never for somebody who is known, and never what depends on who asks.
        for (token, query) in [
            (Some(&*customer), LISTING),
            (Some(&*customer), "{ me { phone } }"),
            (None, "{ me { phone } }"),
            (None, "{ me { phone } shop { name } }"),
            (None, "{ wallet { available } }"),
            (None, "{ leaderboard { total } }"),
            (None, "mutation { requestOtp(phone: \"nonsense\") { expiresInS } }"),
        ] {
            let before = kept().await;
            server.ask(token, query, json!({})).await;
            server.ask(token, query, json!({})).await;
            assert_eq!(kept().await, before, "an answer to {query} was kept");
        }

        // By GET, a browser or CDN may keep it, and asks whether it still holds.
        let url = format!("{}/graphql?query={}", server.url, encoded(LISTING));
        let answer = server.http.get(&url).send().await.unwrap();
        let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
        assert!(
            answer.headers()["cache-control"].to_str().unwrap().starts_with("public, max-age=5")
        );
        assert!(answer.headers()["vary"].to_str().unwrap().contains("authorization"));
        for given in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
            let again = server.http.get(&url).header("if-none-match", given).send().await.unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(again.headers()["etag"].to_str().unwrap(), tag);
            assert!(again.bytes().await.unwrap().is_empty());
        }
        let own = server.http.get(&url).bearer_auth(&customer).send().await.unwrap();
        assert_eq!(own.headers()["cache-control"], "no-store");
        assert!(!own.headers().contains_key("etag"));
        let own = format!("{}/graphql?query={}", server.url, encoded("{ me { phone } }"));
        let own = server.http.get(own).send().await.unwrap();
        assert_eq!(own.headers()["cache-control"], "no-store");
        // A refusal that is a 200 all the same.
        let extensions =
            json!({ "persistedQuery": { "version": 1, "sha256Hash": "0".repeat(64) } });
        let unknown = encoded(&extensions.to_string());
        let unknown = format!("{}/graphql?extensions={unknown}", server.url);
        let unknown = server.http.get(unknown).send().await.unwrap();
        assert_eq!(unknown.status(), StatusCode::OK);
        assert_eq!(unknown.headers()["cache-control"], "no-store");

        // A new price is seen at once, also by those who were given a kept answer before.
        let variant = &first["products"]["nodes"][0]["variants"][0];
        let price = variant["price"].as_i64().unwrap() - 1;
        let change = "mutation($v: ID!, $p: Paise!) { admin { changePrices(changes: [{ variantId: $v, price: $p }]) } }";
        server.data(Some(&manager), change, json!({ "v": variant["id"], "p": price })).await;
        let changed = tokio::time::Instant::now();
        until("the new price", async || {
            let data = server.data(None, LISTING, json!({})).await.to_string();
            data.contains(&format!("\"price\":{price}")).then_some(())
        })
        .await;
        assert!(changed.elapsed().as_millis() < 1_000, "took {:?}", changed.elapsed());
        let answer = server.http.get(&url).header("if-none-match", &tag).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_ne!(answer.headers()["etag"].to_str().unwrap(), tag);
    }
}
