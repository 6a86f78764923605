//! Settings and starts that cannot be: a message that says where and what would be right.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::server::{Engine, Place, Server, told};

/// In a folder of the test's own, without settings of the caller's environment.
fn at(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mela"));
    command.args(words).current_dir(dir).env_clear().stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Refused with code 1, a message on standard error alone, and nothing made in the folder.
fn refused(dir: &Path, mut command: Command, with: &[&str]) {
    let before = names(dir);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(output.stdout.is_empty(), "{}", told(&output));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.starts_with("error: "), "{message}");
    for part in with {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    assert_eq!(names(dir), before);
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = names.map(|n| n.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_effective_settings_are_shown_with_their_source_and_without_secrets() {
    let place = Place::empty(Engine::Sqlite);
    let file = "[razorpay]\nkey_secret = 'very-secret-1'\n\n[server]\nbody_limit_kib = 128\n";
    fs::write(place.dir.join("mela.toml"), file).unwrap();
    let mut command = at(&place.dir, &["config", "--set", "shop.name=Asha's Fair"]);
    let output = command.env("MELA_MAIL_PASSWORD", "very-secret-2").output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let said = said(&output);
    assert!(!said.contains("very-secret"), "{said}");
    for (line, source) in [
        ("key_secret = \"***\"", "mela.toml:2:14"),
        ("body_limit_kib = 128", "mela.toml:5:18"),
        ("password = \"***\"", "MELA_MAIL_PASSWORD"),
        ("name = \"Asha's Fair\"", "--set shop.name"),
        ("request_timeout_ms = 15000", "default"),
    ] {
        let found = said.lines().find(|l| l.starts_with(line));
        assert!(found.is_some_and(|l| l.ends_with(source)), "{line} {source}: {said}");
    }
    // Looking makes nothing.
    assert_eq!(names(&place.dir), ["mela.toml"]);
}

#[test]
fn wrong_settings_are_refused_with_their_place() {
    let place = Place::empty(Engine::Sqlite);
    let dir = &place.dir;
    let file = dir.join("shop.toml");
    fs::write(&file, "[server]\nlisen = 'x'\nbody_limit_kib = 'big'\n[coin]\na = 1\n").unwrap();
    for command in ["serve", "config", "ledger", "reindex"] {
        let command = at(dir, &[command, "--config", "shop.toml"]);
        refused(
            dir,
            command,
            &["shop.toml:2:1", "listen", "shop.toml:3:18", "shop.toml:4", "coin"],
        );
    }
    fs::write(&file, "[server\n").unwrap();
    refused(dir, at(dir, &["serve", "--config", "shop.toml"]), &["shop.toml:1"]);
    fs::write(&file, [0_u8, 159, 146, 150, 255]).unwrap();
    refused(dir, at(dir, &["serve", "--config", "shop.toml"]), &["shop.toml"]);
    refused(dir, at(dir, &["serve", "--config", "none.toml"]), &["none.toml", "cannot read"]);
    refused(dir, at(dir, &["serve", "--set", "server.listen=here"]), &["127.0.0.1:8080"]);
    refused(dir, at(dir, &["serve", "--role", "web,cook"]), &["cook", "checkout"]);
    let mut command = at(dir, &["serve"]);
    command.env("MELA_DATABASE_URL", "mysql://x");
    refused(dir, command, &["MELA_DATABASE_URL", "postgres://"]);
}

#[test]
fn production_needs_its_own_secrets() {
    let place = Place::empty(Engine::Sqlite);
    let command = at(&place.dir, &["serve", "--set", "mode=production"]);
    refused(
        &place.dir,
        command,
        &["razorpay.key_secret must be set in production", "MELA_SHOP_GSTIN", "server.public_url"],
    );
}

#[test]
fn a_port_that_is_taken() {
    let place = Place::empty(Engine::Sqlite);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("server.listen={}", taken.local_addr().unwrap());
    let command = at(&place.dir, &["serve", "--set", &listen]);
    refused(&place.dir, command, &["cannot listen on", "choose another with --set server.listen"]);
}

#[test]
fn a_second_server_on_the_same_folder() {
    let server = Server::start_at(Place::empty(Engine::Sqlite), &[]);
    let mut command = server.place.command(&["serve", "--set", "server.listen=127.0.0.1:0"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("is open in another process; stop it first"));
}

#[test]
fn a_data_folder_that_cannot_be_written_to() {
    let place = Place::empty(Engine::Sqlite);
    let dir = &place.dir;
    fs::write(dir.join("file"), "x").unwrap();
    for data in ["file", "file/below"] {
        refused(dir, at(dir, &["serve", "--data", data]), &[data, "choose another with --data"]);
    }
    let shut = dir.join("shut");
    fs::create_dir(&shut).unwrap();
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = at(dir, &["serve", "--data", "shut"]);
    // Root may write everywhere, so it becomes nobody.
    if fs::write(shut.join("probe"), "").is_ok() {
        fs::remove_file(shut.join("probe")).unwrap();
        command.uid(65_534).gid(65_534);
    }
    refused(dir, command, &["cannot write to the data folder shut", "choose another with --data"]);
    assert!(names(&shut).is_empty());
}

#[test]
fn a_database_that_is_not_there() {
    let place = Place::empty(Engine::Sqlite);
    let url = "database.url=postgres://nobody:very-secret@127.0.0.1:1/none";
    let output = at(&place.dir, &["ledger", "--set", url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("cannot connect to Postgres"), "{}", told(&output));
    assert!(!told(&output).contains("very-secret"), "{}", told(&output));
}
