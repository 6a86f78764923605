//! A small shop around a test's database.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mela_base::ids::{LocationId, OrderId, PersonId, ProductId, SessionId, VariantId};
use mela_base::{Actor, Env, Event, Id, Op, Paise, Timestamp};
use mela_blob::BlobStore;
use mela_bus::Bus;
use mela_catalog::CatalogService;
use mela_crypto::{Keyring, MasterKey, Vault};
use mela_db::{DbError, MigrationSet, Sql, Value, params};
use mela_inventory::InventoryService;
use mela_inventory_api::{Inventory, Location, StockLevel};
use mela_jobs::Jobs;
use mela_orders::{OrdersConfig, OrdersDeps, OrdersService};
use mela_orders_api::{
    Address, Cart, LineInput, NewCart, Order, OrderError, Orders, PlaceOrder, Placed,
};
use mela_payments::{PaymentsConfig, PaymentsDeps, PaymentsService};
use mela_payments_api::Method;
use mela_testkit::TestDb;
use mela_wallet::WalletService;
use mela_wallet_api::Wallet;

use crate::fakes::{Courier, Gateway, Inbox, Mailbox, Phones};

pub(crate) const SETS: &[MigrationSet] = &[
    mela_bus::MIGRATIONS,
    mela_jobs::MIGRATIONS,
    mela_crypto::MIGRATIONS,
    mela_catalog::MIGRATIONS,
    mela_inventory::MIGRATIONS,
    mela_wallet::MIGRATIONS,
    mela_payments::MIGRATIONS,
    mela_orders::MIGRATIONS,
];

const PRODUCT: Sql = Sql::new(
    "test.product",
    "INSERT INTO product (id, sku, slug, name_hi, active, version, source_hash, doc)
     VALUES (?1, ?2, ?2, ?3, ?4, 1, NULL, ?5)",
);
const VARIANT: Sql = Sql::new(
    "test.variant",
    "INSERT INTO variant (id, product_id, sku, name, price, mrp, hsn, weight_g, active, source_stock)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 250, ?8, NULL)",
);
const PRICE: Sql = Sql::new("test.price", "UPDATE variant SET price = ?2 WHERE id = ?1");
const OFF_SALE: Sql = Sql::new("test.off_sale", "UPDATE variant SET active = ?2 WHERE id = ?1");
const STOCK: Sql =
    Sql::new("test.stock", "SELECT on_hand, reserved FROM stock WHERE variant_id = ?1");
const INVOICES: Sql = Sql::new(
    "test.invoices",
    "SELECT invoice_number FROM customer_order WHERE invoice_number IS NOT NULL ORDER BY invoice_number",
);
const PAID: Sql = Sql::new(
    "test.paid",
    "UPDATE payment SET state = 'captured', captured = amount, refunded = ?2, kept = TRUE
     WHERE order_id = ?1",
);
const ORDERS: Sql = Sql::new("test.orders", "SELECT count(*) FROM customer_order");

/// The variants of the shop: number, HSN, price, stock.
pub(crate) const SHIRT: u8 = 1;
pub(crate) const BAG: u8 = 2;
pub(crate) const SUIT: u8 = 3;
pub(crate) const GONE: u8 = 9;
const GOODS: [(u8, &str, i64, i64); 4] = [
    (SHIRT, "6109", 49_900, 1_000),
    (BAG, "4202", 120_000, 1_000),
    (SUIT, "6203", 299_900, 1_000),
    (GONE, "9102", 50_000, 10),
];

pub(crate) fn variant(n: u8) -> VariantId {
    VariantId(Id::from_bytes([n; 16]))
}

pub(crate) fn line(n: u8, quantity: i64) -> LineInput {
    LineInput { variant_id: variant(n), quantity }
}

pub(crate) fn pune() -> LocationId {
    LocationId(Id::from_bytes([200; 16]))
}

/// In Pune: the same state as the goods.
pub(crate) fn address() -> Address {
    Address {
        name: "Asha Rao".into(),
        phone: "98765 43210".into(),
        email: Some("asha@example.in".into()),
        line1: "12 Laxmi Road".into(),
        line2: None,
        city: "Pune".into(),
        pincode: "411030".into(),
    }
}

pub(crate) fn address_at(pincode: &str) -> Address {
    Address { pincode: pincode.into(), ..address() }
}

pub(crate) fn anonymous() -> Op {
    Op { actor: Actor::Anonymous, ..Op::system("test") }
}

pub(crate) fn person_op(id: PersonId, guest: bool) -> Op {
    Op { actor: Actor::Person { id, guest, session: SessionId::default() }, ..Op::system("test") }
}

pub(crate) fn system() -> Op {
    Op::system("test")
}

