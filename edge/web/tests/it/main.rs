//! The storefront as a browser gets it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

async fn get(router: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

const GZIP: &[(&str, &str)] = &[("accept-encoding", "gzip, deflate, br")];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files_below(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, root, found);
        } else {
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"));
        }
    }
}

fn all_files() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    files_below(&folder("static"), &folder("static"), &mut found);
    found.remove("index.html");
    found.remove("404.html");
    found
}

fn source(path: &str) -> String {
    std::fs::read_to_string(folder("static").join(path)).unwrap()
}

/// `/a/{version}` of the page.
async fn assets(router: &Router) -> String {
    let page = get(router, "/", &[]).await;
    let start = page.text().find("/a/").unwrap();
    page.text()[start..].split('/').take(3).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn the_page_is_guarded_and_checked_again_each_time() {
    let router = mela_web::router(false);
    let page = get(&router, "/", &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-cache");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && policy.contains("default-src 'none'"));
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!page.text().contains("ASSETS"));

    let tag = page.header("etag").to_owned();
    let again = get(&router, "/", &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(again.header("etag"), tag);
    let other = get(&router, "/", &[("if-none-match", "\"other\"")]).await;
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn every_file_is_embedded_as_it_is_in_the_folder() {
    let router = mela_web::router(false);
    let assets = assets(&router).await;
    for path in all_files() {
        let file = get(&router, &format!("{assets}/{path}"), &[]).await;
        assert_eq!(file.status, StatusCode::OK, "{path} is missing in src/files.rs");
        assert_eq!(file.body, std::fs::read(folder("static").join(&path)).unwrap(), "{path}");
        assert!(file.header("cache-control").contains("immutable"), "{path}");
    }
}

#[tokio::test]
async fn compressed_and_plain_have_tags_of_their_own() {
    let router = mela_web::router(false);
    let path = format!("{}/app.css", assets(&router).await);
    let plain = get(&router, &path, &[]).await;
    let zipped = get(&router, &path, GZIP).await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    assert_eq!(zipped.header("vary"), "accept-encoding");
    assert!(zipped.body.len() * 3 < plain.body.len());
    assert_ne!(plain.header("etag"), zipped.header("etag"));
    let mut unzipped = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&zipped.body[..]);
    std::io::Read::read_to_end(&mut decoder, &mut unzipped).unwrap();
    assert_eq!(unzipped, plain.body);
    let refused = get(&router, &path, &[("accept-encoding", "gzip;q=0, identity")]).await;
    assert_eq!(refused.header("content-encoding"), "");
}

/// What the browser fetches before the first screen stands, the catalogue's answer apart.
#[tokio::test]
async fn the_first_load_is_small() {
    let router = mela_web::router(false);
    let assets = assets(&router).await;
    let mut bytes = get(&router, "/", GZIP).await.body.len();
    let page = source("index.html");
    let named = page.split('"').filter_map(|part| part.strip_prefix("ASSETS/"));
    let mut paths: BTreeSet<&str> = named.collect();
    paths.insert("js/pages/home.js");
    assert!(paths.len() > 8, "{paths:?}");
    for path in paths {
        bytes += get(&router, &format!("{assets}/{path}"), GZIP).await.body.len();
    }
    assert!(bytes < 40_000, "the first load takes {bytes} bytes");
}

/// A module that the first screen needs but the page does not announce costs a round trip more.
#[test]
fn modules_exist_and_those_of_the_first_screen_are_announced() {
    let page = source("index.html");
    for path in all_files().into_iter().filter(|p| p.ends_with(".js")) {
        let text = source(&path);
        let here = Path::new(&path).parent().unwrap();
        for (at, _) in text.match_indices("from '.").chain(text.match_indices("import('.")) {
            let name = text[at..].split('\'').nth(1).unwrap();
            let target = here.join(name.trim_start_matches("./"));
            let target = match name.strip_prefix("../") {
                Some(rest) => here.parent().unwrap().join(rest),
                None => target,
            };
            assert!(folder("static").join(&target).is_file(), "{path} imports {name}");
            let first = ["js/main.js", "js/ui.js", "js/api.js", "js/i18n.js", "js/pages/home.js"];
            if text[at..].starts_with("from") && first.contains(&path.as_str()) {
                let target = target.to_str().unwrap();
                assert!(page.contains(&format!("ASSETS/{target}")), "announce {target}");
            }
        }
    }
}

/// Markup is never made from strings, and nothing comes from elsewhere.
#[test]
fn sources_keep_to_the_policy() {
    for path in all_files() {
        let text = source(&path);
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for word in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "://"]
        {
            let harmless = word == "://" && path.ends_with("order.js");
            assert!(harmless || !text.contains(word), "{path} contains {word}");
        }
    }
    let page = source("index.html");
    assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains("<script>"));
}

fn keys(path: &str) -> BTreeSet<String> {
    let key = |line: &str| {
        let line = line.strip_prefix("  ")?;
        let (name, _) = line.split_once(": ")?;
        Some(name.trim_matches('\'').to_owned())
    };
    source(path).lines().filter_map(key).collect()
}

#[test]
fn every_word_is_there_in_both_languages() {
    let (english, hindi) = (keys("js/en.js"), keys("js/hi.js"));
    assert!(english.len() > 250);
    assert_eq!(english, hindi);
}

#[tokio::test]
async fn what_is_not_there_gets_a_friendly_404() {
    let router = mela_web::router(false);
    for path in ["/nothing", "/a/000000000000/app.css", "/graphiql", "/a/x/../../Cargo.toml"] {
        let page = get(&router, path, &[]).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.text().contains("href=\"/\""), "{path}");
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
    }
}

#[tokio::test]
async fn graphiql_is_there_in_development() {
    let router = mela_web::router(true);
    let page = get(&router, "/graphiql", GZIP).await;
    assert_eq!(page.status, StatusCode::OK);
    let page = get(&router, "/graphiql", &[]).await;
    let names = page.text().split('"').filter(|part| part.starts_with("/graphiql/"));
    let names: Vec<&str> = names.collect();
    assert_eq!(names.len(), 5);
    for name in names {
        let zipped = get(&router, name, GZIP).await;
        assert_eq!(zipped.status, StatusCode::OK, "{name}");
        // Whoever takes no gzip gets it all the same.
        let plain = get(&router, name, &[]).await;
        assert!(plain.body.len() > zipped.body.len(), "{name}");
    }
}
