//! Shipway's OMS API. Refusals are HTTP 200 with `success: false`, as is its way; 401 without the
//! right credentials.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::{CARRIERS, Parcel, Shipway, indian_time};
use crate::faults::{self, Refusal};
use crate::serve::{self, escaped};
use crate::world::World;

/// A pushed order is kept as it came, so it is kept small.
const MAX_BODY: usize = 64 << 10;

struct Query(Vec<(String, String)>);

impl Query {
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
    }
}

fn failed(message: &str) -> Value {
    json!({ "success": false, "error": true, "message": message })
}

fn refused(refusal: Refusal) -> Response {
    let (status, text) = match refusal {
        Refusal::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong."),
        Refusal::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "Too many requests."),
    };
    serve::json(status, &failed(text))
}

pub(crate) async fn entry(State(world): State<Arc<World>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches("/shipway/api").trim_matches('/');
    let operation = match (parts.method.as_str(), path) {
        ("POST", "v2orders") => "order.push",
        ("GET", "getorders") => "order.list",
        ("POST", "Cancelorders") => "order.cancel",
        ("POST", "Onholdorders") => "order.hold",
        ("POST", "Cancel") => "awb.cancel",
        ("POST", "Createmanifest") => "manifest.create",
        ("GET", "getcarrier") => "carrier.list",
        ("GET", "pincodeserviceable") => "pincode.check",
        ("GET", "getshipwaycarrierrates") => "rates",
        ("GET", "tracking") => "tracking",
        _ => return serve::json(StatusCode::NOT_FOUND, &failed("No such call.")),
    };
    if !authentic(&world, &parts.headers) {
        return serve::json(StatusCode::UNAUTHORIZED, &failed("Unauthorized access."));
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return serve::json(StatusCode::PAYLOAD_TOO_LARGE, &failed("Request is too large."));
    };
    let query = parts.uri.query().unwrap_or_default();
    let query = Query(form_urlencoded::parse(query.as_bytes()).into_owned().take(50).collect());
    faults::run(&world, "shipway", operation, refused, || {
        let input = match parts.method.as_str() {
            "POST" => match serde_json::from_slice(&body) {
                Ok(Value::Object(input)) => input,
                _ => return serve::json(StatusCode::OK, &failed("Request is not a JSON object.")),
            },
            _ => Map::new(),
        };
        let answer = match operation {
            "order.push" => push(&world, input),
            "order.list" => list(&world, &query),
            "order.cancel" => change(&world, &input, "CAN"),
            "order.hold" => change(&world, &input, "ONH"),
            "awb.cancel" => cancel_awbs(&world, &input),
            "manifest.create" => manifest(&world, &input),
            "carrier.list" => json!({ "success": 1, "error": "", "message": carriers("") }),
            "pincode.check" => serviceable(&world, &query),
            "rates" => rates(&world, &query),
            _ => tracking(&world, &query),
        };
        serve::json(StatusCode::OK, &answer)
    })
    .await
}

fn authentic(world: &World, headers: &HeaderMap) -> bool {
    let cfg = &world.cfg.shipway;
    let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let Some((scheme, credentials)) = value.and_then(|v| v.split_once(' ')) else { return false };
    let decoded = BASE64.decode(credentials.trim()).unwrap_or_default();
    scheme.eq_ignore_ascii_case("basic")
        && decoded == format!("{}:{}", cfg.email, cfg.license_key).as_bytes()
}

