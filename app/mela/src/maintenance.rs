//! What an operator does by hand.

use std::io::Read;
use std::process::ExitCode;

use clap::Subcommand;
use mela_base::ids::JobId;
use mela_base::{Op, Role};
use mela_config::Config;
use mela_identity_api::Identity;
use mela_play::QuizConfig;
use mela_wallet_api::Wallet;

use crate::cli::{Settings, env};
use crate::serve;
use crate::shop::{Index, Problem, Shop};

/// Failed things shown at once.
const SHOWN: u32 = 100;

#[derive(Subcommand)]
pub(crate) enum Dead {
    /// Show jobs and events that failed for good
    List {
        #[command(flatten)]
        settings: Settings,
    },
    /// Try a job again
    ReplayJob {
        /// `job_…`
        id: JobId,
        #[command(flatten)]
        settings: Settings,
    },
    /// Give an event to its consumer again
    ReplayEvent {
        /// The event's number, as listed
        seq: i64,
        /// The consumer, as listed
        consumer: String,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Subcommand)]
pub(crate) enum Staff {
    /// Add an account, or change role and password of the one with this e-mail; the password is
    /// read from standard input
    Save {
        /// Log-in name
        email: String,
        /// viewer, support, manager or owner
        #[arg(long, default_value = "owner")]
        role: String,
        #[command(flatten)]
        settings: Settings,
    },
}

async fn open(settings: &Settings) -> Result<Shop, Problem> {
    Shop::open(&settings.load()?, env(), QuizConfig::default(), Index::Leave).await
}

pub(crate) async fn reindex(config: Config) -> Result<(), Problem> {
    let _log = serve::log(&config)?;
    let shop = Shop::open(&config, env(), QuizConfig::default(), Index::Open).await?;
    shop.search
        .rebuild(&|done, total| {
            if done % 500 == 0 || done == total {
                println!("indexed {done} of {total} products");
            }
        })
        .await
        .map_err(|e| Problem::internal(&e))?;
    println!("done");
    shop.db.close().await;
    Ok(())
}

pub(crate) async fn dead(action: Dead) -> Result<(), Problem> {
    match action {
        Dead::List { settings } => {
            let shop = open(&settings).await?;
            let jobs = shop.jobs.dead_letters().await.map_err(Problem::new)?;
            for job in &jobs {
                println!(
                    "job    {}  {}  {} attempts: {}",
                    job.id,
                    job.kind,
                    job.attempts,
                    job.last_error.as_deref().unwrap_or("-")
                );
            }
            let events = shop.bus.dead(SHOWN).await.map_err(Problem::new)?;
            for dead in &events {
                println!(
                    "event  {}  {} for {}  {} attempts: {}",
                    dead.event.seq, dead.event.topic, dead.consumer, dead.attempts, dead.last_error
                );
            }
            if jobs.is_empty() && events.is_empty() {
                println!("nothing has failed for good");
            }
        }
        Dead::ReplayJob { id, settings } => {
            let found = open(&settings).await?.jobs.replay(id).await.map_err(Problem::new)?;
            said(found, "the job will be tried again", "there is no failed job with this id")?;
        }
        Dead::ReplayEvent { seq, consumer, settings } => {
            let shop = open(&settings).await?;
            let found = shop.bus.replay(seq, &consumer).await.map_err(Problem::new)?;
            said(found, "the event will be given to it again", "there is no such failed event")?;
        }
    }
    Ok(())
}

fn said(found: bool, yes: &str, no: &str) -> Result<(), Problem> {
    if !found {
        return Err(Problem::new(format_args!("{no}; see `mela dead list`")));
    }
    println!("{yes}");
    Ok(())
}

pub(crate) async fn staff(action: Staff) -> Result<(), Problem> {
    let Staff::Save { email, role, settings } = action;
    let role = Role::parse(&role)
        .ok_or_else(|| Problem::new("a role is viewer, support, manager or owner"))?;
    let mut password = String::new();
    std::io::stdin().take(1_024).read_to_string(&mut password).map_err(Problem::new)?;
    let password = password.trim_end_matches(['\n', '\r']);
    let shop = open(&settings).await?;
    let saved = shop
        .identity
        .save_staff(&Op::system("cli"), &email, Some(password), role, true)
        .await
        .map_err(|e| Problem::internal(&e))?;
    println!("saved {} as {}", saved.email, saved.role.as_str());
    shop.db.close().await;
    Ok(())
}

pub(crate) async fn ledger(config: Config) -> Result<ExitCode, Problem> {
    let shop = Shop::open(&config, env(), QuizConfig::default(), Index::Leave).await?;
    let check = shop.wallet.check().await.map_err(|e| Problem::internal(&e))?;
    println!(
        "{} transfers; sums: {} coins, {} paise",
        check.transfers, check.sum_coin, check.sum_paise
    );
    for account in &check.wrong {
        println!("wrong balance: {account}");
    }
    let good = check.wrong.is_empty() && check.sum_coin == 0 && check.sum_paise == 0;
    println!("{}", if good { "the books are right" } else { "THE BOOKS ARE WRONG" });
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
