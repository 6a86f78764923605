//! The index: opening, writing, searching.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use mela_base::Internal;
use mela_base::ids::ProductId;
use mela_catalog_api::{Catalog, CatalogError, Category, Product};
use mela_search_api::{Search, SearchError, SearchRequest, SearchResult, Sort, Suggestion};
use parking_lot::Mutex;
use tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue};
use tantivy::collector::{Collector, Count, TopDocs};
use tantivy::columnar::Column;
use tantivy::directory::MmapDirectory;
use tantivy::directory::error::LockError;
use tantivy::query::Query;
use tantivy::schema::{Schema, TantivyDocument, Value};
use tantivy::{
    DocAddress, Index, IndexReader, IndexWriter, Order, ReloadPolicy, Searcher, SegmentReader,
    TantivyError,
};

use crate::facets::{FacetCollector, FacetField, facet};
use crate::query::{self, Maker, Typed};
use crate::schema::{self, Fields, Ids, Tree, column};
use crate::words;

/// Memory in which new documents are gathered before they are written.
const WRITER_BYTES: usize = 64 << 20;
/// Products read at a time.
pub(crate) const CHUNK: usize = 500;

/// The search. Cheap to clone.
#[derive(Clone)]
pub struct SearchService(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) catalog: Arc<dyn Catalog>,
    fields: Fields,
    schema: Schema,
    reader: IndexReader,
    writer: Mutex<IndexWriter>,
    ready: AtomicBool,
}

/// What the writer is to do.
#[derive(Default)]
pub(crate) struct Batch {
    /// Begin with an empty index.
    pub(crate) clear: bool,
    pub(crate) put: Vec<Arc<Product>>,
    pub(crate) remove: Vec<ProductId>,
    /// Make it visible.
    pub(crate) commit: bool,
}

impl SearchService {
    /// The index in a folder below `data`, made if it is not there or cannot be read. Fails if
    /// another process has it open.
    pub fn open(data: &Path, catalog: Arc<dyn Catalog>) -> Result<Self, Internal> {
        let folder = data.join(schema::LAYOUT);
        match Self::in_folder(&folder, catalog.clone()) {
            Err(TantivyError::LockFailure(LockError::LockBusy, _)) => {
                Err(Internal::new(format_args!(
                    "the search index {} is open in another process; stop it first",
                    folder.display()
                )))
            }
            Err(error) => {
                // It holds nothing that the catalogue does not.
                tracing::warn!(%error, "the search index cannot be read and is made anew");
                std::fs::remove_dir_all(&folder).map_err(Internal::new)?;
                Self::in_folder(&folder, catalog).map_err(Internal::new)
            }
            Ok(service) => Ok(service),
        }
    }

    fn in_folder(folder: &Path, catalog: Arc<dyn Catalog>) -> tantivy::Result<Self> {
        std::fs::create_dir_all(folder)
            .map_err(|e| TantivyError::InvalidArgument(e.to_string()))?;
        let (schema, _) = schema::fields();
        Self::over(Index::open_or_create(MmapDirectory::open(folder)?, schema)?, catalog)
    }

    /// An index that lives as long as the service.
    pub fn in_memory(catalog: Arc<dyn Catalog>) -> Result<Self, Internal> {
        let (schema, _) = schema::fields();
        Self::over(Index::create_in_ram(schema), catalog).map_err(Internal::new)
    }

    fn over(index: Index, catalog: Arc<dyn Catalog>) -> tantivy::Result<Self> {
        schema::register_tokenizers(&index);
        let (schema, fields) = schema::fields();
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let writer = Mutex::new(index.writer_with_num_threads(1, WRITER_BYTES)?);
        let ready = AtomicBool::new(false);
        Ok(Self(Arc::new(Inner { catalog, fields, schema, reader, writer, ready })))
    }

