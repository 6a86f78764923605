//! The audits of npm `graphql-http`, unchanged, against the running server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::server::Server;

const VERSION: &str = "1.23.1";
const AUDITS: usize = 61;

/// Prints a line per audit that did not end with "ok", then how many did.
const SCRIPT: &str = r"
const { serverAudits } = require('graphql-http');
(async () => {
  const audits = serverAudits({ url: process.env.URL, fetchFn: fetch });
  let held = 0;
  for (const audit of audits) {
    const result = await audit.fn();
    if (result.status === 'ok') held += 1;
    else console.log(`${result.status} ${audit.id} ${audit.name}: ${result.reason}`);
  }
  console.log(`${held} of ${audits.length}`);
})();
";

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} did not start: {e}"));
    assert!(output.status.success(), "{command:?} failed\n{}", crate::server::told(&output));
    output
}

/// Installs the package beneath `target`, once.
fn package() -> PathBuf {
    let node = Command::new("node").arg("--version").output().is_ok_and(|o| o.status.success());
    if !node {
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        assert!(root, "node is missing: install it with `sudo apt-get install -y nodejs npm`");
        run(Command::new("apt-get").arg("update"));
        run(Command::new("apt-get")
            .args(["install", "-y", "--no-install-recommends"])
            .args(["nodejs", "npm"]));
    }
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("graphql-http");
    let mark = home.join("installed");
    if std::fs::read_to_string(&mark).is_ok_and(|v| v == VERSION) {
        return home;
    }
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&home).unwrap();
    run(Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
        .arg(&home)
        .args([&format!("graphql-http@{VERSION}"), "graphql@16"]));
    std::fs::write(mark, VERSION).unwrap();
    home
}

#[test]
fn all_audits_of_graphql_over_http_hold() {
    let home = package();
    let server = Server::start(&[]);
    let output = run(Command::new("node")
        .args(["-e", SCRIPT])
        .env("NODE_PATH", home.join("node_modules"))
        .env("URL", format!("{}/graphql", server.url)));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told.trim_end(), format!("{AUDITS} of {AUDITS}"), "{told}");
}
