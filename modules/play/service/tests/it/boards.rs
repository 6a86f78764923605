//! Leaderboards.

use std::sync::Arc;

use mela_base::ids::PersonId;
use mela_bus::Bus;
use mela_identity_api::PersonMerged;
use mela_play_api::{Boards, PlayError, Window};

use crate::world::{Client, SETS, World, op};

/// Plays one match alone, answering `right` of two questions.
async fn play(w: &World<'_>, person: PersonId, right: usize) {
    let mut client = Client::connect(w, person, None).await;
    client.join(w).await;
    w.tick(4_000).await;
    client.read().await;
    for i in 0..2 {
        if i < right {
            client.answer_right(w).await.unwrap();
        }
        w.tick(10_000).await;
        w.tick(2_500).await;
        client.read().await;
    }
    w.tick(100).await;
}

#[tokio::test]
async fn statements_prepare() {
    mela_testkit::on_both(SETS, async |t| {
        assert_eq!(mela_db::check_statements(&t.db, mela_play::STATEMENTS), [] as [String; 0]);
    })
    .await;
}

#[tokio::test]
async fn ranks_and_neighbours() {
    mela_testkit::on_both(SETS, async |t| {
        let w = World::new(&t);
        let people: Vec<PersonId> = (0..6).map(|_| t.env.new_id()).collect();
        for (person, right) in people.iter().zip([2, 1, 1, 1, 0, 0]) {
            play(&w, *person, right).await;
        }
        w.play.set_nickname(&op(people[0]), "  Asha   Rani ").await.unwrap();

        let board = w.play.leaderboard(&op(people[2]), "quiz", Window::AllTime, 3).await.unwrap();
        assert_eq!(board.total, 6);
        let top: Vec<_> = board.top.iter().map(|r| (r.rank, r.person_id, r.score)).collect();
        assert_eq!(top, [(1, people[0], 2_000), (2, people[1], 1_000), (3, people[2], 1_000)]);
        assert_eq!(board.top[0].nickname, "Asha Rani");
        assert_eq!(board.me.unwrap().rank, 3, "who came first stands first");
        let around: Vec<_> = board.neighbours.iter().map(|r| (r.rank, r.person_id)).collect();
        let expected: Vec<_> = (1..).zip(people.iter().copied()).take(5).collect();
        assert_eq!(around, expected);

        let later = |w: &World<'_>| w.t.clock.advance_ms(7 * mela_base::DAY_MS);
        later(&w);
        let week = w.play.leaderboard(&op(people[0]), "quiz", Window::Weekly, 3).await.unwrap();
        assert_eq!((week.total, week.me), (0, None), "a new week begins empty");
        let none = w.play.leaderboard(&op(people[0]), "rummy", Window::Weekly, 3).await;
        assert!(matches!(none, Err(PlayError::GameNotFound)));
    })
    .await;
}

#[tokio::test]
async fn names_are_checked() {
    mela_testkit::on_both(SETS, async |t| {
        let w = World::new(&t);
        let asha = op(t.env.new_id());
        // The last two would show nothing, or look like somebody else's.
        for bad in [
            "",
            "a",
            "9876543210",
            "x@y.in",
            "a very very very long name",
            "<b>hi</b>",
            "\u{200d}\u{200c}",
            "As\u{200d}ha",
        ] {
            assert!(w.play.set_nickname(&asha, bad).await.is_err(), "{bad}");
        }
        for good in ["रानी २", "क्\u{200d}ष अ", "தமிழ்"] {
            w.play.set_nickname(&asha, good).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_guest_takes_the_points_along() {
    mela_testkit::on_both(SETS, async |t| {
        let w = World::new(&t);
        let bus = Bus::new(t.db.clone(), t.env.clone());
        w.play.subscribe(&bus);
        let (guest, customer) = (t.env.new_id(), t.env.new_id());
        play(&w, guest, 2).await;
        play(&w, customer, 1).await;

        let env = t.env.clone();
        let merged = Arc::new(PersonMerged { from: guest, to: customer });
        for _ in 0..2 {
            let (env, merged) = (env.clone(), merged.clone());
            t.db.write("test.merge", move |tx| mela_bus::emit(tx, &env, &*merged)).await.unwrap();
            while bus.dispatch_once().await.unwrap() > 0 {}
        }
        let board = w.play.leaderboard(&op(customer), "quiz", Window::AllTime, 3).await.unwrap();
        assert_eq!(board.total, 1);
        assert_eq!(board.me.unwrap().score, 3_000);
    })
    .await;
}
