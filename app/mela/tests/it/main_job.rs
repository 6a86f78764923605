//! The whole main job as the command that newcomers run.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::server::{Engine, Place, told};

fn once(place: &Place, catalog: Option<&Path>) -> Output {
    let mut command = place.command(&["demo", "--once"]);
    if let Some(folder) = catalog {
        command.arg("--catalog").arg(folder);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

/// Every step held, and the process said so by its exit code.
fn held(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("all 20 steps held"), "{}", told(output));
    said
}

#[test]
fn the_fair_from_an_empty_folder_and_again() {
    let place = Place::empty(Engine::Sqlite);
    let said = held(&once(&place, None));
    assert!(said.contains("filled the shop: 139 products"), "{said}");
    // The same shopper comes back to the shop as it was left.
    let said = held(&once(&place, None));
    assert!(said.contains("the shop has its 139 products already"), "{said}");
}

#[test]
fn a_real_export_from_an_empty_folder() {
    let place = Place::empty(Engine::Sqlite);
    let luma = mela_testkit::shared_data("magento-luma");
    let said = held(&once(&place, Some(&luma)));
    assert!(said.contains("filled the shop: 181 products, 1891 variants"), "{said}");
}

#[test]
fn a_demo_that_cannot_start_says_why() {
    let place = Place::empty(Engine::Sqlite);
    let output = once(&place, Some(Path::new("no-such-folder")));
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("no-such-folder cannot be read"), "{}", told(&output));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command: Command = place.command(&["demo", "--once", "--port", &port]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("choose another with --port"), "{}", told(&output));
}