    /// Empties the index and fills it from the catalogue; searches see the old one until it is
    /// done. `progress` is told how many products of how many are in.
    pub async fn rebuild(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<(), SearchError> {
        let total = self.0.catalog.product_count().await.map_err(internal)?;
        self.write(Batch { clear: true, ..Batch::default() }).await?;
        let mut done = 0;
        let mut after = None;
        progress(0, total);
        loop {
            let limit = u32::try_from(CHUNK).unwrap_or(1);
            let products = self.0.catalog.products_after(after, limit).await.map_err(internal)?;
            let Some(last) = products.last() else { break };
            after = Some(last.id);
            done += products.len() as u64;
            self.write(Batch { put: products, ..Batch::default() }).await?;
            progress(done, total.max(done));
        }
        self.write(Batch { commit: true, ..Batch::default() }).await?;
        self.0.ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Brings the index up to the store: versions are compared, what differs is read again.
    /// Returns how many products differed.
    pub async fn sync(&self) -> Result<u64, SearchError> {
        let mut indexed = self.blocking(Inner::versions).await?;
        if indexed.is_empty() {
            self.rebuild(&|_, _| {}).await?;
            return self.0.catalog.product_count().await.map_err(internal);
        }
        let mut stale = Vec::new();
        let mut after = None;
        loop {
            let stored = self.0.catalog.versions_after(after, 5_000).await.map_err(internal)?;
            let Some((last, _)) = stored.last() else { break };
            after = Some(*last);
            for (id, version) in stored {
                if indexed.remove(&id) != Some(version) {
                    stale.push(id);
                }
            }
        }
        let gone: Vec<ProductId> = indexed.into_keys().collect();
        let changed = (stale.len() + gone.len()) as u64;
        for ids in stale.chunks(CHUNK) {
            let put = self.0.catalog.products(ids).await.map_err(internal)?;
            self.write(Batch { put, ..Batch::default() }).await?;
        }
        self.write(Batch { remove: gone, commit: changed > 0, ..Batch::default() }).await?;
        self.0.ready.store(true, Ordering::Release);
        Ok(changed)
    }

    /// Gives a batch to the index.
    pub(crate) async fn write(&self, batch: Batch) -> Result<(), SearchError> {
        let categories = if batch.put.is_empty() {
            Arc::default()
        } else {
            self.0.catalog.categories().await.map_err(internal)?
        };
        self.blocking(move |inner| inner.write(&batch, &categories)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Inner) -> Result<T, SearchError> + Send + 'static,
    ) -> Result<T, SearchError> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || f(&inner)).await.map_err(Internal::new)?
    }
}

fn internal(error: CatalogError) -> SearchError {
    match error {
        CatalogError::Internal(e) => e.into(),
        other => Internal::new(other).into(),
    }
}

fn failed(error: TantivyError) -> SearchError {
    Internal::new(format_args!("search index: {error}")).into()
}

impl Inner {
    fn write(&self, batch: &Batch, categories: &[Category]) -> Result<(), SearchError> {
        let tree = Tree::new(categories);
        let mut writer = self.writer.lock();
        if batch.clear {
            writer.rollback().map_err(failed)?;
            writer.delete_all_documents().map_err(failed)?;
        }
        for product in &batch.put {
            writer.delete_term(self.fields.id_term(product.id));
            writer.add_document(self.fields.document(product, &tree)).map_err(failed)?;
        }
        for id in &batch.remove {
            writer.delete_term(self.fields.id_term(*id));
        }
        if batch.commit {
            writer.commit().map_err(failed)?;
            self.reader.reload().map_err(failed)?;
        }
        Ok(())
    }

    /// The version of every product in the index.
    fn versions(&self) -> Result<HashMap<ProductId, i64>, SearchError> {
        let mut out = HashMap::new();
        for segment in self.reader.searcher().segment_readers() {
            let ids = Ids::of(segment)?;
            let versions = segment.fast_fields().u64(column::VERSION).map_err(failed)?;
            for doc in segment.doc_ids_alive() {
                let version = versions.first(doc).and_then(|v| i64::try_from(v).ok());
                out.insert(ids.get(doc), version.unwrap_or_default());
            }
        }
        Ok(out)
    }

