//! Kill -9 at any moment: every acknowledged write is there, nothing half-written is.
//!
//! The test binary runs itself again as a child that writes as fast as it can and reports each
//! acknowledged write over a pipe; the parent kills it, opens the database and counts. Some rounds
//! kill it while it opens or recovers the database. `MELA_CRASH_ROUNDS=2000` makes it longer.
//!
//! What SIGKILL cannot show is a lost page cache: that each commit is forced to the disk is
//! SQLite's `synchronous = FULL` and Postgres' `fsync`, with which these tests run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod load;
mod state;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use mela_base::Env;
use mela_db::Db;
use mela_testkit::PrivatePostgres;

/// Set for the child: the database's URL.
const URL: &str = "MELA_CRASH_URL";

/// Not a test: what the other tests run in a process of its own.
#[test]
#[ignore = "it is the child process of the other tests"]
fn child() {
    if let Ok(url) = std::env::var(URL) {
        load::run(&url);
    }
}

struct Run {
    child: Child,
    acks: Receiver<(i64, i64)>,
    /// The last acknowledged write of each worker.
    last: BTreeMap<i64, i64>,
    acked: u64,
}

impl Run {
    fn start(url: &str, last: BTreeMap<i64, i64>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(URL, url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = BufReader::new(child.stdout.take().unwrap());
        let (send, acks) = channel();
        std::thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                if let Some(ack) = load::parse_ack(&line) {
                    let _ = send.send(ack);
                }
            }
        });
        Self { child, acks, last, acked: 0 }
    }

    fn note(&mut self, (worker, n): (i64, i64)) {
        let before = self.last.insert(worker, n).unwrap_or(0);
        assert_eq!(n, load::next(before), "worker {worker} acknowledges in order");
        self.acked += 1;
    }

    /// Until so many more writes are acknowledged.
    fn wait_for(&mut self, acks: u64) {
        let until = self.acked + acks;
        while self.acked < until {
            let ack = self.acks.recv_timeout(Duration::from_secs(30));
            self.note(ack.expect("the child writes"));
        }
    }

    /// SIGKILL. What the child had said before is still in the pipe.
    fn kill(mut self) -> (BTreeMap<i64, i64>, u64) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while let Ok(ack) = self.acks.recv() {
            self.note(ack);
        }
        (self.last, self.acked)
    }
}

fn rounds(default: u64) -> u64 {
    std::env::var("MELA_CRASH_ROUNDS").map_or(default, |n| n.parse().unwrap())
}

/// Kills at random moments, and looks after each.
fn kill_again_and_again(url: &str, rounds: u64) {
    let env = Env::system();
    let started = Instant::now();
    let mut last = BTreeMap::new();
    let mut acked = 0;
    for round in 0..rounds {
        let mut run = Run::start(url, last);
        if round % 5 != 4 {
            run.wait_for(1 + env.below(300));
        }
        std::thread::sleep(Duration::from_micros(env.below(100_000)));
        let (said, count) = run.kill();
        acked += count;
        last = state::verify(url, &said);
    }
    eprintln!("{rounds} kills, {acked} acknowledged writes, {:?}", started.elapsed());
    assert!(acked > rounds, "the child writes between the kills");
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let random = u64::from_le_bytes(Env::system().random());
        let dir = std::env::temp_dir().join(format!("mela-crash-{name}-{random:016x}"));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn sqlite_loses_nothing() {
    let dir = Folder::new("sqlite");
    let url = format!("sqlite:{}", dir.0.join("crash.db").display());
    kill_again_and_again(&url, rounds(50));
}

#[test]
fn a_killed_client_of_postgres_loses_nothing() {
    let dir = Folder::new("pg");
    let server = PrivatePostgres::start(&dir.0, true).unwrap();
    kill_again_and_again(&server.url(), rounds(20));
    drop(server);
}

/// The client lives on, connects again and finds out what became of the writes that were under way.
#[test]
fn a_killed_postgres_loses_nothing() {
    let dir = Folder::new("pgs");
    let mut server = PrivatePostgres::start(&dir.0, true).unwrap();
    let url = server.url();
    let env = Env::system();
    let mut run = Run::start(&url, BTreeMap::new());
    for _ in 0..rounds(4).min(100) {
        run.wait_for(1 + env.below(300));
        std::thread::sleep(Duration::from_micros(env.below(100_000)));
        server.crash().unwrap();
    }
    run.wait_for(300);
    let (said, _) = run.kill();
    state::verify(&url, &said);
    drop(server);
}

fn open(url: &str) -> Db {
    let mut config = mela_db::DbConfig::new(url);
    config.connections = 8;
    Db::open(&config, Env::system()).unwrap()
}
