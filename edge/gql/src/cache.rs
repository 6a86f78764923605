//! Finished answers to anonymous catalogue queries.
//!
//! The key is the request itself; an answer is used as long as the catalogue's version stands and
//! for at most a few seconds, because stock numbers move without changing the catalogue. Whatever
//! depended on the caller never gets here (see [`crate::context::op`]).

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

/// How long an answer may be used.
const LIFE: Duration = Duration::from_secs(5);
/// Answers kept per shard; with [`MAX_BYTES`] each this bounds the memory at 64 MiB.
const PER_SHARD: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Larger requests and answers are not kept.
const MAX_BYTES: usize = 64 * 1024;
const SHARDS: usize = 16;

/// A kept answer.
#[derive(Clone)]
pub(crate) struct Kept {
    /// The body.
    pub(crate) body: Bytes,
    /// Its entity tag, quoted.
    pub(crate) etag: Bytes,
    version: u64,
    until: Instant,
}

impl Kept {
    /// An answer that was computed from this version of the catalogue just now.
    pub(crate) fn new(body: Bytes, version: u64) -> Self {
        let etag = etag(&body);
        Self { body, etag, version, until: Instant::now() + LIFE }
    }
}

/// The cache.
pub(crate) struct ResponseCache {
    hasher: RandomState,
    shards: Vec<Mutex<LruCache<Bytes, Kept>>>,
}

impl ResponseCache {
    pub(crate) fn new() -> Self {
        let shard = || Mutex::new(LruCache::new(PER_SHARD));
        Self { hasher: RandomState::new(), shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    fn shard(&self, key: &[u8]) -> &Mutex<LruCache<Bytes, Kept>> {
        &self.shards[usize::try_from(self.hasher.hash_one(key)).unwrap_or(0) % SHARDS]
    }

    /// The answer to `key`, if it still holds for this version of the catalogue.
    pub(crate) fn get(&self, key: &[u8], version: u64) -> Option<Kept> {
        let mut shard = self.shard(key).lock();
        let kept = shard.get(key)?;
        (kept.version == version && kept.until > Instant::now()).then(|| kept.clone())
    }

    /// Keeps an answer.
    pub(crate) fn put(&self, key: Bytes, kept: Kept) {
        if key.len() <= MAX_BYTES && kept.body.len() <= MAX_BYTES {
            self.shard(&key).lock().put(key, kept);
        }
    }
}

/// A strong entity tag of a body.
pub(crate) fn etag(body: &[u8]) -> Bytes {
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in &digest.as_ref()[..16] {
        tag.push_str(&format!("{byte:02x}"));
    }
    tag.push('"');
    Bytes::from(tag)
}
