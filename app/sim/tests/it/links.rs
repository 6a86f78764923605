//! Payment links and QR codes.

use axum::http::StatusCode;
use reqwest::Method;
use reqwest::redirect::Policy;
use ring::hmac;
use serde_json::{Value, json};

use crate::{Ground, Inbox, Received, ground, ground_with, text, until};

async fn link(g: &Ground, more: Value) -> (StatusCode, Value) {
    let mut body = json!({ "amount": 49_900, "currency": "INR", "reference_id": "ref-1" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    g.rzp(Method::POST, "/v1/payment_links", Some(body)).await
}

#[tokio::test]
async fn a_link_is_opened_paid_and_leads_back_signed() {
    let inbox = Inbox::open().await;
    let g = ground_with(|c| c.razorpay.webhook_url = Some(inbox.url.clone())).await;
    let (status, made) = link(&g, json!({
        "customer": { "name": "Sita", "contact": "+919876543210" }, "notify": { "sms": true },
        "description": "Clay <lamps>", "callback_url": "http://shop.example/back?a=1", "callback_method": "get",
    })).await;
    assert_eq!(
        (status, &made["status"], &made["payments"]),
        (StatusCode::OK, &json!("created"), &Value::Null)
    );
    let id = text(&made["id"]);
    let page = g.http.get(text(&made["short_url"])).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("₹499.00") && page.contains("Clay &lt;lamps&gt;"));

    let stay = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let order = text(&made["order_id"]);
    let fields = [("order_id", order.as_str()), ("outcome", "success")];
    let paid = stay.post(g.url("/v1/checkout/pay")).form(&fields).send().await.unwrap();
    assert_eq!(paid.status(), StatusCode::SEE_OTHER);
    let (_, now) = g.rzp(Method::GET, &format!("/v1/payment_links/{id}"), None).await;
    assert_eq!((&now["status"], &now["amount_paid"]), (&json!("paid"), &json!(49_900)));
    let payment = text(&now["payments"][0]["payment_id"]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"simulator-key-secret");
    let sum = hmac::sign(&key, format!("{id}|ref-1|paid|{payment}").as_bytes());
    let hex: String = sum.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let expected = format!(
        "http://shop.example/back?a=1&razorpay_payment_id={payment}&razorpay_payment_link_id={id}&razorpay_payment_link_reference_id=ref-1&razorpay_payment_link_status=paid&razorpay_signature={hex}"
    );
    assert_eq!(paid.headers()["location"], expected.as_str());

    let all = inbox.wait_for(4).await;
    let hook = all.iter().find(|r| r.name() == "payment_link.paid").unwrap().json();
    assert_eq!(hook["payload"]["order"]["entity"]["id"], order.trim_start_matches("order_"));
    assert_eq!(hook["payload"]["payment_link"]["entity"]["status"], "paid");
    let (_, found) = g.rzp(Method::GET, "/v1/payment_links?reference_id=ref-1", None).await;
    assert_eq!(found["payment_links"][0]["id"], json!(id));
    let cancel = format!("/v1/payment_links/{id}/cancel");
    assert_eq!(g.rzp(Method::POST, &cancel, None).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn links_are_refused_cancelled_and_expire() {
    let g = ground().await;
    for bad in [
        json!({ "amount": 99 }),
        json!({ "accept_partial": true }),
        json!({ "expire_by": 1_700_000_000 }),
        json!({ "expire_by": i64::MAX }),
        json!({ "callback_url": "javascript:alert(1)", "callback_method": "get" }),
        json!({ "callback_url": "http://x.example" }),
        json!({ "customer": { "name": 1 } }),
        json!({ "colour": "red" }),
    ] {
        assert_eq!(link(&g, bad.clone()).await.0, StatusCode::BAD_REQUEST, "{bad}");
    }
    let (_, made) = link(&g, json!({})).await;
    let (status, again) = link(&g, json!({})).await;
    assert_eq!(
        (status, &again["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("reference_id"))
    );
    let path = format!("/v1/payment_links/{}", text(&made["id"]));
    let notified = g.rzp(Method::POST, &format!("{path}/notify_by/sms"), None).await.1;
    assert_eq!(notified, json!({ "success": true }));
    let (_, changed) = g.rzp(Method::PATCH, &path, Some(json!({ "notes": { "a": "b" } }))).await;
    assert_eq!(changed["notes"], json!({ "a": "b" }));
    let (_, cancelled) = g.rzp(Method::POST, &format!("{path}/cancel"), None).await;
    assert_eq!(cancelled["status"], "cancelled");
    let pay = json!({ "order_id": made["order_id"] });
    let pay = g.http.post(g.url("/_sim/razorpay/pay")).json(&pay).send().await.unwrap();
    assert_eq!(pay.status(), StatusCode::BAD_REQUEST, "a cancelled link takes no money");

    let now = g.get("/_sim/clock").await["now_ms"].as_i64().unwrap() / 1000;
    let (_, made) = link(&g, json!({ "reference_id": "ref-2", "expire_by": now + 1_000 })).await;
    g.advance_clock(1_001_000).await;
    let path = format!("/v1/payment_links/{}", text(&made["id"]));
    let fetch = || async { g.rzp(Method::GET, &path, None).await.1 };
    until(fetch, |l| l["status"] == "expired").await;
}

#[tokio::test]
async fn a_qr_code_collects_until_it_is_closed() {
    let inbox = Inbox::open().await;
    let g = ground_with(|c| c.razorpay.webhook_url = Some(inbox.url.clone())).await;
    let make =
        |body: Value| async { g.rzp(Method::POST, "/v1/payments/qr_codes", Some(body)).await };
    let (status, once) = make(json!({
        "type": "upi_qr", "usage": "single_use", "fixed_amount": true, "payment_amount": 20_000, "name": "Stall 7",
    })).await;
    assert_eq!((status, &once["status"]), (StatusCode::OK, &json!("active")));
    let picture = g.http.get(text(&once["image_url"])).send().await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/svg+xml");
    let scan = |body: Value| g.http.post(g.url("/_sim/razorpay/scan")).json(&body).send();
    let wrong = scan(json!({ "qr_id": once["id"], "amount": 100 })).await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert_eq!(scan(json!({ "qr_id": once["id"] })).await.unwrap().status(), StatusCode::OK);
    assert_eq!(
        scan(json!({ "qr_id": once["id"] })).await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    let path = format!("/v1/payments/qr_codes/{}", text(&once["id"]));
    let (_, closed) = g.rzp(Method::GET, &path, None).await;
    assert_eq!((&closed["status"], &closed["close_reason"]), (&json!("closed"), &json!("paid")));
    assert_eq!(closed["payments_amount_received"], 20_000);
    let (_, payments) = g.rzp(Method::GET, &format!("{path}/payments"), None).await;
    assert_eq!(payments["items"][0]["order_id"], Value::Null);
    assert_eq!(payments["items"][0]["status"], "captured");
    let names: Vec<String> = inbox.wait_for(5).await.iter().map(Received::name).collect();
    for name in ["qr_code.created", "qr_code.credited", "qr_code.closed", "payment.captured"] {
        assert!(names.iter().any(|n| n == name), "{name}");
    }

    let (_, open) = make(json!({ "type": "upi_qr", "usage": "multiple_use" })).await;
    for amount in [500, 700] {
        let body = json!({ "qr_id": open["id"], "amount": amount });
        assert_eq!(scan(body).await.unwrap().status(), StatusCode::OK);
    }
    let path = format!("/v1/payments/qr_codes/{}/close", text(&open["id"]));
    let (_, closed) = g.rzp(Method::POST, &path, None).await;
    assert_eq!(
        (&closed["payments_count_received"], &closed["close_reason"]),
        (&json!(2), &json!("on_demand"))
    );
    assert_eq!(g.get("/_sim/ledger?rows=0").await["totals"]["captured"], 21_200);
    assert_eq!(
        make(json!({ "type": "bharat", "usage": "single_use" })).await.0,
        StatusCode::BAD_REQUEST
    );
}
