use mela_base::ids::OrderId;
use mela_base::{Env, Id, Paise, Timestamp};
use mela_db::{DbError, Sql, Value, check_statements, params};
use mela_testkit::{TestDb, on_both};
use proptest::prelude::*;

use crate::{POT_ADD, POT_COUNT, POT_N, SET};

const PUT: Sql = Sql::new(
    "test.anything_put",
    "INSERT INTO anything (k, b, i, r, t, y, d, z, j) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
);
const GET: Sql =
    Sql::new("test.anything_get", "SELECT b, i, r, t, y, d, z, j FROM anything WHERE k = ?1");
const SUM: Sql = Sql::new("test.pot_sum", "SELECT sum(n), avg(n), max(n) FROM pot");
const NAMES: Sql = Sql::new(
    "test.pot_names",
    "SELECT name FROM pot WHERE n >= ?1 AND name IN {list} ORDER BY name",
);
const ADD_MANY: Sql =
    Sql::new("test.pot_add_many", "INSERT INTO pot (id, name, n) VALUES {rows} RETURNING name");
const SET_MANY: Sql = Sql::new(
    "test.pot_set_many",
    "WITH v(name, n) AS (VALUES {rows TEXT, BIGINT}) UPDATE pot SET n = v.n + ?1 FROM v WHERE pot.name = v.name",
);

fn anything() -> impl Strategy<Value = Vec<Value>> {
    let json = prop_oneof![
        Just(serde_json::json!(null)),
        any::<i32>().prop_map(|n| serde_json::json!({"n": n, "list": [1, "zwei", 3.5]})),
    ];
    let columns = (
        proptest::option::of(any::<bool>()),
        proptest::option::of(any::<i64>()),
        proptest::option::of(any::<i32>().prop_map(|n| f64::from(n) / 8.0)),
        proptest::option::of("[^\u{0}]{0,40}"),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
        proptest::option::of(any::<[u8; 16]>().prop_map(Id::from_bytes)),
        // The years 1 to 9999, of both engines.
        proptest::option::of(-62_000_000_000_000_000..253_000_000_000_000_000_i64),
        proptest::option::of(json),
    );
    columns.prop_map(|(b, i, r, t, y, d, z, j)| {
        vec![
            b.into(),
            i.into(),
            r.into(),
            t.into(),
            y.into(),
            d.into(),
            z.map(Timestamp::from_micros).into(),
            j.into(),
        ]
    })
}

#[test]
fn values_round_trip() {
    for t in TestDb::both(&[SET]) {
        let key = std::cell::Cell::new(0_i64);
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) };
        proptest!(config, |(values in anything())| {
            key.set(key.get() + 1);
            let k = key.get();
            let mut params = vec![Value::Int(k)];
            params.extend(values.clone());
            t.db.write_blocking("t", move |tx| tx.exec(&PUT, &params)).unwrap();
            let row = t.db.read_blocking("t", move |q| q.one(&GET, &params![k])).unwrap();
            let back: Vec<Value> = vec![
                row.get::<Option<bool>>(0).unwrap().into(),
                row.get::<Option<i64>>(1).unwrap().into(),
                row.get::<Option<f64>>(2).unwrap().into(),
                row.get::<Option<String>>(3).unwrap().into(),
                row.get::<Option<Vec<u8>>>(4).unwrap().into(),
                row.get::<Option<Id>>(5).unwrap().into(),
                row.get::<Option<Timestamp>>(6).unwrap().into(),
                row.get::<Option<serde_json::Value>>(7).unwrap().into(),
            ];
            prop_assert!(back == values, "{:?}", t.dialect());
        });
    }
}

#[tokio::test]
async fn typed_values_and_wrong_types() {
    on_both(&[SET], async |t| {
        let order: OrderId = t.env.new_id();
        t.db.write("t", move |tx| {
            let none: Option<&str> = None;
            tx.exec(&PUT, &params![1, true, Paise(5), 1.5, none, b"xy", order, none, none])
        })
        .await
        .unwrap();
        let row = t.db.read("t", |q| q.one(&GET, &params![1])).await.unwrap();
        assert_eq!(row.get::<Paise>(1), Ok(Paise(5)));
        assert_eq!(row.get::<OrderId>(5), Ok(order));
        assert_eq!(row.get::<[u8; 2]>(4), Ok(*b"xy"));
        assert!(matches!(row.get::<String>(1), Err(DbError::Type(_))));
        assert!(matches!(row.get::<String>(3), Err(DbError::Type(_))));
        assert!(matches!(row.get::<i64>(99), Err(DbError::Type(_))));
        assert!(matches!(row.get::<u8>(2), Err(DbError::Type(_))));
    })
    .await;
}