/// A pushed order; pushing the same one again changes it and keeps its parcel.
fn push(world: &Arc<World>, order: Map<String, Value>) -> Value {
    let text = |name: &str| match order.get(name) {
        Some(Value::String(s)) => s.trim().to_owned(),
        // The field list says strings; numbers arrive in practice.
        Some(Value::Number(n)) => n.to_string(),
        _ => String::new(),
    };
    let order_id = text("order_id");
    if order_id.is_empty() || order_id.len() > 100 {
        return failed("order_id is required.");
    }
    for field in ["shipping_country", "shipping_phone", "shipping_zipcode"] {
        if text(field).is_empty() {
            return failed(&format!("{field} is required."));
        }
    }
    if !matches!(text("payment_type").as_str(), "P" | "C") {
        return failed("payment_type must be P or C.");
    }
    let filled = |product: &Value, field: &str| match product.get(field) {
        Some(Value::String(s)) => !s.is_empty(),
        Some(Value::Number(_)) => true,
        _ => false,
    };
    let complete = order.get("products").and_then(Value::as_array).is_some_and(|products| {
        !products.is_empty() && products.iter().all(|p| filled(p, "product") && filled(p, "price"))
    });
    if !complete {
        return failed("products must name product and price of each.");
    }
    let wanted = text("carrier_id");
    let carrier = CARRIERS.iter().position(|c| c.0 == wanted);
    if !wanted.is_empty() && wanted != "0" && carrier.is_none() {
        return failed("carrier_id is not valid.");
    }
    let zipcode = text("shipping_zipcode");
    let now = indian_time(world.clock.now_ms());
    let mut parcels = world.shipway.parcels.lock();
    if carrier.is_some() && !is_serviceable(&parcels.unserviceable, &zipcode) {
        return failed("Pincode is not serviceable.");
    }
    let known = match parcels.by_order.get_mut(&order_id) {
        Some(parcel) => {
            parcel.order = order;
            true
        }
        None => {
            let mut parcel = Parcel {
                order_id: order_id.clone(),
                awb: None,
                carrier: 0,
                status: String::new(),
                scans: Vec::new(),
                order,
            };
            parcel.scan("NEW".into(), &now);
            parcels.by_order.insert(order_id.clone(), parcel);
            false
        }
    };
    let awb = carrier.and_then(|c| Shipway::book(&mut parcels, world, &order_id, c));
    let auto = parcels.auto_step_ms.filter(|_| !known);
    drop(parcels);
    if let Some(step_ms) = auto {
        world.shipway.walk_on(world, &order_id, step_ms);
    }
    let done = if known { "updated" } else { "added" };
    let mut answer =
        json!({ "success": true, "message": format!("Order has been {done} successfully.") });
    if let (Some(awb), Some(carrier)) = (awb, carrier) {
        answer["awb_response"] = json!({
            "success": true,
            "message": "AWB No. assigned Successfully",
            "AWB": awb,
            "carrier_id": CARRIERS[carrier].0,
            "shipping_url": format!("{}/shipway/labels/{awb}", world.base_url),
        });
    }
    answer
}

fn list(world: &World, query: &Query) -> Value {
    let parcels = world.shipway.parcels.lock();
    let rows: Vec<Value> = match query.get("orderid") {
        "" => parcels.by_order.newest_first().take(100).map(Parcel::listed).collect(),
        id => parcels.by_order.get(id).map(Parcel::listed).into_iter().collect(),
    };
    if rows.is_empty() {
        return json!({ "success": 0, "error": "No orders found", "message": [] });
    }
    json!({ "success": 1, "error": "", "message": rows })
}

fn ids(input: &Map<String, Value>, field: &str) -> Vec<String> {
    let list = input.get(field).and_then(Value::as_array);
    let text = |v: &Value| match v {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    };
    list.into_iter().flatten().take(1_000).filter_map(text).collect()
}

/// Cancels or holds orders, one by one, with an answer for each.
fn change(world: &Arc<World>, input: &Map<String, Value>, code: &str) -> Value {
    let ids = ids(input, "order_ids");
    if ids.is_empty() {
        return failed("order_ids is required.");
    }
    let row = |id: String| {
        let done = world.shipway.advance(world, std::slice::from_ref(&id), Some(code)).is_ok();
        let message = match (done, code) {
            (true, "CAN") => "Order cancelled successfully.",
            (true, _) => "Order put on hold successfully.",
            (false, _) => "Order not found or already finished.",
        };
        json!({ "order_id": id, "error": !done, "success": done, "message": message })
    };
    ids.into_iter().map(row).collect()
}

fn cancel_awbs(world: &Arc<World>, input: &Map<String, Value>) -> Value {
    let (mut unknown, mut done, mut not_done) = (Vec::new(), Vec::new(), Vec::new());
    for awb in ids(input, "awb_number") {
        let order_id = world.shipway.parcels.lock().order_of_awb.get(&awb).cloned();
        match order_id {
            None => unknown.push(awb),
            Some(id) => match world.shipway.advance(world, &[id], Some("CAN")) {
                Ok(_) => done.push(awb),
                Err(_) => not_done.push(awb),
            },
        }
    }
    json!({
        "error": done.is_empty(),
        "success": !done.is_empty(),
        "message": if done.is_empty() { "No shipment cancelled." } else { "Shipment cancelled." },
        "invalid_tracking_numbers": unknown,
        "shipment_success_tracking_numbers": done,
        "shipment_failed_tracking_numbers": not_done,
    })
}

fn manifest(world: &Arc<World>, input: &Map<String, Value>) -> Value {
    let parcels = world.shipway.parcels.lock();
    let found: Vec<String> = ids(input, "order_ids")
        .into_iter()
        .filter(|id| parcels.by_order.get(id).is_some())
        .collect();
    if found.is_empty() {
        return json!({
            "order ids": [], "error": true, "success": false, "message": "Order ids not found",
        });
    }
    json!({
        "status": true,
        "message": "Manifest created successfully.",
        "manifest ids": world.ids.digits(8),
        "error_response": [],
    })
}

fn carriers(payment_type: &str) -> Vec<Value> {
    let kind = if payment_type == "C" { "C" } else { "P" };
    let row = |c: &(&str, &str, &str, i64, i64)| json!({ "carrier_id": c.0, "name": c.1, "carrier_title": c.2, "payment_type": kind });
    CARRIERS.iter().map(row).collect()
}

