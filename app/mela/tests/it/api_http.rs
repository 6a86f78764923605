//! The plain HTTP around the API: webhooks, redirects, pictures, invoices, keys, health, metrics.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use futures_util::future::join_all;
use reqwest::StatusCode;
use ring::hmac;
use serde_json::{Value, json};

use crate::api_statements::two;
use crate::server::{SHIPWAY_TOKEN, Server, text, until};

/// A refusal: its status and code, with everything that a problem document must have.
async fn refusal(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(!id.is_empty());
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(content_type, "application/problem+json", "{status}");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert!(text(&body["detail"]).len() > 10);
    (status, text(&body["code"]))
}

struct Order {
    id: String,
    key: String,
    gateway: String,
}

const PLACE: &str = "mutation($i: PlaceOrderInput!) { placeOrder(input: $i) {
    orderKey next { fields { name value } } order { id } } }";

/// An order that waits for its money at the gateway.
async fn waiting(server: &Server) -> Order {
    let variants = two(server).await;
    let lines: Vec<Value> =
        variants.iter().map(|v| json!({ "variantId": v, "quantity": 1 })).collect();
    let address = json!({ "name": "Asha Rani", "phone": "+919876543210", "email": "asha@example.in",
        "line1": "12 Johari Bazaar", "city": "Jaipur", "pincode": "302001" });
    let create = "mutation($i: CreateCartInput!) { createCart(input: $i) { id } }";
    let data =
        server.data(None, create, json!({ "i": { "lines": lines, "address": address } })).await;
    let cart = text(&data["createCart"]["id"]);
    let input =
        json!({ "cartId": cart, "method": "RAZORPAY", "idempotencyKey": format!("it-{cart}") });
    let data = server.data(None, PLACE, json!({ "i": input })).await;
    let placed = &data["placeOrder"];
    let fields = placed["next"]["fields"].as_array().unwrap();
    let gateway = fields.iter().find(|f| f["name"] == "order_id").unwrap();
    Order {
        id: text(&placed["order"]["id"]),
        key: text(&placed["orderKey"]),
        gateway: text(&gateway["value"]),
    }
}

async fn state(server: &Server, order: &Order) -> (String, String) {
    let query = "query($o: ID!, $k: String) { order(id: $o, key: $k) { state payment { state } } }";
    let data = server.data(None, query, json!({ "o": order.id, "k": order.key })).await;
    (text(&data["order"]["state"]), text(&data["order"]["payment"]["state"]))
}

/// As `razorpay.webhook_secret` is by default.
const SECRET: &str = "simulator-webhook-secret";