pub(crate) struct Shop {
    pub(crate) t: TestDb,
    pub(crate) orders: OrdersService,
    pub(crate) inventory: InventoryService,
    pub(crate) wallet: Arc<WalletService>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) courier: Arc<Courier>,
    pub(crate) phones: Arc<Phones>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) inbox: Inbox,
    pub(crate) bus: Bus,
    pub(crate) jobs: Jobs,
    pub(crate) vault: Vault,
    blobs: PathBuf,
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.blobs);
    }
}

pub(crate) fn config() -> OrdersConfig {
    OrdersConfig::for_tests()
}

pub(crate) async fn shop(t: TestDb) -> Shop {
    shop_with(t, config()).await
}

pub(crate) async fn shop_with(t: TestDb, config: OrdersConfig) -> Shop {
    let (db, env) = (t.db.clone(), t.env.clone());
    let random: [u8; 8] = Env::system().random();
    let blobs = std::env::temp_dir().join(format!("mela-orders-{:x}", u64::from_le_bytes(random)));
    let store = BlobStore::open(&blobs, env.clone()).unwrap();
    let wallet = Arc::new(WalletService::new(db.clone(), env.clone()));
    let inventory = InventoryService::new(db.clone(), env.clone());
    let catalog = CatalogService::new(db.clone(), env.clone(), store.clone());
    let real = PaymentsService::new(
        PaymentsDeps { db: db.clone(), env: env.clone(), wallet: wallet.clone() },
        PaymentsConfig {
            public_url: "http://shop.example".into(),
            shop_name: "Mela".into(),
            razorpay: None,
        },
    )
    .unwrap();
    let gateway = Arc::new(Gateway {
        real,
        down: false.into(),
        started: Default::default(),
        refunds: Default::default(),
        left: Default::default(),
    });
    let keyring = Keyring::new(MasterKey::generate(&env), None).unwrap();
    let vault = Vault::new(keyring, env.clone());
    let (bus, jobs) = (Bus::new(db.clone(), env.clone()), Jobs::new(db.clone(), env.clone()));
    let courier = Arc::new(Courier::default());
    let (phones, mailbox, inbox) =
        (Arc::new(Phones::default()), Arc::new(Mailbox::default()), Inbox::default());
    let orders = OrdersService::new(OrdersDeps {
        db,
        env,
        bus: bus.clone(),
        vault: vault.clone(),
        blobs: store,
        catalog: Arc::new(catalog),
        inventory: Arc::new(inventory.clone()),
        payments: gateway.clone(),
        wallet: wallet.clone(),
        shipping: courier.clone(),
        messaging: Arc::new(inbox.clone()),
        sms: phones.clone(),
        mail: mailbox.clone(),
        config,
    });
    orders.subscribe(&bus);
    orders.register_jobs(&jobs);
    wallet.subscribe(&bus);
    let shop = Shop {
        t,
        orders,
        inventory,
        wallet,
        gateway,
        courier,
        phones,
        mailbox,
        inbox,
        bus,
        jobs,
        vault,
        blobs,
    };
    shop.fill().await;
    shop
}

impl Shop {
    async fn fill(&self) {
        let location = Location {
            id: pune(),
            name: "Pune".into(),
            gstin: "27AAPFU0939F1ZV".into(),
            state_code: "27".into(),
            address: "1 Market Yard, Pune 411037".into(),
            pincode: "411037".into(),
        };
        self.inventory.save_location(&system(), location).await.unwrap();
        self.t
            .db
            .write("test.goods", |tx| {
                for (n, hsn, price, _) in GOODS {
                    let product = ProductId(Id::from_bytes([n; 16]));
                    let sku = format!("SKU{n}");
                    let active = n != GONE;
                    let doc = serde_json::json!({});
                    tx.exec(&PRODUCT, &params![product, &sku, "कुर्ता", true, doc])?;
                    tx.exec(
                        &VARIANT,
                        &params![
                            variant(n),
                            product,
                            &sku,
                            format!("Thing {n}"),
                            price,
                            price,
                            hsn,
                            active
                        ],
                    )?;
                }
                Ok::<_, DbError>(())
            })
            .await
            .unwrap();
        for (n, _, _, stock) in GOODS {
            self.stock_up(n, stock).await;
        }
        // Locations are in memory, as they are in a shop that runs.
        self.inventory.locations().await.unwrap();
        self.settle().await;
    }

    pub(crate) async fn stock_up(&self, n: u8, on_hand: i64) {
        let level = StockLevel { variant_id: variant(n), location_id: pune(), on_hand };
        self.inventory.set_stock(&system(), &[level]).await.unwrap();
    }

    pub(crate) async fn set_price(&self, n: u8, price: i64) {
        self.run(&PRICE, params![variant(n), price].to_vec()).await;
    }

