//! Matches: playing, resuming, dying in the middle, cheating.

use mela_play_api::protocol::{ClientMessage, Resume, ServerMessage};
use mela_play_api::{Play, PlayError};

use crate::world::{Client, SETS, World};

/// Plays a match alone against a bot, answering everything right and at once.
async fn play_through(w: &World<'_>, client: &mut Client) {
    client.join(w).await;
    w.tick(4_000).await;
    client.read().await;
    for _ in 0..2 {
        client.answer_right(w).await.unwrap();
        w.tick(10_000).await;
        w.tick(2_500).await;
        client.read().await;
    }
    w.tick(100).await;
    client.read().await;
}

#[tokio::test]
async fn a_match_pays_points_and_coins_once() {
    mela_testkit::on_both(SETS, async |t| {
        let w = World::new(&t);
        let asha = t.env.new_id();
        let mut client = Client::connect(&w, asha, None).await;
        play_through(&w, &mut client).await;

        let standings = client.result().expect("no result came");
        assert_eq!(standings.len(), 2, "a bot fills the seat");
        let mine = standings.iter().find(|s| s.seat == 0).unwrap();
        assert_eq!((mine.score, mine.coins, mine.rank), (2_000, 30, 1));
        assert_eq!(w.coins(asha).await, 30);
        let offsets = client.offsets();
        assert!(offsets.windows(2).all(|p| p[1] == p[0] + 1), "gaps in {offsets:?}");

        // Nothing is left to do, also not after a restart.
        assert!(w.play.idle());
        t.clock.advance_ms(60_000);
        assert_eq!(w.restarted().play.recover().await.unwrap(), 0);
        assert_eq!(w.coins(asha).await, 30);
        let check = w.wallet.check().await.unwrap();
        assert!(check.wrong.is_empty() && check.sum_coin == 0, "{check:?}");
    })
    .await;
}

#[tokio::test]
async fn a_killed_server_settles_by_what_was_scored() {
    mela_testkit::on_both(SETS, async |t| {
        let w = World::new(&t);
        let asha = t.env.new_id();
        let mut client = Client::connect(&w, asha, None).await;
        client.join(&w).await;
        w.tick(4_000).await;
        client.read().await;
        client.answer_right(&w).await.unwrap();
        w.tick(10_000).await;
        client.read().await;
        let place = client.place();

        // The process dies after the first question; another one finds the match.
        let after = w.restarted();
        assert_eq!(after.play.recover().await.unwrap(), 0, "the lease still holds");
        t.clock.advance_ms(60_000);
        assert_eq!(after.play.recover().await.unwrap(), 1);
        assert_eq!(after.play.recover().await.unwrap(), 0);
        assert_eq!(after.coins(asha).await, 20, "1,000 points and the win");

        // The old process was only slow, not dead: it must not pay again.
        w.tick(2_500).await;
        for _ in 0..10 {
            w.tick(10_000).await;
        }
        assert_eq!(after.coins(asha).await, 20);

        // The player comes back to the new process and learns the result.
        let back = Client::connect(&after, asha, Some(place)).await;
        assert!(matches!(back.seen[0], ServerMessage::Welcome { recovered: true, .. }));
        assert_eq!(back.result().unwrap().iter().find(|s| s.seat == 0).unwrap().coins, 20);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_connection_misses_nothing() {
    mela_testkit::on_both(SETS, async |t| {
        let w = World::new(&t);
        let asha = t.env.new_id();
        let mut first = Client::connect(&w, asha, None).await;
        first.join(&w).await;
        let place = first.place();
        drop(first);
        w.tick(4_000).await;
        w.tick(10_000).await;

        let again = Client::connect(&w, asha, Some(place)).await;
        assert!(matches!(again.seen[0], ServerMessage::Welcome { recovered: true, .. }));
        assert_eq!(again.offsets(), [place.offset + 1, place.offset + 2, place.offset + 3]);

        // Somebody else cannot listen in.
        let stranger = Client::connect(&w, t.env.new_id(), Some(place)).await;
        assert!(stranger.offsets().is_empty());

        // An offset from nowhere gets the present state and is told so.
        let lost = Resume { offset: 9_999, ..place };
        let lost = Client::connect(&w, asha, Some(lost)).await;
        assert!(matches!(lost.seen[0], ServerMessage::Welcome { recovered: false, .. }));
        assert!(matches!(lost.seen[1], ServerMessage::State { .. }));
    })
    .await;
}

#[tokio::test]
async fn cheats_are_refused() {
    mela_testkit::on_both(SETS, async |t| {
        let w = World::new(&t);
        let mut asha = Client::connect(&w, t.env.new_id(), None).await;
        let mut ravi = Client::connect(&w, t.env.new_id(), None).await;
        asha.join(&w).await;
        w.tick(4_000).await;
        asha.read().await;
        let match_id = asha.match_id();
        let input = |question, choice| ClientMessage::Input { match_id, question, choice };

        let refused = ravi.say(&w, input(0, 0)).await;
        assert!(matches!(refused, Err(PlayError::NoSeat)), "a stranger answers");
        assert!(matches!(asha.say(&w, input(1, 0)).await, Err(PlayError::TooLate)), "ahead");
        let refused = asha.say(&w, input(0, 99)).await;
        assert!(matches!(refused, Err(PlayError::Invalid { .. })), "no such choice");
        asha.answer_right(&w).await.unwrap();
        assert!(matches!(asha.say(&w, input(0, 0)).await, Err(PlayError::TooLate)), "twice");
        let refused = asha.say(&w, ClientMessage::Join { game: "rummy".into() }).await;
        assert!(matches!(refused, Err(PlayError::GameNotFound)));

        let mut refused = 0;
        for n in 0..40 {
            let said = ravi.say(&w, ClientMessage::Ping { n }).await;
            refused += usize::from(matches!(said, Err(PlayError::TooFast)));
        }
        assert_eq!(refused, 21, "20 at once, one of them spent before");
        t.clock.advance_ms(1_000);
        ravi.say(&w, ClientMessage::Ping { n: 1 }).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_slow_client_is_cut_and_a_second_connection_replaces_the_first() {
    mela_testkit::on_both(SETS, async |t| {
        let w = World::new(&t);
        let asha = t.env.new_id();
        let first = w.play.connect(asha, None).await.unwrap();
        let second = w.play.connect(asha, None).await.unwrap();
        let stale = w.play.handle(asha, first.id, ClientMessage::Ping { n: 1 }).await;
        assert!(matches!(stale, Err(PlayError::Unauthenticated)));
        w.play.disconnect(asha, first.id);

        // The second one never reads: it is cut once its outbox is full.
        let mut cut = false;
        for n in 0..200 {
            t.clock.advance_ms(1_000);
            cut |= w.play.handle(asha, second.id, ClientMessage::Ping { n }).await.is_err();
        }
        assert!(cut, "a client that does not read was kept");
    })
    .await;
}

#[tokio::test]
async fn a_day_has_a_limit_of_coins() {
    mela_testkit::on_both(SETS, async |t| {
        let w = World::new(&t);
        let asha = t.env.new_id();
        let mut client = Client::connect(&w, asha, None).await;
        for _ in 0..20 {
            play_through(&w, &mut client).await;
        }
        assert_eq!(w.coins(asha).await, 500);
        t.clock.advance_ms(mela_base::DAY_MS);
        play_through(&w, &mut client).await;
        assert_eq!(w.coins(asha).await, 530);
    })
    .await;
}
