//! Random work, one after the other against a model, and all at once against the invariants.

use std::collections::HashMap;
use std::sync::Arc;

use mela_base::Id;
use mela_base::ids::HoldId;
use mela_testkit::{TestDb, on_both};
use mela_wallet::WalletService;
use mela_wallet_api::{Hold, Wallet, WalletError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::*;

#[derive(Clone, Debug)]
enum Step {
    Reward { who: u32, amount: i64, key: u8 },
    Spend { who: u32, amount: i64, key: u8 },
    Hold { who: u32, amount: i64, key: u8 },
    Redeem { key: u8 },
    Release { key: u8 },
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0u32..3;
    // A few keys, so that retries and clashes happen.
    let key = 0u8..8;
    let step = prop_oneof![
        (who.clone(), 1i64..60, key.clone()).prop_map(|(who, amount, key)| Step::Reward {
            who,
            amount,
            key
        }),
        (who.clone(), 1i64..40, key.clone()).prop_map(|(who, amount, key)| Step::Spend {
            who,
            amount,
            key
        }),
        (who, 1i64..40, key.clone()).prop_map(|(who, amount, key)| Step::Hold { who, amount, key }),
        key.clone().prop_map(|key| Step::Redeem { key }),
        key.prop_map(|key| Step::Release { key }),
        Just(Step::Sweep),
    ];
    prop::collection::vec(step, 1..40)
}

/// One run among those that share a database.
#[derive(Clone)]
struct Run {
    t: Arc<TestDb>,
    w: WalletService,
    n: u32,
}

impl Run {
    fn person(&self, who: u32) -> mela_base::ids::PersonId {
        person(self.n * 10 + who)
    }

    fn hold(&self, who: u32, amount: i64, key: u8) -> Hold {
        hold(&self.t, &format!("hold {} {key}", self.n), self.person(who), amount)
    }

    fn hold_id(&self, key: u8) -> HoldId {
        HoldId(Id::from_name(&format!("hold {} {key}", self.n)))
    }

    /// Whether it happened.
    async fn step(&self, step: &Step) -> Result<bool, WalletError> {
        let (w, t, n) = (&self.w, &*self.t, self.n);
        match *step {
            Step::Reward { who, amount, key } => {
                let name = format!("reward {n} {key}");
                post(w, t, &[reward(&name, self.person(who), amount)]).await.map(|()| true)
            }
            Step::Spend { who, amount, key } => {
                let name = format!("spend {n} {key}");
                post(w, t, &[spend(&name, self.person(who), amount)]).await.map(|()| true)
            }
            Step::Hold { who, amount, key } => {
                set_aside(w, t, &self.hold(who, amount, key)).await.map(|()| true)
            }
            Step::Redeem { key } => Ok(redeem(w, t, self.hold_id(key)).await),
            Step::Release { key } => {
                release(w, t, self.hold_id(key)).await;
                Ok(true)
            }
            Step::Sweep => w.release_expired().await.map(|_| true),
        }
    }
}

#[derive(Default)]
struct Model {
    /// Balance and held.
    coins: HashMap<u32, (i64, i64)>,
    rewards: HashMap<u8, (u32, i64)>,
    spends: HashMap<u8, (u32, i64)>,
    /// Whose, how many, and `None` while open, else whether it was redeemed.
    holds: HashMap<u8, (u32, i64, Option<bool>)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done(bool),
    NotEnough,
    Differs,
}

impl Model {
    fn step(&mut self, step: &Step) -> Outcome {
        use Outcome::{Differs, Done, NotEnough};
        match *step {
            Step::Reward { who, amount, key } => {
                if let Some(known) = self.rewards.get(&key) {
                    return if *known == (who, amount) { Done(true) } else { Differs };
                }
                self.rewards.insert(key, (who, amount));
                self.coins.entry(who).or_default().0 += amount;
                Done(true)
            }
            Step::Spend { who, amount, key } => {
                if let Some(known) = self.spends.get(&key) {
                    return if *known == (who, amount) { Done(true) } else { Differs };
                }
                let coins = self.coins.entry(who).or_default();
                if coins.0 - coins.1 < amount {
                    return NotEnough;
                }
                coins.0 -= amount;
                self.spends.insert(key, (who, amount));
                Done(true)
            }
            Step::Hold { who, amount, key } => {
                if let Some((_, known, _)) = self.holds.get(&key) {
                    return if *known == amount { Done(true) } else { Differs };
                }
                let coins = self.coins.entry(who).or_default();
                if coins.0 - coins.1 < amount {
                    return NotEnough;
                }
                coins.1 += amount;
                self.holds.insert(key, (who, amount, None));
                Done(true)
            }
            Step::Redeem { key } => match self.holds.get_mut(&key) {
                None => Done(false),
                Some((_, _, Some(redeemed))) => Done(*redeemed),
                Some((who, amount, state @ None)) => {
                    let coins = self.coins.entry(*who).or_default();
                    coins.0 -= *amount;
                    coins.1 -= *amount;
                    *state = Some(true);
                    Done(true)
                }
            },
            Step::Release { key } => {
                if let Some((who, amount, state @ None)) = self.holds.get_mut(&key) {
                    self.coins.entry(*who).or_default().1 -= *amount;
                    *state = Some(false);
                }
                Done(true)
            }
            Step::Sweep => Done(true),
        }
    }
}

fn outcome(result: Result<bool, WalletError>) -> Outcome {
    match result {
        Ok(done) => Outcome::Done(done),
        Err(WalletError::NotEnoughCoins { .. }) => Outcome::NotEnough,
        Err(WalletError::TransferDiffers) => Outcome::Differs,
        Err(other) => panic!("{other:?}"),
    }
}

/// Runs `body` for random steps on each engine.
fn on_random(cases: u32, body: impl AsyncFn(Run, Vec<Step>)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for t in TestDb::both(SETS) {
        let t = Arc::new(t);
        let mut runner =
            TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
        let n = std::cell::Cell::new(0);
        runner
            .run(&steps(), |steps| {
                n.set(n.get() + 1);
                let run = Run { t: t.clone(), w: wallet(&t), n: n.get() };
                runtime.block_on(body(run, steps));
                Ok(())
            })
            .unwrap();
        runtime.block_on(right(&wallet(&t)));
    }
}

#[test]
fn the_ledger_does_what_the_model_does() {
    on_random(40, async |run, steps| {
        let mut model = Model::default();
        for step in &steps {
            assert_eq!(outcome(run.step(step).await), model.step(step), "{step:?}");
        }
        for (who, (balance, held)) in model.coins {
            has(&run.w, run.person(who), balance - held, held).await;
        }
    });
}

#[test]
fn at_once_and_twice_nothing_is_overdrawn_or_booked_twice() {
    on_random(40, async |run, steps| {
        let tasks: Vec<_> = (0..2)
            .flat_map(|_| steps.iter().cloned())
            .map(|step| {
                let run = run.clone();
                tokio::spawn(async move {
                    let result = outcome(run.step(&step).await);
                    (step, result)
                })
            })
            .collect();
        // What was acknowledged, by id.
        let mut gains: HashMap<u8, (u32, i64)> = HashMap::new();
        let mut losses: HashMap<u8, (u32, i64)> = HashMap::new();
        let mut held: HashMap<u8, (u32, i64)> = HashMap::new();
        let mut redeemed = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                (Step::Reward { who, amount, key }, Outcome::Done(_)) => {
                    assert_eq!(*gains.entry(key).or_insert((who, amount)), (who, amount));
                }
                (Step::Spend { who, amount, key }, Outcome::Done(_)) => {
                    assert_eq!(*losses.entry(key).or_insert((who, amount)), (who, amount));
                }
                (Step::Hold { who, amount, key }, Outcome::Done(_)) => {
                    // Another person's retry with the same amount counts as the same hold.
                    assert_eq!(held.entry(key).or_insert((who, amount)).1, amount);
                }
                (Step::Redeem { key }, Outcome::Done(true)) => redeemed.push(key),
                _ => {}
            }
        }
        redeemed.sort_unstable();
        redeemed.dedup();
        let mut total = 0;
        for who in 0..3 {
            let balance = run.w.balance(run.person(who)).await.unwrap();
            assert!(balance.available >= 0 && balance.held >= 0);
            total += balance.available + balance.held;
        }
        let sum = |m: &HashMap<u8, (u32, i64)>| m.values().map(|(_, a)| a).sum::<i64>();
        let spent: i64 = redeemed.iter().map(|key| held[key].1).sum();
        assert_eq!(total, sum(&gains) - sum(&losses) - spent);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_amid_everything_loses_and_makes_no_coin() {
    on_both(SETS, async |t| {
        let run = Run { w: wallet(&t), t: Arc::new(t), n: 0 };
        for round in 0..5 {
            let run = Run { n: round, ..run.clone() };
            let (guest, me) = (run.person(0), run.person(1));
            let start = Step::Reward { who: 0, amount: 100, key: 0 };
            run.step(&start).await.unwrap();
            for key in 0..4 {
                run.step(&Step::Hold { who: 0, amount: 5, key }).await.unwrap();
            }
            let steps = (1u8..9).flat_map(|key| {
                [
                    Step::Reward { who: 0, amount: 3, key },
                    Step::Spend { who: 0, amount: 2, key },
                    Step::Hold { who: 0, amount: 1, key: key + 4 },
                    Step::Redeem { key: key % 4 },
                    Step::Release { key: (key + 1) % 4 },
                ]
            });
            let mut tasks: Vec<_> = steps
                .map(|step| {
                    let run = run.clone();
                    tokio::spawn(async move { (step.clone(), outcome(run.step(&step).await)) })
                })
                .collect();
            merge(&run.w, &run.t, guest, me).await;
            let (mut spent, mut redeemed) = (0, Vec::new());
            for task in tasks.drain(..) {
                match task.await.unwrap() {
                    (Step::Reward { .. }, done) => assert_eq!(done, Outcome::Done(true)),
                    (Step::Spend { amount, .. }, Outcome::Done(_)) => spent += amount,
                    (Step::Redeem { key }, Outcome::Done(true)) => redeemed.push(key),
                    _ => {}
                }
            }
            redeemed.sort_unstable();
            redeemed.dedup();
            has(&run.w, guest, 0, 0).await;
            let mine = run.w.balance(me).await.unwrap();
            let expected = 100 + 8 * 3 - spent - 5 * redeemed.len() as i64;
            assert_eq!(mine.available + mine.held, expected);
        }
        right(&run.w).await;
    })
    .await;
}
