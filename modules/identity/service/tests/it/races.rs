use std::sync::Arc;

use mela_identity_api::Identity;
use mela_testkit::on_both;

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_with_the_right_code_are_one_login() {
    on_both(SETS, async |t| {
        let w = Arc::new(World::new(t).await);
        let guest = w.id.start_guest(&nobody()).await.unwrap();
        let op = w.op(&guest);
        let code = w.code(PHONE).await;
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (w, op, code) = (w.clone(), op.clone(), code.clone());
                tokio::spawn(async move { w.id.verify_otp(&op, PHONE, &code).await })
            })
            .collect();
        let mut logins = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(login) => logins.push(login),
                refused => assert!(is_invalid_code(&refused)),
            }
        }
        assert_eq!(logins.len(), 1);
        assert_eq!(logins[0].person_id, guest.person_id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_guesses_at_once_are_five_tries() {
    on_both(SETS, async |t| {
        let w = Arc::new(World::new(t).await);
        let code = w.code(PHONE).await;
        let tasks: Vec<_> = (0..100u32)
            .map(|n| {
                let w = w.clone();
                let guess = format!("{:06}", (code.parse::<u32>().unwrap() + 1 + n) % 1_000_000);
                tokio::spawn(async move { w.id.verify_otp(&nobody(), PHONE, &guess).await })
            })
            .collect();
        let mut invalid = 0;
        for task in tasks {
            let refused = task.await.unwrap();
            invalid += u32::from(is_invalid_code(&refused));
            assert!(refused.is_err());
        }
        assert_eq!(invalid, 4);
        assert!(w.id.verify_otp(&nobody(), PHONE, &code).await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_at_once_send_one_code() {
    on_both(SETS, async |t| {
        let w = Arc::new(World::new(t).await);
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let w = w.clone();
                let op = from(&format!("10.0.0.{n}"), "d");
                tokio::spawn(async move { w.id.request_otp(&op, PHONE).await })
            })
            .collect();
        let mut sent = 0;
        for task in tasks {
            sent += u32::from(task.await.unwrap().is_ok());
        }
        assert_eq!((sent, w.sms.count()), (1, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refresh_token_at_once_from_many_ends_the_session() {
    on_both(SETS, async |t| {
        let w = Arc::new(World::new(t).await);
        let login = w.login(&nobody(), PHONE).await;
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (w, token) = (w.clone(), login.tokens.refresh_token.clone());
                tokio::spawn(async move { w.id.refresh(&nobody(), &token).await })
            })
            .collect();
        let mut given = Vec::new();
        for task in tasks {
            given.extend(task.await.unwrap().ok());
        }
        assert_eq!(given.len(), 1);
        assert!(is_ended(&w.id.refresh(&nobody(), &given[0].refresh_token).await));
        assert!(is_ended(&w.id.authenticate(&given[0].access_token)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_of_one_number_end_as_one_customer() {
    on_both(SETS, async |t| {
        let w = Arc::new(World::new(t).await);
        let mut people = Vec::new();
        for _ in 0..3 {
            let guest = w.id.start_guest(&nobody()).await.unwrap();
            people.push(w.login(&w.op(&guest), PHONE).await.person_id);
        }
        people.dedup();
        assert_eq!(people.len(), 1);
        let merged = w.topics().await.iter().filter(|t| *t == "identity.person_merged").count();
        assert_eq!(merged, 2);
        // Two numbers for one guest at once: one of them gets it.
        let guest = w.id.start_guest(&nobody()).await.unwrap();
        let op = w.op(&guest);
        let phones = ["+919000000001", "+919000000002"];
        let mut tasks = Vec::new();
        for phone in phones {
            let (w, op, code) = (w.clone(), op.clone(), w.code(phone).await);
            tasks.push(tokio::spawn(async move { w.id.verify_otp(&op, phone, &code).await }));
        }
        let mut same = 0;
        for task in tasks {
            same += u32::from(task.await.unwrap().unwrap().person_id == guest.person_id);
        }
        assert_eq!(same, 1);
    })
    .await;
}