#[tokio::test]
async fn a_value_that_does_not_fit_its_column_is_an_error_without_the_value() {
    on_both(&[SET], async |t| {
        let result = t.db.write("t", |tx| tx.exec(&POT_ADD, &params![1, "secret", "secret"])).await;
        let error = result.unwrap_err();
        assert!(matches!(error, DbError::Type(_)), "{error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
        let error = t.db.read("t", |q| q.all(&POT_N, &params![])).await.unwrap_err();
        assert!(error.to_string().contains("takes 1 parameters, 0 were given"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn one_opt_all() {
    on_both(&[SET], async |t| {
        add(&t, 3).await;
        t.db.read("t", |q| {
            assert_eq!(q.one(&POT_N, &params!["gone"]).unwrap_err(), DbError::NotOne("test.pot_n"));
            Ok::<_, DbError>(())
        })
        .await
        .unwrap();
        let all: Sql = Sql::new("test.all", "SELECT name FROM pot");
        let found = t.db.read("t", move |q| q.opt(&all, &[])).await;
        assert_eq!(found.unwrap_err(), DbError::NotOne("test.all"));
        let sums = t.db.read("t", |q| q.one(&SUM, &[])).await.unwrap();
        assert_eq!(sums.get::<i64>(0), Ok(3));
        assert_eq!(sums.get::<f64>(1), Ok(1.0));
        assert_eq!(sums.get::<i64>(2), Ok(2));
    })
    .await;
}

async fn add(t: &TestDb, count: usize) -> Vec<String> {
    let env: Env = t.env.clone();
    t.db.write("t", move |tx| {
        let row = |i: usize| {
            vec![env.new_id::<Id>().into(), format!("p{i:05}").into(), (i as i64).into()]
        };
        let rows: Vec<Vec<Value>> = (0..count).map(row).collect();
        let rows = tx.all_rows(&ADD_MANY, &[], &rows)?;
        rows.iter().map(|r| r.get::<String>(0)).collect::<Result<Vec<_>, DbError>>()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn many_rows_and_lists() {
    on_both(&[SET], async |t| {
        assert_eq!(add(&t, 0).await.len(), 0);
        assert_eq!(add(&t, 1_500).await.len(), 1_500);
        for count in [0_usize, 1, 3, 5, 1_024, 1_500] {
            let before = t.db.statement_count();
            let list: Vec<Value> = (0..count).map(|i| format!("p{i:05}").into()).collect();
            let rows = t.db.read("t", move |q| q.all_in(&NAMES, &params![1], &list)).await.unwrap();
            assert_eq!(rows.len(), count.saturating_sub(1));
            assert_eq!(t.db.statement_count() - before, count.div_ceil(1_024) as u64);
        }
        let rows = vec![params!["p00001", 10].to_vec(), params!["p00002", 20].to_vec()];
        let changed = t.db.write("t", move |tx| tx.exec_rows(&SET_MANY, &params![5], &rows)).await;
        assert_eq!(changed, Ok(2));
        let n = t.db.read("t", |q| q.one(&POT_N, &params!["p00002"])?.get::<i64>(0)).await;
        assert_eq!(n, Ok(25));
        let uneven = vec![params!["a", 1].to_vec(), params!["b"].to_vec()];
        let refused =
            t.db.write("t", move |tx| tx.exec_rows(&SET_MANY, &params![5], &uneven)).await;
        assert!(refused.is_err());
    })
    .await;
}

#[test]
fn statements_are_checked() {
    for t in TestDb::both(&[SET]) {
        let good = [&PUT, &GET, &SUM, &NAMES, &ADD_MANY, &SET_MANY, &POT_COUNT];
        assert_eq!(check_statements(&t.db, &good), Vec::<String>::new(), "{:?}", t.dialect());
        for (bad, word) in [
            (Sql::new("test.bad", "SELECT nothing FROM pot"), "nothing"),
            (Sql::new("test.bad", "SELECT * FROM pot"), "name the columns"),
            (Sql::new("test.bad", "SELECT n FROM pot WHERE n = ?2"), "without holes"),
            (Sql::new("test.bad", "WITH v(n) AS (VALUES {rows}) SELECT n FROM v"), "types"),
            (Sql::new("bad", "SELECT n FROM pot"), "module."),
        ] {
            let wrong = check_statements(&t.db, &[&bad]).join("\n");
            assert!(wrong.contains(word), "{wrong}");
        }
        assert_eq!(check_statements(&t.db, &[&SUM, &SUM]).len(), 1);
    }
}
