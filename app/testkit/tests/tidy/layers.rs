//! The direction of imports: base < platform < api < service < edge < app.

use std::fmt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Where a crate stands, by its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Base,
    Platform,
    Api,
    Service,
    Edge,
    App,
}

/// A crate of the workspace.
#[derive(Clone, Debug)]
struct Crate {
    name: String,
    layer: Layer,
}

/// How one crate names another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// In what is shipped: normal and build dependencies.
    Shipped,
    /// In tests only.
    Tests,
}

/// One crate names another.
struct Edge {
    from: Crate,
    to: Crate,
    used: Use,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.used == Use::Tests { " (dev-dependency)" } else { "" };
        write!(f, "{} -> {}{how}", self.from.name, self.to.name)
    }
}

/// The layer of a crate, by the folder of its manifest from the root.
fn layer(folder: &str) -> Option<Layer> {
    let parts: Vec<&str> = folder.split('/').collect();
    match parts[..] {
        ["base"] => Some(Layer::Base),
        ["platform", _] => Some(Layer::Platform),
        ["modules", _, "api"] => Some(Layer::Api),
        ["modules", _, "service"] => Some(Layer::Service),
        ["edge", _] => Some(Layer::Edge),
        ["app", _] => Some(Layer::App),
        _ => None,
    }
}

/// Why an edge is forbidden, if it is.
fn forbidden(edge: &Edge) -> Option<&'static str> {
    match edge.used {
        Use::Shipped => forbidden_in_product(edge),
        Use::Tests => forbidden_in_tests(edge),
    }
}

fn forbidden_in_product(edge: &Edge) -> Option<&'static str> {
    let (from, to) = (edge.from.layer, edge.to.layer);
    let name = edge.to.name.as_str();
    if edge.from.name == "mela-sim" {
        return Some("a simulator shares no code with the clients that are tried against it");
    }
    match (from, to) {
        (Layer::App, _) => None,
        (_, Layer::App) => Some("only app/* names app/*"),
        (Layer::Base, _) => Some("base stands on nothing of ours"),
        (Layer::Platform, Layer::Base | Layer::Platform) => None,
        (Layer::Platform, _) => Some("platform knows no module and no edge"),
        (Layer::Api, Layer::Base | Layer::Api) => None,
        (Layer::Api, Layer::Platform) if name == "mela-db" => None,
        (Layer::Api, Layer::Platform) => {
            Some("a contract may name mela-db, for its in-transaction ports, and no other platform")
        }
        (Layer::Api, _) => Some("a contract knows no implementation"),
        (Layer::Service, Layer::Base | Layer::Platform | Layer::Api) => None,
        (Layer::Service, Layer::Service) => {
            Some("a service names other modules by their api crate, never another service")
        }
        (Layer::Service, _) => Some("a service knows no edge"),
        (Layer::Edge, Layer::Base | Layer::Api) => None,
        (Layer::Edge, Layer::Platform) if matches!(name, "mela-telemetry" | "mela-config") => None,
        (Layer::Edge, Layer::Platform) => {
            Some("an edge reaches no store, bus or queue; it asks a module")
        }
        (Layer::Edge, Layer::Service) => Some("only app/* names services"),
        (Layer::Edge, Layer::Edge) => Some("edges stand beside each other"),
    }
}

/// Tests may reach wider, but never up from base and platform, and never to the binary.
fn forbidden_in_tests(edge: &Edge) -> Option<&'static str> {
    let tool = matches!(edge.to.name.as_str(), "mela-testkit" | "mela-sim");
    match (edge.from.layer, edge.to.layer) {
        (Layer::App, _) => None,
        _ if tool => None,
        (_, Layer::App) => Some("tests below app/* use mela-testkit and mela-sim of it, no more"),
        (Layer::Base | Layer::Platform, Layer::Base | Layer::Platform) => None,
        (Layer::Base | Layer::Platform, _) => Some("base and platform are tested without modules"),
        (Layer::Api | Layer::Service, Layer::Edge) => Some("a module is tested without an edge"),
        _ => None,
    }
}

