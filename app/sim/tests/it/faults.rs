//! Faults by request.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Ground, KEY, ground, read};

async fn create(g: &Ground, receipt: &str) -> reqwest::Result<reqwest::Response> {
    let body = json!({ "amount": 5000, "currency": "INR", "receipt": receipt });
    g.http.post(g.url("/v1/orders")).basic_auth(KEY.0, Some(KEY.1)).json(&body).send().await
}

async fn orders_with(g: &Ground, receipt: &str) -> Value {
    g.rzp(Method::GET, &format!("/v1/orders?receipt={receipt}"), None).await.1["count"].clone()
}

async fn fault(g: &Ground, kind: &str, more: Value) {
    let mut body = json!({ "provider": "razorpay", "operation": "order.create", "kind": kind });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    g.sim("/_sim/faults", body).await;
}

#[tokio::test]
async fn the_work_is_done_and_the_caller_never_learns_it() {
    let g = ground().await;
    fault(&g, "timeout_after", json!({ "hang_ms": 0 })).await;
    assert!(create(&g, "after").await.is_err(), "closed without an answer");
    assert_eq!(orders_with(&g, "after").await, 1);
    fault(&g, "timeout_before", json!({ "hang_ms": 0 })).await;
    assert!(create(&g, "before").await.is_err());
    assert_eq!(orders_with(&g, "before").await, 0);
    assert_eq!(create(&g, "well").await.unwrap().status(), StatusCode::OK, "each fault hits once");
}

#[tokio::test]
async fn errors_throttling_and_cut_answers() {
    let g = ground().await;
    for (kind, status, code, done) in [
        ("error_after", 500, "SERVER_ERROR", 1),
        ("error_before", 500, "SERVER_ERROR", 0),
        ("too_many_requests", 429, "BAD_REQUEST_ERROR", 0),
    ] {
        fault(&g, kind, json!({})).await;
        let (got, json) = read(create(&g, kind).await.unwrap()).await;
        assert_eq!((got.as_u16(), &json["error"]["code"]), (status, &json!(code)));
        assert_eq!(orders_with(&g, kind).await, done, "{kind}");
    }
    fault(&g, "truncated_json", json!({})).await;
    let cut = create(&g, "cut").await.unwrap();
    assert_eq!(cut.status(), StatusCode::OK);
    assert!(serde_json::from_str::<Value>(&cut.text().await.unwrap()).is_err());
    assert_eq!(orders_with(&g, "cut").await, 1);
}

#[tokio::test]
async fn faults_last_as_long_as_asked_and_end_with_a_reset() {
    let g = ground().await;
    fault(&g, "error_before", json!({ "count": 2 })).await;
    for expected in [500, 500, 200] {
        assert_eq!(create(&g, "n").await.unwrap().status(), expected);
    }
    fault(&g, "error_before", json!({ "count": 0, "operation": "*" })).await;
    for _ in 0..4 {
        assert_eq!(create(&g, "n").await.unwrap().status(), 500);
    }
    g.http.delete(g.url("/_sim/faults")).send().await.unwrap();
    assert_eq!(create(&g, "n").await.unwrap().status(), 200);
}

#[tokio::test]
async fn wrong_control_calls_say_what_would_be_right() {
    let g = ground().await;
    let bad = [
        ("/_sim/faults", json!({ "provider": "nobody", "kind": "latency" })),
        ("/_sim/faults", json!({ "provider": "sms", "kind": "explode" })),
        ("/_sim/faults", json!({ "provider": "sms", "kind": "latency", "latency_ms": 9_000_000 })),
        ("/_sim/faults", json!({ "provider": "sms", "kind": "latency", "probability": 2 })),
        ("/_sim/clock", json!({ "advance_ms": -1 })),
        ("/_sim/scenario", json!({ "script": ["perhaps"] })),
        ("/_sim/razorpay/pay", json!({ "order_id": "x", "outcome": "success" })),
        ("/_sim/razorpay/resolve", json!({ "payment_id": "x", "outcome": "success" })),
        ("/_sim/webhooks", json!({ "provider": "razorpay", "url": "ftp://x" })),
        ("/_sim/shipway/advance", json!({})),
        (
            "/_sim/sms/templates",
            json!({ "templates": [{ "template_id": "1", "header": "MELAIN", "category": "Promotional", "text": "x" }] }),
        ),
    ];
    for (path, body) in bad {
        let response = g.http.post(g.url(path)).json(&body).send().await.unwrap();
        let (status, json) = read(response).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
        let error = &json["error"];
        assert!(error["message"].is_string() || error["description"].is_string());
    }
    let (status, _) = read(g.http.get(g.url("/_sim/nothing")).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