fn sign(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::sign(&key, body).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

async fn hook(server: &Server, id: &str, signature: &str, body: Vec<u8>) -> reqwest::Response {
    let url = format!("{}/webhooks/payments/razorpay", server.url);
    let request = server.http.post(url).header("x-razorpay-event-id", id);
    request.header("x-razorpay-signature", signature).body(body).send().await.unwrap()
}

fn captured(order: &Order) -> Vec<u8> {
    json!({ "entity": "event", "event": "payment.captured", "contains": ["payment"], "created_at": 1_770_000_000,
        "payload": { "payment": { "entity": { "id": "pay_Forged00000001", "entity": "payment",
            "amount": 100, "currency": "INR", "status": "captured", "captured": true,
            "order_id": order.gateway, "method": "upi" } } } })
    .to_string()
    .into_bytes()
}

#[tokio::test]
async fn payment_webhooks_that_are_not_the_gateways() {
    let server = Server::start(&[]);
    server.ready().await;
    let order = waiting(&server).await;
    let body = captured(&order);
    let right = sign(&body);
    for forged in [
        "",
        "nonsense",
        &"0".repeat(64),
        &right[..63],
        &right.to_uppercase().replace('A', "B"),
        &sign(b"other"),
    ] {
        let answer = hook(&server, "evt_1", forged, body.clone()).await;
        assert_eq!(refusal(answer).await, (403, "BAD_SIGNATURE".to_owned()), "{forged}");
    }
    // Signed, but damaged on the way.
    let mut damaged = body.clone();
    damaged[40] ^= 1;
    assert_eq!(hook(&server, "evt_1", &right, damaged).await.status(), StatusCode::FORBIDDEN);
    // Signed, and still no event.
    for garbage in [
        &b""[..],
        b"nonsense",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"{\"event\":1}",
        b"{\"event\":\"payment.captured\"}",
        b"{\"event\":\"payment.captured\",\"payload\":{\"payment\":{\"entity\":{\"id\":1}}}}",
    ] {
        let answer = hook(&server, "evt_2", &sign(garbage), garbage.to_vec()).await;
        assert!(
            answer.status().is_client_error() || answer.status() == StatusCode::OK,
            "{}",
            answer.status()
        );
    }
    let deep = format!("{{\"event\":\"x\",\"payload\":{}", "[".repeat(50_000)).into_bytes();
    let answer = hook(&server, "evt_3", &sign(&deep), deep.clone()).await;
    assert_eq!(refusal(answer).await.0, 400);
    for id in ["", &"x".repeat(65), "a b"] {
        let answer = hook(&server, id, &right, body.clone()).await;
        assert_eq!(refusal(answer).await, (400, "MALFORMED_MESSAGE".to_owned()), "{id:?}");
    }
    let large = vec![b' '; 300 * 1024];
    let answer = hook(&server, "evt_4", &sign(&large), large.clone()).await;
    assert_eq!(refusal(answer).await, (413, "BODY_TOO_LARGE".to_owned()));
    for path in [
        "/webhooks/payments/nonsense",
        "/webhooks/payments/..%2frazorpay",
        "/webhooks/payments/%00",
    ] {
        let answer = server
            .http
            .post(format!("{}{path}", server.url))
            .body(body.clone())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_client_error(), "{path}: {}", answer.status());
    }
    // Signed, and not what was asked for: another amount does not pay for the order.
    assert_eq!(hook(&server, "evt_5", &right, body.clone()).await.status(), StatusCode::OK);
    assert_eq!(
        hook(&server, "evt_5", &right, body.clone()).await.text().await.unwrap(),
        "seen before\n"
    );

    // The browser's way back, forged.
    let url = format!("{}/payments/razorpay/callback", server.url);
    let forged = format!(
        "razorpay_payment_id=pay_Forged00000001&razorpay_order_id={}&razorpay_signature={}",
        order.gateway,
        "0".repeat(64)
    );
    for body in [
        forged,
        String::new(),
        "nonsense".to_owned(),
        "%ff=%fe&&=".to_owned(),
        "a=b&".repeat(10_000),
    ] {
        let request =
            server.http.post(&url).header("content-type", "application/x-www-form-urlencoded");
        let (status, code) = refusal(request.body(body.clone()).send().await.unwrap()).await;
        assert!(status == 403 || status == 400, "{status} {code}");
    }
    let answer = server.http.post(&url).body("x".repeat(300 * 1024)).send().await.unwrap();
    assert_eq!(refusal(answer).await.0, 413);
    assert_eq!(state(&server, &order).await.0, "PENDING_PAYMENT");
}

/// Takes the gateway's webhooks, to hand them on as a bad network would.
async fn inbox() -> (String, Arc<Mutex<Vec<(HeaderMap, Bytes)>>>) {
    let kept: Arc<Mutex<Vec<(HeaderMap, Bytes)>>> = Arc::default();
    let to = kept.clone();
    let keep = move |headers: HeaderMap, body: Bytes| async move {
        to.lock().unwrap().push((headers, body));
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/", post(keep))).await.unwrap();
    });
    (url, kept)
}

