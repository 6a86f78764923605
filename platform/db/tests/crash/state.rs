//! The database of the crash test, and what must hold in it at all times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mela_db::{Db, DbError, Dialect, Migration, MigrationSet, Sql, params};

use crate::load::{next, refused};

pub(crate) const ACCOUNTS: i64 = 40;
pub(crate) const WORKERS: i64 = 16;
const EACH: i64 = 1_000_000_000;

const SET: MigrationSet = MigrationSet {
    module: "crash",
    migrations: &[Migration::new(
        "001_init",
        "CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0));
         CREATE TABLE transfer (worker BIGINT NOT NULL, n BIGINT NOT NULL, amount BIGINT NOT NULL, PRIMARY KEY (worker, n));
         CREATE TABLE entry (
             worker BIGINT NOT NULL, n BIGINT NOT NULL, account BIGINT NOT NULL, amount BIGINT NOT NULL,
             PRIMARY KEY (worker, n, account)
         );
         CREATE INDEX entry_account ON entry (account, amount);",
    )],
};
pub(crate) const SETS: &[MigrationSet] = &[mela_bus::MIGRATIONS, SET];

pub(crate) const START: Sql = Sql::new(
    "crash.start",
    "WITH RECURSIVE v(id) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT id + 1 FROM v WHERE id + 1 < ?1)
     INSERT INTO account (id, balance) SELECT id, 1000000000 FROM v WHERE true ON CONFLICT (id) DO NOTHING",
);
pub(crate) const TRANSFER_ADD: Sql =
    Sql::new("crash.transfer_add", "INSERT INTO transfer (worker, n, amount) VALUES (?1, ?2, ?3)");
pub(crate) const ENTRY_ADD: Sql =
    Sql::new("crash.entry_add", "INSERT INTO entry (worker, n, account, amount) VALUES {rows}");
pub(crate) const MOVE: Sql = Sql::new(
    "crash.move",
    "UPDATE account SET balance = balance + ?2 WHERE id = ?1 AND balance + ?2 >= 0",
);
pub(crate) const LAST: Sql =
    Sql::new("crash.last", "SELECT coalesce(max(n), 0) FROM transfer WHERE worker = ?1");

const PER_WORKER: Sql = Sql::new(
    "crash.per_worker",
    "SELECT worker, max(n), count(*) FROM transfer GROUP BY worker ORDER BY worker",
);
const TOTALS: Sql = Sql::new(
    "crash.totals",
    "SELECT (SELECT count(*) FROM account), (SELECT coalesce(sum(balance), 0) FROM account),
            (SELECT count(*) FROM transfer), (SELECT count(*) FROM entry),
            (SELECT count(*) FROM outbox)",
);
const HALF_WRITTEN: Sql = Sql::new(
    "crash.half_written",
    "SELECT count(*) FROM (
         SELECT t.worker FROM transfer AS t
         LEFT JOIN entry AS e ON e.worker = t.worker AND e.n = t.n
         GROUP BY t.worker, t.n, t.amount
         HAVING count(e.n) <> 2 OR sum(e.amount) <> 0 OR max(e.amount) <> t.amount
     ) AS broken",
);
const WRONG_BALANCES: Sql = Sql::new(
    "crash.wrong_balances",
    "SELECT count(*) FROM account AS a
     WHERE a.balance <> 1000000000 + (SELECT coalesce(sum(e.amount), 0) FROM entry AS e WHERE e.account = a.id)",
);
const UNTOLD: Sql = Sql::new(
    "crash.untold",
    "SELECT count(*) FROM (SELECT worker || '-' || n AS key FROM transfer
     EXCEPT SELECT key FROM outbox) AS untold",
);
const INTEGRITY: Sql = Sql::new("crash.integrity", "PRAGMA integrity_check");
const OTHERS: Sql = Sql::new(
    "crash.others",
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
);

/// Opens the database as after a crash and proves that it holds what was said, and nothing by
/// halves. Returns where each worker is.
pub(crate) fn verify(url: &str, said: &BTreeMap<i64, i64>) -> BTreeMap<i64, i64> {
    let mut config = mela_db::DbConfig::new(url);
    config.connections = 1;
    let db = Db::open(&config, mela_base::Env::system()).unwrap();
    if db.dialect() == Dialect::Postgres {
        wait_for_the_killed(&db);
    }
    db.migrate(SETS).unwrap();
    let number = |sql: &'static Sql| {
        db.read_blocking("crash.verify", move |q| q.one(sql, &[])?.get::<i64>(0)).unwrap()
    };
    if db.dialect() == Dialect::Sqlite {
        let text = db.read_blocking("crash.verify", |q| q.one(&INTEGRITY, &[])?.get::<String>(0));
        assert_eq!(text.as_deref(), Ok("ok"));
    }
    let [accounts, money, transfers, entries, events] = db
        .read_blocking("crash.verify", |q| {
            let row = q.one(&TOTALS, &[])?;
            let mut out = [0; 5];
            for (i, n) in out.iter_mut().enumerate() {
                *n = row.get(i)?;
            }
            Ok::<_, DbError>(out)
        })
        .unwrap();
    assert!(accounts == ACCOUNTS || accounts == 0 && said.is_empty(), "all accounts or none");
    assert_eq!(money, accounts * EACH, "no money came or went");
    assert_eq!((entries, events), (transfers * 2, transfers), "as many as belong together");
    assert_eq!(number(&HALF_WRITTEN), 0, "transfers without both entries");
    assert_eq!(number(&UNTOLD), 0, "transfers without their event");
    assert_eq!(number(&WRONG_BALANCES), 0, "balances that are not the sum of entries");
    let found: BTreeMap<i64, (i64, i64)> = db
        .read_blocking("crash.verify", |q| {
            let row = |r: &mela_db::Row| Ok((r.get(0)?, (r.get(1)?, r.get(2)?)));
            q.all(&PER_WORKER, &params![])?.iter().map(row).collect::<Result<_, DbError>>()
        })
        .unwrap();
    for worker in 0..WORKERS {
        let said = said.get(&worker).copied().unwrap_or(0);
        let (last, count) = found.get(&worker).copied().unwrap_or((0, 0));
        assert!(
            last == said || last == next(said),
            "worker {worker}: {said} was acknowledged and one more may be there, not {last}"
        );
        let expected = (1..=last).filter(|n| !refused(*n)).count() as i64;
        assert_eq!(count, expected, "worker {worker}: every write up to the last, none refused");
    }
    found.into_iter().map(|(worker, (last, _))| (worker, last)).collect()
}

/// The server may still be at a commit that the killed client had asked for.
fn wait_for_the_killed(db: &Db) {
    let started = Instant::now();
    while db.read_blocking("crash.others", |q| q.one(&OTHERS, &[])?.get::<i64>(0)) != Ok(0) {
        assert!(started.elapsed() < Duration::from_secs(30), "old connections end");
        std::thread::sleep(Duration::from_millis(5));
    }
}
