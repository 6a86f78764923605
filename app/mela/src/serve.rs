//! The server: routes, workers, and a shutdown that drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use mela_config::{Config, LogFormat, Role, Switch};
use mela_gql::{GraphqlConfig, Limits, ShopInfo};
use mela_http::{Proxies, Readiness, RequestIds};
use mela_play::QuizConfig;
use mela_search_api::Search;
use mela_sim::{Sim, SimConfig};
use mela_telemetry::LogGuard;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_http::compression::CompressionLayer;

use crate::cli;
use crate::shop::{Index, Problem, Shop};

/// A server that runs.
pub(crate) struct Server {
    pub(crate) shop: Arc<Shop>,
    pub(crate) addr: SocketAddr,
    readiness: Readiness,
    /// Stops accepting and finishes requests under way.
    drain: watch::Sender<bool>,
    /// Stops sockets, workers and schedules.
    stop: watch::Sender<bool>,
    http: JoinSet<()>,
    workers: JoinSet<()>,
    grace: Duration,
}

/// `mela serve`: runs until it is told to stop.
pub(crate) async fn run(mut config: Config) -> Result<(), Problem> {
    let _log = log(&config)?;
    let asked = config.server.listen;
    let listener = TcpListener::bind(asked).await.map_err(|e| {
        Problem::new(format_args!(
            "cannot listen on {asked}: {e}; choose another with --set server.listen=127.0.0.1:PORT"
        ))
    })?;
    // Port 0 asks for a free one: only now is it known where shoppers and gateways come back to.
    config.server.listen = listener.local_addr().map_err(Problem::new)?;
    if config.server.public_url == format!("http://{asked}") {
        config.server.public_url = format!("http://{}", config.server.listen);
    }
    let shop = Shop::open(&config, cli::env(), QuizConfig::default(), Index::Open).await?;
    let server = Server::start(&config, shop, listener).await?;
    // For whoever started us, also with logging off.
    println!("listening on http://{}", server.addr);
    tracing::info!(url = %format_args!("http://{}", server.addr), "serving");
    stop_signal().await;
    tracing::info!("stopping: finishing what is under way");
    server.stop().await;
    Ok(())
}

/// `mela sim`: the simulators alone.
pub(crate) async fn simulators(http_port: u16, smtp_port: u16, shop: &str) -> Result<(), Problem> {
    let mut config = SimConfig { http_port, smtp_port, ..SimConfig::default() };
    config.sms.templates = sms_templates();
    config.sms.api_key = None;
    config.razorpay.webhook_url = Some(format!("{shop}/webhooks/payments/razorpay"));
    config.shipway.webhook_url = Some(format!("{shop}/webhooks/shipway/simulator-webhook-token"));
    let sim = mela_sim::start(config).await.map_err(Problem::new)?;
    println!("Simulators of Razorpay, Shipway, SMS and mail are running.");
    println!("  look at them  {}", sim.ui_url());
    println!("  mail catcher  {}", sim.smtp_addr());
    println!("Stop with Ctrl-C.");
    stop_signal().await;
    sim.shutdown().await;
    Ok(())
}

/// The texts that the shop sends, as registered on DLT.
pub(crate) fn sms_templates() -> Vec<mela_sim::SmsTemplate> {
    mela_notify::TEMPLATES
        .iter()
        .map(|t| mela_sim::SmsTemplate {
            template_id: t.id.to_owned(),
            header: "MELAIN".to_owned(),
            category: mela_sim::SmsCategory::ServiceImplicit,
            text: t.text.to_owned(),
        })
        .collect()
}

