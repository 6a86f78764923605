//! A dispatch desk around the service.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mela_base::ids::OrderId;
use mela_base::{Internal, Op, Paise};
use mela_bus::{Bus, Delivered, Handler};
use mela_db::MigrationSet;
use mela_jobs::Jobs;
use mela_shipping::{ShippingConfig, ShippingDeps, ShippingService, ShipwayConfig};
use mela_shipping_api::{
    NewParcel, Parcel, ParcelItem, ParcelMoved, ParcelState, Recipient, Shipping, ShippingError,
};
use mela_sim::{Sim, SimConfig};
use mela_testkit::TestDb;
use serde_json::{Value as Json, json};

pub const SETS: &[MigrationSet] =
    &[mela_bus::MIGRATIONS, mela_jobs::MIGRATIONS, mela_shipping::MIGRATIONS];
pub const TOKEN: &str = "a-long-secret-path";
pub const HASH: &str = "b47946dd6de4f402d141efa0c498418a";

#[derive(Default)]
struct Heard(Mutex<Vec<ParcelState>>);

#[async_trait]
impl Handler for Heard {
    async fn handle(&self, event: &Delivered) -> Result<(), Internal> {
        self.0.lock().unwrap().push(event.decode::<ParcelMoved>()?.state);
        Ok(())
    }
}

pub struct Desk {
    pub t: TestDb,
    pub shipping: ShippingService,
    pub jobs: Jobs,
    pub sim: Option<Sim>,
    bus: Bus,
    heard: Arc<Heard>,
}

pub fn op() -> Op {
    Op::system("test")
}

impl Desk {
    /// With the simulator, which books each parcel at once.
    pub async fn open(t: TestDb) -> Self {
        Self::open_with(t, Some("1")).await
    }

    pub async fn open_with(t: TestDb, carrier: Option<&str>) -> Self {
        let mut config = SimConfig { seed: Some(1), ..SimConfig::default() };
        config.shipway.email = "desk@mela.example".to_owned();
        config.shipway.license_key = "license".to_owned();
        config.shipway.webhook_hash = HASH.to_owned();
        let sim = mela_sim::start(config).await.unwrap();
        let url = sim.shipway_url();
        let desk = Self::at(t, &url, carrier, Some(sim));
        // Sets the clocks of the schedules.
        desk.jobs.drain().await.unwrap();
        desk
    }

    /// With whatever is at this address.
    pub fn at(t: TestDb, url: &str, carrier: Option<&str>, sim: Option<Sim>) -> Self {
        let config = ShippingConfig {
            dispatch_pincode: "560001".to_owned(),
            days_near: 2,
            days_far: 5,
            no_cash_pincodes: vec!["194101".to_owned()],
            shipway: ShipwayConfig {
                base_url: url.to_owned(),
                email: "desk@mela.example".to_owned(),
                license_key: "license".into(),
                webhook_token: TOKEN.into(),
                webhook_hash: HASH.into(),
                carrier_id: carrier.map(str::to_owned),
                warehouse_id: None,
                timeout: Duration::from_secs(5),
            },
        };
        let deps = ShippingDeps { db: t.db.clone(), env: t.env.clone() };
        let shipping = ShippingService::new(deps, config).unwrap();
        let jobs = Jobs::new(t.db.clone(), t.env.clone());
        shipping.register_jobs(&jobs);
        let bus = Bus::new(t.db.clone(), t.env.clone());
        let heard = Arc::new(Heard::default());
        bus.subscribe("test", &["shipping.parcel_moved"], heard.clone());
        Self { t, shipping, jobs, sim, bus, heard }
    }

    pub fn parcel(&self, number: &str) -> NewParcel {
        NewParcel {
            order_id: self.t.env.new_id(),
            order_number: number.to_owned(),
            to: Recipient {
                name: "Asha Rao".to_owned(),
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
            collect: Paise(29_900),
            value: Paise(29_900),
            weight_g: 640,
            ordered_at: self.t.env.now(),
        }
    }

    pub async fn pushed(&self, number: &str) -> OrderId {
        let parcel = self.parcel(number);
        let order = parcel.order_id;
        self.shipping.push(&op(), parcel).await.unwrap();
        order
    }

    pub async fn only(&self, order: OrderId) -> Parcel {
        let mut all = self.shipping.of_orders(&[order]).await.unwrap();
        assert_eq!(all.len(), 1);
        all.pop().unwrap()
    }

    pub async fn state(&self, order: OrderId) -> ParcelState {
        self.only(order).await.state
    }

    /// Moves the clock on and lets the jobs run, until all is quiet.
    pub async fn pass(&self, ms: i64) {
        self.t.clock.advance_ms(ms);
        self.jobs.drain().await.unwrap();
        assert_eq!(self.jobs.dead_count().await.unwrap(), 0, "no job may be given up");
    }

    /// The states that were announced since the last call.
    pub async fn events(&self) -> Vec<ParcelState> {
        while self.bus.dispatch_once().await.unwrap() > 0 {}
        std::mem::take(&mut *self.heard.0.lock().unwrap())
    }

    pub async fn hook(&self, body: &[u8]) -> Result<(), ShippingError> {
        self.shipping.webhook(&op(), TOKEN, body).await
    }

    pub async fn control(&self, path: &str, body: Json) -> Json {
        let url = format!("{}/_sim/{path}", self.sim.as_ref().unwrap().ui_url());
        let answer = reqwest::Client::new().post(url).body(body.to_string()).send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap();
        assert!(status.is_success(), "{path}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The courier scans the parcel, a minute after whatever was before.
    pub async fn scan(&self, number: &str, code: &str) {
        self.control("clock", json!({ "advance_ms": 60_000 })).await;
        self.control("shipway/advance", json!({ "order_id": number, "status": code })).await;
    }

    pub async fn fault(&self, operation: &str, kind: &str) {
        let fault =
            json!({ "provider": "shipway", "operation": operation, "kind": kind, "hang_ms": 0 });
        self.control("faults", fault).await;
    }

    /// How many orders the courier has.
    pub async fn at_the_courier(&self) -> usize {
        let url = format!("{}/_sim/ledger", self.sim.as_ref().unwrap().ui_url());
        let bytes = reqwest::get(url).await.unwrap().bytes().await.unwrap();
        let ledger: Json = serde_json::from_slice(&bytes).unwrap();
        ledger["parcels"].as_array().unwrap().len()
    }
}
