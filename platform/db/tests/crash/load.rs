//! The child: workers that move money between accounts in transactions of several statements.

use std::io::Write;
use std::time::Duration;

use mela_base::{Env, Event};
use mela_db::{Db, DbError, Tx, params};

use crate::state::{ACCOUNTS, ENTRY_ADD, LAST, MOVE, SETS, START, TRANSFER_ADD, WORKERS};

/// What became of the money, told in the same transaction.
#[derive(serde::Serialize, serde::Deserialize)]
struct Moved {
    key: String,
    amount: i64,
}

impl Event for Moved {
    const TOPIC: &'static str = "crash.moved";

    fn key(&self) -> String {
        self.key.clone()
    }
}

enum Stop {
    Db(DbError),
    /// Thrown after all writes of a transaction: none of them may stay.
    Refused,
}

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// These are refused by the closure itself.
pub(crate) fn refused(n: i64) -> bool {
    n % 7 == 3
}

/// The next write of a worker that may stay.
pub(crate) fn next(n: i64) -> i64 {
    if refused(n + 1) { n + 2 } else { n + 1 }
}

fn one(tx: &mut Tx<'_>, env: &Env, worker: i64, n: i64) -> Result<(), Stop> {
    let from = (n * 31 + worker * 17) % ACCOUNTS;
    let to = (from + 1 + n % (ACCOUNTS - 1)) % ACCOUNTS;
    let amount = 1 + n % 97;
    tx.exec(&TRANSFER_ADD, &params![worker, n, amount])?;
    tx.exec_rows(
        &ENTRY_ADD,
        &[],
        &[params![worker, n, from, -amount].to_vec(), params![worker, n, to, amount].to_vec()],
    )?;
    // In one order, so that two of them do not wait for each other.
    let mut sides = [(from, -amount), (to, amount)];
    sides.sort_unstable();
    for (account, amount) in sides {
        if tx.exec(&MOVE, &params![account, amount])? != 1 {
            return Err(Stop::Refused);
        }
    }
    mela_bus::emit(tx, env, &Moved { key: format!("{worker}-{n}"), amount })?;
    if refused(n) { Err(Stop::Refused) } else { Ok(()) }
}

pub(crate) fn parse_ack(line: &str) -> Option<(i64, i64)> {
    let (worker, n) = line.strip_prefix("ack ")?.split_once(' ')?;
    Some((worker.parse().ok()?, n.parse().ok()?))
}

/// Until killed, or until nobody listens any more.
fn ack(worker: i64, n: i64) {
    let line = format!("ack {worker} {n}\n");
    if std::io::stdout().write_all(line.as_bytes()).is_err() {
        std::process::exit(0);
    }
}

fn last(db: &Db, worker: i64) -> Result<i64, DbError> {
    db.read_blocking("crash.last", move |q| q.one(&LAST, &params![worker])?.get::<i64>(0))
}

/// Opens the database, goes on where the one before was killed, and never ends by itself.
pub(crate) fn run(url: &str) {
    let db = crate::open(url);
    db.migrate(SETS).unwrap();
    db.write_blocking("crash.start", |tx| tx.exec(&START, &params![ACCOUNTS])).unwrap();
    // What libtest has begun to print.
    println!();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let db = &db;
            scope.spawn(move || work(db, worker));
        }
    });
}

fn work(db: &Db, worker: i64) {
    let env = Env::system();
    let mut n = last(db, worker).unwrap() + 1;
    loop {
        let e = env.clone();
        match db.write_blocking("crash.move", move |tx| one(tx, &e, worker, n)) {
            Ok(()) => ack(worker, n),
            Err(Stop::Refused) => assert!(refused(n), "there is money enough"),
            Err(Stop::Db(DbError::Unavailable(_))) => {
                // The server died under us: did it happen?
                let happened = loop {
                    std::thread::sleep(Duration::from_millis(20));
                    if let Ok(last) = last(db, worker) {
                        break last == n;
                    }
                };
                if !happened {
                    continue;
                }
                ack(worker, n);
            }
            Err(Stop::Db(other)) => panic!("{other}"),
        }
        n += 1;
    }
}
