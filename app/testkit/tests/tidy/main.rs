//! Checks of the workspace as a whole: the layers, the files, the list of error codes, the links
//! of the documents. They read the tree and build nothing.

// What cannot be read cannot be checked: the test fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod errors;
mod files;
mod layers;
mod links;
mod source;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file of the tree with its path from the root: what git tracks, and what is new.
fn tree() -> Vec<(String, PathBuf)> {
    let root = root();
    // A checkout may belong to somebody else than the user who runs the tests.
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"])
        .arg("--exclude-standard")
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found: Vec<(String, PathBuf)> = String::from_utf8(output.stdout)
        .unwrap()
        .split_terminator('\0')
        .map(|short| (short.to_owned(), root.join(short)))
        .filter(|(_, path)| path.is_file())
        .collect();
    found.sort();
    assert!(found.len() > 100, "the tree was not found");
    found
}

/// The text of every file whose path passes, in order.
fn texts(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    tree()
        .into_iter()
        .filter(|(short, _)| wanted(short))
        .map(|(short, path)| {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{short}: {e}"));
            (short, text)
        })
        .collect()
}

/// Fails with all findings at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "{} finding(s):\n{}", findings.len(), findings.join("\n"));
}
