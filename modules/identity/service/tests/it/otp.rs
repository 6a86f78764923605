use std::sync::Arc;
use std::sync::atomic::Ordering;

use mela_base::{Fault, HOUR_MS, MINUTE_MS, SECOND_MS};
use mela_db::{Sql, check_statements};
use mela_identity_api::{Identity, IdentityError};
use mela_testkit::{TestDb, on_both};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::*;

#[test]
fn every_statement_prepares() {
    for t in TestDb::both(SETS) {
        assert_eq!(check_statements(&t.db, mela_identity::STATEMENTS), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_number_logs_in_and_is_known_the_second_time() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let first = w.login(&nobody(), "98765 43210").await;
        assert!(first.new && !first.guest);
        let again = w.login(&nobody(), PHONE).await;
        assert!(!again.new);
        assert_eq!(first.person_id, again.person_id);
        assert_ne!(w.login(&nobody(), OTHER).await.person_id, first.person_id);
        let me = w.id.me(&w.op(&again)).await.unwrap();
        assert_eq!((me.phone.as_deref(), me.guest), (Some(PHONE), false));
    })
    .await;
}

#[tokio::test]
async fn a_code_is_good_once_and_for_ten_minutes() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let code = w.code(PHONE).await;
        let elsewhere = w.id.verify_otp(&nobody(), OTHER, &code).await;
        assert!(is_invalid_code(&elsewhere));
        w.id.verify_otp(&nobody(), PHONE, &format!(" {code} ")).await.unwrap();
        assert!(is_invalid_code(&w.id.verify_otp(&nobody(), PHONE, &code).await));

        w.t.clock.advance_ms(MINUTE_MS);
        let late = w.code(PHONE).await;
        w.t.clock.advance_ms(10 * MINUTE_MS);
        assert!(is_invalid_code(&w.id.verify_otp(&nobody(), PHONE, &late).await));

        // A new code makes the one before void.
        let old = w.code(PHONE).await;
        w.t.clock.advance_ms(MINUTE_MS);
        let new = w.code(PHONE).await;
        assert_ne!(old, new);
        assert!(is_invalid_code(&w.id.verify_otp(&nobody(), PHONE, &old).await));
        w.id.verify_otp(&nobody(), PHONE, &new).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_fifth_wrong_code_ends_it() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let code = w.code(PHONE).await;
        let bad = wrong(&code);
        for _ in 0..4 {
            assert!(is_invalid_code(&w.id.verify_otp(&nobody(), PHONE, &bad).await));
        }
        for tried in [&bad, &code, &bad] {
            let spent = w.id.verify_otp(&nobody(), PHONE, tried).await;
            assert!(matches!(spent, Err(IdentityError::TooManyTries)));
        }
        w.t.clock.advance_ms(MINUTE_MS);
        let code = w.code(PHONE).await;
        w.id.verify_otp(&nobody(), PHONE, &code).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn garbage_is_refused_without_a_try() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        for phone in ["", "x", "+14155550100", "12345", "१२३४५६७८९०", &"9".repeat(1_000)]
        {
            let refused = w.id.request_otp(&nobody(), phone).await;
            assert!(matches!(refused, Err(IdentityError::InvalidPhone(_))));
            let refused = w.id.verify_otp(&nobody(), phone, "123456").await;
            assert!(matches!(refused, Err(IdentityError::InvalidPhone(_))));
        }
        let code = w.code(PHONE).await;
        for bad in ["", "12345", "1234567", "12 456", "abcdef", "१२३४५६", &"1".repeat(10_000)]
        {
            for _ in 0..5 {
                assert!(is_invalid_code(&w.id.verify_otp(&nobody(), PHONE, bad).await));
            }
        }
        w.id.verify_otp(&nobody(), PHONE, &code).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn limits_hold_and_survive_a_restart() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let op = nobody();
        w.id.request_otp(&op, PHONE).await.unwrap();
        let early = w.id.request_otp(&op, PHONE).await;
        assert_eq!(early.unwrap_err().retry_after_s(), Some(30));
        for _ in 0..2 {
            w.t.clock.advance_ms(30 * SECOND_MS);
            w.id.request_otp(&op, PHONE).await.unwrap();
        }
        w.t.clock.advance_ms(30 * SECOND_MS);
        let (_, restarted) = w.restarted().await;
        for id in [&w.id, &restarted] {
            let fourth = id.request_otp(&op, PHONE).await;
            assert_eq!(fourth.unwrap_err().retry_after_s(), Some(600 - 90));
        }
        for sent in 3..10 {
            assert_eq!(w.sms.count(), sent);
            w.t.clock.advance_ms(10 * MINUTE_MS);
            restarted.request_otp(&op, PHONE).await.unwrap();
        }
        w.t.clock.advance_ms(HOUR_MS);
        assert!(is_limited(&restarted.request_otp(&op, PHONE).await));
        w.t.clock.advance_ms(23 * HOUR_MS);
        restarted.request_otp(&op, PHONE).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn one_device_or_address_cannot_ask_for_many_numbers() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let phone = |n: u32| format!("+9190000{n:05}");
        for n in 0..10 {
            w.id.request_otp(&from("10.0.0.1", "one phone"), &phone(n)).await.unwrap();
        }
        assert!(is_limited(&w.id.request_otp(&from("10.0.0.2", "one phone"), &phone(20)).await));
        for n in 10..60 {
            let op = from("10.0.0.1", &format!("device {n}"));
            w.id.request_otp(&op, &phone(n)).await.unwrap();
        }
        assert!(is_limited(&w.id.request_otp(&from("10.0.0.1", "other"), &phone(90)).await));
        // What was refused was not counted: the number itself is free.
        w.id.request_otp(&from("10.0.0.3", "other"), &phone(90)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_was_not_sent_does_not_count() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        w.sms.down.store(true, Ordering::SeqCst);
        for _ in 0..30 {
            let failed = w.id.request_otp(&from("10.0.0.1", "d"), PHONE).await;
            assert!(matches!(failed, Err(IdentityError::SmsUnavailable)));
        }
        w.sms.down.store(false, Ordering::SeqCst);
        w.id.request_otp(&from("10.0.0.1", "d"), PHONE).await.unwrap();
    })
    .await;
}

