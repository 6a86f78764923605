use mela_base::{Actor, HOUR_MS, Op, Role};
use mela_identity_api::{Identity, IdentityError};
use mela_testkit::on_both;

use crate::world::*;

const OWNER: &str = "owner@shop.example";
const PASSWORD: &str = "a long password";

#[tokio::test]
async fn the_first_owner_is_made_once_and_logs_in() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let made = w.id.ensure_first_owner(" Owner@Shop.example ", PASSWORD).await.unwrap();
        assert_eq!(made.unwrap().email, OWNER);
        assert!(w.id.ensure_first_owner("x@shop.example", PASSWORD).await.unwrap().is_none());
        let (staff, tokens) = w.id.staff_login(&nobody(), OWNER, PASSWORD).await.unwrap();
        let actor = w.id.authenticate(&tokens.access_token).unwrap();
        assert_eq!(actor, Actor::Staff { id: staff.id, role: Role::Owner });
        for (email, password) in [
            (OWNER, "another password"),
            ("nobody@shop.example", PASSWORD),
            ("", ""),
            (OWNER, &"x".repeat(100_000)),
        ] {
            let refused = w.id.staff_login(&nobody(), email, password).await;
            assert!(matches!(refused, Err(IdentityError::WrongPassword)));
        }
        assert_eq!(w.id.staff(&by(actor)).await.unwrap(), [staff]);
    })
    .await;
}

#[tokio::test]
async fn guessing_is_throttled_also_after_a_restart() {
    on_both(SETS, async |t| {
        let config = mela_identity::IdentityConfig { staff_tries: 2, ..Default::default() };
        let w = World::with(t, config).await;
        w.id.ensure_first_owner(OWNER, PASSWORD).await.unwrap();
        // Right ones do not count.
        for _ in 0..3 {
            w.id.staff_login(&nobody(), OWNER, PASSWORD).await.unwrap();
        }
        for account in [OWNER, "nobody@shop.example"] {
            for _ in 0..2 {
                let wrong = w.id.staff_login(&nobody(), account, "wrong password").await;
                assert!(matches!(wrong, Err(IdentityError::WrongPassword)));
            }
            assert!(is_limited(&w.id.staff_login(&nobody(), account, PASSWORD).await));
        }
        w.t.clock.advance_ms(HOUR_MS);
        w.id.staff_login(&nobody(), OWNER, PASSWORD).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_change_of_an_account_ends_its_sessions() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        w.id.ensure_first_owner(OWNER, PASSWORD).await.unwrap();
        let system = Op::system("t");
        let email = "maya@shop.example";
        let save = async |password: Option<&str>, role, active| {
            w.id.save_staff(&system, email, password, role, active).await
        };
        let none = save(None, Role::Support, true).await;
        assert!(matches!(none, Err(IdentityError::Invalid { field: "password", .. })));
        let short = save(Some("short"), Role::Support, true).await;
        assert!(matches!(short, Err(IdentityError::Invalid { field: "password", .. })));
        save(Some(PASSWORD), Role::Support, true).await.unwrap();
        let (_, tokens) = w.id.staff_login(&nobody(), email, PASSWORD).await.unwrap();
        // Nothing changed, nothing ends.
        save(None, Role::Support, true).await.unwrap();
        let tokens = w.id.refresh(&nobody(), &tokens.refresh_token).await.unwrap();
        save(None, Role::Manager, true).await.unwrap();
        assert!(is_ended(&w.id.authenticate(&tokens.access_token)));
        assert!(is_ended(&w.id.refresh(&nobody(), &tokens.refresh_token).await));
        let (staff, tokens) = w.id.staff_login(&nobody(), email, PASSWORD).await.unwrap();
        assert_eq!(staff.role, Role::Manager);
        save(None, Role::Manager, false).await.unwrap();
        assert!(is_ended(&w.id.authenticate(&tokens.access_token)));
        let shut_out = w.id.staff_login(&nobody(), email, PASSWORD).await;
        assert!(matches!(shut_out, Err(IdentityError::WrongPassword)));
        assert_eq!(w.id.staff(&system).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn only_owners_change_staff_and_one_always_stays() {
    on_both(SETS, async |t| {
        let w = World::new(t).await;
        let owner = w.id.ensure_first_owner(OWNER, PASSWORD).await.unwrap().unwrap();
        let staff = |role| by(Actor::Staff { id: owner.id, role });
        for op in [nobody(), staff(Role::Manager), staff(Role::Viewer)] {
            let refused = w.id.save_staff(&op, "x@shop.example", None, Role::Owner, true).await;
            assert!(matches!(refused, Err(IdentityError::Denied)));
            assert!(matches!(w.id.staff(&op).await, Err(IdentityError::Denied)));
        }
        let op = staff(Role::Owner);
        for (role, active) in [(Role::Manager, true), (Role::Owner, false)] {
            let last = w.id.save_staff(&op, OWNER, None, role, active).await;
            assert!(matches!(last, Err(IdentityError::Invalid { field: "role", .. })));
        }
        let second = "second@shop.example";
        w.id.save_staff(&op, second, Some(PASSWORD), Role::Owner, true).await.unwrap();
        w.id.save_staff(&op, OWNER, None, Role::Viewer, true).await.unwrap();
    })
    .await;
}