    fn search(
        &self,
        request: &SearchRequest,
        categories: &[Category],
    ) -> Result<SearchResult, SearchError> {
        let searcher = self.reader.searcher();
        let maker = Maker { fields: &self.fields, schema: &self.schema, searcher: &searcher };
        let typed = Typed::new(&request.text);
        let filter = &request.filter;
        // A facet does not narrow itself: what else could be chosen is counted without its filter.
        let filtered = |field: &FacetField| match field {
            FacetField::Category => filter.category.is_some(),
            FacetField::Price => filter.price_min.is_some() || filter.price_max.is_some(),
            FacetField::Size => !filter.sizes.is_empty(),
            FacetField::Color => !filter.colors.is_empty(),
            FacetField::Rating => filter.rating_min.is_some(),
        };
        let fields = if request.facets { &FacetField::ALL[..] } else { &[] };
        let (apart, plain): (Vec<_>, Vec<_>) = fields.iter().copied().partition(filtered);

        let mut loose = false;
        let mut found = self.hits(
            &searcher,
            &*maker.query(&typed, filter, false, None)?,
            request,
            typed.is_empty(),
            &plain,
        )?;
        if found.total == 0 && typed.has_several() {
            loose = true;
            let query = maker.query(&typed, filter, true, None)?;
            found = self.hits(&searcher, &*query, request, false, &plain)?;
        }
        let mut counted: Vec<_> = plain.into_iter().zip(found.counts).collect();
        for field in apart {
            let query = maker.query(&typed, filter, loose, Some(field))?;
            let counts = searcher.search(&*query, &FacetCollector(vec![field])).map_err(failed)?;
            counted.extend(counts.into_iter().map(|counts| (field, counts)));
        }
        counted.sort_by_key(|(field, _)| FacetField::ALL.iter().position(|f| f == field));
        let label = |slug: &str| categories.iter().find(|c| c.slug == slug).map(|c| c.name.clone());
        let facets = counted.into_iter().map(|(field, counts)| match field {
            FacetField::Category => facet(field, counts, label),
            _ => facet(field, counts, |_| None),
        });
        Ok(SearchResult { ids: found.ids, total: found.total, facets: facets.collect() })
    }

    fn hits(
        &self,
        searcher: &Searcher,
        query: &dyn Query,
        request: &SearchRequest,
        browsing: bool,
        facets: &[FacetField],
    ) -> Result<Found, SearchError> {
        let top =
            TopDocs::with_limit(request.limit.max(1) as usize).and_offset(request.offset as usize);
        // The second key: ties go to the newer product.
        match request.sort {
            Sort::Relevance if !browsing => {
                let newest = SortByStaticFastValue::<u64>::for_field(column::NEWNESS);
                let top = top.order_by((SortBySimilarityScore, (newest, Order::Desc)));
                collect(searcher, query, top, facets)
            }
            Sort::Relevance | Sort::Rating => {
                collect(searcher, query, top.order_by(key(column::RATING, |n| n)), facets)
            }
            Sort::PriceAsc => {
                collect(searcher, query, top.order_by(key(column::PRICE, |n| u64::MAX - n)), facets)
            }
            Sort::PriceDesc => {
                collect(searcher, query, top.order_by(key(column::PRICE, |n| n)), facets)
            }
            Sort::Newest => {
                collect(searcher, query, top.order_by(key(column::NEWNESS, |n| n)), facets)
            }
        }
    }

