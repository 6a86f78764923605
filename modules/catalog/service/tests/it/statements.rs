use mela_testkit::TestDb;

use crate::shop::SETS;

#[test]
fn every_statement_prepares_on_both_engines() {
    for t in TestDb::both(SETS) {
        let wrong = mela_db::check_statements(&t.db, mela_catalog::STATEMENTS);
        assert!(wrong.is_empty(), "{:?}: {wrong:#?}", t.dialect());
    }
}