    pub(crate) async fn off_sale(&self, n: u8) {
        self.run(&OFF_SALE, params![variant(n), false].to_vec()).await;
    }

    /// The gateway's money is here, less what was given back by hand; nobody has said so yet.
    pub(crate) async fn paid(&self, id: OrderId, refunded: Paise) {
        self.run(&PAID, params![id, refunded].to_vec()).await;
    }

    pub(crate) async fn run(&self, sql: &'static Sql, params: Vec<Value>) {
        self.t
            .db
            .write("test.run", move |tx| tx.exec(sql, &params))
            .await
            .map_err(|e: DbError| e)
            .unwrap();
    }

    /// Fetches the locations anew when the clock has made them old.
    pub(crate) async fn inventory_is_known(&self) {
        self.inventory.locations().await.unwrap();
    }

    /// On hand and reserved.
    pub(crate) async fn stock(&self, n: u8) -> (i64, i64) {
        self.t
            .db
            .read("test.stock", move |q| {
                let row = q.one(&STOCK, &params![variant(n)])?;
                Ok::<_, DbError>((row.get(0)?, row.get(1)?))
            })
            .await
            .unwrap()
    }

    pub(crate) async fn invoices(&self) -> Vec<String> {
        self.t
            .db
            .read("test.invoices", |q| {
                q.all(&INVOICES, &[])?.iter().map(|row| row.get(0)).collect::<Result<_, DbError>>()
            })
            .await
            .unwrap()
    }

    pub(crate) async fn order_count(&self) -> i64 {
        self.t
            .db
            .read("test.orders", |q| q.one(&ORDERS, &[])?.get(0))
            .await
            .map_err(|e: DbError| e)
            .unwrap()
    }

    /// A person with a key, as identity makes them.
    pub(crate) async fn person(&self) -> PersonId {
        let (vault, id) = (self.vault.clone(), self.t.env.new_id::<PersonId>());
        self.t
            .db
            .write("test.person", move |tx| {
                vault
                    .create_person_key(tx, id)
                    .map(|_| id)
                    .map_err(|e| DbError::Other(e.to_string()))
            })
            .await
            .unwrap()
    }

    pub(crate) async fn cart(&self, op: &Op, lines: &[LineInput]) -> Cart {
        let new = NewCart { lines: lines.to_vec(), address: Some(address()), coupon: None };
        self.orders.create_cart(op, new).await.unwrap()
    }

    pub(crate) async fn place(
        &self,
        op: &Op,
        cart: &Cart,
        method: Method,
        key: &str,
    ) -> Result<Placed, OrderError> {
        self.orders.place_order(op, self.request(cart, method, key)).await
    }

    pub(crate) fn request(&self, cart: &Cart, method: Method, key: &str) -> PlaceOrder {
        PlaceOrder {
            cart_id: cart.id,
            method,
            expected_to_pay: Some(cart.totals.to_pay),
            idempotency_key: key.into(),
        }
    }

    /// Lets events and jobs run until nothing is left to do.
    pub(crate) async fn settle(&self) {
        loop {
            let events = self.bus.dispatch_once().await.unwrap();
            let jobs = self.jobs.drain().await.unwrap();
            if events + jobs == 0 {
                break;
            }
        }
        let dead = self.jobs.dead_letters().await.unwrap();
        assert!(dead.is_empty(), "{dead:?}");
    }

    /// Says something that another module would say.
    pub(crate) async fn announce<E: Event + Clone + Send + Sync + 'static>(&self, event: E) {
        let env = self.t.env.clone();
        self.t.db.write("test.announce", move |tx| mela_bus::emit(tx, &env, &event)).await.unwrap();
        self.settle().await;
    }

    pub(crate) async fn get(&self, id: OrderId) -> Order {
        self.orders.order(&system(), id, None).await.unwrap()
    }

    pub(crate) async fn coins(&self, person: PersonId) -> (i64, i64) {
        let balance = self.wallet.balance(person).await.unwrap();
        (balance.available, balance.held)
    }

    pub(crate) async fn grant(&self, person: PersonId, coins: i64) {
        self.wallet.grant(&system(), person, coins, &format!("test-{person}")).await.unwrap();
    }

    /// The books balance. Every test ends here.
    pub(crate) async fn check(&self) {
        let check = self.wallet.check().await.unwrap();
        assert_eq!((check.sum_coin, check.sum_paise), (0, 0));
        assert!(check.wrong.is_empty());
    }

    pub(crate) fn gateway_down(&self, down: bool) {
        self.gateway.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.t.env.now()
    }
}

pub(crate) fn rupees(n: i64) -> Paise {
    Paise::rupees(n)
}
