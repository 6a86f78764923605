//! Products in memory. Bounded; dropped when an event says that they have changed.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lru::LruCache;
use mela_base::ids::ProductId;
use mela_catalog_api::{Category, Product};
use parking_lot::Mutex;

/// Products kept; a large one with its variants has some 10 KiB.
const PRODUCTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);

pub(crate) struct Cache {
    kept: Mutex<Kept>,
    version: AtomicU64,
}

struct Kept {
    products: LruCache<ProductId, Arc<Product>>,
    slugs: LruCache<Box<str>, ProductId>,
    categories: Option<Arc<Vec<Category>>>,
}

/// The state of the cache when a read began: what it read may be kept only if nothing has changed
/// meanwhile, or an old product could come in after its invalidation and stay.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen(u64);

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            kept: Mutex::new(Kept {
                products: LruCache::new(PRODUCTS),
                slugs: LruCache::new(PRODUCTS),
                categories: None,
            }),
            version: AtomicU64::new(1),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen(self.version())
    }

    /// One place per id, empty where the product is not kept.
    pub(crate) fn products(&self, ids: &[ProductId]) -> Vec<Option<Arc<Product>>> {
        let mut kept = self.kept.lock();
        ids.iter().map(|id| kept.products.get(id).cloned()).collect()
    }

    pub(crate) fn by_slug(&self, slug: &str) -> Option<Arc<Product>> {
        let mut kept = self.kept.lock();
        let id = *kept.slugs.get(slug)?;
        kept.products.get(&id).filter(|p| p.slug == slug).cloned()
    }

    /// Keeps what was read from the store.
    pub(crate) fn keep(&self, seen: Seen, products: &[Arc<Product>]) {
        let mut kept = self.kept.lock();
        if seen == self.seen() {
            for p in products {
                kept.slugs.put(p.slug.as_str().into(), p.id);
                kept.products.put(p.id, p.clone());
            }
        }
    }

    pub(crate) fn categories(&self) -> Option<Arc<Vec<Category>>> {
        self.kept.lock().categories.clone()
    }

    pub(crate) fn keep_categories(&self, seen: Seen, categories: &Arc<Vec<Category>>) {
        let mut kept = self.kept.lock();
        if seen == self.seen() {
            kept.categories = Some(categories.clone());
        }
    }

    /// We have written these ourselves: they are the newest.
    pub(crate) fn written(&self, products: Vec<Product>) {
        let mut kept = self.kept.lock();
        self.changed(&mut kept);
        for p in products {
            if kept.products.peek(&p.id).is_none_or(|old| old.version < p.version) {
                kept.products.put(p.id, Arc::new(p));
            }
        }
    }

    /// Somebody has written this version. Our own writes come back as events and change nothing.
    pub(crate) fn announced(&self, id: ProductId, version: i64) {
        let mut kept = self.kept.lock();
        if kept.products.peek(&id).is_none_or(|p| p.version < version) {
            kept.products.pop(&id);
            self.changed(&mut kept);
        }
    }

    /// Anything may have changed.
    pub(crate) fn clear(&self) {
        let mut kept = self.kept.lock();
        kept.products.clear();
        kept.slugs.clear();
        self.changed(&mut kept);
    }

    /// Under the lock, so that [`Cache::keep`] cannot come between.
    fn changed(&self, kept: &mut Kept) {
        kept.categories = None;
        self.version.fetch_add(1, Ordering::AcqRel);
    }
}
