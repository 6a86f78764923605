//! Wiring: the one place that names every implementation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mela_base::ids::LocationId;
use mela_base::{Env, ErrorKind, Fault, Id, Op, Paise};
use mela_blob::BlobStore;
use mela_bus::Bus;
use mela_catalog::CatalogService;
use mela_config::Config;
use mela_crypto::{TokenSigner, Vault};
use mela_db::{Db, DbConfig, MigrationSet};
use mela_identity::{IdentityConfig, IdentityDeps, IdentityService};
use mela_inventory::InventoryService;
use mela_inventory_api::{Inventory, Location};
use mela_jobs::Jobs;
use mela_messaging::MessagingService;
use mela_notify::{DltConfig, DltSms, SmtpConfig, SmtpMail, SmtpTls};
use mela_notify_api::{MailSender, SmsSender};
use mela_orders::{OrdersConfig, OrdersDeps, OrdersService};
use mela_payments::{PaymentsConfig, PaymentsDeps, PaymentsService, RazorpayConfig};
use mela_play::{PlayService, QuizConfig, read_questions};
use mela_search::SearchService;
use mela_shipping::{ShippingConfig, ShippingDeps, ShippingService, ShipwayConfig};
use mela_telemetry::Metrics;
use mela_wallet::WalletService;

/// Something that ends a command, told to the person at the terminal.
pub(crate) struct Problem(String);

