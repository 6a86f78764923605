//! Parcels.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Ground, Inbox, ground, ground_with, read, text, until};

async fn ship(g: &Ground, method: Method, path: &str, body: Option<Value>) -> Value {
    let request = g.http.request(method, format!("{}{path}", g.sim.shipway_url()));
    let mut request = request.basic_auth("demo@mela.example", Some("simulator-license-key"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let (status, json) = read(request.send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{json}");
    json
}

fn order(id: &str) -> Value {
    json!({
        "order_id": id, "payment_type": "P", "carrier_id": "1",
        "products": [{ "product": "Clay lamp", "price": "120.00", "product_quantity": "2" }],
        "shipping_country": "India", "shipping_phone": "9876543210", "shipping_zipcode": "560001",
        "shipping_city": "Bengaluru", "shipping_firstname": "Sita", "order_weight": "500",
    })
}

#[tokio::test]
async fn a_parcel_is_pushed_tracked_and_delivered() {
    let inbox = Inbox::open().await;
    let g = ground_with(|c| c.shipway.webhook_url = Some(inbox.url.clone())).await;
    let pushed = ship(&g, Method::POST, "/v2orders", Some(order("M1"))).await;
    assert_eq!(pushed["success"], true);
    let awb = text(&pushed["awb_response"]["AWB"]);
    let again = ship(&g, Method::POST, "/v2orders", Some(order("M1"))).await;
    assert_eq!(again["awb_response"]["AWB"], json!(awb), "pushing again makes no second parcel");
    for status in ["SCH", "PKP", "INT", "OOD", "DEL"] {
        let feed = g.sim("/_sim/shipway/advance", json!({ "order_id": "M1" })).await;
        assert_eq!(feed["status_feed"][0]["current_status"], status);
    }
    let hooks = inbox.wait_for(5).await;
    assert!(hooks.iter().all(|h| h.json()["hash"] == "9fc3c21b7ef10d01b7a7b048768ad307"));
    assert!(hooks.iter().any(|h| h.json()["status_feed"][0]["current_status"] == "DEL"));
    let path = format!("/tracking?awb_numbers={awb},0&tracking_history=1");
    let tracking = ship(&g, Method::GET, &path, None).await;
    assert_eq!(tracking[0]["tracking_details"]["shipment_status"], "DEL");
    assert_eq!(tracking[0]["tracking_details"]["tracking_history"].as_array().unwrap().len(), 6);
    assert!(tracking[1]["tracking_details"]["error"].is_string());
    let listed = ship(&g, Method::GET, "/getorders?orderid=M1", None).await;
    assert_eq!(listed["message"][0]["tracking_number"], json!(awb));
    let cancelled =
        ship(&g, Method::POST, "/Cancelorders", Some(json!({ "order_ids": ["M1", "M9"] }))).await;
    assert_eq!(
        (&cancelled[0]["success"], &cancelled[1]["success"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let inbox = Inbox::open().await;
    let g = ground_with(|c| c.shipway.webhook_url = Some(inbox.url.clone())).await;
    for id in ["A", "B"] {
        ship(&g, Method::POST, "/v2orders", Some(order(id))).await;
    }
    let unknown = json!({ "order_ids": ["A", "C"], "status": "INT" });
    let answer = g.http.post(g.url("/_sim/shipway/advance")).json(&unknown).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    g.sim("/_sim/shipway/advance", json!({ "order_ids": ["A", "B"], "status": "UND" })).await;
    let hooks = inbox.wait_for(1).await;
    assert_eq!(hooks[0].json()["status_feed"].as_array().unwrap().len(), 2);
    let cancelled =
        ship(&g, Method::POST, "/Cancelorders", Some(json!({ "order_ids": ["A"] }))).await;
    assert_eq!(cancelled[0]["success"], true);
    let manifest = json!({ "order_ids": ["B"] });
    assert_eq!(ship(&g, Method::POST, "/Createmanifest", Some(manifest)).await["status"], true);
}

#[tokio::test]
async fn parcels_can_walk_by_themselves() {
    let g = ground_with(|c| c.shipway.auto_step_ms = Some(3_600_000)).await;
    ship(&g, Method::POST, "/v2orders", Some(order("W"))).await;
    let status = || async {
        g.advance_clock(3_600_001).await;
        ship(&g, Method::GET, "/getorders?orderid=W", None).await["message"][0]["status"].clone()
    };
    until(status, |s| s == "DEL").await;
    let listed = ship(&g, Method::GET, "/getorders?orderid=W", None).await;
    let scans = listed["message"][0]["shipment_status_scan"].as_array().unwrap().clone();
    let way: Vec<&str> = scans.iter().map(|s| s["status"].as_str().unwrap()).collect();
    assert_eq!(way, ["NEW", "SCH", "PKP", "INT", "OOD", "DEL"]);
}

#[tokio::test]
async fn pincodes_carriers_and_rates() {
    let g = ground().await;
    let ask = |path: &'static str| ship(&g, Method::GET, path, None);
    assert_eq!(ask("/getcarrier").await["message"].as_array().unwrap().len(), 3);
    assert_eq!(ask("/pincodeserviceable?pincode=560001&payment_type=C").await["success"], 1);
    assert_eq!(ask("/pincodeserviceable?pincode=012345").await["success"], 0);
    g.sim("/_sim/shipway/unserviceable", json!({ "pincodes": ["560001"] })).await;
    assert_eq!(ask("/pincodeserviceable?pincode=560001").await["success"], 0);
    let rates = ask("/getshipwaycarrierrates?fromPincode=110001&toPincode=560002&weight=1.2").await;
    assert_eq!(rates["rate_card"][0]["delivery_charge"], "390.00");
    assert_eq!(rates["rate_card"][0]["charged_weight"], "1.5");
}

#[tokio::test]
async fn bad_pushes_are_refused() {
    let g = ground().await;
    for field in ["order_id", "payment_type", "products", "shipping_zipcode", "carrier_id"] {
        let mut body = order("X");
        body[field] = if field == "carrier_id" { "77".into() } else { Value::Null };
        let answer = ship(&g, Method::POST, "/v2orders", Some(body)).await;
        assert_eq!(answer["success"], false, "{field}");
    }
    assert_eq!(ship(&g, Method::POST, "/v2orders", Some(json!([]))).await["success"], false);
    assert_eq!(ship(&g, Method::GET, "/getorders?orderid=X", None).await["success"], 0);
    let url = format!("{}/getcarrier", g.sim.shipway_url());
    let wrong = g.http.get(url).basic_auth("x", Some("y")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
}
