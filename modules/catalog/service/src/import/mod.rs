//! Import of foreign catalogues: files → drafts → chunks of the database.
//!
//! Reading ([`magento`], [`json`]) is pure: it turns files into [`draft::Draft`]s and notes what
//! it could not take. Writing ([`write`]) compares each draft's hash with the stored one, so that
//! a second run changes nothing, and writes the rest in chunks with their stock.

mod draft;
mod hsn;
mod item;
mod json;
mod magento;
mod pictures;
mod price;
mod table;
mod text;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mela_base::ids::LocationId;
use mela_base::{ErrorKind, Fault, Internal};
use mela_inventory_api::Inventory;

pub use hsn::{HsnMap, HsnRule};
pub(crate) use price::MAX_PRICE;
pub use price::{Rate, RateError};

use crate::service::CatalogService;

/// How to read the files.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Rupees for one unit of the files' prices.
    pub rate: Rate,
    /// HSN codes by category.
    pub hsn: HsnMap,
    /// Where the stock lies.
    pub location: LocationId,
    /// Take pictures too.
    pub media: bool,
    /// Grams in one unit of the files' weights.
    pub grams_per_weight: u32,
}

impl ImportOptions {
    /// Rupees, kilograms, built-in HSN codes, with pictures.
    pub fn new(location: LocationId) -> Self {
        Self {
            rate: Rate::ONE,
            hsn: HsnMap::default(),
            location,
            media: true,
            grams_per_weight: 1_000,
        }
    }
}

/// What an import is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `reading`, `pictures` or `writing`.
    pub stage: &'static str,
    /// Rows, pictures or products so far.
    pub done: u64,
    /// Of how many; 0 while that is unknown.
    pub total: u64,
}

/// Told about progress, on whatever thread does the work.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// A row that was not taken, or something worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Name of the file.
    pub file: Arc<str>,
    /// Physical line on which the record begins.
    pub line: u64,
    /// The SKU, if the row has one.
    pub sku: String,
    /// What is wrong.
    pub reason: String,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ImportReport {
    /// Records read from all files.
    pub rows: u64,
    /// Products that were new.
    pub created: u64,
    /// Products that had changed.
    pub updated: u64,
    /// Products that were already so.
    pub unchanged: u64,
    /// Variants of the created and updated products.
    pub variants: u64,
    /// Reviews of the created and updated products.
    pub reviews: u64,
    /// New categories.
    pub categories: u64,
    /// Pictures stored, whose renditions are being made.
    pub pictures: u64,
    /// Rows that were not taken.
    pub refused: Vec<Problem>,
    /// Things left out of rows that were taken.
    pub notes: Vec<Problem>,
    /// Refusals and notes beyond the ones listed.
    pub unlisted: u64,
}

impl ImportReport {
    /// True if everything was already so.
    pub fn changed_nothing(&self) -> bool {
        self.created == 0 && self.updated == 0 && self.categories == 0
    }

    pub(crate) fn refuse(&mut self, problem: Problem) {
        Self::list(&mut self.refused, &mut self.unlisted, problem);
    }

    pub(crate) fn note(&mut self, problem: Problem) {
        Self::list(&mut self.notes, &mut self.unlisted, problem);
    }

    fn list(list: &mut Vec<Problem>, unlisted: &mut u64, problem: Problem) {
        // A garbage file must not fill the memory with complaints.
        if list.len() < 10_000 { list.push(problem) } else { *unlisted += 1 }
    }
}

/// Why nothing could be imported at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder or file cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// No file in the folder has a catalogue's header.
    #[error(
        "{0} holds no catalogue: expected CSV files with a header such as `sku,…,product_type,…,price`"
    )]
    NothingToImport(PathBuf),
    /// The stock's location is not set up.
    #[error("the shop has no dispatch location yet; staff must add one before an import")]
    NoLocation,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for ImportError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreadable { .. } => ErrorKind::NotFound,
            Self::NothingToImport(_) => ErrorKind::Invalid,
            Self::NoLocation => ErrorKind::Unavailable,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "IMPORT_UNREADABLE",
            Self::NothingToImport(_) => "IMPORT_EMPTY",
            Self::NoLocation => "NO_LOCATION",
            Self::Internal(_) => "INTERNAL",
        }
    }
}

impl From<mela_db::DbError> for ImportError {
    fn from(error: mela_db::DbError) -> Self {
        Self::Internal(error.into())
    }
}

impl CatalogService {
    /// Imports a folder of Magento 2's export: every CSV file in it that is one of products,
    /// reviews or links, and the pictures in its `media` folder. Running it again changes nothing
    /// unless the files have changed. A row that cannot be taken is in the report; an error means
    /// that the import stopped, and running it again goes on.
    pub async fn import_magento(
        &self,
        inventory: Arc<dyn Inventory>,
        folder: &Path,
        options: ImportOptions,
        progress: OnProgress,
    ) -> Result<ImportReport, ImportError> {
        let (path, now) = (folder.to_owned(), self.env.now());
        let read =
            move |options: &ImportOptions, report: &mut ImportReport, progress: &OnProgress| {
                magento::read(&path, options, now, report, progress)
            };
        self.import(inventory, options, progress, read).await
    }

    /// Imports a JSON list of products in DummyJSON's form. Else like
    /// [`CatalogService::import_magento`].
    pub async fn import_json(
        &self,
        inventory: Arc<dyn Inventory>,
        file: &Path,
        options: ImportOptions,
        progress: OnProgress,
    ) -> Result<ImportReport, ImportError> {
        let path = file.to_owned();
        let read =
            move |options: &ImportOptions, report: &mut ImportReport, progress: &OnProgress| {
                json::read(&path, options, report, progress)
            };
        self.import(inventory, options, progress, read).await
    }

    async fn import(
        &self,
        inventory: Arc<dyn Inventory>,
        options: ImportOptions,
        progress: OnProgress,
        read: impl FnOnce(
            &ImportOptions,
            &mut ImportReport,
            &OnProgress,
        ) -> Result<draft::Catalogue, ImportError>
        + Send
        + 'static,
    ) -> Result<ImportReport, ImportError> {
        let (reading, told) = (options.clone(), progress.clone());
        let (mut report, catalogue) = tokio::task::spawn_blocking(move || {
            let mut report = ImportReport::default();
            let catalogue = read(&reading, &mut report, &told)?;
            Ok::<_, ImportError>((report, catalogue))
        })
        .await
        .map_err(Internal::new)??;
        let mut writer = write::Writer {
            catalog: self,
            inventory,
            options: &options,
            report: &mut report,
            progress: &progress,
        };
        writer.write(catalogue).await?;
        tracing::info!(
            rows = report.rows,
            created = report.created,
            updated = report.updated,
            unchanged = report.unchanged,
            refused = report.refused.len(),
            "catalogue imported"
        );
        Ok(report)
    }
}
