//! One file over HTTP: compression, validation, guarding headers.

use std::io::Read;
use std::sync::OnceLock;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::{GzDecoder, GzEncoder};
use ring::digest;

use crate::files::{HTML, hex};

/// For addresses that carry the version.
pub(crate) const FOREVER: &str = "public, max-age=31536000, immutable";
/// For addresses that stay while the content changes: keep, but ask.
pub(crate) const REVALIDATE: &str = "no-cache";

/// A file as it is and compressed, whichever of the two is made when first asked for.
pub(crate) struct Document {
    kind: &'static str,
    policy: &'static str,
    plain: OnceLock<Bytes>,
    zipped: OnceLock<Bytes>,
    tag: OnceLock<String>,
}

impl Document {
    fn new(kind: &'static str, policy: &'static str) -> Self {
        let (plain, zipped, tag) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { kind, policy, plain, zipped, tag }
    }

    pub(crate) fn stored(kind: &'static str, bytes: &'static [u8], policy: &'static str) -> Self {
        Self { plain: Bytes::from_static(bytes).into(), ..Self::new(kind, policy) }
    }

    pub(crate) fn zipped(kind: &'static str, bytes: &'static [u8], policy: &'static str) -> Self {
        Self { zipped: Bytes::from_static(bytes).into(), ..Self::new(kind, policy) }
    }

    pub(crate) fn html(text: String, policy: &'static str) -> Self {
        Self { plain: Bytes::from(text).into(), ..Self::new(HTML, policy) }
    }

    fn plain(&self) -> &Bytes {
        self.plain.get_or_init(|| {
            let zipped = self.zipped.get().map_or(&[][..], |z| z);
            read(GzDecoder::new(zipped))
        })
    }

    fn gzip(&self) -> &Bytes {
        self.zipped.get_or_init(|| {
            let plain = self.plain.get().map_or(&[][..], |p| p);
            read(GzEncoder::new(plain, Compression::best()))
        })
    }

    fn tag(&self) -> &str {
        self.tag.get_or_init(|| hex(&digest::digest(&digest::SHA256, self.plain()).as_ref()[..12]))
    }
}

fn read(mut from: impl Read) -> Bytes {
    let mut out = Vec::new();
    // From memory to memory: nothing that could fail but what a test would find.
    let _ = from.read_to_end(&mut out);
    out.into()
}

pub(crate) fn respond(
    file: &Document,
    status: StatusCode,
    cache: &'static str,
    request: &HeaderMap,
) -> Response {
    let zip = takes_gzip(request);
    // Another encoding is another representation, so it has another strong tag.
    let tag = format!("\"{}{}\"", file.tag(), if zip { "-gz" } else { "" });
    let fresh = status == StatusCode::OK && matches(request, &tag);
    let (status, body) = match (fresh, zip) {
        (true, _) => (StatusCode::NOT_MODIFIED, Bytes::new()),
        (false, true) => (status, file.gzip().clone()),
        (false, false) => (status, file.plain().clone()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if zip && !fresh {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    for (name, value) in [
        (header::CONTENT_TYPE, file.kind),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, file.policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Orders of guests have their key in the address of the invoice.
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `gzip` or `*` is named, and not with weight zero.
fn takes_gzip(request: &HeaderMap) -> bool {
    let lists = request.get_all(header::ACCEPT_ENCODING);
    lists.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0f32));
        matches!(name.trim(), "gzip" | "*") && !refused
    })
}

fn matches(request: &HeaderMap, tag: &str) -> bool {
    let lists = request.get_all(header::IF_NONE_MATCH);
    lists.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|item| {
        let item = item.trim();
        item == "*" || item.strip_prefix("W/").unwrap_or(item) == tag
    })
}
