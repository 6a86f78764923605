use mela_db::{DbError, Migration, MigrationSet};
use mela_testkit::{TestDb, on_both};

use crate::SET;

const fn set(migrations: &'static [Migration]) -> MigrationSet {
    MigrationSet { module: "m", migrations }
}

const ONE: Migration = Migration::new("001_one", "CREATE TABLE one (a BIGINT PRIMARY KEY);");
const TWO: Migration = Migration::new("002_two", "CREATE TABLE two (a BIGINT PRIMARY KEY);");
const CHANGED: Migration = Migration::new("001_one", "CREATE TABLE one (a TEXT PRIMARY KEY);");
const BROKEN: Migration =
    Migration::new("003_broken", "CREATE TABLE three (a TEXT PRIMARY KEY); CREATE TABLE one;");

fn message(result: Result<Vec<String>, DbError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn once_each_and_no_surprises() {
    on_both(&[SET], async |t| {
        assert_eq!(t.db.migrate(&[SET, set(&[ONE])]), Ok(vec!["m/001_one".to_owned()]));
        assert_eq!(t.db.migrate(&[SET, set(&[ONE])]), Ok(vec![]));
        assert_eq!(t.db.migrate(&[set(&[ONE, TWO])]), Ok(vec!["m/002_two".to_owned()]));
        assert!(message(t.db.migrate(&[set(&[CHANGED, TWO])])).contains("m/001_one was changed"));
        assert!(message(t.db.migrate(&[set(&[ONE])])).contains("newer"));
        let broken = message(t.db.migrate(&[set(&[ONE, TWO, BROKEN])]));
        assert!(broken.contains("m/003_broken failed"), "{broken}");
        assert_eq!(t.db.migrate(&[set(&[ONE, TWO])]), Ok(vec![]));
    })
    .await;
}

#[test]
fn two_processes_at_once() {
    for t in TestDb::both(&[]) {
        let second = t.another();
        let applied: usize = std::thread::scope(|scope| {
            let run = |db: mela_db::Db| {
                scope.spawn(move || db.migrate(&[SET, set(&[ONE, TWO])]).unwrap().len())
            };
            [run(t.db.clone()), run(second)].map(|h| h.join().unwrap()).iter().sum()
        });
        assert_eq!(applied, 3, "{:?}", t.dialect());
    }
}
