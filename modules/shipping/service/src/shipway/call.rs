//! Requests.

use mela_base::Paise;
use mela_shipping_api::NewParcel;
use serde_json::{Value, json};

use super::when;
use crate::config::ShipwayConfig;

/// One HTTP request, as a pure function made it. No `Debug`: it can hold an address.
pub(crate) struct Call {
    pub(crate) method: &'static str,
    /// With the query, after the base.
    pub(crate) path: String,
    /// JSON.
    pub(crate) body: Option<String>,
}

fn get(path: String) -> Call {
    Call { method: "GET", path, body: None }
}

/// Hands an order over. All values are strings; money is decimal rupees, weight grams.
pub(crate) fn push(parcel: &NewParcel, config: &ShipwayConfig) -> Call {
    let cash = parcel.collect > Paise::ZERO;
    let to = &parcel.to;
    let (first, last) = to.name.split_once(' ').unwrap_or((&to.name, ""));
    // Indian couriers want the ten digits.
    let phone = to.phone.strip_prefix("+91").unwrap_or(&to.phone);
    let products: Vec<Value> = parcel
        .items
        .iter()
        .map(|item| {
            json!({
                "product": item.name,
                "price": item.unit_price.to_rupees(),
                "product_code": item.sku,
                "product_quantity": item.quantity.to_string(),
                "discount": "0",
                "tax_rate": "0",
                "tax_title": "GST",
            })
        })
        .collect();
    let total = if cash { parcel.collect } else { parcel.value };
    let mut body = json!({
        "order_id": parcel.order_number,
        "products": products,
        "payment_type": if cash { "C" } else { "P" },
        "discount": "0",
        "shipping": "0",
        "order_total": total.to_rupees(),
        "gift_card_amt": "0",
        "taxes": "0",
        "email": to.email.as_deref().unwrap_or_default(),
        "order_weight": parcel.weight_g.max(1).to_string(),
        "order_date": when::write(parcel.ordered_at),
    });
    for kind in ["billing", "shipping"] {
        for (name, value) in [
            ("address", to.line1.as_str()),
            ("address2", to.line2.as_deref().unwrap_or_default()),
            ("city", &to.city),
            ("state", &to.state),
            ("country", "India"),
            ("firstname", first),
            ("lastname", last),
            ("phone", phone),
            ("zipcode", &to.pincode),
        ] {
            body[format!("{kind}_{name}")] = value.into();
        }
    }
    let chosen = [("carrier_id", &config.carrier_id), ("warehouse_id", &config.warehouse_id)];
    for (name, value) in chosen {
        if let Some(value) = value {
            body[name] = value.as_str().into();
        }
    }
    Call { method: "POST", path: "/v2orders".to_owned(), body: Some(body.to_string()) }
}

/// What Shipway has under an order number.
pub(crate) fn order(number: &str) -> Call {
    get(format!("/getorders?orderid={}", encoded(number)))
}

/// The most numbers in one [`tracking`] call.
pub(crate) const MAX_AWBS: usize = 100;

/// Where parcels are, with all that happened.
pub(crate) fn tracking(awbs: &[&str]) -> Call {
    let awbs: Vec<String> = awbs.iter().map(|awb| encoded(awb)).collect();
    get(format!("/tracking?awb_numbers={}&tracking_history=1", awbs.join(",")))
}

/// Calls an order off.
pub(crate) fn cancel(number: &str) -> Call {
    let body = json!({ "order_ids": [number] });
    Call { method: "POST", path: "/Cancelorders".to_owned(), body: Some(body.to_string()) }
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mela_base::Timestamp;
    use mela_base::ids::OrderId;
    use mela_shipping_api::{ParcelItem, Recipient};

    use super::*;

    fn config(carrier: Option<&str>) -> ShipwayConfig {
        ShipwayConfig {
            base_url: String::new(),
            email: String::new(),
            license_key: "".into(),
            webhook_token: "".into(),
            webhook_hash: "".into(),
            carrier_id: carrier.map(str::to_owned),
            warehouse_id: None,
            timeout: Duration::from_secs(1),
        }
    }

    fn parcel() -> NewParcel {
        NewParcel {
            order_id: OrderId::default(),
            order_number: "M26-0000001".to_owned(),
            to: Recipient {
                name: "Asha Devi Rao".to_owned(),
                phone: "+919876543210".to_owned(),
                email: None,
                line1: "12 MG Road".to_owned(),
                line2: None,
                city: "Bengaluru".to_owned(),
                state: "Karnataka".to_owned(),
                pincode: "560001".to_owned(),
            },
            items: vec![ParcelItem {
                sku: "CUP-1".to_owned(),
                name: "Clay cup".to_owned(),
                quantity: 2,
                unit_price: Paise(14_950),
            }],
            collect: Paise(37_700),
            value: Paise(29_900),
            weight_g: 640,
            ordered_at: Timestamp::from_unix_s(1_700_000_000),
        }
    }

    #[test]
    fn bytes_on_the_wire() {
        let call = push(&parcel(), &config(Some("1")));
        assert_eq!((call.method, call.path.as_str()), ("POST", "/v2orders"));
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(
            read(call.body.as_deref().unwrap()),
            read(
                r#"{"billing_address":"12 MG Road","billing_address2":"","billing_city":"Bengaluru","billing_country":"India","billing_firstname":"Asha","billing_lastname":"Devi Rao","billing_phone":"9876543210","billing_state":"Karnataka","billing_zipcode":"560001","carrier_id":"1","discount":"0","email":"","gift_card_amt":"0","order_date":"2023-11-15 03:43:20","order_id":"M26-0000001","order_total":"377.00","order_weight":"640","payment_type":"C","products":[{"discount":"0","price":"149.50","product":"Clay cup","product_code":"CUP-1","product_quantity":"2","tax_rate":"0","tax_title":"GST"}],"shipping":"0","shipping_address":"12 MG Road","shipping_address2":"","shipping_city":"Bengaluru","shipping_country":"India","shipping_firstname":"Asha","shipping_lastname":"Devi Rao","shipping_phone":"9876543210","shipping_state":"Karnataka","shipping_zipcode":"560001","taxes":"0"}"#
            )
        );
        let body = read(call.body.as_deref().unwrap());
        let strings = body.as_object().unwrap().iter().filter(|(name, _)| *name != "products");
        assert!(strings.clone().all(|(_, v)| v.is_string()));

        let mut prepaid = parcel();
        prepaid.collect = Paise::ZERO;
        let body = push(&prepaid, &config(None)).body.unwrap();
        assert!(
            body.contains(r#""payment_type":"P""#) && body.contains(r#""order_total":"299.00""#)
        );
        assert!(!body.contains("carrier_id"));

        assert_eq!(order("M26/1 2").path, "/getorders?orderid=M26%2F1%202");
        assert_eq!(tracking(&["1", "2"]).path, "/tracking?awb_numbers=1,2&tracking_history=1");
        let call = cancel("M26-1");
        assert_eq!(
            (call.path.as_str(), call.body.as_deref()),
            ("/Cancelorders", Some(r#"{"order_ids":["M26-1"]}"#))
        );
    }
}