impl Problem {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }

    /// A module's error, with what the public would not be told.
    pub(crate) fn internal(error: &dyn Fault) -> Self {
        if error.kind() == ErrorKind::Internal {
            Self(format!("{error} ({error:?})"))
        } else {
            Self(error.to_string())
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tables of everything, in an order that respects references.
pub(crate) const MIGRATIONS: &[MigrationSet] = &[
    mela_crypto::MIGRATIONS,
    mela_bus::MIGRATIONS,
    mela_jobs::MIGRATIONS,
    mela_wallet::MIGRATIONS,
    mela_identity::MIGRATIONS,
    mela_catalog::MIGRATIONS,
    mela_inventory::MIGRATIONS,
    mela_payments::MIGRATIONS,
    mela_shipping::MIGRATIONS,
    mela_orders::MIGRATIONS,
    mela_messaging::MIGRATIONS,
    mela_play::MIGRATIONS,
];

/// Time that a provider gets to answer.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Who works with the search index: only one process can have it open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    /// This process.
    Open,
    /// The server, if one runs; it follows the store. Commands that do not search leave it alone, so
    /// that they work beside a running server.
    Leave,
}

/// All modules, wired and migrated; nothing runs yet.
pub(crate) struct Shop {
    pub(crate) env: Env,
    pub(crate) db: Db,
    pub(crate) bus: Bus,
    pub(crate) jobs: Jobs,
    pub(crate) metrics: Metrics,
    pub(crate) catalog: CatalogService,
    pub(crate) search: SearchService,
    pub(crate) inventory: Arc<InventoryService>,
    pub(crate) identity: IdentityService,
    pub(crate) wallet: Arc<WalletService>,
    pub(crate) payments: PaymentsService,
    pub(crate) shipping: ShippingService,
    pub(crate) messaging: MessagingService,
    pub(crate) orders: OrdersService,
    pub(crate) play: PlayService,
}

impl Shop {
    /// Opens the database, brings its tables up to date and wires the modules.
    pub(crate) async fn open(
        config: &Config,
        env: Env,
        quiz: QuizConfig,
        index: Index,
    ) -> Result<Self, Problem> {
        usable(&config.data.dir)?;
        let db = open_db(config, env.clone())?;
        let keys = config.security.open_keys(&env).map_err(Problem::new)?;
        if let Some(file) = &keys.file {
            if file.created {
                tracing::info!(
                    "made a master key in the data folder: back it up, without it personal data cannot be read"
                );
            }
            if file.open_to_others {
                tracing::warn!("the master key file can be read by other users of this machine");
            }
        }
        let vault = Vault::new(keys.keyring, env.clone());
        let order_key_secret = vault.keyring().derive("orders.order_key");
        let bus = Bus::new(db.clone(), env.clone());
        let jobs = Jobs::new(db.clone(), env.clone());
        let metrics = Metrics::default();
        let blobs =
            BlobStore::open(config.data.dir.join("blobs"), env.clone()).map_err(Problem::new)?;

        let sms: Arc<dyn SmsSender> =
            Arc::new(DltSms::new(sms_config(config)).map_err(|e| Problem::internal(&e))?);
        let mail: Arc<dyn MailSender> = Arc::new(
            SmtpMail::new(mail_config(config), env.clone()).map_err(|e| Problem::internal(&e))?,
        );
        let wallet = Arc::new(WalletService::new(db.clone(), env.clone()));
        let inventory = Arc::new(InventoryService::new(db.clone(), env.clone()));
        let catalog = CatalogService::new(db.clone(), env.clone(), blobs.clone());
        let searched = Arc::new(catalog.clone());
        let search = match index {
            Index::Open => SearchService::open(&config.data.dir.join("search"), searched),
            Index::Leave => SearchService::in_memory(searched),
        }
        .map_err(|e| Problem::new(e.context()))?;
        let messaging = MessagingService::new(db.clone(), env.clone(), bus.clone());

        let signing = vault.clone();
        let keys = db
            .write("crypto.signing_keys", move |tx| signing.ensure_signing_keys(tx))
            .await
            .map_err(Problem::new)?;
        let signer = TokenSigner::new(env.clone(), "mela", "mela", keys).map_err(Problem::new)?;
        let identity = IdentityService::new(IdentityDeps {
            db: db.clone(),
            env: env.clone(),
            bus: bus.clone(),
            vault: vault.clone(),
            signer,
            sms: sms.clone(),
            config: identity_config(config),
        })
        .await
        .map_err(|e| Problem::internal(&e))?;

        let payments = PaymentsService::new(
            PaymentsDeps { db: db.clone(), env: env.clone(), wallet: wallet.clone() },
            payments_config(config),
        )
        .map_err(|e| Problem::new(e.context()))?;
        let shipping = ShippingService::new(
            ShippingDeps { db: db.clone(), env: env.clone() },
            shipping_config(config),
        )
        .map_err(|e| Problem::new(e.context()))?;
        let orders = OrdersService::new(OrdersDeps {
            db: db.clone(),
            env: env.clone(),
            bus: bus.clone(),
            vault,
            blobs,
            catalog: Arc::new(catalog.clone()),
            inventory: inventory.clone(),
            payments: Arc::new(payments.clone()),
            wallet: wallet.clone(),
            shipping: Arc::new(shipping.clone()),
            messaging: Arc::new(messaging.clone()),
            sms,
            mail,
            config: orders_config(config, order_key_secret),
        });
        let questions = read_questions(include_str!("../demo-shop/quiz.json"))
            .map_err(|e| Problem::new(e.context()))?;
        let play = PlayService::new(db.clone(), env.clone(), wallet.clone(), quiz, questions);

        let shop = Self {
            env,
            db,
            bus,
            jobs,
            metrics,
            catalog,
            search,
            inventory,
            identity,
            wallet,
            payments,
            shipping,
            messaging,
            orders,
            play,
        };
        shop.ensure_location(config).await?;
        shop.connect();
        Ok(shop)
    }

    /// Lets the modules hear each other and know their jobs. Every process registers all consumers,
    /// whichever of them it runs.
    fn connect(&self) {
        self.wallet.subscribe(&self.bus);
        self.wallet.register_jobs(&self.jobs);
        mela_inventory::register_jobs(&self.jobs, &self.inventory);
        self.identity.register_jobs(&self.jobs);
        self.catalog.subscribe(&self.bus);
        self.catalog.register_jobs(&self.jobs);
        self.payments.subscribe(&self.bus);
        self.payments.register_jobs(&self.jobs);
        self.shipping.subscribe(&self.bus);
        self.shipping.register_jobs(&self.jobs);
        self.messaging.subscribe(&self.bus);
        self.orders.subscribe(&self.bus);
        self.orders.register_jobs(&self.jobs);
        self.play.subscribe(&self.bus);
    }

    /// The shop's own address is the first dispatch location.
    async fn ensure_location(&self, config: &Config) -> Result<(), Problem> {
        let found = self.inventory.locations().await.map_err(|e| Problem::internal(&e))?;
        if !found.is_empty() {
            return Ok(());
        }
        let shop = &config.shop;
        let location = Location {
            id: LocationId(Id::from_name("location:main")),
            name: shop.name.clone(),
            gstin: shop.gstin.clone(),
            state_code: shop.state_code.clone(),
            address: format!("{}, {}", shop.address, shop.city),
            pincode: shop.pincode.clone(),
        };
        let op = Op::system("start");
        self.inventory.save_location(&op, location).await.map_err(|e| Problem::internal(&e))
    }

    /// The location that imports fill.
    pub(crate) async fn location(&self) -> Result<LocationId, Problem> {
        let found = self.inventory.locations().await.map_err(|e| Problem::internal(&e))?;
        found.first().map(|l| l.id).ok_or_else(|| Problem::new("the shop has no dispatch location"))
    }
}

/// Makes the data folder and sees that it can be written to, before anything is half-made in it.
fn usable(dir: &std::path::Path) -> Result<(), Problem> {
    let probe = dir.join(".probe");
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .or_else(|e| match e.kind() {
            // Another process looked at the same time.
            std::io::ErrorKind::NotFound if dir.is_dir() => Ok(()),
            _ => Err(Problem::new(format_args!(
                "cannot write to the data folder {}: {e}; choose another with --data",
                dir.display()
            ))),
        })
}

/// Opens the database and brings its tables up to date.
pub(crate) fn open_db(config: &Config, env: Env) -> Result<Db, Problem> {
    let mut db_config = DbConfig::new(config.database.url.expose().clone());
    if config.database.readers > 0 {
        db_config.readers = config.database.readers;
    }
    db_config.connections = config.database.connections;
    let db = Db::open(&db_config, env).map_err(Problem::new)?;
    let applied = db.migrate(MIGRATIONS).map_err(Problem::new)?;
    if !applied.is_empty() {
        tracing::info!(count = applied.len(), "brought the tables up to date");
    }
    Ok(db)
}

/// Where shoppers reach the shop.
pub(crate) fn public_url(config: &Config) -> String {
    if config.server.public_url.is_empty() {
        format!("http://{}", config.server.listen)
    } else {
        config.server.public_url.clone()
    }
}

fn sms_config(config: &Config) -> DltConfig {
    DltConfig {
        base_url: config.sms.base_url.clone(),
        api_key: config.sms.api_key.clone(),
        entity_id: config.sms.entity_id.clone(),
        header: config.sms.header.clone(),
        otp_template_id: config.sms.otp_template_id.clone(),
        timeout: PROVIDER_TIMEOUT,
    }
}

fn mail_config(config: &Config) -> SmtpConfig {
    SmtpConfig {
        host: config.mail.host.clone(),
        port: config.mail.port,
        from: config.mail.from.clone(),
        username: config.mail.username.clone(),
        password: config.mail.password.clone(),
        tls: SmtpTls::for_server(&config.mail.host, config.mail.port),
        timeout: PROVIDER_TIMEOUT,
    }
}

fn identity_config(config: &Config) -> IdentityConfig {
    let (security, limits) = (&config.security, &config.limits);
    IdentityConfig {
        otp_minutes: security.otp_minutes,
        otp_tries: security.otp_tries,
        otp_per_number_10min: limits.otp_per_number_10min,
        otp_per_number_day: limits.otp_per_number_day,
        otp_per_device_hour: limits.otp_per_device_hour,
        otp_per_ip_hour: limits.otp_per_ip_hour,
        access_minutes: security.access_token_minutes,
        customer_days: security.refresh_token_days,
        ..IdentityConfig::default()
    }
}

fn payments_config(config: &Config) -> PaymentsConfig {
    let razorpay = &config.razorpay;
    PaymentsConfig {
        public_url: public_url(config),
        shop_name: config.shop.name.clone(),
        razorpay: Some(RazorpayConfig {
            base_url: razorpay.base_url.clone(),
            key_id: razorpay.key_id.clone(),
            key_secret: razorpay.key_secret.clone(),
            webhook_secret: razorpay.webhook_secret.clone(),
            webhook_secret_previous: razorpay.webhook_secret_previous.clone(),
            timeout: PROVIDER_TIMEOUT,
        }),
    }
}

fn shipping_config(config: &Config) -> ShippingConfig {
    let shipway = &config.shipway;
    ShippingConfig {
        dispatch_pincode: config.shop.pincode.clone(),
        days_near: 2,
        days_far: 5,
        no_cash_pincodes: Vec::new(),
        shipway: ShipwayConfig {
            base_url: shipway.base_url.clone(),
            email: shipway.email.clone(),
            license_key: shipway.license_key.clone(),
            webhook_token: shipway.webhook_token.clone(),
            webhook_hash: mela_config::Secret::new(String::new()),
            carrier_id: Some("1".to_owned()),
            warehouse_id: None,
            timeout: PROVIDER_TIMEOUT,
        },
    }
}

fn orders_config(config: &Config, order_key_secret: [u8; 32]) -> OrdersConfig {
    OrdersConfig {
        shop_name: config.shop.name.clone(),
        legal_name: config.shop.legal_name.clone(),
        support_email: config.shop.support_email.clone(),
        invoice_series: config.shop.invoice_series.clone(),
        flat_shipping: Paise(config.shipping.flat_paise),
        free_above: Paise(config.shipping.free_above_paise),
        cod_fee: Paise(config.shipping.cod_fee_paise),
        cod_max: Paise(config.shipping.cod_max_paise),
        gateway: true,
        coins_percent: i64::from(config.coins.max_percent_of_order),
        paise_per_coin: config.coins.paise_per_coin,
        reservation_minutes: 15,
        order_key_secret,
        upi_id: config.shop.vpa.clone(),
    }
}
