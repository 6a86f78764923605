//! The official Razorpay clients, unchanged, go the whole way against the simulator.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{Inbox, ground_with};

/// Where the clients are installed, once.
fn home(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} did not start: {e}"));
    assert!(
        output.status.success(),
        "{command:?} failed\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn works(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|o| o.status.success())
}

/// Makes sure that a program is there: root installs it, everybody else is told how.
fn need(program: &str, argument: &str, packages: &[&str]) {
    if works(program, argument) {
        return;
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0");
    let names = packages.join(" ");
    assert!(root, "{program} is missing: install it with `sudo apt-get install -y {names}`");
    run(Command::new("apt-get").arg("update"));
    run(Command::new("apt-get").args(["install", "-y", "--no-install-recommends"]).args(packages));
}

/// Installs into `home` unless that was finished before.
fn once(home: &Path, version: &str, install: impl FnOnce()) {
    let mark = home.join("installed");
    if std::fs::read_to_string(&mark).is_ok_and(|v| v == version) {
        return;
    }
    let _ = std::fs::remove_dir_all(home);
    std::fs::create_dir_all(home).unwrap();
    install();
    std::fs::write(mark, version).unwrap();
}

async fn goes_the_whole_way(mut script: Command) {
    let inbox = Inbox::open().await;
    let g = ground_with(|c| c.razorpay.webhook_url = Some(inbox.url.clone())).await;
    script
        .env("SIM", g.sim.razorpay_url())
        .env("RECEIVED", inbox.url.replace("/hook", "/received"));
    let output = tokio::task::spawn_blocking(move || run(&mut script)).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.trim_end().ends_with("whole way done"), "{told}");
    let totals = g.get("/_sim/ledger?rows=0").await["totals"].clone();
    assert_eq!(
        (totals["captured"].as_i64(), totals["refunded"].as_i64()),
        (Some(50_000), Some(20_000))
    );
}

#[tokio::test]
async fn python() {
    let home = home("razorpay-python");
    let python = home.join("venv/bin/python");
    need("python3", "--version", &["python3", "python3-venv"]);
    once(&home, "2.0.1", || {
        run(Command::new("python3").args(["-m", "venv"]).arg(home.join("venv")));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "razorpay==2.0.1"]));
    });
    let mut script = Command::new(python);
    script.args(["-c", include_str!("sdk/whole_way.py")]);
    goes_the_whole_way(script).await;
}

#[tokio::test]
async fn node() {
    let home = home("razorpay-node");
    need("node", "--version", &["nodejs", "npm"]);
    once(&home, "2.9.8", || {
        run(Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&home)
            .arg("razorpay@2.9.8"));
    });
    let mut script = Command::new("node");
    script
        .args(["-e", include_str!("sdk/whole_way.js")])
        .env("NODE_PATH", home.join("node_modules"));
    goes_the_whole_way(script).await;
}