    fn suggest(&self, prefix: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
        let words = words::words(query::cut(prefix));
        let Some(last) = words.last() else { return Ok(Vec::new()) };
        let searcher = self.reader.searcher();
        let maker = Maker { fields: &self.fields, schema: &self.schema, searcher: &searcher };
        // Some more than wanted, so that names that begin so can come first.
        let top = || TopDocs::with_limit(limit * 5).order_by(key(column::RATING, |n| n));
        let mut hits =
            searcher.search(&*maker.completion(&words, false), &top()).map_err(failed)?;
        if hits.is_empty() && last.chars().count() >= 4 {
            hits = searcher.search(&*maker.completion(&words, true), &top()).map_err(failed)?;
        }
        let latin = last.is_ascii();
        let typed = words.join(" ");
        let mut out = Vec::with_capacity(hits.len());
        let places: Vec<DocAddress> = hits.into_iter().map(|(_, address)| address).collect();
        for (address, product_id) in places.iter().zip(ids_at(&searcher, &places)?) {
            let doc: TantivyDocument = searcher.doc(*address).map_err(failed)?;
            let text = |field| doc.get_first(field).and_then(|v| v.as_str().map(str::to_owned));
            let name = text(self.fields.stored_name).unwrap_or_default();
            let hindi = if latin { None } else { text(self.fields.stored_name_hi) };
            let text_shown = hindi.unwrap_or(name);
            let begins = words::words(&text_shown).join(" ").starts_with(&typed);
            let suggestion = Suggestion {
                text: text_shown,
                product_id,
                slug: text(self.fields.stored_slug).unwrap_or_default(),
            };
            out.push((!begins, suggestion));
        }
        out.sort_by_key(|(later, _)| *later);
        out.truncate(limit);
        Ok(out.into_iter().map(|(_, suggestion)| suggestion).collect())
    }
}

struct Found {
    ids: Vec<ProductId>,
    total: u64,
    counts: Vec<crate::facets::Counts>,
}

/// Sorts by a number, made larger for what comes first, and by newness.
fn key(
    name: &'static str,
    order: impl Fn(u64) -> u64 + Copy + Send + Sync + 'static,
) -> impl tantivy::collector::SortKeyComputer<SortKey = (u64, u64)> + Send + 'static {
    move |segment: &SegmentReader| {
        let column = |name: &str| -> Option<Column<u64>> { segment.fast_fields().u64(name).ok() };
        let (first, second) = (column(name), column(column::NEWNESS));
        move |doc: tantivy::DocId| {
            let value = |column: &Option<Column<u64>>| column.as_ref().and_then(|c| c.first(doc));
            (order(value(&first).unwrap_or_default()), value(&second).unwrap_or_default())
        }
    }
}

fn collect<K: Send + 'static>(
    searcher: &Searcher,
    query: &dyn Query,
    top: impl Collector<Fruit = Vec<(K, DocAddress)>>,
    facets: &[FacetField],
) -> Result<Found, SearchError> {
    let (top, total, counts) = if facets.is_empty() {
        let (top, total) = searcher.search(query, &(top, Count)).map_err(failed)?;
        (top, total, Vec::new())
    } else {
        let facets = FacetCollector(facets.to_vec());
        searcher.search(query, &(top, Count, facets)).map_err(failed)?
    };
    let addresses: Vec<DocAddress> = top.into_iter().map(|(_, address)| address).collect();
    Ok(Found { ids: ids_at(searcher, &addresses)?, total: total as u64, counts })
}

/// The products at these places, in their order.
fn ids_at(searcher: &Searcher, places: &[DocAddress]) -> Result<Vec<ProductId>, SearchError> {
    // Opening a segment's columns costs more than reading from them.
    let mut segments: HashMap<u32, Ids> = HashMap::new();
    let mut out = Vec::with_capacity(places.len());
    for place in places {
        let ids = match segments.entry(place.segment_ord) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Ids::of(searcher.segment_reader(place.segment_ord))?),
        };
        out.push(ids.get(place.doc_id));
    }
    Ok(out)
}

#[async_trait]
impl Search for SearchService {
    async fn search(&self, request: &SearchRequest) -> Result<SearchResult, SearchError> {
        query::check(request)?;
        if !self.ready() && self.0.reader.searcher().num_docs() == 0 {
            return Err(SearchError::NotReady);
        }
        let categories = match request.facets {
            true => self.0.catalog.categories().await.map_err(internal)?,
            false => Arc::default(),
        };
        let request = request.clone();
        self.blocking(move |inner| inner.search(&request, &categories)).await
    }

    async fn suggest(&self, prefix: &str, limit: u32) -> Result<Vec<Suggestion>, SearchError> {
        if !self.ready() && self.0.reader.searcher().num_docs() == 0 {
            return Err(SearchError::NotReady);
        }
        let (prefix, limit) = (query::cut(prefix).to_owned(), limit.clamp(1, 20) as usize);
        self.blocking(move |inner| inner.suggest(&prefix, limit)).await
    }

    fn ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }
}
