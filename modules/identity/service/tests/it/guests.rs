use mela_base::{Actor, Op};
use mela_db::Sql;
use mela_identity_api::{Identity, IdentityError, ProfileEdit};
use mela_testkit::on_both;

use crate::world::*;

#[tokio::test]
async fn a_guest_becomes_the_customer_of_a_new_number() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let guest = w.id.start_guest(&nobody()).await.unwrap();
        assert!(guest.guest && guest.new);
        let op = w.op(&guest);
        assert!(matches!(op.actor, Actor::Person { guest: true, .. }));
        assert_eq!(w.id.me(&op).await.unwrap().phone, None);
        let login = w.login(&op, PHONE).await;
        assert!(login.new && !login.guest);
        assert_eq!(login.person_id, guest.person_id);
        // The guest's own tokens end, so that nobody rides along.
        assert!(is_ended(&w.id.authenticate(&guest.tokens.access_token)));
        assert!(is_ended(&w.id.refresh(&op, &guest.tokens.refresh_token).await));
        assert_eq!(w.id.me(&w.op(&login)).await.unwrap().phone.as_deref(), Some(PHONE));
        assert_eq!(w.topics().await, ["identity.sessions_ended"]);
    })
    .await;
}

#[tokio::test]
async fn a_guest_is_merged_into_a_known_customer_once() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let customer = w.login(&nobody(), PHONE).await;
        let guest = w.id.start_guest(&nobody()).await.unwrap();
        let op = w.op(&guest);
        for _ in 0..2 {
            let login = w.login(&op, PHONE).await;
            assert!(!login.new);
            assert_eq!(login.person_id, customer.person_id);
        }
        assert_eq!(w.topics().await, ["identity.person_merged", "identity.sessions_ended"]);
        const MERGED: Sql = Sql::new(
            "t.merged",
            "SELECT payload FROM outbox WHERE topic = 'identity.person_merged'",
        );
        let row = w.t.db.read("t.merged", |q| q.one(&MERGED, &[])).await.unwrap();
        let event: serde_json::Value = row.get(0).unwrap();
        assert_eq!(event["from"], guest.person_id.to_string());
        assert_eq!(event["to"], customer.person_id.to_string());
        assert!(is_ended(&w.id.authenticate(&guest.tokens.access_token)));
        assert!(is_ended(&w.id.me(&op).await));
        // Who asks for the guest gets the customer.
        let found = w.id.profile_of(&Op::system("t"), guest.person_id).await.unwrap();
        assert_eq!((found.id, found.phone.as_deref()), (customer.person_id, Some(PHONE)));
        let refused = w.id.profile_of(&op, customer.person_id).await;
        assert!(matches!(refused, Err(IdentityError::Denied)));
        // With the stale call a new number makes a person of its own.
        let other = w.login(&op, OTHER).await;
        assert!(other.new && other.person_id != guest.person_id);
    })
    .await;
}

#[tokio::test]
async fn profiles_are_checked_and_changed() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let guest = w.id.start_guest(&nobody()).await.unwrap();
        let name = |text: &str| ProfileEdit { name: Some(text.into()), email: None };
        let email = |text: &str| ProfileEdit { name: None, email: Some(text.into()) };
        let refused = w.id.edit_profile(&w.op(&guest), name("Asha")).await;
        assert!(matches!(refused, Err(IdentityError::Invalid { .. })));
        let op = w.op(&w.login(&nobody(), PHONE).await);
        w.id.edit_profile(&op, name(" आशा  राव ")).await.unwrap();
        w.id.edit_profile(&op, email("Asha@Example.in")).await.unwrap();
        let me = w.id.me(&op).await.unwrap();
        assert_eq!(me.name.as_deref(), Some("आशा राव"));
        assert_eq!(me.email.as_deref(), Some("asha@example.in"));
        assert_eq!(me.phone.as_deref(), Some(PHONE));
        for bad in [name(&"x".repeat(101)), name("a\u{7}"), email("no"), email("a@b.c\nBcc: x@y.z")]
        {
            let refused = w.id.edit_profile(&op, bad).await;
            assert!(matches!(refused, Err(IdentityError::Invalid { .. })));
        }
        let me = w.id.edit_profile(&op, email("")).await.unwrap();
        assert_eq!((me.email, me.name.is_some()), (None, true));
        for op in [nobody(), Op::system("t")] {
            let refused = w.id.me(&op).await;
            assert!(matches!(refused, Err(IdentityError::Unauthenticated)));
        }
    })
    .await;
}