#[tokio::test]
async fn payment_webhooks_replayed_and_out_of_order() {
    let server = Server::start(&[]);
    server.ready().await;
    let (url, kept) = inbox().await;
    server.sim.as_ref().unwrap().set_razorpay_webhook(Some(url));
    let order = waiting(&server).await;
    let pay = |outcome| json!({ "order_id": order.gateway, "method": "upi", "outcome": outcome });
    for outcome in ["fail", "success"] {
        let request = server.http.post(format!("{}/_sim/razorpay/pay", server.sim_url));
        let answer = request.json(&pay(outcome)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    }
    let mut hooks = until("the gateway's webhooks", async || {
        let kept = kept.lock().unwrap();
        let all = ["payment.failed", "payment.authorized", "payment.captured", "order.paid"];
        let told =
            |event: &&str| kept.iter().any(|(_, b)| String::from_utf8_lossy(b).contains(*event));
        all.iter().all(told).then(|| kept.clone())
    })
    .await;
    // The last first, and everything five times at once.
    hooks.reverse();
    let mut new = 0;
    for (headers, body) in &hooks {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let (id, signature) = (header("x-razorpay-event-id"), header("x-razorpay-signature"));
        let all = (0..5).map(|_| hook(&server, &id, &signature, body.to_vec()));
        for answer in join_all(all).await {
            assert_eq!(answer.status(), StatusCode::OK);
            new += usize::from(answer.text().await.unwrap() == "accepted\n");
        }
    }
    assert_eq!(new, hooks.len());
    until("the payment", async || (state(&server, &order).await.0 == "CONFIRMED").then_some(()))
        .await;
    assert_eq!(state(&server, &order).await, ("CONFIRMED".to_owned(), "captured".to_owned()));
    let history = "query($o: ID!, $k: String) { order(id: $o, key: $k) { history { state } } }";
    let data = server.data(None, history, json!({ "o": order.id, "k": order.key })).await;
    let states = data["order"]["history"].as_array().unwrap();
    assert_eq!(states.iter().filter(|h| h["state"] == "CONFIRMED").count(), 1, "{states:?}");
}

#[tokio::test]
async fn everything_else_by_http() {
    let server = Server::start(&["--set", "log.level=debug"]);
    server.ready().await;
    let get =
        async |path: &str| server.http.get(format!("{}{path}", server.url)).send().await.unwrap();

    // Away from the gateway without paying.
    let order = waiting(&server).await;
    let answer = get(&format!("/payments/razorpay/cancel?order={}", order.id)).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let to = format!("/#/orders/{}?payment=cancelled", order.id);
    assert_eq!(answer.headers()["location"].to_str().unwrap(), to);
    assert_eq!(state(&server, &order).await.0, "PENDING_PAYMENT");
    for query in [
        "",
        "?",
        "?order=",
        "?order=nonsense",
        "?order=//example.org",
        "?order=ord_x%0d%0aset-cookie:a=b",
        "?order=%ff",
        "?order=crt_01m836f391e4m8m57ae5sjzf66",
        "?other=x",
    ] {
        let answer = get(&format!("/payments/razorpay/cancel{query}")).await;
        assert_eq!(refusal(answer).await, (400, "INVALID_ID".to_owned()), "{query}");
    }

    // The courier's webhooks.
    let url = format!("{}/webhooks/shipway", server.url);
    for secret in ["nonsense", "x", &"x".repeat(5_000), "%00", "..%2f"] {
        let answer = server.http.post(format!("{url}/{secret}")).body("{}").send().await.unwrap();
        assert_eq!(refusal(answer).await.0, 403, "{secret}");
    }
    let url = format!("{url}/{SHIPWAY_TOKEN}");
    for garbage in [&b""[..], b"nonsense", b"null", b"[1]", b"\xff", b"{\"status_feed\":1}"] {
        let answer = server.http.post(&url).body(garbage.to_vec()).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{garbage:?}: {}", answer.status());
        refusal(answer).await;
    }
    let answer = server.http.post(&url).body(vec![b'x'; 300 * 1024]).send().await.unwrap();
    assert_eq!(refusal(answer).await, (413, "BODY_TOO_LARGE".to_owned()));

    // Pictures and invoices of hostile names.
    let blob = "0123456789abcdef".repeat(4);
    for path in [
        format!("/media/{blob}/card.webp"),
        format!("/media/{blob}/card.png"),
        format!("/media/{}/card.webp", blob.to_uppercase()),
        "/media/nonsense/card.webp".to_owned(),
        format!("/media/{}/card.webp", "%2e".repeat(32)),
        format!("/media/{}/card.webp", "é".repeat(32)),
        "/media/..%2f..%2f..%2fetc%2fpasswd/card.webp".to_owned(),
        format!("/media/{blob}/..%2f..%2fmaster.key%00.webp"),
        format!("/media/{}/x.webp", "0".repeat(5_000)),
        "/media/%ff/%fe.webp".to_owned(),
    ] {
        let answer = get(&path).await;
        assert!(matches!(answer.status().as_u16(), 400 | 404), "{path}: {}", answer.status());
    }
    for path in [
        "nonsense",
        ".pdf",
        "ord_x.pdf",
        "%00.pdf",
        "..%2fmaster.key",
        "ord_01m836f391e4m8m57ae5sjzf66.pdf",
        &format!("{}.txt", order.id),
        &format!("{}.pdf?key=%ff%00", order.id),
        &format!("{}.pdf?key={}", order.id, "x".repeat(5_000)),
        &format!("{}.pdf?key=a&key=b", order.id),
        &format!("{}.pdf", order.id),
    ] {
        let answer = get(&format!("/invoices/{path}")).await;
        assert_eq!(refusal(answer).await, (404, "ORDER_NOT_FOUND".to_owned()), "{path}");
    }
    // Not paid, so there is none yet.
    let answer = get(&format!("/invoices/{}.pdf?key={}", order.id, order.key)).await;
    assert_eq!(refusal(answer).await, (503, "INVOICE_NOT_READY".to_owned()));

    assert_eq!(get("/healthz").await.text().await.unwrap(), "ok\n");
    assert_eq!(get("/readyz").await.text().await.unwrap(), "ready\n");
    // A proxy's request id is taken over, a harmful one is not.
    for (given, taken) in [
        ("proxy-abc-123", true),
        ("short", false),
        ("id-9876543210", false),
        ("a b", false),
        ("<script>", false),
        (&*"x".repeat(500), false),
    ] {
        let answer =
            server.http.get(format!("{}/healthz", server.url)).header("x-request-id", given);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.headers()["x-request-id"] == given, taken, "{given}");
    }
    keys(&server).await;

    // Somebody with a name, a number and an address was here; no figure and no log line says so.
    server.customer("+919876543217").await;
    let metrics = get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("mela_db_statements_total{operation=\"orders.place\"}"));
    for line in metrics.lines().chain(server.log().lines()) {
        assert_eq!(mela_telemetry::personal_data_in(line), None, "{line}");
        assert!(!["Asha", "Johari", "9876543217"].iter().any(|p| line.contains(p)), "{line}");
    }
}

/// The published keys are those that sign.
async fn keys(server: &Server) {
    let token = server.guest().await;
    let answer =
        server.http.get(format!("{}/.well-known/jwks.json", server.url)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/jwk-set+json");
    let set: Value = answer.json().await.unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let head: Value =
        serde_json::from_slice(&base64url(signed.split('.').next().unwrap())).unwrap();
    assert_eq!(head["alg"], "EdDSA");
    let key = set["keys"].as_array().unwrap().iter().find(|k| k["kid"] == head["kid"]).unwrap();
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert!(key.get("d").is_none(), "the private key is published");
    let public = base64url(key["x"].as_str().unwrap());
    let public = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
    public.verify(signed.as_bytes(), &base64url(signature)).unwrap();
    assert!(public.verify(b"other", &base64url(signature)).is_err());
}

fn base64url(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for c in text.bytes() {
        let digit = digits.iter().position(|d| *d == c).unwrap();
        (bits, held) = (bits << 6 | u32::try_from(digit).unwrap(), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}
