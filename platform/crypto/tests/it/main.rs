//! The key store on both engines.

// Helpers of tests are tests, but clippy does not know.
#![allow(clippy::unwrap_used)]

use mela_base::ids::PersonId;
use mela_crypto::{
    CryptoError, DataKey, Keyring, MIGRATIONS, MasterKey, STATEMENTS, TokenError, TokenSigner,
    Vault,
};
use mela_db::check_statements;
use mela_testkit::{TestDb, on_both};

fn ring(current: u8, previous: Option<u8>) -> Keyring {
    let key = |b| MasterKey::from_bytes([b; 32]);
    Keyring::new(key(current), previous.map(key)).unwrap()
}

fn vault(t: &TestDb, ring: Keyring) -> Vault {
    Vault::new(ring, t.env.clone())
}

async fn create(t: &TestDb, v: &Vault, person: PersonId) -> DataKey {
    let v = v.clone();
    t.db.write("t.create", move |tx| v.create_person_key(tx, person)).await.unwrap()
}

async fn find(t: &TestDb, v: &Vault, person: PersonId) -> Result<Option<DataKey>, CryptoError> {
    let v = v.clone();
    t.db.read("t.find", move |q| v.person_key(q, person)).await
}

async fn destroy(t: &TestDb, v: &Vault, person: PersonId) -> bool {
    let v = v.clone();
    t.db.write("t.destroy", move |tx| v.destroy_person_key(tx, person)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_prepares() {
    on_both(&[MIGRATIONS], async |t| {
        let t = &t;
        assert_eq!(check_statements(&t.db, STATEMENTS), Vec::<String>::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_by_one_process_opens_in_another() {
    on_both(&[MIGRATIONS], async |t| {
        let t = &t;
        let (one, other) = (vault(t, ring(1, None)), vault(t, ring(1, None)));
        let person = t.env.new_id::<PersonId>();
        let sealed = create(t, &one, person).await.seal_str("person.name", "Asha").unwrap();
        let key = find(t, &other, person).await.unwrap().unwrap();
        assert_eq!(key.open_str("person.name", &sealed).unwrap(), "Asha");
        // Remembered: no further statement.
        let before = t.db.statement_count();
        assert!(find(t, &other, person).await.unwrap().is_some());
        assert_eq!(t.db.statement_count(), before);
        assert!(find(t, &other, t.env.new_id()).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_key_is_gone_everywhere() {
    on_both(&[MIGRATIONS], async |t| {
        let t = &t;
        let (one, other) = (vault(t, ring(1, None)), vault(t, ring(1, None)));
        let person = t.env.new_id::<PersonId>();
        create(t, &one, person).await;
        assert!(find(t, &other, person).await.unwrap().is_some());
        assert!(destroy(t, &one, person).await);
        assert!(!destroy(t, &one, person).await);
        assert!(find(t, &one, person).await.unwrap().is_none(), "at once where it was destroyed");
        t.clock.advance_ms(Vault::CACHE_MS);
        assert!(find(t, &other, person).await.unwrap().is_none(), "soon everywhere else");
        assert!(find(t, &vault(t, ring(1, None)), person).await.unwrap().is_none());
        // And it cannot come back.
        let again = vault(t, ring(1, None));
        let result = t.db.write("t.again", move |tx| again.create_person_key(tx, person)).await;
        assert!(matches!(result, Err(CryptoError::Store(e)) if e.is_unique()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_that_is_rolled_back_loses_nothing() {
    on_both(&[MIGRATIONS], async |t| {
        let t = &t;
        let v = vault(t, ring(1, None));
        let person = t.env.new_id::<PersonId>();
        create(t, &v, person).await;
        let inner = v.clone();
        let failed: Result<(), CryptoError> =
            t.db.write("t.fail", move |tx| {
                inner.destroy_person_key(tx, person)?;
                Err(CryptoError::Form)
            })
            .await;
        assert!(failed.is_err());
        assert!(find(t, &v, person).await.unwrap().is_some());
    })
    .await;
}

/// A closure may run twice (that is how collisions on Postgres are retried): the key that the first
/// run made must not be found by the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_is_rolled_back_leaves_no_key_behind() {
    on_both(&[MIGRATIONS], async |t| {
        let t = &t;
        let v = vault(t, ring(1, None));
        let person = t.env.new_id::<PersonId>();
        let inner = v.clone();
        let failed: Result<(), CryptoError> =
            t.db.write("t.fail", move |tx| {
                inner.create_person_key(tx, person)?;
                assert!(inner.person_key(tx, person)?.is_some(), "its own transaction sees it");
                Err(CryptoError::Form)
            })
            .await;
        assert!(failed.is_err());
        assert!(find(t, &v, person).await.unwrap().is_none());
        let key = create(t, &v, person).await;
        v.committed(&key);
        let before = t.db.statement_count();
        assert!(find(t, &v, person).await.unwrap().is_some());
        assert_eq!(t.db.statement_count(), before, "a committed key is remembered");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_with_one_statement() {
    on_both(&[MIGRATIONS], async |t| {
        let t = &t;
        let v = vault(t, ring(1, None));
        let mut persons: Vec<PersonId> = Vec::new();
        for _ in 0..5 {
            let person = t.env.new_id();
            create(t, &v, person).await;
            persons.push(person);
        }
        destroy(t, &v, persons[4]).await;
        persons.push(t.env.new_id());
        let fresh = vault(t, ring(1, None));
        let before = t.db.statement_count();
        let asked = persons.clone();
        let keys = t.db.read("t.many", move |q| fresh.person_keys(q, &asked)).await.unwrap();
        assert_eq!(t.db.statement_count(), before + 1);
        assert_eq!(keys.len(), 4);
        assert!(persons[..4].iter().all(|p| keys[p].person() == *p));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_can_be_changed() {
    on_both(&[MIGRATIONS], async |t| {
        let t = &t;
        let old = vault(t, ring(1, None));
        let mut sealed = Vec::new();
        for _ in 0..5 {
            let person = t.env.new_id::<PersonId>();
            sealed.push((person, create(t, &old, person).await.seal("a.b", b"x").unwrap()));
        }
        let o = old.clone();
        t.db.write("t.sign", move |tx| o.ensure_signing_keys(tx)).await.unwrap();

        let stranger = vault(t, ring(2, None));
        assert!(matches!(
            find(t, &stranger, sealed[0].0).await,
            Err(CryptoError::UnknownMasterKey(_))
        ));
        let both = vault(t, ring(2, Some(1)));
        for expected in [2, 2, 1, 0] {
            let v = both.clone();
            let done = t.db.write("t.rewrap", move |tx| v.rewrap(tx, 2)).await.unwrap();
            assert_eq!(done, expected);
        }
        let new = vault(t, ring(2, None));
        for (person, sealed) in &sealed {
            let key = find(t, &new, *person).await.unwrap().unwrap();
            assert_eq!(key.open("a.b", sealed).unwrap(), b"x");
        }
        let n = new.clone();
        assert_eq!(t.db.read("t.keys", move |q| n.signing_keys(q)).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_keys_are_shared_and_rotate() {
    on_both(&[MIGRATIONS], async |t| {
        let t = &t;
        let signer = |keys| TokenSigner::new(t.env.clone(), "https://shop", "shop", keys).unwrap();
        let (a, b) = (vault(t, ring(1, None)), vault(t, ring(1, None)));
        let (va, vb) = (a.clone(), b.clone());
        let one = signer(t.db.write("t.a", move |tx| va.ensure_signing_keys(tx)).await.unwrap());
        let two = signer(t.db.write("t.b", move |tx| vb.ensure_signing_keys(tx)).await.unwrap());
        let token = one.sign(&one.claims("per_1", "ses_1", true, None, 15)).unwrap();
        assert!(two.verify(&token).is_ok());

        t.clock.advance_ms(1_000);
        let va = a.clone();
        one.set_keys(t.db.write("t.rotate", move |tx| va.rotate_signing_keys(tx)).await.unwrap())
            .unwrap();
        let newer = one.sign(&one.claims("per_1", "ses_1", true, None, 15)).unwrap();
        assert!(one.verify(&token).is_ok(), "the old token stays good");
        assert_eq!(two.verify(&newer), Err(TokenError::UnknownKey));
        let vb = b.clone();
        two.set_keys(t.db.read("t.load", move |q| vb.signing_keys(q)).await.unwrap()).unwrap();
        assert!(two.verify(&newer).is_ok());
        assert_eq!(two.jwks()["keys"].as_array().unwrap().len(), 2);
    })
    .await;
}
