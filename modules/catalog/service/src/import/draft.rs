//! A product as a file describes it, before it has ids.

use std::collections::HashMap;
use std::sync::Arc;

use mela_base::{Paise, Timestamp};
use mela_catalog_api::{Attribute, ProductOption};

use super::Problem;

/// Grows when the same file would be read differently, so that a new version imports it again.
const READER_VERSION: u32 = 1;

/// Where a record came from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: Arc<str>,
    pub(crate) line: u64,
}

impl Source {
    pub(crate) fn problem(&self, sku: &str, reason: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line,
            sku: sku.chars().take(80).collect(),
            reason: reason.into(),
        }
    }
}

/// A product to be.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Draft {
    #[serde(skip)]
    pub(crate) source: Source,
    pub(crate) sku: String,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) name_hi: Option<String>,
    pub(crate) description: String,
    pub(crate) description_hi: Option<String>,
    /// Paths from the top.
    pub(crate) categories: Vec<Vec<String>>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) options: Vec<ProductOption>,
    pub(crate) variants: Vec<DraftVariant>,
    /// The first is the main one. `None`: the import takes no pictures, those there stay.
    pub(crate) images: Option<Vec<Image>>,
    pub(crate) reviews: Vec<DraftReview>,
    /// SKUs of products or variants to show beside it.
    pub(crate) related: Vec<String>,
    pub(crate) active: bool,
}

#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct DraftVariant {
    #[serde(skip)]
    pub(crate) source: Source,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) price: Paise,
    pub(crate) mrp: Paise,
    pub(crate) hsn: String,
    pub(crate) weight_g: i64,
    /// The content of its own picture.
    pub(crate) image: Option<Image>,
    pub(crate) active: bool,
    pub(crate) stock: i64,
}

/// A picture: its content's SHA-256 names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub(crate) struct Image {
    pub(crate) hash: String,
}

#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct DraftReview {
    pub(crate) stars: i64,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) reviewer: String,
    /// When, if the file says so.
    pub(crate) at: Option<Timestamp>,
}

impl Draft {
    /// What decides whether the stored product is still the same.
    pub(crate) fn hash(&self) -> Vec<u8> {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(&READER_VERSION.to_le_bytes());
        // A draft is strings and numbers; writing it cannot fail.
        context.update(&serde_json::to_vec(self).unwrap_or_default());
        context.finish().as_ref().to_vec()
    }
}

/// Everything that files gave, ready to be written.
#[derive(Default)]
pub(crate) struct Catalogue {
    pub(crate) drafts: Vec<Draft>,
    /// Where each picture's bytes are, by content.
    pub(crate) pictures: HashMap<Image, std::path::PathBuf>,
}
