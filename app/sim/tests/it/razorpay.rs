//! Orders, payments and refunds over the REST API.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Ground, KEY, client, ground, ground_with, read, text, until};

const BAD: StatusCode = StatusCode::BAD_REQUEST;
const OK: StatusCode = StatusCode::OK;

async fn refused(g: &Ground, path: &str, body: Value, description: &str) -> Value {
    let (status, json) = g.rzp(Method::POST, path, Some(body)).await;
    assert_eq!(status, BAD, "{json}");
    assert_eq!(json["error"]["description"], description);
    assert_eq!(json["error"]["code"], "BAD_REQUEST_ERROR");
    json["error"].clone()
}

#[tokio::test]
async fn an_order_has_the_documented_shape() {
    let g = ground().await;
    let body =
        json!({ "amount": 50000, "currency": "INR", "receipt": "r1", "notes": { "a": "b" } });
    let (status, order) = g.rzp(Method::POST, "/v1/orders", Some(body)).await;
    assert_eq!(status, OK);
    let id = text(&order["id"]);
    assert!(id.starts_with("order_") && id.len() == 20);
    let created_at = order["created_at"].as_i64().unwrap();
    let expected = json!({
        "id": id, "entity": "order", "amount": 50000, "amount_paid": 0, "amount_due": 50000,
        "currency": "INR", "receipt": "r1", "offer_id": null, "status": "created", "attempts": 0,
        "notes": { "a": "b" }, "created_at": created_at,
    });
    assert_eq!(order, expected);
    let plain = g.order(100, false).await;
    let (_, fetched) = g.rzp(Method::GET, &format!("/v1/orders/{plain}/?x=1"), None).await;
    assert_eq!(fetched["notes"], json!([]), "empty notes are a list");
    let notes = json!({ "notes": { "k": "v" } });
    let (_, patched) = g.rzp(Method::PATCH, &format!("/v1/orders/{plain}"), Some(notes)).await;
    assert_eq!(patched["notes"], json!({ "k": "v" }));
}

#[tokio::test]
async fn orders_are_refused_in_razorpays_words() {
    let g = ground().await;
    let no = |body: Value, text: &'static str| refused(&g, "/v1/orders", body, text);
    let e = no(
        json!({ "amount": 99, "currency": "INR" }),
        "Order amount less than minimum amount allowed",
    )
    .await;
    assert_eq!(e["reason"], "amount_less_than_minimum_amount");
    let e = no(
        json!({ "amount": 100, "currency": "INR", "colour": 1 }),
        "colour is/are not required and should not be sent",
    )
    .await;
    assert_eq!(e["reason"], "extra_field_sent");
    let e = no(json!({ "currency": "INR" }), "The amount field is required.").await;
    assert_eq!(e["field"], "amount");
    no(json!({ "amount": 100 }), "The currency field is required.").await;
    no(json!({ "amount": 100, "currency": "USD" }), "Currency is not supported").await;
    no(json!({ "amount": 99.5, "currency": "INR" }), "The amount must be an integer.").await;
    no(json!({ "amount": -5, "currency": "INR" }), "Order amount less than minimum amount allowed")
        .await;
    no(json!({ "amount": i64::MAX, "currency": "INR" }), "Amount exceeds maximum amount allowed.")
        .await;
    no(
        json!({ "amount": 100, "currency": "INR", "receipt": "x".repeat(41) }),
        "The receipt may not be greater than 40 characters.",
    )
    .await;
    let (status, e) = g.rzp(Method::GET, "/v1/orders/order_AAAAAAAAAAAAAA", None).await;
    assert_eq!(
        (status, &e["error"]["description"]),
        (BAD, &json!("The id provided does not exist"))
    );
    let (status, e) = g.rzp(Method::GET, "/v1/nothing", None).await;
    assert_eq!(
        (status, &e["error"]["description"]),
        (BAD, &json!("The requested URL was not found on the server."))
    );
    assert_eq!(g.get("/_sim/ledger").await["orders"], json!([]), "a refused call changes nothing");
}

