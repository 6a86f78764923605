//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mela_base::Env;
use mela_config::{Config, Inputs};

use crate::shop::Problem;
use crate::{demo, import, maintenance, serve};

/// Mela: real-time games and e-commerce in one binary.
#[derive(Parser)]
#[command(
    version,
    after_help = "Start with `mela demo`: a shop with a game, filled, with simulated providers."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Where settings come from; see docs/configuration.md.
#[derive(Args, Clone, Default)]
pub(crate) struct Settings {
    /// Configuration file [default: mela.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for database, keys, media and search index
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// One setting, e.g. --set shop.name="Asha's Fair"; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
}

#[derive(Subcommand)]
enum Command {
    /// Start a filled shop with simulated providers on free ports, and say what to try
    Demo {
        /// Walk the whole main job once without a person, then stop; exit 0 only if every step held
        #[arg(long)]
        once: bool,
        /// Fill the shop from this folder (Magento 2 export, prices in USD) instead of the built-in fair
        #[arg(long, value_name = "FOLDER")]
        catalog: Option<PathBuf>,
        /// Folder for the demo's data
        #[arg(long, value_name = "FOLDER", default_value = "mela-demo")]
        data: PathBuf,
        /// Port of the shop; 0 takes a free one
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Run the server
    Serve {
        #[command(flatten)]
        settings: Settings,
        /// What this process does: web, checkout, play, worker [default: all]
        #[arg(long, value_delimiter = ',', value_name = "ROLES")]
        role: Vec<String>,
    },
    /// Run the provider simulators alone
    Sim {
        /// Port of the HTTP simulators
        #[arg(long, default_value_t = 9701)]
        port: u16,
        /// Port of the mail catcher
        #[arg(long, default_value_t = 9725)]
        smtp_port: u16,
        /// Where the shop runs, so that webhooks reach it
        #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
        shop: String,
    },
    /// Import a catalogue
    Import {
        #[command(subcommand)]
        source: import::Source,
    },
    /// Build the search index anew from the store
    Reindex {
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the effective configuration, secrets masked
    Config {
        #[command(flatten)]
        settings: Settings,
    },
    /// Jobs and events that failed for good
    Dead {
        #[command(subcommand)]
        action: maintenance::Dead,
    },
    /// Staff accounts
    Staff {
        #[command(subcommand)]
        action: maintenance::Staff,
    },
    /// Check the ledger against itself
    Ledger {
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the GraphQL schema (SDL)
    Schema,
    /// Measure this build
    Bench(mela_bench::Args),
}

/// Runs a command.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Problem> {
    match cli.command {
        Command::Demo { once, catalog, data, port } => {
            return demo::run(&demo::Options { once, catalog, data, port }).await;
        }
        Command::Serve { mut settings, role } => {
            if !role.is_empty() {
                settings.set.push(("server.roles".to_owned(), role.join(",")));
            }
            serve::run(settings.load()?).await?;
        }
        Command::Sim { port, smtp_port, shop } => serve::simulators(port, smtp_port, &shop).await?,
        Command::Import { source } => return import::run(source).await,
        Command::Reindex { settings } => maintenance::reindex(settings.load()?).await?,
        Command::Config { settings } => print!("{}", settings.load()?.effective_toml()),
        Command::Dead { action } => maintenance::dead(action).await?,
        Command::Staff { action } => maintenance::staff(action).await?,
        Command::Ledger { settings } => return maintenance::ledger(settings.load()?).await,
        Command::Schema => print!("{}", mela_gql::sdl()),
        Command::Bench(args) => return mela_bench::run(args).await.map_err(Problem::new),
    }
    Ok(ExitCode::SUCCESS)
}

impl Settings {
    /// Reads the configuration.
    pub(crate) fn load(&self) -> Result<Config, Problem> {
        let mut flags = self.set.clone();
        if let Some(data) = &self.data {
            flags.push(("data.dir".to_owned(), data.to_string_lossy().into_owned()));
        }
        let inputs = Inputs::of_process(self.config.as_deref(), flags).map_err(Problem::new)?;
        Config::load(&inputs).map_err(Problem::new)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "write it as section.name=value".to_owned())
}

/// The real world's clock and randomness.
pub(crate) fn env() -> Env {
    Env::system()
}