/// All edges between crates of the workspace.
fn edges() -> Vec<Edge> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(super::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let root = metadata["workspace_root"].as_str().unwrap();
    let at = |folder: &str, name: &str| {
        let short = Path::new(folder).strip_prefix(root).unwrap().to_str().unwrap();
        let layer = layer(short).unwrap_or_else(|| panic!("{name} at {short} is in no layer"));
        Crate { name: name.to_owned(), layer }
    };
    let mut edges = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = package["manifest_path"].as_str().unwrap();
        let folder = manifest.strip_suffix("/Cargo.toml").unwrap();
        let from = at(folder, package["name"].as_str().unwrap());
        for dependency in package["dependencies"].as_array().unwrap() {
            let Some(folder) = dependency["path"].as_str() else { continue };
            let to = at(folder, dependency["name"].as_str().unwrap());
            let used = match dependency["kind"].as_str() {
                Some("dev") => Use::Tests,
                _ => Use::Shipped,
            };
            edges.push(Edge { from: from.clone(), to, used });
        }
    }
    assert!(edges.len() > 100, "cargo told of {} edges only", edges.len());
    edges
}

#[test]
fn imports_go_down_only() {
    let findings: Vec<String> = edges()
        .iter()
        .filter_map(|edge| forbidden(edge).map(|why| format!("{edge}: {why}")))
        .collect();
    super::none(&findings);
}

#[test]
fn folders_tell_the_layer() {
    assert_eq!(layer("base"), Some(Layer::Base));
    assert_eq!(layer("platform/db"), Some(Layer::Platform));
    assert_eq!(layer("modules/orders/api"), Some(Layer::Api));
    assert_eq!(layer("modules/orders/service"), Some(Layer::Service));
    assert_eq!(layer("edge/gql"), Some(Layer::Edge));
    assert_eq!(layer("app/mela"), Some(Layer::App));
    for stray in ["", "modules/orders", "modules/orders/util", "tools", "platform/db/derive"] {
        assert_eq!(layer(stray), None, "{stray}");
    }
}

/// The checker itself: made-up edges, each with whether it must pass.
#[test]
fn the_checker_can_fail() {
    let krate = |name: &str| {
        let layer = match name {
            "mela-base" => Layer::Base,
            "mela-db" | "mela-bus" | "mela-jobs" | "mela-telemetry" => Layer::Platform,
            "mela-gql" | "mela-web" => Layer::Edge,
            "mela" | "mela-sim" | "mela-testkit" => Layer::App,
            name if name.ends_with("-api") => Layer::Api,
            _ => Layer::Service,
        };
        Crate { name: name.to_owned(), layer }
    };
    let cases = [
        ("mela-base", "mela-db", Use::Shipped, false),
        ("mela-db", "mela-base", Use::Shipped, true),
        ("mela-jobs", "mela-db", Use::Shipped, true),
        ("mela-db", "mela-orders-api", Use::Shipped, false),
        ("mela-db", "mela-orders-api", Use::Tests, false),
        ("mela-db", "mela-testkit", Use::Tests, true),
        ("mela-db", "mela-testkit", Use::Shipped, false),
        ("mela-orders-api", "mela-payments-api", Use::Shipped, true),
        ("mela-orders-api", "mela-db", Use::Shipped, true),
        ("mela-orders-api", "mela-bus", Use::Shipped, false),
        ("mela-orders-api", "mela-payments", Use::Shipped, false),
        ("mela-orders", "mela-inventory-api", Use::Shipped, true),
        ("mela-orders", "mela-inventory", Use::Shipped, false),
        ("mela-orders", "mela-inventory", Use::Tests, true),
        ("mela-orders", "mela-gql", Use::Shipped, false),
        ("mela-orders", "mela-gql", Use::Tests, false),
        ("mela-orders", "mela", Use::Tests, false),
        ("mela-gql", "mela-orders-api", Use::Shipped, true),
        ("mela-gql", "mela-telemetry", Use::Shipped, true),
        ("mela-gql", "mela-db", Use::Shipped, false),
        ("mela-gql", "mela-bus", Use::Shipped, false),
        ("mela-gql", "mela-orders", Use::Shipped, false),
        ("mela-gql", "mela-orders", Use::Tests, true),
        ("mela-gql", "mela-web", Use::Shipped, false),
        ("mela", "mela-orders", Use::Shipped, true),
        ("mela", "mela-sim", Use::Shipped, true),
        ("mela-sim", "mela-base", Use::Shipped, false),
    ];
    for (from, to, used, allowed) in cases {
        let edge = Edge { from: krate(from), to: krate(to), used };
        let verdict = forbidden(&edge);
        assert_eq!(verdict.is_none(), allowed, "{edge}: {verdict:?}");
    }
}
