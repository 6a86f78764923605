//! A small shop around the service.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mela_base::ids::{HoldId, OrderId, PaymentId, PersonId, RefundId};
use mela_base::{Internal, Op, Page, PageRequest, Paise};
use mela_bus::{Bus, Delivered, Handler};
use mela_db::{DbError, Migration, MigrationSet, Sql, Tx, Value, params};
use mela_jobs::Jobs;
use mela_payments::{PaymentsConfig, PaymentsDeps, PaymentsService, RazorpayConfig};
use mela_payments_api::{
    Method, NewPayment, NewRefund, NextStep, Payment, PaymentError, PaymentState, Payments,
};
use mela_sim::{Sim, SimConfig};
use mela_testkit::TestDb;
use mela_wallet_api::{Account, Balance, Entry, Hold, LedgerCheck, Transfer, Wallet, WalletError};
use serde_json::{Value as Json, json};

pub const BOOKS: MigrationSet = MigrationSet {
    module: "books",
    migrations: &[Migration::new(
        "001_books",
        "CREATE TABLE book (id ID PRIMARY KEY, from_kind TEXT NOT NULL, to_kind TEXT NOT NULL, amount BIGINT NOT NULL);",
    )],
};
const POST: Sql = Sql::new(
    "books.post",
    "INSERT INTO book (id, from_kind, to_kind, amount) VALUES {rows} ON CONFLICT DO NOTHING",
);
const BALANCE: Sql = Sql::new(
    "books.balance",
    "SELECT CAST(COALESCE(SUM(CASE WHEN to_kind = ?1 THEN amount ELSE 0 END) - SUM(CASE WHEN from_kind = ?1 THEN amount ELSE 0 END), 0) AS BIGINT) FROM book",
);

pub const SETS: &[MigrationSet] =
    &[mela_bus::MIGRATIONS, mela_jobs::MIGRATIONS, BOOKS, mela_payments::MIGRATIONS];

/// Keeps transfers in a table, as the wallet does, so that they are undone with the transaction.
struct Books;

#[async_trait]
impl Wallet for Books {
    async fn balance(&self, _: PersonId) -> Result<Balance, WalletError> {
        unreachable!()
    }
    async fn entries(&self, _: &Op, _: &PageRequest) -> Result<Page<Entry>, WalletError> {
        unreachable!()
    }
    async fn grant(&self, _: &Op, _: PersonId, _: i64, _: &str) -> Result<Balance, WalletError> {
        unreachable!()
    }
    async fn check(&self) -> Result<LedgerCheck, WalletError> {
        unreachable!()
    }
    fn post_in(&self, tx: &mut Tx<'_>, transfers: &[Transfer]) -> Result<(), WalletError> {
        let rows: Vec<Vec<Value>> = transfers
            .iter()
            .map(|t| {
                assert!(t.amount > 0 && t.from.unit() == t.to.unit());
                params![t.id, t.from.kind(), t.to.kind(), t.amount].to_vec()
            })
            .collect();
        tx.exec_rows(&POST, &[], &rows)?;
        Ok(())
    }
    fn hold_in(&self, _: &mut Tx<'_>, _: &Hold) -> Result<(), WalletError> {
        unreachable!()
    }
    fn redeem_hold_in(&self, _: &mut Tx<'_>, _: HoldId) -> Result<bool, WalletError> {
        unreachable!()
    }
    fn release_hold_in(&self, _: &mut Tx<'_>, _: HoldId) -> Result<(), WalletError> {
        unreachable!()
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<(String, Json)>>);

#[async_trait]
impl Handler for Heard {
    async fn handle(&self, event: &Delivered) -> Result<(), Internal> {
        self.0.lock().unwrap().push((event.topic.clone(), event.payload.clone()));
        Ok(())
    }
}

pub struct Shop {
    pub t: TestDb,
    pub payments: PaymentsService,
    pub jobs: Jobs,
    pub sim: Option<Sim>,
    bus: Bus,
    heard: Arc<Heard>,
}

pub const KEY_ID: &str = "rzp_test_Mela00000001";
pub const KEY_SECRET: &str = "test_key_secret";
pub const HOOK_SECRET: &str = "test_webhook_secret";

pub fn op() -> Op {
    Op::system("test")
}

impl Shop {
    /// With the simulator.
    pub async fn open(t: TestDb) -> Self {
        let mut config = SimConfig { seed: Some(1), ..SimConfig::default() };
        config.razorpay.key_id = KEY_ID.to_owned();
        config.razorpay.key_secret = KEY_SECRET.to_owned();
        config.razorpay.webhook_secret = HOOK_SECRET.to_owned();
        let sim = mela_sim::start(config).await.unwrap();
        let url = sim.razorpay_url();
        let shop = Self::at(t, &url, Some(sim));
        // Sets the clocks of the schedules.
        shop.jobs.drain().await.unwrap();
        shop
    }

    /// With whatever is at this address.
    pub fn at(t: TestDb, url: &str, sim: Option<Sim>) -> Self {
        let deps = PaymentsDeps { db: t.db.clone(), env: t.env.clone(), wallet: Arc::new(Books) };
        let config = PaymentsConfig {
            public_url: "http://shop.example/".to_owned(),
            shop_name: "Mela".to_owned(),
            razorpay: Some(RazorpayConfig {
                base_url: url.to_owned(),
                key_id: KEY_ID.to_owned(),
                key_secret: KEY_SECRET.into(),
                webhook_secret: HOOK_SECRET.into(),
                webhook_secret_previous: "the_one_before".into(),
                timeout: Duration::from_secs(5),
            }),
        };
        let payments = PaymentsService::new(deps, config).unwrap();
        let jobs = Jobs::new(t.db.clone(), t.env.clone());
        payments.register_jobs(&jobs);
        let bus = Bus::new(t.db.clone(), t.env.clone());
        let heard = Arc::new(Heard::default());
        bus.subscribe("test", &["*"], heard.clone());
        Self { t, payments, jobs, sim, bus, heard }
    }

