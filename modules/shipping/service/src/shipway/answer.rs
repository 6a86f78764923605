//! Answers. What is missing or of another type is treated as absent: this provider is not strict.

use mela_shipping_api::Scan;
use serde_json::Value;

use super::when;

/// The most scans of one parcel that are taken from one answer.
const MAX_SCANS: usize = 500;

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CourierError {
    /// No answer, half an answer or an answer that says nothing: it may have been done.
    #[error("no usable answer: {0}")]
    Unknown(&'static str),
    /// It was not done.
    #[error("refused: {0}")]
    Refused(String),
}

/// An answer: the status and the bytes, whatever they are.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// What Shipway knows of a parcel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Booking {
    pub(crate) awb: Option<String>,
    pub(crate) courier: Option<String>,
    pub(crate) tracking_url: Option<String>,
    pub(crate) scans: Vec<Scan>,
}

fn json(answer: &Answer) -> Result<Value, CourierError> {
    match answer.status {
        200 => serde_json::from_slice(&answer.body)
            .map_err(|_| CourierError::Unknown("the answer cannot be read")),
        // About our account, not about the parcel.
        401 | 403 => Err(CourierError::Unknown("it does not accept the account")),
        400..=499 if answer.status != 429 => Err(CourierError::Refused(message(
            &serde_json::from_slice(&answer.body).unwrap_or_default(),
        ))),
        _ => Err(CourierError::Unknown("it answered with a server error")),
    }
}

fn is_yes(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::Number(n) => n.as_i64() == Some(1),
        Value::String(s) => matches!(s.as_str(), "1" | "true" | "success" | "Success"),
        _ => false,
    }
}

fn message(value: &Value) -> String {
    let text = value["message"].as_str().or(value["error"].as_str()).unwrap_or("no reason given");
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// A text or a number that is not empty, cut to what a column should hold.
fn word(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(s) => s.trim().to_owned(),
        Value::Number(n) => n.to_string(),
        _ => return None,
    };
    let text: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    (!text.is_empty()).then_some(text)
}

/// An air waybill number: it goes into URLs.
fn awb(value: &Value) -> Option<String> {
    word(value).filter(|awb| {
        awb.len() <= 40 && awb.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

fn link(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let web = text.starts_with("https://") || text.starts_with("http://");
    (web && text.len() <= 500 && text.bytes().all(|b| b.is_ascii_graphic()))
        .then(|| text.to_owned())
}

/// The code as the courier writes it, in upper case.
fn code(value: &Value) -> Option<String> {
    let code = word(value)?.to_uppercase();
    (code.len() <= 40).then_some(code)
}

/// A pushed order.
pub(crate) fn pushed(answer: &Answer) -> Result<Booking, CourierError> {
    let value = json(answer)?;
    if !is_yes(&value["success"]) {
        return Err(CourierError::Refused(message(&value)));
    }
    Ok(Booking { awb: awb(&value["awb_response"]["AWB"]), ..Booking::default() })
}

/// The order under our number, if there is one.
pub(crate) fn order(answer: &Answer, number: &str) -> Result<Option<Booking>, CourierError> {
    let value = json(answer)?;
    let Some(rows) = value["message"].as_array() else {
        // `success: 0` with a text is how "none" looks; anything else says nothing.
        return if value.get("success").is_some() {
            Ok(None)
        } else {
            Err(CourierError::Unknown("the answer has no list of orders"))
        };
    };
    let row = rows.iter().find(|row| word(&row["order_id"]).as_deref() == Some(number));
    Ok(row.map(|row| Booking {
        awb: awb(&row["tracking_number"]),
        courier: word(&row["carrier_title"]),
        tracking_url: None,
        scans: scans(&row["shipment_status_scan"], "datetime", "sub_status", "place"),
    }))
}

/// Where parcels are: by air waybill number, those that are known.
pub(crate) fn tracked(answer: &Answer) -> Result<Vec<(String, Booking)>, CourierError> {
    let value = json(answer)?;
    let rows = value
        .as_array()
        .or_else(|| value["shipments"].as_array())
        .ok_or(CourierError::Unknown("the answer has no list of parcels"))?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let number = awb(&row["awb"])?;
            let details = &row["tracking_details"];
            let booking = Booking {
                awb: Some(number.clone()),
                courier: word(&details["shipment_details"][0]["courier_name"]),
                tracking_url: link(&details["track_url"]),
                scans: scans(&details["tracking_history"], "timestamp", "remarks", "location"),
            };
            Some((number, booking))
        })
        .collect())
}

