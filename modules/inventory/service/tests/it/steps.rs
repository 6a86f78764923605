//! Random histories against a model that fits on a page.

use std::collections::BTreeMap;

use mela_inventory_api::{Inventory, InventoryError};
use mela_testkit::TestDb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{SETS, level, line, order, place, shop, stock_in};

#[derive(Clone, Debug)]
enum Step {
    Reserve { order: u8, lines: Vec<(u8, i64)>, lapses: bool },
    Claim(u8),
    Release(u8),
    Ship(u8),
    Set(u8, i64),
    Wait,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Held { until: i64 },
    Claimed,
    Shipped,
    Released,
}

fn step() -> impl Strategy<Value = Step> {
    let lines = prop::collection::vec((1u8..4, 1i64..4), 1..4);
    prop_oneof![
        4 => (1u8..7, lines, any::<bool>())
            .prop_map(|(order, lines, lapses)| Step::Reserve { order, lines, lapses }),
        2 => (1u8..7).prop_map(Step::Claim),
        2 => (1u8..7).prop_map(Step::Release),
        2 => (1u8..7).prop_map(Step::Ship),
        1 => (1u8..4, 0i64..12).prop_map(|(v, n)| Step::Set(v, n)),
        1 => Just(Step::Wait),
    ]
}

type Held = BTreeMap<u8, (BTreeMap<u8, i64>, State)>;

fn history(t: &TestDb, steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let inventory = shop(t, &[level(1, 5), level(2, 5), level(3, 5)]).await;
        let mut on_hand: BTreeMap<u8, i64> = [(1, 5), (2, 5), (3, 5)].into();
        let mut held: Held = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            let i = inventory.clone();
            let reserved = |held: &Held, v: u8| -> i64 {
                held.values()
                    .filter(|(_, s)| matches!(s, State::Held { .. } | State::Claimed))
                    .map(|(lines, _)| lines.get(&v).copied().unwrap_or(0))
                    .sum()
            };
            match step.clone() {
                Step::Reserve { order: o, lines, lapses } => {
                    let mut want: BTreeMap<u8, i64> = BTreeMap::new();
                    for (v, q) in &lines {
                        *want.entry(*v).or_insert(0) += q;
                    }
                    let enough = want.iter().all(|(v, q)| on_hand[v] - reserved(&held, *v) >= *q);
                    let free = held.get(&o).is_none_or(|(_, s)| *s == State::Released);
                    let until = lapses.then(|| t.env.now().plus_ms(10));
                    let lines: Vec<_> = lines.iter().map(|(v, q)| line(*v, *q)).collect();
                    let got =
                        t.db.write("test.reserve", move |tx| {
                            i.reserve_in(tx, order(o), place(), &lines, until)
                        })
                        .await;
                    assert_eq!(got.is_ok(), enough && free, "{got:?}");
                    assert_eq!(matches!(got, Err(InventoryError::OutOfStock { .. })), !enough);
                    if got.is_ok() {
                        let state =
                            if lapses { State::Held { until: now + 10 } } else { State::Claimed };
                        held.insert(o, (want, state));
                    }
                }
                Step::Claim(o) => {
                    let got = t.db.write("test.claim", move |tx| i.claim_in(tx, order(o))).await;
                    let state = held.get_mut(&o).map(|(_, s)| s);
                    let want = state.as_ref().is_some_and(|s| **s != State::Released);
                    assert_eq!(got.unwrap(), want);
                    if let Some(s @ State::Held { .. }) = state {
                        *s = State::Claimed;
                    }
                }
                Step::Release(o) => {
                    t.db.write("test.release", move |tx| i.release_in(tx, order(o))).await.unwrap();
                    if let Some((_, s @ (State::Held { .. } | State::Claimed))) = held.get_mut(&o) {
                        *s = State::Released;
                    }
                }
                Step::Ship(o) => {
                    t.db.write("test.ship", move |tx| i.ship_in(tx, order(o))).await.unwrap();
                    if let Some((lines, s @ State::Claimed)) = held.get_mut(&o) {
                        *s = State::Shipped;
                        for (v, q) in lines {
                            *on_hand.get_mut(v).unwrap() -= *q;
                        }
                    }
                }
                Step::Set(v, n) => {
                    let level = level(v, n);
                    let got = t.db.write("test.set", move |tx| i.set_stock_in(tx, &[level])).await;
                    assert_eq!(got.is_ok(), n >= reserved(&held, v));
                    if got.is_ok() {
                        on_hand.insert(v, n);
                    }
                }
                Step::Wait => {
                    t.clock.advance_ms(6);
                    now += 6;
                    let released = inventory.release_expired().await.unwrap();
                    let mut want = 0;
                    for (_, s) in held.values_mut() {
                        if matches!(s, State::Held { until } if *until <= now) {
                            *s = State::Released;
                            want += 1;
                        }
                    }
                    assert_eq!(released, want);
                }
            }
            let rows = t
                .db
                .read("test.stock", |q| Ok::<_, InventoryError>([1, 2, 3].map(|v| stock_in(q, v))))
                .await
                .unwrap();
            for (v, row) in (1..).zip(rows) {
                assert_eq!(row, (on_hand[&v], reserved(&held, v)), "variant {v} after {step:?}");
            }
        }
    });
}

#[test]
fn random_histories_keep_the_counters() {
    let strategy = prop::collection::vec(step(), 1..60);
    for (cases, open) in [(48, TestDb::sqlite as fn(_) -> _), (10, TestDb::postgres)] {
        let mut runner =
            TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        runner
            .run(&strategy, |steps| {
                history(&open(SETS), &steps);
                Ok(())
            })
            .unwrap();
    }
}
