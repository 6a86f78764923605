//! The hosted payment page.

use axum::http::StatusCode;
use reqwest::redirect::Policy;

use crate::{Ground, ground, text};

async fn post(g: &Ground, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
    let response = g.http.post(g.url(path)).form(fields).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

fn fields<'a>(order: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        ("key_id", "rzp_test_simulator01"),
        ("order_id", order),
        ("name", "<script>alert(1)</script>"),
        ("callback_url", "http://shop.example/back?o=\"1\"&x=2"),
        ("cancel_url", "http://shop.example/cancel"),
    ];
    all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    all.extend(more);
    all
}

#[tokio::test]
async fn the_page_shows_the_sum_and_leads_back_with_a_signature() {
    let g = ground().await;
    let order = g.order(12_345_650, true).await;
    let (status, page) = post(&g, "/v1/checkout/embedded", &fields(&order, &[])).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("₹1,23,456.50") && page.contains("upi://pay?pa=mela.sim@razorpay"));
    assert!(page.contains("am=123456.50&amp;cu=INR") && page.contains("<svg"));
    assert!(!page.contains("<script>alert"), "names are text");
    let (_, back) = post(&g, "/v1/checkout/pay", &fields(&order, &[("outcome", "success")])).await;
    assert!(back.contains(r#"action="http://shop.example/back?o=&quot;1&quot;&amp;x=2""#));
    let (_, payments) =
        g.rzp(reqwest::Method::GET, &format!("/v1/orders/{order}/payments"), None).await;
    let id = text(&payments["items"][0]["id"]);
    assert!(back.contains(&format!(r#"name="razorpay_payment_id" value="{id}""#)));
    assert!(back.contains(&format!(r#"name="razorpay_order_id" value="{order}""#)));
    assert!(back.contains(r#"name="razorpay_signature""#));
    let (status, again) = post(&g, "/v1/checkout/embedded", &fields(&order, &[])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(again.contains("Payment already done"));
}

#[tokio::test]
async fn cards_failures_pending_and_cancel() {
    let g = ground().await;
    let order = g.order(10_000, true).await;
    let card = [("method", "card"), ("card_number", "4100 2800 0008 0001"), ("otp", "1234")];
    let (_, back) = post(&g, "/v1/checkout/pay", &fields(&order, &card)).await;
    assert!(back.contains(r#"name="error[reason]" value="insufficient_funds""#));
    assert!(!back.contains("razorpay_signature"));
    let short = [("method", "card"), ("card_number", "4100280000001007"), ("otp", "12")];
    let (_, back) = post(&g, "/v1/checkout/pay", &fields(&order, &short)).await;
    assert!(back.contains(r#"value="incorrect_otp""#));
    let (_, waiting) =
        post(&g, "/v1/checkout/pay", &fields(&order, &[("outcome", "pending")])).await;
    assert!(waiting.contains("Waiting for the bank"));
    let (_, payments) =
        g.rzp(reqwest::Method::GET, &format!("/v1/orders/{order}/payments"), None).await;
    let id = text(&payments["items"][0]["id"]);
    let decide = fields(&order, &[("payment_id", &id), ("outcome", "success")]);
    let (_, back) = post(&g, "/v1/checkout/resolve", &decide).await;
    assert!(back.contains("razorpay_signature"));
    assert_eq!(g.payment(&id).await["status"], "captured");

    let order = g.order(10_000, true).await;
    let stay = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let cancel =
        stay.post(g.url("/v1/checkout/pay")).form(&fields(&order, &[("outcome", "cancel")]));
    let cancel = cancel.send().await.unwrap();
    assert_eq!(cancel.status(), StatusCode::SEE_OTHER);
    assert_eq!(cancel.headers()["location"], "http://shop.example/cancel");
}

#[tokio::test]
async fn bad_forms_are_refused() {
    let g = ground().await;
    let order = g.order(10_000, true).await;
    let bad: [&[(&str, &str)]; 5] = [
        &[("order_id", "order_AAAAAAAAAAAAAA")],
        &[("order_id", "<b>")],
        &[("key_id", "other")],
        &[("amount", "5")],
        &[("callback_url", "javascript:alert(1)")],
    ];
    for more in bad {
        let (status, page) = post(&g, "/v1/checkout/embedded", &fields(&order, more)).await;
        assert!(status.is_client_error(), "{more:?}");
        assert!(page.contains("This payment cannot be made") && !page.contains("javascript:"));
    }
}
