//! Search: full text with typo tolerance, facets, sorting and autocomplete over the catalogue.
//!
//! Every node keeps its own index from catalogue events; it lags a change by less than a second
//! and can be rebuilt from the store at any time.

use async_trait::async_trait;
use mela_base::ids::ProductId;
use mela_base::{ErrorKind, Fault, Internal, Paise};

/// What is sought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchRequest {
    /// Words as typed; empty browses everything. At most [`MAX_TEXT_CHARS`] are used.
    pub text: String,
    /// Narrowing.
    pub filter: SearchFilter,
    /// Order.
    pub sort: Sort,
    /// How many hits to skip; at most [`MAX_OFFSET`].
    pub offset: u32,
    /// How many hits to return (1 – 100).
    pub limit: u32,
    /// Count facets as well (costs more).
    pub facets: bool,
}

/// Longer queries are cut.
pub const MAX_TEXT_CHARS: usize = 200;
/// Deeper pages are refused.
pub const MAX_OFFSET: u32 = 10_000;

/// Narrowing; fields are joined by AND, the values of one list by OR.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchFilter {
    /// Slug of a category; products of its descendants count too.
    pub category: Option<String>,
    /// Lowest price.
    pub price_min: Option<Paise>,
    /// Highest price.
    pub price_max: Option<Paise>,
    /// Any of these sizes.
    pub sizes: Vec<String>,
    /// Any of these colours.
    pub colors: Vec<String>,
    /// At least this many stars on average, 1 – 5.
    pub rating_min: Option<u8>,
}

/// Order of hits. Ties go to the newer product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Best match first; without words, best rated.
    #[default]
    Relevance,
    /// Cheapest first.
    PriceAsc,
    /// Dearest first.
    PriceDesc,
    /// Best rated first.
    Rating,
    /// Newest first.
    Newest,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchResult {
    /// Products in order.
    pub ids: Vec<ProductId>,
    /// All hits.
    pub total: u64,
    /// If asked for.
    pub facets: Vec<Facet>,
}

/// Counts by the values of one field, over all hits of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// `category`, `price`, `size`, `color` or `rating`.
    pub field: &'static str,
    /// Most frequent first (prices and ratings in their own order).
    pub values: Vec<FacetValue>,
}

/// One value of a facet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetValue {
    /// What to put into the filter: category slug, size, colour, `min-max` in paise, stars.
    pub value: String,
    /// For people.
    pub label: String,
    /// Number of products.
    pub count: u64,
}

/// A completion of what is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The completed text (a product's name).
    pub text: String,
    /// Where it leads.
    pub product_id: ProductId,
    /// Slug of the product.
    pub slug: String,
}

/// How a search fails.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Page too deep, limit out of range.
    #[error("{message}")]
    Invalid {
        /// Which input field.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The index is being built.
    #[error("the search index is being built; try again in a few seconds")]
    NotReady,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for SearchError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::NotReady => ErrorKind::Unavailable,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "INVALID_SEARCH",
            Self::NotReady => "SEARCH_NOT_READY",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            _ => None,
        }
    }
}

/// The search contract.
#[async_trait]
pub trait Search: Send + Sync {
    /// Finds products.
    async fn search(&self, request: &SearchRequest) -> Result<SearchResult, SearchError>;
    /// Completes the last word of `prefix` (at most `limit` ≤ 20 suggestions).
    async fn suggest(&self, prefix: &str, limit: u32) -> Result<Vec<Suggestion>, SearchError>;
    /// True once the index has caught up with the store after start.
    fn ready(&self) -> bool;
}