    pub async fn begin(&self, order: OrderId, method: Method, amount: i64) -> PaymentId {
        let payment = NewPayment {
            id: self.t.env.new_id(),
            order_id: order,
            order_number: "M26-0000001".to_owned(),
            person_id: self.t.env.new_id(),
            method,
            amount: Paise(amount),
        };
        let (id, payments) = (payment.id, self.payments.clone());
        let write = move |tx: &mut Tx<'_>| payments.begin_in(tx, &payment);
        self.t.db.write::<_, PaymentError, _>("test.begin", write).await.unwrap();
        id
    }

    /// A payment that the shopper can pay now, and the gateway's order.
    pub async fn started(&self, amount: i64) -> (OrderId, PaymentId, String) {
        let order = self.t.env.new_id();
        let id = self.begin(order, Method::Razorpay, amount).await;
        let next = self.payments.start(&op(), id).await.unwrap();
        (order, id, gateway_order(&next))
    }

    pub async fn cancel(&self, order: OrderId) {
        let payments = self.payments.clone();
        let write = move |tx: &mut Tx<'_>| payments.cancel_in(tx, order);
        self.t.db.write::<_, PaymentError, _>("test.cancel", write).await.unwrap();
    }

    pub async fn collected(&self, order: OrderId) {
        let payments = self.payments.clone();
        let write = move |tx: &mut Tx<'_>| payments.collected_in(tx, order);
        self.t.db.write::<_, PaymentError, _>("test.collected", write).await.unwrap();
    }

    pub async fn only(&self, order: OrderId) -> Payment {
        let mut all = self.payments.of_orders(&[order]).await.unwrap();
        assert_eq!(all.len(), 1);
        all.pop().unwrap()
    }

    pub async fn state(&self, order: OrderId) -> PaymentState {
        self.only(order).await.state
    }

    /// Moves the clock on and lets the jobs run, until all is quiet.
    pub async fn pass(&self, ms: i64) {
        self.t.clock.advance_ms(ms);
        self.jobs.drain().await.unwrap();
        assert_eq!(self.jobs.dead_count().await.unwrap(), 0, "no job may be given up");
    }

    pub async fn refund(
        &self,
        payment: PaymentId,
        amount: i64,
    ) -> (RefundId, Result<(), PaymentError>) {
        let id: RefundId = self.t.env.new_id();
        (id, self.refund_as(id, payment, amount).await)
    }

    pub async fn refund_as(
        &self,
        id: RefundId,
        payment: PaymentId,
        amount: i64,
    ) -> Result<(), PaymentError> {
        let reason = "returned".to_owned();
        let refund = NewRefund { id, payment_id: payment, amount: Paise(amount), reason };
        self.payments.refund(&op(), refund).await
    }

    /// The events since the last call: topics in order.
    pub async fn events(&self) -> Vec<String> {
        while self.bus.dispatch_once().await.unwrap() > 0 {}
        let heard = std::mem::take(&mut *self.heard.0.lock().unwrap());
        let mut topics: Vec<String> = heard.into_iter().map(|(topic, _)| topic).collect();
        topics.sort();
        topics
    }

    /// What the books say that an account has.
    pub async fn booked(&self, account: Account) -> i64 {
        let read = move |q: &mut mela_db::Query<'_>| {
            q.one(&BALANCE, &params![account.kind()])?.get::<i64>(0)
        };
        self.t.db.read::<_, DbError, _>("test.booked", read).await.unwrap()
    }

    /// Our books and the gateway's agree to the paisa.
    pub async fn agree(&self) {
        let ledger = self.get("/_sim/ledger?rows=0").await;
        let totals = &ledger["totals"];
        let theirs = totals["captured"].as_i64().unwrap() - totals["refunded"].as_i64().unwrap();
        assert_eq!(self.booked(Account::GatewayReceivable).await, theirs, "{totals}");
    }

    pub async fn get(&self, path: &str) -> Json {
        let url = format!("{}{path}", self.sim.as_ref().unwrap().ui_url());
        let bytes = reqwest::get(url).await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    pub async fn control(&self, path: &str, body: Json) -> Json {
        let url = format!("{}/_sim/{path}", self.sim.as_ref().unwrap().ui_url());
        let answer = reqwest::Client::new().post(url).body(body.to_string()).send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap();
        assert!(status.is_success(), "{path}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The shopper pays at the gateway; what their browser brings back.
    pub async fn pay(&self, gateway_order: &str, outcome: &str) -> Vec<(String, String)> {
        let body = json!({ "order_id": gateway_order, "outcome": outcome });
        let paid = self.control("razorpay/pay", body).await;
        fields(&paid["callback"])
    }

    /// A fault for the next call of an operation.
    pub async fn fault(&self, operation: &str, kind: &str) {
        let fault =
            json!({ "provider": "razorpay", "operation": operation, "kind": kind, "hang_ms": 0 });
        self.control("faults", fault).await;
    }
}

pub fn fields(callback: &Json) -> Vec<(String, String)> {
    let object = callback.as_object().unwrap();
    object.iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned())).collect()
}

pub fn gateway_order(next: &NextStep) -> String {
    let NextStep::HostedPage { fields, .. } = next else { panic!("nothing to pay: {next:?}") };
    fields.iter().find(|(n, _)| n == "order_id").unwrap().1.clone()
}

pub fn hmac(secret: &str, message: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    mela_crypto::hex(ring::hmac::sign(&key, message).as_ref())
}