fn scans(rows: &Value, time: &str, text: &str, place: &str) -> Vec<Scan> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .take(MAX_SCANS)
        .filter_map(|row| {
            let code = code(&row["status"])?;
            let at = when::read(row[time].as_str()?)?;
            let text = word(&row[text]).unwrap_or_else(|| code.clone());
            Some(Scan { at, code, text, place: word(&row[place]) })
        })
        .collect()
}

/// Whether an order was called off.
pub(crate) fn cancelled(answer: &Answer, number: &str) -> Result<(), CourierError> {
    let value = json(answer)?;
    let row = match value.as_array() {
        Some(rows) => rows
            .iter()
            .find(|row| word(&row["order_id"]).as_deref() == Some(number))
            .ok_or(CourierError::Unknown("the answer is about other orders"))?,
        None => &value,
    };
    if is_yes(&row["success"]) { Ok(()) } else { Err(CourierError::Refused(message(row))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &str) -> Answer {
        Answer { status: 200, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn pushes() {
        let with = pushed(&ok(r#"{"success":true,"message":"Order has been added successfully.","awb_response":{"success":true,"AWB":"1234567890123","carrier_id":"1","shipping_url":"x"}}"#)).unwrap();
        assert_eq!(with.awb.as_deref(), Some("1234567890123"));
        let without = pushed(&ok(r#"{"success":1,"message":"ok"}"#)).unwrap();
        assert_eq!(without.awb, None);
        // An error as HTTP 200.
        assert_eq!(
            pushed(&ok(
                r#"{"success":false,"error":true,"message":"Pincode is not serviceable."}"#
            )),
            Err(CourierError::Refused("Pincode is not serviceable.".to_owned()))
        );
        for body in ["", "{", "<html>"] {
            assert!(matches!(pushed(&ok(body)), Err(CourierError::Unknown(_))), "{body}");
        }
        assert!(matches!(pushed(&ok("[]")), Err(CourierError::Refused(_))));
        for status in [401, 429, 500, 503] {
            let answer = Answer { status, body: b"{}".to_vec() };
            assert!(matches!(pushed(&answer), Err(CourierError::Unknown(_))), "{status}");
        }
    }

    #[test]
    fn orders() {
        assert_eq!(
            order(&ok(r#"{"success":0,"error":"No orders found","message":[]}"#), "A"),
            Ok(None)
        );
        assert_eq!(order(&ok(r#"{"success":0,"error":"x","message":"none"}"#), "A"), Ok(None));
        let body = r#"{"success":1,"error":"","message":[{"order_id":"B"},{"order_id":"A","carrier_title":"Delhivery","tracking_number":"77","shipment_status_scan":[{"status":"int","datetime":"2023-11-15 03:43:20","sub_status":"In transit"},{"status":"DEL","datetime":"soon"},7]}]}"#;
        let booking = order(&ok(body), "A").unwrap().unwrap();
        assert_eq!(booking.awb.as_deref(), Some("77"));
        assert_eq!(booking.scans.len(), 1, "a scan without a time is left out");
        assert_eq!(booking.scans[0].code, "INT");
    }

    #[test]
    fn tracking() {
        let row = r#"{"awb":"77","tracking_details":{"shipment_status":"INT","shipment_details":[{"courier_name":"Delhivery"}],"track_url":"https://t.example/77","tracking_history":[{"status":"PKP","location":"Hub","timestamp":"2023-11-15 03:43:20","remarks":"Picked up"}]}}"#;
        for body in [format!("[{row}]"), format!(r#"{{"shipments":[{row}]}}"#)] {
            let list = tracked(&ok(&body)).unwrap();
            assert_eq!(list[0].0, "77");
            assert_eq!(list[0].1.courier.as_deref(), Some("Delhivery"));
            assert_eq!(list[0].1.scans[0].place.as_deref(), Some("Hub"));
        }
        // One of a batch is not known; a link that is none.
        let list = tracked(&ok(r#"[{"awb":"1","tracking_details":{"error":"AWB number not found"}},{"awb":"2","tracking_details":{"track_url":"javascript:alert(1)"}},{"awb":"../3"}]"#)).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list[1].1.tracking_url, None);
        assert!(tracked(&ok(r#"{"message":"down"}"#)).is_err());
    }

    #[test]
    fn cancels() {
        let body = r#"[{"order_id":"A","error":false,"success":true,"message":"Order cancelled successfully."},{"order_id":"B","error":true,"success":false,"message":"Order not found or already finished."}]"#;
        assert_eq!(cancelled(&ok(body), "A"), Ok(()));
        assert!(matches!(cancelled(&ok(body), "B"), Err(CourierError::Refused(_))));
        assert!(matches!(cancelled(&ok(body), "C"), Err(CourierError::Unknown(_))));
    }
}
