use mela_base::{HOUR_MS, MINUTE_MS};
use mela_identity_api::{Identity, IdentityError};
use mela_testkit::on_both;
use tokio::sync::watch;

use crate::world::*;

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_ends_the_session() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let login = w.login(&nobody(), PHONE).await;
        let first = login.tokens.refresh_token.clone();
        let second = w.id.refresh(&nobody(), &first).await.unwrap();
        let third = w.id.refresh(&nobody(), &second.refresh_token).await.unwrap();
        assert_ne!(second.refresh_token, third.refresh_token);
        w.id.authenticate(&third.access_token).unwrap();
        assert!(is_ended(&w.id.refresh(&nobody(), &first).await));
        // Now nothing of the family is good any more.
        assert!(is_ended(&w.id.refresh(&nobody(), &third.refresh_token).await));
        for access in [&login.tokens.access_token, &third.access_token] {
            assert!(is_ended(&w.id.authenticate(access)));
        }
    })
    .await;
}

#[tokio::test]
async fn made_up_refresh_tokens_are_refused_and_harm_nobody() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let login = w.login(&nobody(), PHONE).await;
        let good = &login.tokens.refresh_token;
        let (plain, mac) = good.rsplit_once('.').unwrap();
        let session = plain.split_once('.').unwrap().0;
        let mut flipped = good.clone();
        flipped.replace_range(good.len() - 1.., if good.ends_with('0') { "1" } else { "0" });
        let bad = [
            String::new(),
            ".".into(),
            "..".into(),
            "é.0.00".into(),
            "x".repeat(100_000),
            flipped,
            format!("{session}.1.{mac}"),
            format!("{session}.-1.{mac}"),
            format!("{plain}."),
            plain.to_owned(),
            login.tokens.access_token.clone(),
        ];
        for token in bad {
            assert!(is_ended(&w.id.refresh(&nobody(), &token).await), "{token:.80}");
        }
        w.id.refresh(&nobody(), good).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn access_tokens_run_out_and_sessions_do_too() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let login = w.login(&nobody(), PHONE).await;
        w.t.clock.advance_ms(16 * MINUTE_MS);
        let old = w.id.authenticate(&login.tokens.access_token);
        assert!(matches!(old, Err(IdentityError::TokenExpired)));
        let mut tokens = login.tokens;
        for _ in 0..3 {
            w.t.clock.advance_ms(59 * 24 * HOUR_MS);
            tokens = w.id.refresh(&nobody(), &tokens.refresh_token).await.unwrap();
        }
        w.t.clock.advance_ms(60 * 24 * HOUR_MS);
        assert!(is_ended(&w.id.refresh(&nobody(), &tokens.refresh_token).await));
        for bad in ["", "x", "a.b.c", &"x".repeat(100_000), &tokens.refresh_token] {
            let refused = w.id.authenticate(bad);
            assert!(matches!(refused, Err(IdentityError::Unauthenticated)));
        }
        assert!(w.id.jwks().contains("Ed25519"));
    })
    .await;
}

#[tokio::test]
async fn a_logout_is_durable_and_reaches_other_processes() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let (bus, other) = w.restarted().await;
        let (stop, stopped) = watch::channel(false);
        let following = {
            let other = other.clone();
            tokio::spawn(async move { other.run(stopped).await })
        };
        let [here, there] = [w.login(&nobody(), PHONE).await, w.login(&nobody(), PHONE).await];
        let op = w.op(&here);
        other.authenticate(&here.tokens.access_token).unwrap();

        // The receiver is there as soon as an event can be seen.
        bus.dispatch_once().await.unwrap();
        tokio::task::yield_now().await;
        w.id.logout(&op).await.unwrap();
        assert!(is_ended(&w.id.authenticate(&here.tokens.access_token)));
        assert!(is_ended(&w.id.refresh(&op, &here.tokens.refresh_token).await));
        w.id.authenticate(&there.tokens.access_token).unwrap();
        while other.authenticate(&here.tokens.access_token).is_ok() {
            bus.dispatch_once().await.unwrap();
            tokio::task::yield_now().await;
        }
        // Connections that are open learn it too, and only they.
        for process in [&w.id, &other] {
            assert!(process.has_ended(&op.actor));
            assert!(!process.has_ended(&w.op(&there).actor));
        }
        // A process that starts later knows as well.
        let (_, later) = w.restarted().await;
        assert!(is_ended(&later.authenticate(&here.tokens.access_token)));
        later.authenticate(&there.tokens.access_token).unwrap();

        w.id.logout_everywhere(&op).await.unwrap();
        assert!(is_ended(&w.id.authenticate(&there.tokens.access_token)));
        w.id.logout_everywhere(&op).await.unwrap();
        let nobody = w.id.logout(&nobody()).await;
        assert!(matches!(nobody, Err(IdentityError::Unauthenticated)));
        stop.send(true).unwrap();
        following.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn keys_that_another_process_rotates_are_picked_up() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        w.rotate_keys().await;
        let (_, other) = w.restarted().await;
        let guest = other.start_guest(&nobody()).await.unwrap();
        assert!(w.id.authenticate(&guest.tokens.access_token).is_err());
        let (stop, stopped) = watch::channel(false);
        let following = {
            let id = w.id.clone();
            tokio::spawn(async move { id.run(stopped).await })
        };
        while w.id.authenticate(&guest.tokens.access_token).is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(w.id.jwks(), other.jwks());
        stop.send(true).unwrap();
        following.await.unwrap();
    })
    .await;
}