/// What was not sent does not count as a code, so without a limit of their own tries would be
/// unlimited as long as the provider is down.
#[tokio::test]
async fn codes_cannot_be_guessed_while_none_is_sent() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        w.sms.down.store(true, Ordering::SeqCst);
        let mut tries = 0;
        'guessing: for _ in 0..20 {
            let _ = w.id.request_otp(&nobody(), PHONE).await;
            for _ in 0..5 {
                let guess = w.id.verify_otp(&nobody(), PHONE, "000000").await;
                if is_limited(&guess) {
                    break 'guessing;
                }
                tries += 1;
            }
        }
        assert_eq!(tries, 65, "13 codes of 5 tries");
        // Also for who has the right code; others, and the next day, are not concerned.
        w.sms.down.store(false, Ordering::SeqCst);
        let code = w.code(PHONE).await;
        assert!(is_limited(&w.id.verify_otp(&nobody(), PHONE, &code).await));
        w.login(&nobody(), OTHER).await;
        w.t.clock.advance_ms(24 * HOUR_MS);
        w.login(&nobody(), PHONE).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_tells_whether_a_number_is_known() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        w.login(&nobody(), PHONE).await;
        w.t.clock.advance_ms(HOUR_MS);
        let mut cost = Vec::new();
        for phone in [PHONE, OTHER] {
            let before = w.t.db.statement_count();
            let sent = w.id.request_otp(&nobody(), phone).await.unwrap();
            cost.push((sent, w.t.db.statement_count() - before));
        }
        assert_eq!(cost[0], cost[1]);
        w.t.clock.advance_ms(10 * MINUTE_MS);
        let mut answers = Vec::new();
        for phone in [PHONE, OTHER, "+919000000000"] {
            let before = w.t.db.statement_count();
            let refused = w.id.verify_otp(&nobody(), phone, "123456").await.unwrap_err();
            answers.push((refused.to_string(), w.t.db.statement_count() - before));
        }
        assert!(answers.windows(2).all(|a| a[0] == a[1]));
    })
    .await;
}

#[tokio::test]
async fn no_personal_data_lies_open_and_old_rows_go() {
    on_both(SETS, async |t| {
        const ROWS: Sql = Sql::new(
            "t.rows",
            "SELECT (SELECT COUNT(tries) FROM otp), (SELECT COUNT(recent) FROM auth_limit),
                    (SELECT COUNT(id) FROM session)",
        );
        const PROFILE: Sql = Sql::new("t.profile", "SELECT profile, phone_hash FROM person");
        let w = World::new(t).await;
        let op = from("10.0.0.1", "d");
        let login = w.login(&op, PHONE).await;
        w.t.clock.advance_ms(MINUTE_MS);
        w.id.request_otp(&op, PHONE).await.unwrap();
        let row = w.t.db.read("t.profile", |q| q.one(&PROFILE, &[])).await.unwrap();
        for column in 0..2 {
            let bytes: Vec<u8> = row.get(column).unwrap();
            assert!(!bytes.windows(4).any(|b| b == b"9876"));
        }
        let rows = async || {
            let row = w.t.db.read("t.rows", |q| q.one(&ROWS, &[])).await.unwrap();
            [0, 1, 2].map(|c| row.get::<i64>(c).unwrap())
        };
        assert_eq!(rows().await, [1, 5, 1]);
        assert_eq!(w.id.sweep().await.unwrap(), 0);
        w.t.clock.advance_ms(HOUR_MS);
        assert_eq!(w.id.sweep().await.unwrap(), 4);
        assert_eq!(rows().await, [0, 2, 1]);
        w.t.clock.advance_ms(61 * 24 * HOUR_MS);
        w.id.sweep().await.unwrap();
        assert_eq!(rows().await, [0, 0, 0]);
        assert!(is_ended(&w.id.refresh(&op, &login.tokens.refresh_token).await));
    })
    .await;
}

