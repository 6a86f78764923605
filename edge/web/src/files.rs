//! What is embedded. A test compares the list with the folder.

use ring::digest;

pub(crate) struct File {
    pub(crate) path: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) bytes: &'static [u8],
}

pub(crate) const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// The page and the 404 page; `ASSETS` stands where the assets are.
pub(crate) const PAGE: &str = include_str!("../static/index.html");
pub(crate) const MISSING: &str = include_str!("../static/404.html");

macro_rules! files {
    ($folder:literal, $($path:literal $suffix:literal $kind:expr;)*) => {
        &[$(File {
            path: $path,
            kind: $kind,
            bytes: include_bytes!(concat!($folder, $path, $suffix)),
        }),*]
    };
}

pub(crate) const ASSETS: &[File] = files! { "../static/",
    "app.css" "" CSS;
    "app.webmanifest" "" "application/manifest+json";
    "logo.svg" "" "image/svg+xml";
    "js/api.js" "" JS;
    "js/cart.js" "" JS;
    "js/dom.js" "" JS;
    "js/en.js" "" JS;
    "js/format.js" "" JS;
    "js/hi.js" "" JS;
    "js/i18n.js" "" JS;
    "js/live.js" "" JS;
    "js/main.js" "" JS;
    "js/suggest.js" "" JS;
    "js/ui.js" "" JS;
    "js/unread.js" "" JS;
    "js/pages/cart.js" "" JS;
    "js/pages/checkout.js" "" JS;
    "js/pages/home.js" "" JS;
    "js/pages/inbox.js" "" JS;
    "js/pages/list.js" "" JS;
    "js/pages/login.js" "" JS;
    "js/pages/me.js" "" JS;
    "js/pages/order.js" "" JS;
    "js/pages/orders.js" "" JS;
    "js/pages/play.js" "" JS;
    "js/pages/product.js" "" JS;
};

/// The page of GraphiQL, in development.
pub(crate) const CONSOLE: &[File] = files! { "../graphiql/",
    "index.html" "" HTML;
    "start.js" "" JS;
};

/// GraphiQL and what it needs, compressed; where they come from is told in `vendor/README.md`.
pub(crate) const VENDOR: &[File] = files! { "../vendor/",
    "graphiql.css" ".gz" CSS;
    "graphiql.js" ".gz" JS;
    "react-dom.js" ".gz" JS;
    "react.js" ".gz" JS;
};

/// Changes with every change of any asset or page.
pub(crate) fn version() -> String {
    let mut sum = digest::Context::new(&digest::SHA256);
    for bytes in [PAGE.as_bytes(), MISSING.as_bytes()] {
        sum.update(bytes);
    }
    for file in ASSETS {
        sum.update(file.path.as_bytes());
        sum.update(file.bytes);
    }
    hex(&sum.finish().as_ref()[..6])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
