//! The storefront: static files embedded in the binary.
//!
//! `/` is the page. All that it loads lies under `/a/{version}/…`, where the version is a hash over
//! all files: such an address never changes its content and may be kept for ever, and relative
//! imports between modules stay within one version. A page that was opened before an update asks
//! for a version that is gone, gets a 404 and loads itself anew.

mod files;
mod serve;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;

use serve::{Document, FOREVER, REVALIDATE, respond};

/// Only what the shop itself serves; forms may go to a payment service (https, or this machine's
/// simulator). No inline script, no markup made from strings.
const SHOP_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'self' https: http://127.0.0.1:* http://localhost:*; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// GraphiQL makes its styles at run time and carries its fonts in the style sheet.
const GRAPHIQL_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Everything that is served, ready made.
struct Site {
    version: String,
    page: Document,
    missing: Document,
    assets: Vec<(&'static str, Document)>,
    graphiql: Option<Vec<(&'static str, Document)>>,
}

/// Routes of the storefront; in development also of GraphiQL. Sets the fallback: whatever nobody
/// else serves gets a friendly 404 page.
pub fn router(development: bool) -> Router {
    let version = files::version();
    let assets = format!("/a/{version}");
    let html = |text: &str| Document::html(text.replace("ASSETS", &assets), SHOP_POLICY);
    let own = |f: &files::File| (f.path, Document::stored(f.kind, f.bytes, SHOP_POLICY));
    let tool = |f: &files::File| (f.path, Document::stored(f.kind, f.bytes, GRAPHIQL_POLICY));
    let vendor = |f: &files::File| (f.path, Document::zipped(f.kind, f.bytes, GRAPHIQL_POLICY));
    let site = Arc::new(Site {
        page: html(files::PAGE),
        missing: html(files::MISSING),
        assets: files::ASSETS.iter().map(own).collect(),
        graphiql: development.then(|| {
            files::CONSOLE.iter().map(tool).chain(files::VENDOR.iter().map(vendor)).collect()
        }),
        version,
    });
    let mut router = Router::new().route("/", get(page)).route("/a/{version}/{*path}", get(asset));
    if development {
        router = router.route("/graphiql", get(console)).route("/graphiql/{file}", get(tool_file));
    }
    router.fallback(missing).with_state(site)
}

async fn page(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    respond(&site.page, StatusCode::OK, REVALIDATE, &headers)
}

async fn asset(
    State(site): State<Arc<Site>>,
    Path((version, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    match site.assets.iter().find(|(name, _)| version == site.version && *name == path) {
        Some((_, file)) => respond(file, StatusCode::OK, FOREVER, &headers),
        None => respond(&site.missing, StatusCode::NOT_FOUND, REVALIDATE, &headers),
    }
}

async fn console(site: State<Arc<Site>>, headers: HeaderMap) -> Response {
    tool_file(site, Path("index.html".into()), headers).await
}

async fn tool_file(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match site.graphiql.iter().flatten().find(|(path, _)| *path == name) {
        Some((_, file)) => respond(file, StatusCode::OK, REVALIDATE, &headers),
        None => respond(&site.missing, StatusCode::NOT_FOUND, REVALIDATE, &headers),
    }
}

async fn missing(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    respond(&site.missing, StatusCode::NOT_FOUND, REVALIDATE, &headers)
}