#[derive(Clone, Debug)]
enum Step {
    Request {
        phone: usize,
    },
    Right {
        phone: usize,
    },
    Wrong {
        phone: usize,
    },
    /// With the code of the other number.
    Crossed {
        phone: usize,
    },
    Wait {
        s: i64,
    },
}

/// One number, as it should be.
#[derive(Default)]
struct Number {
    /// Code, tries, when it was sent.
    code: Option<(String, u32, i64)>,
    sent: Vec<i64>,
    customer: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Sent,
    Limited,
    In { new: bool },
    Invalid,
    Spent,
}

impl Number {
    fn request(&mut self, now: i64) -> Answer {
        self.sent.retain(|at| *at > now - 86_400);
        let lately = self.sent.iter().filter(|at| **at > now - 600).count();
        if lately >= 3 || self.sent.len() >= 10 || self.sent.last().is_some_and(|at| now - at < 30)
        {
            return Answer::Limited;
        }
        self.sent.push(now);
        Answer::Sent
    }

    fn verify(&mut self, typed: &str, now: i64) -> Answer {
        let Some((code, tries, sent)) = &mut self.code else { return Answer::Invalid };
        if now - *sent >= 600 {
            return Answer::Invalid;
        }
        if *tries >= 5 {
            return Answer::Spent;
        }
        *tries += 1;
        if code == typed {
            self.code = None;
            return Answer::In { new: !std::mem::replace(&mut self.customer, true) };
        }
        if *tries >= 5 { Answer::Spent } else { Answer::Invalid }
    }
}

#[test]
fn codes_do_what_the_model_does() {
    let phone = 0usize..2;
    let step = prop_oneof![
        3 => phone.clone().prop_map(|phone| Step::Request { phone }),
        2 => phone.clone().prop_map(|phone| Step::Right { phone }),
        4 => phone.clone().prop_map(|phone| Step::Wrong { phone }),
        1 => phone.prop_map(|phone| Step::Crossed { phone }),
        2 => (1i64..400).prop_map(|s| Step::Wait { s }),
    ];
    let steps = prop::collection::vec(step, 1..40);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for t in TestDb::both(SETS) {
        let w = Arc::new(runtime.block_on(World::new(t)));
        let mut runner =
            TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(25) });
        let run = std::cell::Cell::new(0);
        runner
            .run(&steps, |steps| {
                run.set(run.get() + 1);
                let phones = [0, 1].map(|n| format!("+9180{:07}{n}", run.get()));
                runtime.block_on(one_run(&w, &phones, &steps));
                Ok(())
            })
            .unwrap();
    }
}

async fn one_run(w: &World, phones: &[String; 2], steps: &[Step]) {
    let mut model = [Number::default(), Number::default()];
    for step in steps {
        let now = w.t.env.now().unix_s();
        let code = |model: &[Number; 2], n: usize| {
            model[n].code.as_ref().map_or("000000".to_owned(), |(code, _, _)| code.clone())
        };
        let (phone, typed) = match *step {
            Step::Wait { s } => {
                w.t.clock.advance_ms(s * 1_000);
                continue;
            }
            Step::Request { phone } => {
                let sent = w.id.request_otp(&nobody(), &phones[phone]).await;
                let expected = model[phone].request(now);
                assert_eq!(
                    if is_limited(&sent) { Answer::Limited } else { Answer::Sent },
                    expected
                );
                if sent.is_ok() {
                    model[phone].code = Some((w.sms.code(&phones[phone]), 0, now));
                }
                continue;
            }
            Step::Right { phone } => (phone, code(&model, phone)),
            Step::Wrong { phone } => (phone, wrong(&code(&model, phone))),
            Step::Crossed { phone } => (phone, code(&model, 1 - phone)),
        };
        let got = match w.id.verify_otp(&nobody(), &phones[phone], &typed).await {
            Ok(login) => Answer::In { new: login.new },
            Err(IdentityError::InvalidCode) => Answer::Invalid,
            Err(IdentityError::TooManyTries) => Answer::Spent,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(got, model[phone].verify(&typed, now), "{step:?}");
    }
}
