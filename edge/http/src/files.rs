//! Files: pictures under immutable URLs, invoices for those who may read the order, public keys.

use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use lru::LruCache;
use mela_base::ids::OrderId;
use parking_lot::Mutex;

use crate::Edge;
use crate::problem::{document, problem};
use crate::request::{op, query_value};

/// Bytes of pictures kept ready.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Pictures served lately. They never change, so nothing ever expires; the oldest make room.
pub(crate) struct Pictures(Mutex<(LruCache<String, Bytes>, usize)>);

impl Pictures {
    pub(crate) fn new() -> Self {
        const KEEP: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();
        Self(Mutex::new((LruCache::new(KEEP), 0)))
    }

    fn get(&self, blob: &str) -> Option<Bytes> {
        self.0.lock().0.get(blob).cloned()
    }

    fn put(&self, blob: String, bytes: &Bytes) {
        let mut guard = self.0.lock();
        let (kept, size) = &mut *guard;
        *size += bytes.len();
        if let Some((_, old)) = kept.push(blob, bytes.clone()) {
            *size -= old.len();
        }
        while *size > CACHE_BYTES {
            let Some((_, old)) = kept.pop_lru() else { break };
            *size -= old.len();
        }
    }
}

pub(crate) async fn picture(
    State(edge): State<Arc<Edge>>,
    Path((blob, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if !file.ends_with(".webp") || blob.len() != 64 || !blob.bytes().all(|c| c.is_ascii_hexdigit())
    {
        return no_picture();
    }
    let etag = format!("\"{}\"", &blob[..32]);
    // A list of tags, or a weak one made by a proxy, holds ours in its quotes.
    let given = headers.get(header::IF_NONE_MATCH).map_or(&b""[..], HeaderValue::as_bytes);
    if given.windows(etag.len()).any(|tag| tag == etag.as_bytes()) {
        return immutable(StatusCode::NOT_MODIFIED, &etag, Bytes::new());
    }
    if let Some(bytes) = edge.pictures.get(&blob) {
        return immutable(StatusCode::OK, &etag, bytes);
    }
    match edge.services.catalog.rendition(&blob).await {
        Ok(Some(bytes)) => {
            let bytes = Bytes::from(bytes);
            edge.pictures.put(blob, &bytes);
            immutable(StatusCode::OK, &etag, bytes)
        }
        Ok(None) => no_picture(),
        Err(error) => problem(&error),
    }
}

fn no_picture() -> Response {
    document(
        StatusCode::NOT_FOUND,
        "PICTURE_NOT_FOUND",
        "there is no such picture; load the product again",
    )
}

fn immutable(status: StatusCode, etag: &str, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/webp"));
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

pub(crate) async fn invoice(
    State(edge): State<Arc<Edge>>,
    Path(file): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let order = file.strip_suffix(".pdf").and_then(|id| id.parse::<OrderId>().ok());
    let Some(order) = order else {
        return problem(&mela_orders_api::OrderError::OrderNotFound);
    };
    let key = query_value(query.as_deref(), "key");
    let op = op(&headers, &edge.services.identity);
    match edge.services.orders.invoice_pdf(&op, order, key.as_deref()).await {
        Ok(pdf) => {
            let headers = [
                (header::CONTENT_TYPE, "application/pdf"),
                // Personal data: only the buyer's own browser may keep it.
                (header::CACHE_CONTROL, "private, no-store"),
                (header::CONTENT_DISPOSITION, "inline; filename=\"invoice.pdf\""),
                (header::REFERRER_POLICY, "no-referrer"),
            ];
            (headers, pdf).into_response()
        }
        Err(error) => problem(&error),
    }
}

pub(crate) async fn jwks(State(edge): State<Arc<Edge>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, edge.services.identity.jwks()).into_response()
}