fn is_serviceable(unserviceable: &[String], pincode: &str) -> bool {
    pincode.len() == 6
        && pincode.bytes().all(|b| b.is_ascii_digit())
        && !pincode.starts_with('0')
        && !unserviceable.iter().any(|p| p == pincode)
}

fn serviceable(world: &World, query: &Query) -> Value {
    let parcels = world.shipway.parcels.lock();
    if is_serviceable(&parcels.unserviceable, query.get("pincode")) {
        return json!({ "success": 1, "error": "", "message": carriers(query.get("payment_type")) });
    }
    json!({ "success": 0, "error": "Pincode is not serviceable", "message": [] })
}

/// Charges grow with each started half kilogram and with leaving the postal zone.
fn rates(world: &World, query: &Query) -> Value {
    let (from, to) = (query.get("fromPincode"), query.get("toPincode"));
    let parcels = world.shipway.parcels.lock();
    if ![from, to].iter().all(|p| is_serviceable(&parcels.unserviceable, p)) {
        return json!({ "success": "failed", "message": "Pincode is not serviceable", "rate_card": [] });
    }
    let grams = kilos_to_grams(query.get("weight")).unwrap_or(500).max(1);
    let halves = (grams + 499) / 500;
    let (zone, factor) = if from[..1] == to[..1] { ("A", 1) } else { ("D", 2) };
    let row = |c: &(&str, &str, &str, i64, i64)| {
        let rupees = |paise: i64| format!("{}.{:02}", paise / 100, paise % 100);
        json!({
            "carrier_id": c.0,
            "courier_name": c.2,
            "delivery_charge": rupees(c.3 * halves * factor),
            "rto_charge": rupees(c.4 * halves * factor),
            "charged_weight": format!("{}.{}", halves / 2, if halves % 2 == 1 { "5" } else { "0" }),
            "zone": zone,
        })
    };
    json!({ "success": "success", "rate_card": CARRIERS.iter().map(row).collect::<Vec<_>>() })
}

/// `1.25` → 1250. Up to three decimals, no floats.
fn kilos_to_grams(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || whole.len() > 4 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let grams: i64 = format!("{part:0<3}").parse().ok()?;
    Some(whole.parse::<u16>().ok().map(i64::from)? * 1000 + grams)
}

fn tracking(world: &World, query: &Query) -> Value {
    let with_history = query.get("tracking_history") == "1";
    let awbs: Vec<&str> = query.get("awb_numbers").split(',').map(str::trim).collect();
    if awbs == [""] || awbs.len() > 100 {
        return failed("awb_numbers must name 1 to 100 numbers.");
    }
    let parcels = world.shipway.parcels.lock();
    let row = |awb: &str| {
        let parcel = parcels.order_of_awb.get(awb).and_then(|id| parcels.by_order.get(id));
        match parcel {
            Some(parcel) => parcel.tracking(&world.base_url, with_history),
            None => json!({ "awb": awb, "tracking_details": { "error": "AWB number not found" } }),
        }
    };
    awbs.into_iter().map(row).collect()
}

/// The label and tracking page that links point to.
pub(crate) async fn label(State(world): State<Arc<World>>, Path(awb): Path<String>) -> Response {
    let parcels = world.shipway.parcels.lock();
    let parcel = parcels.order_of_awb.get(&awb).and_then(|id| parcels.by_order.get(id));
    let Some(parcel) = parcel else {
        return serve::html(StatusCode::NOT_FOUND, "<!doctype html><p>No such parcel.</p>".into());
    };
    let rows: String = parcel
        .scans
        .iter()
        .map(|s| {
            let meaning = escaped(super::meaning(&s.code));
            format!(
                "<tr><td>{}</td><td>{meaning}</td><td>{}</td></tr>",
                escaped(&s.at),
                escaped(&s.place)
            )
        })
        .collect();
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>Parcel {awb}</title><style>{}</style></head><body><main><header><h1>Parcel {awb}</h1><p>{} · order {} · {}</p></header><section><h2>{}</h2><table><tbody>{rows}</tbody></table></section></main></body></html>",
        include_str!("../razorpay/page.css"),
        parcel.carrier_title(),
        escaped(&parcel.order_id),
        escaped(parcel.text("shipping_zipcode")),
        escaped(super::meaning(&parcel.status)),
        awb = escaped(&awb),
    );
    serve::html(StatusCode::OK, page)
}

#[cfg(test)]
mod tests {
    use super::kilos_to_grams;

    #[test]
    fn weights_are_read_without_floats() {
        assert_eq!(kilos_to_grams("1.25"), Some(1250));
        assert_eq!(kilos_to_grams("2"), Some(2000));
        assert_eq!(kilos_to_grams("1.2345"), None);
        assert_eq!(kilos_to_grams("x"), None);
    }
}