#[tokio::test]
async fn receipts_are_unique_when_asked() {
    let g = ground().await;
    let body = |amount: i64| json!({ "amount": amount, "currency": "INR", "receipt": "r", "unique_receipt": true });
    let (_, first) = g.rzp(Method::POST, "/v1/orders", Some(body(500))).await;
    let (_, again) = g.rzp(Method::POST, "/v1/orders", Some(body(500))).await;
    assert_eq!(first, again);
    refused(&g, "/v1/orders", body(501), "Order receipt should be unique.").await;
    let (_, found) = g.rzp(Method::GET, "/v1/orders?receipt=r&count=100", None).await;
    assert_eq!(found["count"], 1);

    let strict = ground_with(|c| c.razorpay.unique_receipts = true).await;
    let body = json!({ "amount": 500, "currency": "INR", "receipt": "r" });
    strict.rzp(Method::POST, "/v1/orders", Some(body.clone())).await;
    refused(&strict, "/v1/orders", body, "Order receipt should be unique.").await;
}

#[tokio::test]
async fn the_whole_way_adds_up_to_the_paisa() {
    let g = ground().await;
    let order = g.order(123_450, false).await;
    let paid = g.pay(&order, "success").await;
    let id = text(&paid["payment"]["id"]);
    assert_eq!(paid["payment"]["status"], "authorized");
    assert_eq!(paid["payment"]["fee"], Value::Null);
    let capture = format!("/v1/payments/{id}/capture");
    refused(
        &g,
        &capture,
        json!({ "amount": 100, "currency": "INR" }),
        "Capture amount must be equal to the amount authorized",
    )
    .await;
    let again = json!({ "order_id": order });
    let busy = g.http.post(g.url("/_sim/razorpay/pay")).json(&again).send().await.unwrap();
    assert_eq!(busy.status(), BAD, "one authorised payment at a time");
    let right = json!({ "amount": 123_450, "currency": "INR" });
    let (status, captured) = g.rzp(Method::POST, &capture, Some(right.clone())).await;
    assert_eq!((status, &captured["status"]), (OK, &json!("captured")));
    assert_eq!((&captured["fee"], &captured["tax"]), (&json!(2913), &json!(444)));
    refused(&g, &capture, right, "This payment has already been captured").await;
    let (_, o) = g.rzp(Method::GET, &format!("/v1/orders/{order}"), None).await;
    assert_eq!(
        (&o["status"], &o["amount_due"], &o["attempts"]),
        (&json!("paid"), &json!(0), &json!(1))
    );

    let refund = format!("/v1/payments/{id}/refund");
    refused(
        &g,
        &refund,
        json!({ "amount": 123_451 }),
        "The refund amount provided is greater than amount captured.",
    )
    .await;
    refused(&g, &refund, json!({ "amount": 99 }), "The amount must be atleast INR 1.00").await;
    let (status, part) =
        g.rzp(Method::POST, &refund, Some(json!({ "amount": 23_450, "speed": "optimum" }))).await;
    assert_eq!(
        (status, &part["status"], &part["speed_processed"]),
        (OK, &json!("processed"), &json!("instant"))
    );
    let p = g.payment(&id).await;
    assert_eq!(
        (&p["status"], &p["refund_status"], &p["amount_refunded"]),
        (&json!("captured"), &json!("partial"), &json!(23_450))
    );
    let (_, rest) = g.rzp(Method::POST, &refund, None).await;
    assert_eq!(rest["amount"], 100_000, "without an amount, what is left");
    let p = g.payment(&id).await;
    assert_eq!((&p["status"], &p["refund_status"]), (&json!("refunded"), &json!("full")));
    refused(&g, &refund, json!({}), "The payment has been fully refunded already.").await;
    let (_, list) = g.rzp(Method::GET, &format!("/v1/payments/{id}/refunds"), None).await;
    assert_eq!((&list["count"], &list["items"][0]["id"]), (&json!(2), &rest["id"]));
    let (_, list) = g.rzp(Method::GET, &format!("/v1/orders/{order}/payments"), None).await;
    assert_eq!((&list["entity"], &list["items"][0]["id"]), (&json!("collection"), &json!(id)));

    let ledger = g.get("/_sim/ledger").await;
    assert_eq!(ledger["totals"]["captured"], 123_450);
    assert_eq!(ledger["totals"]["fee"], 2913);
    assert_eq!(ledger["totals"]["refunded"], 123_450);
    assert_eq!(ledger["balance"], -2913);
    assert_eq!(ledger["refunds"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn refunds_are_idempotent_by_key() {
    let g = ground().await;
    let id = g.captured(10_000).await;
    let send = |http: reqwest::Client, key: &str, amount: i64| {
        let url = g.url(&format!("/v1/payments/{id}/refund"));
        let body = json!({ "amount": amount });
        let request = http.post(url).basic_auth(KEY.0, Some(KEY.1));
        let request = request.header("X-Refund-Idempotency", key).json(&body);
        async move { read(request.send().await.unwrap()).await }
    };
    let (status, first) = send(client(), "refund-key-1", 1000).await;
    assert_eq!(status, OK);
    assert_eq!(send(client(), "refund-key-1", 1000).await, (OK, first));
    let (status, other) = send(client(), "refund-key-1", 2000).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        other["error"]["description"],
        "Different request with the same idempotency key has already been processed."
    );
    assert_eq!(send(client(), "short", 1000).await.0, BAD);
    assert_eq!(send(client(), "spaces are bad", 1000).await.0, BAD);
    let slow = json!({ "provider": "razorpay", "operation": "payment.refund", "kind": "latency", "latency_ms": 1500 });
    g.sim("/_sim/faults", slow).await;
    let first = tokio::spawn(send(client(), "refund-key-2", 500));
    until(|| async { g.get("/_sim/faults").await["fired"].clone() }, |fired| fired == 1).await;
    let (status, busy) = send(client(), "refund-key-2", 500).await;
    assert_eq!(status, StatusCode::CONFLICT, "{busy}");
    assert_eq!(
        busy["error"]["description"],
        "Another request with the same idempotency key is still in progress."
    );
    let (status, done) = first.await.unwrap();
    assert_eq!(status, OK);
    assert_eq!(send(client(), "refund-key-2", 500).await, (OK, done));
    assert_eq!(g.payment(&id).await["amount_refunded"], 1500);
}

#[tokio::test]
async fn failures_late_answers_and_timeouts_follow_the_clock() {
    let g = ground().await;
    let order = g.order(5_000, true).await;
    let failed = g.pay(&order, "fail:insufficient_funds").await;
    assert_eq!(failed["payment"]["error_reason"], "insufficient_funds");
    assert_eq!(failed["callback"]["error[reason]"], "insufficient_funds");
    assert!(failed["callback"]["razorpay_signature"].is_null());
    // Pending fails by itself after ten minutes.
    let pending = text(&g.pay(&order, "pending").await["payment"]["id"]);
    assert_eq!(g.payment(&pending).await["status"], "created");
    g.advance_clock(600_001).await;
    let p = until(|| g.payment(&pending), |p| p["status"] == "failed").await;
    assert_eq!(p["error_reason"], "payment_timed_out");
    // A late yes turns a failed payment into a captured one, under the same id.
    let late = json!({ "order_id": order, "outcome": "late", "late_after_ms": 3_600_000 });
    let late = text(&g.sim("/_sim/razorpay/pay", late).await["payment"]["id"]);
    assert_eq!(g.payment(&late).await["status"], "failed");
    g.advance_clock(3_600_001).await;
    let p = until(|| g.payment(&late), |p| p["status"] == "captured").await;
    assert_eq!(p["error_reason"], Value::Null);
    // A second late yes on a paid order goes straight back.
    let order = g.order(5_000, true).await;
    let late = json!({ "order_id": order, "outcome": "late", "late_after_ms": 3_600_000 });
    let late = text(&g.sim("/_sim/razorpay/pay", late).await["payment"]["id"]);
    g.pay(&order, "success").await;
    g.advance_clock(3_600_001).await;
    let p = until(|| g.payment(&late), |p| p["status"] == "refunded").await;
    assert_eq!((&p["captured"], &p["fee"]), (&json!(false), &Value::Null));
    // Nobody captures: the money goes back.
    let order = g.order(7_000, false).await;
    let id = text(&g.pay(&order, "success").await["payment"]["id"]);
    g.advance_clock(3 * 86_400_000 + 1).await;
    until(|| g.payment(&id), |p| p["status"] == "refunded").await;
    let body = json!({ "amount": 7_000, "currency": "INR" });
    let (status, _) = g.rzp(Method::POST, &format!("/v1/payments/{id}/capture"), Some(body)).await;
    assert_eq!(status, BAD);
    let totals = g.get("/_sim/ledger?rows=0").await["totals"].clone();
    assert_eq!((&totals["captured"], &totals["auto_refunded"]), (&json!(10_000), &json!(12_000)));
}

#[tokio::test]
async fn scenarios_decide_what_the_caller_leaves_open() {
    let g = ground().await;
    g.sim(
        "/_sim/scenario",
        json!({
            "script": ["fail:card_declined", "success"], "success_rate": { "upi": 0.0 },
            "refund_pending_ms": 60_000, "refunds_fail": true,
        }),
    )
    .await;
    let order = g.order(5_000, true).await;
    let pay = || g.sim("/_sim/razorpay/pay", json!({ "order_id": order }));
    assert_eq!(pay().await["payment"]["error_reason"], "card_declined");
    let paid = pay().await;
    assert_eq!(paid["payment"]["status"], "captured");
    let id = text(&paid["payment"]["id"]);
    let (_, refund) =
        g.rzp(Method::POST, &format!("/v1/payments/{id}/refund"), Some(json!({}))).await;
    assert_eq!(refund["status"], "pending");
    assert_eq!(g.payment(&id).await["amount_refunded"], 5_000);
    g.advance_clock(60_001).await;
    let p = until(|| g.payment(&id), |p| p["amount_refunded"] == 0).await;
    assert_eq!(p["status"], "captured");
    assert_eq!(g.get("/_sim/ledger").await["totals"]["refunded"], 0);
    let order = g.order(5_000, true).await;
    let paid = g.sim("/_sim/razorpay/pay", json!({ "order_id": order })).await;
    assert_eq!(paid["payment"]["error_reason"], "payment_failed", "the rate of UPI is 0");
    let card = json!({ "order_id": order, "card_number": "4100 2800 0006 0003" });
    let paid = g.sim("/_sim/razorpay/pay", card).await;
    assert_eq!(
        paid["payment"]["error_reason"], "card_declined",
        "a test card decides before the scenario"
    );
}

#[tokio::test]
async fn strict_refuses_what_lenient_takes() {
    let strict = ground().await;
    let lenient = ground_with(|c| c.strict = false).await;
    for (g, expected) in [(&strict, [BAD, BAD, StatusCode::UNAUTHORIZED]), (&lenient, [OK, OK, OK])]
    {
        let url = g.url("/v1/orders");
        let body = r#"{"amount":500,"currency":"INR"}"#;
        let post = || g.http.post(&url).basic_auth(KEY.0, Some(KEY.1));
        let plain = post().header("content-type", "text/plain").body(body).send().await.unwrap();
        let extra = json!({ "amount": 500, "currency": "INR", "x": 1 });
        let extra = post().json(&extra).send().await.unwrap();
        let lower = g.http.post(&url).header("content-type", "application/json").body(body);
        // base64 of the test key and secret.
        let lower = lower.header(
            "authorization",
            "basic cnpwX3Rlc3Rfc2ltdWxhdG9yMDE6c2ltdWxhdG9yLWtleS1zZWNyZXQ=",
        );
        let lower = lower.send().await.unwrap();
        assert_eq!([plain.status(), extra.status(), lower.status()], expected);
    }
}

#[tokio::test]
async fn wrong_keys_are_told_apart() {
    let g = ground().await;
    let ask = |user: &'static str, password: &'static str| {
        let request = g.http.get(g.url("/v1/orders")).basic_auth(user, Some(password));
        async move { read(request.send().await.unwrap()).await }
    };
    let (status, e) = ask("rzp_test_other", KEY.1).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(e["error"]["description"], "The api key provided is invalid");
    let (status, e) = ask(KEY.0, "wrong").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(e["error"]["description"], "Authentication failed");
    let (status, _) = read(g.http.get(g.url("/v1/orders")).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn garbage_and_oversize_get_a_typed_refusal() {
    let g = ground().await;
    let id = g.captured(1_000).await;
    let before = g.get("/_sim/ledger").await;
    let bodies: [&[u8]; 8] = [
        b"{",
        b"[1]",
        b"null",
        b"\"x\"",
        b"\xff\xfe\x00",
        b"{\"amount\":{}}",
        b"{\"amount\":\"1e9\"}",
        b"{\"amount\":1000,\"notes\":[1]}",
    ];
    let paths = [
        "/v1/orders".to_owned(),
        format!("/v1/payments/{id}/capture"),
        format!("/v1/payments/{id}/refund"),
        "/v1/payments/%00/refund".to_owned(),
        "/v1/payments/../capture".to_owned(),
        "/v1/%F0%9F".to_owned(),
    ];
    for path in &paths {
        for body in bodies {
            let request = g.http.post(g.url(path)).basic_auth(KEY.0, Some(KEY.1));
            let request = request.header("content-type", "application/json").body(body.to_vec());
            let (status, json) = read(request.send().await.unwrap()).await;
            assert_eq!(status, BAD, "{path} {json}");
            assert!(json["error"]["description"].is_string());
        }
    }
    for query in ["count=0", "count=101", "count=x", "skip=-1", "from=x", "authorized=2"] {
        let (status, _) = g.rzp(Method::GET, &format!("/v1/orders?{query}"), None).await;
        assert_eq!(status, BAD, "{query}");
    }
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    for (body, expected) in
        [(deep, BAD), (vec![b' '; (1 << 20) + 1], StatusCode::PAYLOAD_TOO_LARGE)]
    {
        let request = g.http.post(g.url("/v1/orders")).basic_auth(KEY.0, Some(KEY.1));
        let request = request.header("content-type", "application/json").body(body);
        let (status, json) = read(request.send().await.unwrap()).await;
        assert_eq!(status, expected);
        assert_eq!(json["error"]["code"], "BAD_REQUEST_ERROR");
    }
    assert_eq!(g.get("/_sim/ledger").await, before, "nothing was half done");
}

#[tokio::test]
async fn memory_is_bounded_and_the_sums_stay_right() {
    let g = ground_with(|c| c.max_objects = 3).await;
    for _ in 0..5 {
        g.captured(10_000).await;
    }
    let ledger = g.get("/_sim/ledger").await;
    assert_eq!(ledger["orders"].as_array().unwrap().len(), 3);
    assert_eq!(ledger["totals"]["captured"], 50_000);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_ids() {
    let (a, b) = (ground().await, ground().await);
    assert_eq!(a.order(100, false).await, b.order(100, false).await);
    let c = ground_with(|c| c.seed = None).await;
    assert_ne!(a.order(100, false).await, c.order(100, false).await);
}
