//! Only registered senders and texts get through.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{Ground, ground, read};

fn message() -> Value {
    json!({
        "entity_id": "1201150000000000001", "header": "MELAIN", "template_id": "110700000000001",
        "template_category": "Service-Implicit", "to": "+919876543210",
        "text": "482913 is your Mela login code. -Mela",
    })
}

async fn send(g: &Ground, body: &Value) -> (StatusCode, Value) {
    read(g.http.post(g.sim.sms_url()).json(body).send().await.unwrap()).await
}

#[tokio::test]
async fn a_registered_text_arrives() {
    let g = ground().await;
    let (status, answer) = send(&g, &message()).await;
    assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!("accepted")));
    let list = g.get("/_sim/sms?to=+919876543210").await;
    assert_eq!(list["messages"][0]["code"], "482913");
    assert_eq!(list["messages"][0]["sender"], "MELAIN-S");
    assert_eq!(g.get("/_sim/sms?to=%2B919876543211").await["messages"], json!([]));
}

#[tokio::test]
async fn everything_else_is_rejected() {
    let g = ground().await;
    for (field, value, code) in [
        ("entity_id", "1", "UNKNOWN_ENTITY"),
        ("header", "OTHERS", "UNKNOWN_HEADER"),
        ("template_id", "110700000000009", "UNKNOWN_TEMPLATE"),
        ("template_category", "Transactional", "CATEGORY_MISMATCH"),
        ("to", "9876543210", "INVALID_NUMBER"),
        ("to", "+911234567890", "INVALID_NUMBER"),
        ("text", "482913 is your Mela login code. - Mela", "TEMPLATE_MISMATCH"),
        ("text", " is your Mela login code. -Mela", "TEMPLATE_MISMATCH"),
    ] {
        let mut body = message();
        body[field] = value.into();
        let (status, answer) = send(&g, &body).await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{value}");
    }
    let mut extra = message();
    extra["x"] = 1.into();
    assert_eq!(send(&g, &extra).await.1["code"], "INVALID_REQUEST");
    assert_eq!(send(&g, &json!("garbage")).await.1["code"], "INVALID_REQUEST");
    assert_eq!(g.get("/_sim/sms").await["sent"], 0);
}

#[tokio::test]
async fn promotion_keeps_hours_and_leaves_people_in_peace() {
    let g = ground().await;
    let template = json!({ "templates": [{
        "template_id": "110700000000002", "header": "123456", "category": "Promotional",
        "text": "Mela fair is open. -Mela",
    }] });
    g.sim("/_sim/sms/templates", template).await;
    g.sim("/_sim/sms/dnd", json!({ "to": "+919876543210" })).await;
    // To noon, Indian time.
    let now = g.get("/_sim/clock").await["now_ms"].as_i64().unwrap();
    let of_day = (now + 19_800_000).rem_euclid(86_400_000);
    let to_noon = (43_200_000 - of_day).rem_euclid(86_400_000);
    g.sim("/_sim/clock", json!({ "advance_ms": to_noon })).await;
    let mut body = message();
    body["header"] = "123456".into();
    body["template_id"] = "110700000000002".into();
    body["template_category"] = "Promotional".into();
    body["text"] = "Mela fair is open. -Mela".into();
    assert_eq!(send(&g, &body).await.1["code"], "DND");
    body["to"] = "+919876543211".into();
    assert_eq!(send(&g, &body).await.0, StatusCode::OK);
    g.sim("/_sim/clock", json!({ "advance_ms": 12 * 3_600_000 })).await;
    assert_eq!(send(&g, &body).await.1["code"], "OUTSIDE_HOURS");
}
