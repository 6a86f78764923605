//! Load generators and benchmarks: `mela bench checkout | catalog | start | import`.
//!
//! The server under test is this same binary as a child process, on a fresh database, with a
//! catalogue that was really imported; the load comes over HTTP from this process. An answer that
//! is refused ends the run with its code: only what worked is counted.

mod catalog;
mod checkout;
mod goods;
mod hist;
mod http;
mod load;
mod report;
mod server;
mod start;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

pub use report::Figure;

/// The first question to a fresh server: answered only when the catalogue can be read.
const FIRST: &str = r#"{"query":"{products(first:1){nodes{slug}}}"}"#;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BenchError(String);

impl BenchError {
    fn new(text: impl std::fmt::Display) -> Self {
        Self(text.to_string())
    }
}

/// Options of all benchmarks.
#[derive(clap::Args, Debug, Clone)]
pub struct Common {
    /// Database to measure; `both` takes twice the time
    #[arg(long, value_enum, default_value = "sqlite")]
    engine: Engines,
    /// Length of the main measured phase in seconds; the others are shorter
    #[arg(long, default_value_t = 6.0, value_parser = seconds)]
    seconds: f64,
    /// Connections of the load generator
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    connections: u16,
    /// Products of the generated catalogue
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=200_000))]
    products: Option<u32>,
    /// Roles of the server [default: without worker, whose jobs follow the order; start: all]
    #[arg(long, value_name = "ROLES")]
    role: Option<String>,
    /// A setting of the server, e.g. --set database.connections=32; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// `mela bench …`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand, Debug)]
enum Bench {
    /// Full guest checkouts and placing orders from ready carts
    Checkout {
        #[command(flatten)]
        common: Common,
    },
    /// Listings with and without the answer cache, product details
    Catalog {
        #[command(flatten)]
        common: Common,
    },
    /// From exec to the first answer, and idle memory
    Start {
        #[command(flatten)]
        common: Common,
    },
    /// Rows per second of an import without pictures
    Import {
        #[command(flatten)]
        common: Common,
        /// A folder with Magento's export files instead of the generated catalogue
        #[arg(long, value_name = "FOLDER")]
        catalog: Option<PathBuf>,
        /// Rupees for one unit of the files' prices
        #[arg(long, default_value = "1")]
        rate: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engines {
    Sqlite,
    Postgres,
    Both,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.5..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.5 to 3600".to_owned()),
    }
}

impl Common {
    fn engines(&self) -> &'static [Engine] {
        match self.engine {
            Engines::Sqlite => &[Engine::Sqlite],
            Engines::Postgres => &[Engine::Postgres],
            Engines::Both => &[Engine::Sqlite, Engine::Postgres],
        }
    }

    fn roles<'a>(&'a self, default: &'a str) -> &'a str {
        self.role.as_deref().unwrap_or(default)
    }

    fn connections(&self) -> usize {
        usize::from(self.connections)
    }

    fn settings(&self) -> Vec<(&str, String)> {
        self.set.iter().filter_map(|s| s.split_once('=')).map(|(k, v)| (k, v.to_owned())).collect()
    }
}

/// Runs a benchmark and prints its figures as they come.
pub async fn run(args: Args) -> Result<ExitCode, BenchError> {
    let common = match &args.bench {
        Bench::Checkout { common }
        | Bench::Catalog { common }
        | Bench::Start { common }
        | Bench::Import { common, .. } => common,
    };
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures say little; build with --release");
    }
    for engine in common.engines() {
        match &args.bench {
            Bench::Checkout { .. } => checkout::checkout(common, *engine).await?,
            Bench::Catalog { .. } => catalog::catalog(common, *engine).await?,
            Bench::Start { .. } => start::start(common, *engine).await?,
            Bench::Import { catalog, rate, .. } => {
                start::import(common, *engine, catalog.as_deref(), rate).await?
            }
        };
    }
    Ok(ExitCode::SUCCESS)
}
