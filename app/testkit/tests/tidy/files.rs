//! Rules about single files that neither the compiler nor clippy checks.

use super::{none, root, texts};

/// A file longer than this is two subjects in one.
const MAX_LINES: usize = 600;

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// Code that is shipped, not code that tests it.
fn is_source(path: &str) -> bool {
    is_rust(path) && path.contains("src/")
}

#[test]
fn no_rust_file_is_too_long() {
    let findings: Vec<String> = texts(is_rust)
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines; split it by subject at {MAX_LINES}"))
        .collect();
    none(&findings);
}

#[test]
fn every_crate_says_what_it_is() {
    let findings: Vec<String> =
        texts(|path| path.ends_with("src/lib.rs") || path.ends_with("src/main.rs"))
            .into_iter()
            .filter(|(_, text)| !text.starts_with("//! "))
            .map(|(path, _)| format!("{path}: start it with `//! what this crate is for`"))
            .collect();
    none(&findings);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let findings: Vec<String> = texts(|path| path.ends_with("/Cargo.toml"))
        .into_iter()
        .filter(|(_, text)| !text.contains("[lints]\nworkspace = true"))
        .map(|(path, _)| format!("{path}: add `[lints]` with `workspace = true`"))
        .collect();
    none(&findings);
}

#[test]
fn dependencies_are_chosen_in_one_place() {
    let mut findings = Vec::new();
    for (path, text) in texts(|path| path.ends_with("/Cargo.toml")) {
        let mut in_dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
                findings.push(format!("{path}: `{line}`: name it in the root's manifest"));
            }
        }
    }
    none(&findings);
}

#[test]
fn nothing_is_left_half_done() {
    // In two halves each, so that this file does not find itself.
    let marks = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut findings = Vec::new();
    for (path, text) in texts(is_source) {
        for (number, line) in text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
                findings.push(format!("{path}:{}: `{mark}`", number + 1));
            }
        }
    }
    none(&findings);
}

#[test]
fn sql_is_in_stores_only() {
    let store = |path: &str| path.ends_with("/store.rs") || path.contains("/store/");
    let findings: Vec<String> =
        texts(|path| path.starts_with("modules/") && is_source(path) && !store(path))
            .into_iter()
            .filter(|(_, text)| text.contains("Sql::new("))
            .map(|(path, _)| format!("{path}: statements belong to the module's store"))
            .collect();
    none(&findings);
}

#[test]
fn modules_ask_the_clock_that_they_were_given() {
    // Time comes from `Env`, so that a test can drive it and a history can be replayed.
    let marks = ["SystemTime::now", "OffsetDateTime::now", "std::time::Instant::now"];
    let mut findings = Vec::new();
    for (path, text) in texts(|path| path.starts_with("modules/") && is_source(path)) {
        for mark in marks.iter().filter(|mark| text.contains(**mark)) {
            findings.push(format!("{path}: `{mark}`: take the time from `Env`"));
        }
    }
    none(&findings);
}

#[test]
fn no_path_of_a_machine_is_in_the_tree() {
    let marks = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let text_file = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let kinds = [
            "rs", "toml", "md", "sql", "json", "js", "mjs", "css", "html", "svg", "csv", "graphql",
            "snap", "yml", "yaml", "txt", "py", "sh", "lock",
        ];
        !name.contains('.')
            || path.starts_with(".ci/")
            || kinds.iter().any(|kind| name.ends_with(&format!(".{kind}")))
    };
    let mut findings = Vec::new();
    for (path, text) in texts(text_file) {
        for (number, line) in text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
                findings.push(format!("{path}:{}: `{mark}`", number + 1));
            }
        }
    }
    none(&findings);
}

#[test]
fn packages_come_from_the_public_registries_only() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let crates_io = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let mut findings: Vec<String> = lock
        .lines()
        .filter(|line| line.starts_with("source = ") && *line != crates_io)
        .map(|line| format!("Cargo.lock: {line}"))
        .collect();
    for (path, text) in texts(|path| path.ends_with("package-lock.json")) {
        let strange = text
            .lines()
            .filter(|line| line.contains("\"resolved\": \"http"))
            .filter(|line| !line.contains("\"https://registry.npmjs.org/"));
        findings.extend(strange.map(|line| format!("{path}: {}", line.trim())));
    }
    // Where packages come from is a machine's own business.
    let own = [".npmrc", ".pypirc", "pip.conf", "pip.ini", ".cargo/config.toml", ".cargo/config"];
    for (path, text) in texts(|path| own.iter().any(|own| path.ends_with(own))) {
        if text.contains("://") || text.contains("_auth") {
            findings.push(format!("{path}: names a registry or a key"));
        }
    }
    none(&findings);
}
