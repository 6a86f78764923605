//! The simulated Shipway: parcels, their scans, and webhooks about them.

pub(crate) mod http;

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::UtcOffset;

use crate::agenda::Act;
use crate::config::SimConfig;
use crate::hooks::Provider;
use crate::world::{Shelf, World};

/// Carriers of the account: id, name, title, delivery charge and return charge in paise.
pub(crate) const CARRIERS: [(&str, &str, &str, i64, i64); 3] = [
    ("1", "delhivery", "Delhivery", 6_500, 6_000),
    ("2", "bluedart", "Blue Dart", 9_000, 8_500),
    ("3", "xpressbees", "XpressBees", 5_500, 5_200),
];

/// The way of a parcel for which all goes well.
const WAY: [&str; 5] = ["SCH", "PKP", "INT", "OOD", "DEL"];

/// What a shop may be told about a parcel, and the words for it.
const CODES: &[(&str, &str)] = &[
    ("NEW", "Order received"),
    ("SCH", "Shipment booked"),
    ("PKP", "Picked up"),
    ("SMD", "Shipment manifested"),
    ("INT", "In transit"),
    ("OOD", "Out for delivery"),
    ("OFP", "Out for pickup"),
    ("DEL", "Delivered"),
    ("UND", "Undelivered"),
    ("RTO", "Return to origin started"),
    ("RTD", "Returned and delivered"),
    ("CAN", "Cancelled"),
    ("PCAN", "Pickup cancelled"),
    ("PNR", "Pickup not ready"),
    ("PKF", "Pickup failed"),
    ("ONH", "On hold"),
    ("LOST", "Lost"),
    ("DEX", "Delivery exception"),
    ("DRE", "Delivery rescheduled"),
    ("CNA", "Consignee not available"),
    ("CRTA", "Customer refused to accept"),
    ("ODA", "Out of delivery area"),
    ("NFI", "No further information"),
    ("NWI", "Network issue"),
    ("DNB", "Delivery on the next business day"),
    ("FDR", "Failed delivery, reattempt"),
    ("OTH", "Other"),
    ("22", "Wrong address"),
    ("23", "Delivery attempted"),
    ("24", "Pending, undelivered"),
    ("25", "Premises closed"),
];

fn meaning(code: &str) -> &'static str {
    CODES.iter().find(|(c, _)| *c == code).map_or("In progress", |(_, m)| m)
}

fn is_end(code: &str) -> bool {
    matches!(code, "DEL" | "RTD" | "CAN" | "LOST")
}

#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub(crate) code: String,
    pub(crate) at: String,
    pub(crate) place: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) order_id: String,
    pub(crate) awb: Option<String>,
    pub(crate) carrier: usize,
    pub(crate) status: String,
    pub(crate) scans: Vec<Scan>,
    /// The pushed order as it came.
    pub(crate) order: Map<String, Value>,
}

/// What a caller may not do.
pub(crate) enum StepRefused {
    Unknown,
    Finished(String),
}

const MAX_SCANS: usize = 200;
/// Parcels carry whole orders with them, so fewer are kept than payments.
const MAX_PARCELS: usize = 50_000;

pub(crate) struct Shipway {
    pub(crate) parcels: Mutex<Parcels>,
}

pub(crate) struct Parcels {
    pub(crate) by_order: Shelf<Parcel>,
    pub(crate) order_of_awb: Shelf<String>,
    pub(crate) unserviceable: Vec<String>,
    pub(crate) auto_step_ms: Option<u64>,
}

