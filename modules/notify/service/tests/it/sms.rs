use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use mela_base::Phone;
use mela_notify::{DltConfig, DltSms};
use mela_notify_api::{NotifyError, SmsSender, SmsTemplate};
use serde_json::json;

use crate::world::*;

fn config(base_url: String) -> DltConfig {
    DltConfig {
        base_url,
        api_key: "key".into(),
        entity_id: "1201150000000000001".into(),
        header: HEADER.into(),
        otp_template_id: String::new(),
        timeout: Duration::from_millis(500),
    }
}

fn phone() -> Phone {
    Phone::parse("9876543210").unwrap()
}

#[tokio::test]
async fn every_template_is_delivered() {
    let sms = DltSms::new(config("http://127.0.0.1:1/".into())).unwrap();
    assert!(matches!(
        sms.send(&phone(), SmsTemplate::OutForDelivery, &["MEL-1"]).await,
        Err(NotifyError::Unavailable)
    ));
    let sim = sim().await;
    let sms = DltSms::new(config(sim.ui_url())).unwrap();
    sms.send(&phone(), SmsTemplate::LoginCode, &["012345", "10"]).await.unwrap();
    sms.send(&phone(), SmsTemplate::OrderConfirmed, &["MEL-1", "1,499.00"]).await.unwrap();
    let long = format!("order\n{}", "é".repeat(200));
    sms.send(&phone(), SmsTemplate::OutForDelivery, &[&long]).await.unwrap();
    let sent = get(&sim, "/_sim/sms?to=%2B919876543210").await;
    assert_eq!(sent["sent"], 3);
    let first = &sent["messages"][2];
    assert_eq!(first["code"], "012345");
    assert_eq!(first["sender"], "MELAIN-S");
}

#[tokio::test]
async fn refusals_are_final_and_say_why() {
    let sim = sim().await;
    let send = async |config: DltConfig| {
        let sms = DltSms::new(config).unwrap();
        match sms.send(&phone(), SmsTemplate::LoginCode, &["012345", "10"]).await {
            Err(NotifyError::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let good = config(sim.ui_url());
    let entity_id = "1".repeat(19);
    assert_eq!(send(DltConfig { entity_id, ..good.clone() }).await, "UNKNOWN_ENTITY");
    assert_eq!(send(DltConfig { header: "OTHERS".into(), ..good.clone() }).await, "UNKNOWN_HEADER");
    assert_eq!(send(DltConfig { api_key: "no".into(), ..good.clone() }).await, "UNAUTHORIZED");
    let otp_template_id = "1".repeat(19);
    assert_eq!(send(DltConfig { otp_template_id, ..good.clone() }).await, "UNKNOWN_TEMPLATE");
    let sms = DltSms::new(good).unwrap();
    let wrong = sms.send(&phone(), SmsTemplate::LoginCode, &["012345"]).await;
    assert!(matches!(wrong, Err(NotifyError::Refused(_))));
    assert_eq!(get(&sim, "/_sim/sms").await["sent"], 0);
}

#[tokio::test]
async fn a_provider_in_trouble_is_unavailable() {
    let sim = sim().await;
    let sms = DltSms::new(config(sim.ui_url())).unwrap();
    for kind in
        ["error_before", "error_after", "too_many_requests", "timeout_before", "truncated_json"]
    {
        fault(&sim, json!({ "provider": "sms", "kind": kind, "hang_ms": 5_000 })).await;
        let failed = sms.send(&phone(), SmsTemplate::LoginCode, &["012345", "10"]).await;
        assert!(matches!(failed, Err(NotifyError::Unavailable)), "{kind}: {failed:?}");
    }
    sms.send(&phone(), SmsTemplate::LoginCode, &["012345", "10"]).await.unwrap();
}

#[tokio::test]
async fn strange_answers_are_survived() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answer = |status: StatusCode, body: String| post(move || async move { (status, body) });
    let ok = StatusCode::OK;
    let router = Router::new()
        .route("/html/sms/send", answer(ok, "<html>".into()))
        .route("/huge/sms/send", answer(ok, " ".repeat(1 << 20)))
        .route("/array/sms/send", answer(ok, "[]".into()))
        .route("/maybe/sms/send", answer(ok, r#"{"status":"queued"}"#.into()))
        .route(
            "/leak/sms/send",
            answer(StatusCode::BAD_REQUEST, r#"{"code":"+919876543210 BAD"}"#.into()),
        );
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let send = async |path: &str| {
        let sms = DltSms::new(config(format!("{base}/{path}"))).unwrap();
        sms.send(&phone(), SmsTemplate::OutForDelivery, &["MEL-1"]).await.unwrap_err()
    };
    for path in ["html", "huge"] {
        assert!(matches!(send(path).await, NotifyError::Unavailable), "{path}");
    }
    for path in ["array", "maybe"] {
        assert!(matches!(send(path).await, NotifyError::Refused(w) if w == "200"), "{path}");
    }
    assert!(matches!(send("leak").await, NotifyError::Refused(w) if w == "BAD"));
    server.abort();
}
