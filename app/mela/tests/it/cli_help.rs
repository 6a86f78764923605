//! What the command line says to somebody who does not know it.

use std::process::{Command, Output};

use crate::server::told;

fn mela(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mela")).args(words).output().unwrap()
}

#[test]
fn every_command_tells_what_it_does() {
    let wanted: [(&[&str], &[&str]); 17] = [
        (&[], &["Start with `mela demo`", "Run the server", "Import a catalogue"]),
        (&["demo"], &["exit 0 only if every step held", "--catalog", "[default: mela-demo]"]),
        (&["serve"], &["web, checkout, play, worker", "--set", "--config"]),
        (&["sim"], &["Port of the mail catcher", "so that webhooks reach it"]),
        (&["import"], &["A folder with Magento 2's own export files", "DummyJSON"]),
        (&["import", "magento"], &["84.5 for USD", "Leave the pictures out"]),
        (&["import", "json"], &["84.5 for USD", "Folder for database"]),
        (&["reindex"], &["search index"]),
        (&["config"], &["secrets masked"]),
        (&["dead"], &["Show jobs and events that failed for good", "Try a job again"]),
        (&["dead", "list"], &["failed for good"]),
        (&["dead", "replay-event"], &["as listed"]),
        (&["staff"], &["Add an account"]),
        (&["staff", "save"], &["password is read from standard input", "viewer, support"]),
        (&["ledger"], &["Check the ledger"]),
        (&["schema"], &["GraphQL schema"]),
        (&["bench"], &["checkout", "catalog", "start", "import"]),
    ];
    for (command, lines) in wanted {
        let output = mela(&[command, &["--help"]].concat());
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.success(), "{}", told(&output));
        for line in lines {
            assert!(said.contains(line), "mela {}: no `{line}` in\n{said}", command.join(" "));
        }
    }
}

#[test]
fn unknown_words_are_refused_with_what_there_is() {
    for (words, says) in [
        (&["--frobnicate"][..], "--help"),
        (&["serv"], "serve"),
        (&["serve", "--prot", "1"], "--help"),
        (&["demo", "--port", "many"], "--port"),
        (&["dead", "replay-job", "job_1"], "followed by 26 letters and digits"),
        (&["config", "--set", "novalue"], "section.name=value"),
    ] {
        let output = mela(words);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{words:?}: {said}");
        assert!(output.stdout.is_empty(), "{}", told(&output));
    }
}

#[test]
fn the_printed_schema_is_the_committed_one() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../edge/gql/schema.graphql");
    let committed = std::fs::read_to_string(&path).unwrap();
    let output = mela(&["schema"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(String::from_utf8(output.stdout).unwrap() == committed, "{}", path.display());
}
