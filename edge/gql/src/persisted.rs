//! Documents seen before: parsed once, and known by hash for automatic persisted queries.

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::ExecutableDocument;
use lru::LruCache;
use parking_lot::Mutex;

use crate::weigh::{self, TooHeavy};

/// Documents kept; each is at most [`MAX_BYTES`] of text.
const KEEP: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// Longer documents run, but are not kept.
const MAX_BYTES: usize = 16 * 1024;

/// A parsed document.
#[derive(Clone)]
pub(crate) struct Document {
    /// Its text.
    pub(crate) text: Arc<str>,
    /// Its parts.
    pub(crate) parsed: Arc<ExecutableDocument>,
}

/// The documents seen lately.
pub(crate) struct Documents {
    by_text: Mutex<LruCache<Arc<str>, Document>>,
    by_hash: Mutex<LruCache<[u8; 32], Document>>,
}

/// Why a persisted query cannot be used.
pub(crate) enum PersistedError {
    /// The hash is not known; the client sends the document once more.
    NotFound,
    /// The hash is not that of the document.
    Mismatch,
    /// Not version 1, or not 64 hex digits.
    Malformed,
    /// The document asks for too much.
    TooHeavy(TooHeavy),
}

impl From<TooHeavy> for PersistedError {
    fn from(heavy: TooHeavy) -> Self {
        Self::TooHeavy(heavy)
    }
}

impl Documents {
    pub(crate) fn new() -> Self {
        Self { by_text: Mutex::new(LruCache::new(KEEP)), by_hash: Mutex::new(LruCache::new(KEEP)) }
    }

    /// Parses a document, or finds it parsed. `None` if it does not parse.
    pub(crate) fn parse(&self, text: &str) -> Result<Option<Document>, TooHeavy> {
        if let Some(found) = self.by_text.lock().get(text) {
            return Ok(Some(found.clone()));
        }
        weigh::text(text)?;
        let Ok(parsed) = parse_query(text) else { return Ok(None) };
        weigh::document(&parsed)?;
        let document = Document { text: text.into(), parsed: Arc::new(parsed) };
        if text.len() <= MAX_BYTES {
            self.by_text.lock().put(document.text.clone(), document.clone());
        }
        Ok(Some(document))
    }

    /// Automatic persisted queries: with text, checks and remembers it under `hash`; without, finds it.
    pub(crate) fn persisted(
        &self,
        hash: &str,
        text: Option<&str>,
    ) -> Result<Option<Document>, PersistedError> {
        let hash = unhex(hash).ok_or(PersistedError::Malformed)?;
        let Some(text) = text else {
            return self
                .by_hash
                .lock()
                .get(&hash)
                .cloned()
                .map(Some)
                .ok_or(PersistedError::NotFound);
        };
        if ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref() != hash {
            return Err(PersistedError::Mismatch);
        }
        let document = self.parse(text)?;
        if let Some(document) = document.as_ref().filter(|_| text.len() <= MAX_BYTES) {
            self.by_hash.lock().put(hash, document.clone());
        }
        Ok(document)
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut out = [0; 32];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}