/// `Y-m-d H:i:s` in Indian time, which Shipway writes without saying so.
pub(crate) fn indian_time(ms: i64) -> String {
    let ist = UtcOffset::from_hms(5, 30, 0).unwrap_or(UtcOffset::UTC);
    let at = OffsetDateTime::from_unix_timestamp(ms / 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .to_offset(ist);
    let (d, t) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        d.year(),
        u8::from(d.month()),
        d.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

impl Shipway {
    pub(crate) fn new(cfg: &SimConfig) -> Self {
        let cap = cfg.max_objects.min(MAX_PARCELS);
        Self {
            parcels: Mutex::new(Parcels {
                by_order: Shelf::new(cap),
                order_of_awb: Shelf::new(cap),
                unserviceable: Vec::new(),
                auto_step_ms: cfg.shipway.auto_step_ms,
            }),
        }
    }

    /// Books a parcel with a carrier unless it is booked already, and returns its number.
    pub(crate) fn book(
        parcels: &mut Parcels,
        world: &World,
        order_id: &str,
        carrier: usize,
    ) -> Option<String> {
        let parcel = parcels.by_order.get_mut(order_id)?;
        if parcel.awb.is_none() {
            let awb = world.ids.digits(13);
            parcel.awb = Some(awb.clone());
            parcel.carrier = carrier;
            parcels.order_of_awb.insert(awb, order_id.into());
        }
        parcels.by_order.get(order_id).and_then(|p| p.awb.clone())
    }

    /// Moves parcels to a status and tells the shop in one batch. All or none.
    pub(crate) fn advance(
        &self,
        world: &Arc<World>,
        order_ids: &[String],
        status: Option<&str>,
    ) -> Result<Vec<Value>, StepRefused> {
        let now = indian_time(world.clock.now_ms());
        let feed: Vec<Value> = {
            let mut parcels = self.parcels.lock();
            for id in order_ids {
                match parcels.by_order.get(id) {
                    None => return Err(StepRefused::Unknown),
                    Some(p) if is_end(&p.status) => {
                        return Err(StepRefused::Finished(p.status.clone()));
                    }
                    Some(_) => {}
                }
            }
            order_ids
                .iter()
                .filter_map(|id| {
                    let carrier = parcels.by_order.get(id)?.carrier;
                    Self::book(&mut parcels, world, id, carrier);
                    let parcel = parcels.by_order.get_mut(id)?;
                    parcel.scan(status.unwrap_or(parcel.next_status()).to_owned(), &now);
                    Some(parcel.feed(&world.base_url, &now))
                })
                .collect()
        };
        self.tell(world, &feed);
        Ok(feed)
    }

    fn tell(&self, world: &Arc<World>, feed: &[Value]) {
        world.hooks.emit(world, Provider::Shipway, "status_feed", |hash| {
            json!({ "hash": hash, "status_feed": feed }).to_string().into_bytes()
        });
    }

    /// One step of a parcel that walks by itself.
    pub(crate) fn step(&self, world: &Arc<World>, order_id: &str, step_ms: u64) {
        if self.advance(world, &[order_id.to_owned()], None).is_ok() {
            self.walk_on(world, order_id, step_ms);
        }
    }

    /// Lets a parcel go on by itself.
    pub(crate) fn walk_on(&self, world: &World, order_id: &str, step_ms: u64) {
        let due = world.clock.now_ms() + i64::try_from(step_ms).unwrap_or(i64::MAX / 2);
        world.agenda.at(due, Act::ParcelStep(order_id.into(), step_ms));
    }
}

impl Parcel {
    fn scan(&mut self, code: String, now: &str) {
        if self.scans.len() >= MAX_SCANS {
            self.scans.remove(0);
        }
        let place = match code.as_str() {
            "NEW" | "SCH" | "PKP" | "SMD" => "Origin hub",
            "INT" => "Transit hub",
            _ => "Destination hub",
        };
        self.status.clone_from(&code);
        self.scans.push(Scan { code, at: now.into(), place: place.into() });
    }

    fn next_status(&self) -> &'static str {
        match WAY.iter().position(|s| *s == self.status) {
            Some(at) => WAY.get(at + 1).copied().unwrap_or("DEL"),
            // From the side of the way back onto it.
            None if self.status == "NEW" => "SCH",
            None => "OOD",
        }
    }

    fn text(&self, field: &str) -> &str {
        self.order.get(field).and_then(Value::as_str).unwrap_or("")
    }

    fn carrier_title(&self) -> &'static str {
        CARRIERS.get(self.carrier).map_or("", |c| c.2)
    }

    fn carrier_id(&self) -> &'static str {
        CARRIERS.get(self.carrier).map_or("", |c| c.0)
    }

    fn time_of(&self, code: &str) -> &str {
        self.scans.iter().rev().find(|s| s.code == code).map_or("", |s| s.at.as_str())
    }

    fn track_url(&self, base_url: &str) -> String {
        format!("{base_url}/shipway/labels/{}", self.awb.as_deref().unwrap_or(""))
    }

    /// One row of a webhook.
    fn feed(&self, base_url: &str, now: &str) -> Value {
        let scans: Vec<Value> = self
            .scans
            .iter()
            .map(|s| json!({ "time": s.at, "status": meaning(&s.code), "location": s.place }))
            .collect();
        json!({
            "order_id": self.order_id,
            "awbno": self.awb,
            "phone": self.text("shipping_phone"),
            "first_name": self.text("shipping_firstname"),
            "last_name": self.text("shipping_lastname"),
            "country_code": self.text("shipping_country"),
            "pickupdate": self.time_of("PKP"),
            "current_status": self.status,
            "current_status_desc": meaning(&self.status),
            "from": "Origin hub",
            "to": self.text("shipping_city"),
            "status_time": now,
            "order_data": "",
            "carrier": self.carrier_title(),
            "carrier_id": self.carrier_id(),
            "tracking_url": self.track_url(base_url),
            "scans": scans,
        })
    }

    /// One row of `GET /tracking`.
    fn tracking(&self, base_url: &str, with_history: bool) -> Value {
        let name =
            format!("{} {}", self.text("shipping_firstname"), self.text("shipping_lastname"));
        let mut details = json!({
            "shipment_status": self.status,
            "shipment_details": [{
                "courier_id": self.carrier_id(),
                "courier_name": self.carrier_title(),
                "order_id": self.order_id,
                "pickup_date": self.time_of("PKP"),
                "delivered_date": self.time_of("DEL"),
                "weight": self.text("order_weight"),
                "packages": "1",
                "current_status": meaning(&self.status),
                "delivered_to": if self.status == "DEL" { name.trim() } else { "" },
                "destination": self.text("shipping_city"),
                "consignee_name": name.trim(),
                "origin": "Origin hub",
            }],
            "track_url": self.track_url(base_url),
        });
        if with_history {
            let row = |s: &Scan| {
                json!({
                    "status": s.code, "location": s.place, "timestamp": s.at,
                    "remarks": meaning(&s.code),
                })
            };
            details["tracking_history"] = self.scans.iter().map(row).collect();
        }
        json!({ "awb": self.awb, "tracking_details": details })
    }

    /// One row of `GET /getorders`.
    fn listed(&self) -> Value {
        let scans: Vec<Value> = self
            .scans
            .iter()
            .map(|s| json!({ "status": s.code, "datetime": s.at, "sub_status": meaning(&s.code) }))
            .collect();
        let method = if self.text("payment_type") == "C" { "cod" } else { "prepaid" };
        let mut row = json!({
            "order_id": self.order_id,
            "order_total": self.text("order_total"),
            "payment_id": "",
            "payment_method": method,
            "weight": self.text("order_weight"),
            "status": self.status,
            "invoice_number": self.order_id,
            "name": self.carrier_title(),
            "carrier_title": self.carrier_title(),
            "tracking_number": self.awb,
            "shipment_status": self.status,
            "shipment_status_name": meaning(&self.status),
            "shipment_status_scan": scans,
            "pickup_address": "",
            "return_address": "",
            "order_date": self.text("order_date"),
            "ezyslip_order_id": self.order_id,
            "products": self.order.get("products"),
            "order_tags": "",
        });
        const PARTS: [&str; 9] = [
            "address",
            "address2",
            "city",
            "state",
            "country",
            "firstname",
            "lastname",
            "phone",
            "zipcode",
        ];
        for part in PARTS {
            row[format!("b_{part}")] = self.text(&format!("billing_{part}")).into();
            row[format!("s_{part}")] = self.text(&format!("shipping_{part}")).into();
        }
        row
    }

    /// For the page and the ledger.
    pub(crate) fn short_json(&self) -> Value {
        json!({
            "order_id": self.order_id, "awb": self.awb, "status": self.status,
            "meaning": meaning(&self.status), "carrier": self.carrier_title(),
            "payment_type": self.text("payment_type"), "scans": self.scans.len(),
            "finished": is_end(&self.status),
        })
    }
}

/// Statuses that `/_sim/shipway/advance` takes: the known ones and, to test the receiver, others of
/// the same shape.
pub(crate) fn is_code(text: &str) -> bool {
    (2..=8).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_is_indian() {
        assert_eq!(super::indian_time(0), "1970-01-01 05:30:00");
        assert_eq!(super::indian_time(1_700_000_000_000), "2023-11-15 03:43:20");
    }
}
