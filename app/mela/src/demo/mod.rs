//! `mela demo`: a filled shop with simulated providers, in one process.

mod client;
mod socket;
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use include_dir::{Dir, include_dir};
use mela_catalog_api::Catalog;
use mela_config::{Config, Inputs};
use mela_play::QuizConfig;
use mela_sim::Sim;
use tokio::net::TcpListener;

use crate::cli::env;
use crate::import::{Files, Told, into_shop};
use crate::serve::{self, Server, free_simulators};
use crate::shop::{Index, Problem, Shop};

/// The shop of our own making.
static FAIR: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/demo-shop");

/// Rupees for a US dollar in `--catalog`: Magento's sample data is priced in dollars.
const USD: &str = "84.50";
/// How long a parcel of the demo takes from one step to the next, in ms.
const PARCEL_STEP_MS: u64 = 8_000;

pub(crate) struct Options {
    pub(crate) once: bool,
    pub(crate) catalog: Option<PathBuf>,
    pub(crate) data: PathBuf,
    pub(crate) port: u16,
}

/// A running demo.
pub(crate) struct Demo {
    pub(crate) server: Server,
    pub(crate) sim: Sim,
    pub(crate) url: String,
}

pub(crate) async fn run(options: &Options) -> Result<ExitCode, Problem> {
    let began = Instant::now();
    let demo = start(options).await?;
    if options.once {
        let held = walk::walk(&demo).await;
        demo.server.stop().await;
        demo.sim.shutdown().await;
        println!("took {:.1} s", began.elapsed().as_secs_f64());
        return Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    println!();
    println!("The fair is open.");
    println!();
    println!("  shop              {}", demo.url);
    println!("  API explorer      {}/graphiql", demo.url);
    println!("  phone and mail    {}   (login codes and invoices arrive here)", demo.sim.ui_url());
    println!("  health, metrics   {0}/readyz  {0}/metrics", demo.url);
    println!();
    println!("Try this:");
    println!("  1. open the shop, play a quiz round, win coins");
    println!("  2. log in with any Indian mobile number, e.g. 98765 43210;");
    println!("     the code arrives at the page for phone and mail");
    println!("  3. buy something with coins and UPI: the simulator's page asks how it shall end");
    println!("  4. watch the order: its parcel moves every {} s", PARCEL_STEP_MS / 1_000);
    println!();
    println!("Data is kept in {}. Stop with Ctrl-C.", options.data.display());
    serve::stop_signal().await;
    println!("closing …");
    demo.server.stop().await;
    demo.sim.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

async fn start(options: &Options) -> Result<Demo, Problem> {
    let sim = free_simulators().await?;
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await.map_err(|e| {
        Problem::new(format_args!(
            "cannot listen on port {}: {e}; choose another with --port",
            options.port
        ))
    })?;
    let addr = listener.local_addr().map_err(Problem::new)?;
    let url = format!("http://{addr}");
    let level = if options.once { "warn" } else { "warn,mela=info" };
    let sms_base = sim.sms_url().trim_end_matches("/sms/send").to_owned();
    let flags = [
        ("server.listen", addr.to_string()),
        ("data.dir", options.data.to_string_lossy().into_owned()),
        ("shop.name", "Mela".to_owned()),
        ("razorpay.base_url", sim.razorpay_url()),
        ("shipway.base_url", sim.shipway_url()),
        ("sms.base_url", sms_base),
        ("mail.port", sim.smtp_addr().port().to_string()),
        ("log.level", level.to_owned()),
    ];
    let flags = flags.map(|(key, value)| (key.to_owned(), value)).to_vec();
    let config = Config::load(&Inputs { flags, ..Inputs::default() }).map_err(Problem::new)?;
    let log = serve::log(&config)?;
    // The demo lives as long as the process.
    std::mem::forget(log);

    let token = config.shipway.webhook_token.expose();
    sim.set_razorpay_webhook(Some(format!("{url}/webhooks/payments/razorpay")));
    sim.set_shipway_webhook(Some(format!("{url}/webhooks/shipway/{token}")));

    let quiz = if options.once {
        QuizConfig { lobby_ms: 1_000, reveal_ms: 400, bot_ms: (300, 900), ..QuizConfig::default() }
    } else {
        QuizConfig::default()
    };
    let shop = Shop::open(&config, env(), quiz, Index::Open).await?;
    fill(&shop, options).await?;
    let server = Server::start(&config, shop, listener).await?;
    if !options.once {
        set_parcel_steps(&sim).await?;
    }
    Ok(Demo { server, sim, url })
}

/// Fills the shop; on a filled shop this changes nothing.
async fn fill(shop: &Shop, options: &Options) -> Result<(), Problem> {
    let before = shop.catalog.product_count().await.map_err(|e| Problem::internal(&e))?;
    let report = if let Some(folder) = &options.catalog {
        let told = if before == 0 { Told::Short } else { Told::Nothing };
        into_shop(shop, &Files::Magento(folder), USD, true, told).await?
    } else {
        let folder = options.data.join("fair");
        unpack(&folder).map_err(|e| {
            Problem::new(format_args!(
                "cannot write the demo's catalogue to {}: {e}",
                folder.display()
            ))
        })?;
        into_shop(shop, &Files::Magento(&folder), "1", true, Told::Nothing).await?
    };
    let count = shop.catalog.product_count().await.map_err(|e| Problem::internal(&e))?;
    if report.changed_nothing() {
        println!("the shop has its {count} products already");
    } else {
        println!(
            "filled the shop: {count} products, {} variants, {} pictures",
            report.variants, report.pictures
        );
    }
    Ok(())
}

/// Writes the built-in catalogue to a folder, as the importer reads folders.
fn unpack(folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    FAIR.extract(folder)
}

/// Lets parcels move by themselves.
async fn set_parcel_steps(sim: &Sim) -> Result<(), Problem> {
    let url = format!("{}/_sim/shipway/auto", sim.ui_url());
    let sent = reqwest::Client::new()
        .post(url)
        .json(&serde_json::json!({ "step_ms": PARCEL_STEP_MS }))
        .send()
        .await;
    sent.and_then(reqwest::Response::error_for_status).map(drop).map_err(Problem::new)
}