/// Starts logging.
pub(crate) fn log(config: &Config) -> Result<LogGuard, Problem> {
    let format = match config.log.format {
        LogFormat::Pretty => mela_telemetry::LogFormat::Pretty,
        LogFormat::Json => mela_telemetry::LogFormat::Json,
    };
    mela_telemetry::init(format, &config.log.level).map_err(Problem::new)
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        if let Ok(mut term) = term {
            tokio::select! {
                _ = interrupt => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}

impl Server {
    /// Serves on `listener` what the roles say.
    pub(crate) async fn start(
        config: &Config,
        shop: Shop,
        listener: TcpListener,
    ) -> Result<Self, Problem> {
        let shop = Arc::new(shop);
        let addr = listener.local_addr().map_err(Problem::new)?;
        let has = |role: Role| config.server.roles.contains(&role);
        let (drain, draining) = watch::channel(false);
        let (stop, stopping) = watch::channel(false);
        let search = shop.search.clone();
        let readiness = Readiness::new(move || {
            if search.ready() { Ok(()) } else { Err("the search index is being built") }
        });

        let mut workers = JoinSet::new();
        {
            let (shop, stopping) = (shop.clone(), stopping.clone());
            workers.spawn(async move { shop.identity.run(stopping).await });
        }
        shop.search.subscribe(&shop.bus);
        if has(Role::Worker) {
            let (shop_jobs, stop_jobs) = (shop.clone(), stopping.clone());
            workers.spawn(async move { shop_jobs.jobs.run(stop_jobs).await });
            let (shop, stopping) = (shop.clone(), stopping.clone());
            workers.spawn(async move { shop.bus.run(stopping).await });
        } else {
            let (shop, stopping) = (shop.clone(), stopping.clone());
            workers.spawn(async move { shop.bus.run_live(stopping).await });
        }
        if has(Role::Play) {
            let (shop, stopping) = (shop.clone(), stopping.clone());
            workers.spawn(async move { shop.play.run(stopping).await });
        }

        let ops = ops_router(&shop, &readiness);
        let mut app = Router::new();
        let mut http = JoinSet::new();
        if config.metrics.listen.is_empty() {
            app = app.merge(ops);
        } else {
            let private = TcpListener::bind(&config.metrics.listen).await.map_err(|e| {
                Problem::new(format_args!(
                    "cannot listen on {} for metrics: {e}",
                    config.metrics.listen
                ))
            })?;
            spawn_http(&mut http, private, ops, draining.clone());
        }
        if has(Role::Web) || has(Role::Checkout) {
            app = app.merge(api_router(config, &shop, stopping.clone()));
        }
        if has(Role::Play) {
            let play = Arc::new(shop.play.clone());
            let identity = Arc::new(shop.identity.clone());
            app = app.merge(mela_realtime::router(play, identity, &shop.metrics, stopping.clone()));
        }
        if has(Role::Web) {
            app = app.merge(mela_web::router(!config.is_production()));
        }
        let app = app
            .layer(axum::middleware::from_fn_with_state(
                Proxies(config.server.proxies),
                mela_http::client_addresses,
            ))
            .layer(axum::middleware::from_fn_with_state(
                RequestIds(shop.env.clone()),
                mela_http::request_ids,
            ));
        spawn_http(&mut http, listener, app, draining);
        readiness.set(true);
        let grace = Duration::from_secs(config.server.shutdown_grace_s);
        Ok(Self { shop, addr, readiness, drain, stop, http, workers, grace })
    }

    /// Stops: no new connections, requests under way finish, then workers, then the database.
    pub(crate) async fn stop(mut self) {
        self.readiness.set(false);
        let _ = self.drain.send(true);
        let _ = self.stop.send(true);
        let requests = async { while self.http.join_next().await.is_some() {} };
        if tokio::time::timeout(self.grace, requests).await.is_err() {
            tracing::warn!("some requests did not finish in time");
            self.http.abort_all();
        }
        let workers = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(self.grace, workers).await.is_err() {
            tracing::warn!("some work did not finish in time; it goes on after the next start");
            self.workers.abort_all();
        }
        self.shop.db.close().await;
    }
}

fn spawn_http(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    app: Router,
    mut draining: watch::Receiver<bool>,
) {
    let listener = listener.tap_io(|stream| {
        // Answers are small: waiting to fill a packet only adds latency.
        let _ = stream.set_nodelay(true);
    });
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tasks.spawn(async move {
        let until = async move {
            let _ = draining.wait_for(|drain| *drain).await;
        };
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until).await {
            tracing::error!(%error, "the listener failed");
        }
    });
}

fn ops_router(shop: &Arc<Shop>, readiness: &Readiness) -> Router {
    let db = shop.db.clone();
    let more: mela_http::MoreMetrics = Arc::new(move || crate::metrics::of_db(&db));
    mela_http::ops_router(readiness.clone(), shop.metrics.clone(), more)
}

fn api_router(config: &Config, shop: &Arc<Shop>, stopping: watch::Receiver<bool>) -> Router {
    let free = config.shipping.free_above_paise;
    let info = ShopInfo {
        name: config.shop.name.clone(),
        support_email: Some(config.shop.support_email.clone()).filter(|e| !e.is_empty()),
        paise_per_coin: config.coins.paise_per_coin,
        coins_max_percent: i64::from(config.coins.max_percent_of_order),
        free_shipping_above: (free > 0).then_some(mela_base::Paise(free)),
    };
    let services = mela_gql::Services {
        catalog: Arc::new(shop.catalog.clone()),
        search: Arc::new(shop.search.clone()),
        inventory: shop.inventory.clone(),
        identity: Arc::new(shop.identity.clone()),
        orders: Arc::new(shop.orders.clone()),
        payments: Arc::new(shop.payments.clone()),
        shipping: Arc::new(shop.shipping.clone()),
        wallet: shop.wallet.clone(),
        messaging: Arc::new(shop.messaging.clone()),
        boards: Arc::new(shop.play.clone()),
        shop: Arc::new(info),
    };
    let files = mela_http::Services {
        catalog: services.catalog.clone(),
        identity: services.identity.clone(),
        orders: services.orders.clone(),
        payments: services.payments.clone(),
        shipping: services.shipping.clone(),
    };
    let graphql = GraphqlConfig {
        limits: Limits { depth: config.limits.graphql_depth, cost: config.limits.graphql_cost },
        body_limit: config.server.body_limit_kib * 1024,
        cache: config.server.answer_cache == Switch::On,
    };
    let timeout = Duration::from_millis(config.server.request_timeout_ms);
    mela_gql::router(services, graphql, &shop.metrics, stopping)
        .layer(CompressionLayer::new())
        .merge(mela_http::router(files))
        .layer(tower_http::timeout::TimeoutLayer::with_status_code(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            timeout,
        ))
}

/// Simulators on free ports, which send webhooks once they know the shop's address.
pub(crate) async fn free_simulators() -> Result<Sim, Problem> {
    let mut config = SimConfig::default();
    config.sms.templates = sms_templates();
    config.sms.api_key = None;
    mela_sim::start(config).await.map_err(Problem::new)
}
