//! `mela import`: a catalogue from files, with progress and a report of what was not taken.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Args, Subcommand};
use mela_catalog::{ImportOptions, ImportReport, OnProgress, Rate};
use mela_play::QuizConfig;

use crate::cli::{Settings, env};
use crate::serve;
use crate::shop::{Index, Problem, Shop};

/// How many rows of each kind a short report shows.
const SHORT: usize = 3;

/// How much of the report is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Every row that was not taken, and every note.
    All,
    /// The sums, and a few rows.
    Short,
    /// Nothing.
    Nothing,
}

#[derive(Subcommand)]
pub(crate) enum Source {
    /// A folder with Magento 2's own export files
    Magento {
        /// The folder
        folder: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// A JSON list of products in DummyJSON's form
    Json {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Args)]
pub(crate) struct How {
    /// Rupees for one unit of the files' prices, e.g. 84.5 for USD
    #[arg(long, default_value = "1")]
    rate: String,
    /// Leave the pictures out
    #[arg(long)]
    no_media: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Which files, for [`into_shop`].
pub(crate) enum Files<'a> {
    Magento(&'a Path),
    Json(&'a Path),
}

pub(crate) async fn run(source: Source) -> Result<ExitCode, Problem> {
    let (how, path, magento) = match &source {
        Source::Magento { folder, how } => (how, folder, true),
        Source::Json { file, how } => (how, file, false),
    };
    let config = how.settings.load()?;
    let _log = serve::log(&config)?;
    let shop = Shop::open(&config, env(), QuizConfig::default(), Index::Leave).await?;
    let files = if magento { Files::Magento(path) } else { Files::Json(path) };
    let report = into_shop(&shop, &files, &how.rate, !how.no_media, Told::All).await?;
    if report.pictures > 0 {
        println!("making renditions of the pictures …");
        shop.jobs.drain().await.map_err(Problem::new)?;
    }
    shop.db.close().await;
    // A catalogue of which nothing could be taken is a mistake that a script should notice.
    let none = report.created + report.updated + report.unchanged == 0;
    Ok(if none { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Imports and prints the report.
pub(crate) async fn into_shop(
    shop: &Shop,
    files: &Files<'_>,
    rate: &str,
    media: bool,
    told: Told,
) -> Result<ImportReport, Problem> {
    let mut options = ImportOptions::new(shop.location().await?);
    options.rate = Rate::rupees_per_unit(rate).map_err(Problem::new)?;
    options.media = media;
    let began = Instant::now();
    let progress = progress();
    let inventory = shop.inventory.clone();
    let report = match files {
        Files::Magento(folder) => {
            shop.catalog.import_magento(inventory, folder, options, progress).await
        }
        Files::Json(file) => shop.catalog.import_json(inventory, file, options, progress).await,
    }
    .map_err(Problem::new)?;
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    if told != Told::Nothing {
        print_report(&report, began, if told == Told::All { usize::MAX } else { SHORT });
    }
    Ok(report)
}

fn print_report(report: &ImportReport, began: Instant, shown: usize) {
    let ms = began.elapsed().as_millis().max(1);
    let per_second = u128::from(report.rows) * 1_000 / ms;
    println!("read {} rows in {}.{:03} s ({per_second}/s)", report.rows, ms / 1_000, ms % 1_000);
    if report.created + report.updated + report.unchanged == 0 {
        println!("no product was taken");
    } else if report.changed_nothing() {
        println!("nothing changed: the shop has these {} products already", report.unchanged);
    } else {
        println!(
            "products: {} new, {} changed, {} as they were; {} variants, {} reviews, {} categories, {} pictures",
            report.created,
            report.updated,
            report.unchanged,
            report.variants,
            report.reviews,
            report.categories,
            report.pictures
        );
    }
    for (what, list) in [("not taken", &report.refused), ("note", &report.notes)] {
        for p in list.iter().take(shown) {
            let sku = if p.sku.is_empty() { String::new() } else { format!("{}: ", p.sku) };
            println!("{what}: {}:{}: {sku}{}", p.file, p.line, p.reason);
        }
        if list.len() > shown {
            println!("{what}: … and {} more; `mela import` lists them", list.len() - shown);
        }
    }
    if report.unlisted > 0 {
        println!("{} more rows were not taken or noted and are not listed", report.unlisted);
    }
}

/// Shows progress on a terminal, a line at a time.
fn progress() -> OnProgress {
    let terminal = std::io::stderr().is_terminal();
    let shown = Arc::new(AtomicU64::new(u64::MAX));
    Arc::new(move |p| {
        let step = p.done / 200;
        if terminal && shown.swap(step, Ordering::Relaxed) != step {
            let total = if p.total > 0 { format!(" of {}", p.total) } else { String::new() };
            eprint!("\r\x1b[K{} {}{total}", p.stage, p.done);
            let _ = std::io::stderr().flush();
        }
    })
}
