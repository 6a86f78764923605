use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mela_base::ids::PersonId;
use mela_base::{Env, MINUTE_MS, Timestamp};
use mela_db::{Query, Tx};
use parking_lot::Mutex;

use crate::recent::Recent;
use crate::store::{self, Wrapped};
use crate::{CryptoError, DataKey, Keyring, LookupKey, SigningKey};

/// Makes, finds and destroys the keys in the database. Cheap to clone; clones share the cache.
///
/// Keys of persons who were active in the last minute are remembered, which saves a statement. A key
/// destroyed here is forgotten at once; one destroyed by another process at most
/// [`Vault::CACHE_MS`] later.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    keyring: Keyring,
    env: Env,
    cache: [Mutex<Recent<PersonId, Cached>>; SHARDS],
}

#[derive(Clone)]
enum Cached {
    /// The key, which may be used until then.
    Key(DataKey, Timestamp),
    /// The key is being made; until then the database must be asked, because the transaction may be
    /// undone, and what was sealed under a remembered key would be lost.
    Made(Timestamp),
    /// The key was destroyed; until then the database must be asked, because somebody may still
    /// read it from an older snapshot.
    Destroyed(Timestamp),
}

const SHARDS: usize = 16;
/// No transaction takes longer.
const TRANSACTION_MS: i64 = 10_000;
/// In all shards together; about 10 MiB when full.
const CACHED_KEYS: usize = 16_384;

impl Vault {
    /// For how long a key is used without asking the database again.
    pub const CACHE_MS: i64 = MINUTE_MS;

    /// A vault that wraps under `keyring`.
    pub fn new(keyring: Keyring, env: Env) -> Self {
        let shard = |_| Mutex::new(Recent::new(CACHED_KEYS / SHARDS));
        Self(Arc::new(Inner { keyring, env, cache: std::array::from_fn(shard) }))
    }

    /// The key for look-up hashes and one-time codes.
    pub fn lookup_key(&self) -> LookupKey {
        self.0.keyring.lookup_key()
    }

    /// The master keys.
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// Makes and stores the key of a new person (one INSERT). Fails if the person has or had one.
    /// Call [`Vault::committed`] when the transaction has committed.
    pub fn create_person_key(
        &self,
        tx: &mut Tx<'_>,
        person: PersonId,
    ) -> Result<DataKey, CryptoError> {
        let bytes: [u8; 32] = self.0.env.random();
        let made = Cached::Made(self.0.env.now().plus_ms(TRANSACTION_MS));
        self.shard(person).lock().insert(person, made);
        store::person_insert(tx, person, &self.wrap(person, &bytes)?, self.0.env.now())?;
        DataKey::new(person, &bytes, self.0.env.clone())
    }

    /// Remembers a key that was made in a transaction that has committed: saves the next request
    /// a statement. Never call it inside of the transaction.
    pub fn committed(&self, key: &DataKey) {
        self.remember(key, true);
    }

    /// The person's key; `None` if it was destroyed, or there never was one.
    pub fn person_key(
        &self,
        q: &mut Query<'_>,
        person: PersonId,
    ) -> Result<Option<DataKey>, CryptoError> {
        if let Some(key) = self.remembered(person) {
            return Ok(Some(key));
        }
        let Some(wrapped) = store::person(q, person)? else { return Ok(None) };
        self.unwrap(person, &wrapped).map(Some)
    }

    /// The keys of many persons, with one statement for those that are not remembered. Persons
    /// without a key are missing in the answer.
    pub fn person_keys(
        &self,
        q: &mut Query<'_>,
        persons: &[PersonId],
    ) -> Result<HashMap<PersonId, DataKey>, CryptoError> {
        let mut out = HashMap::new();
        let mut asked = Vec::new();
        for person in persons {
            match self.remembered(*person) {
                Some(key) => drop(out.insert(*person, key)),
                None => asked.push(*person),
            }
        }
        for (person, wrapped) in store::persons(q, &asked)? {
            out.insert(person, self.unwrap(person, &wrapped)?);
        }
        Ok(out)
    }

    /// Destroys the person's key: nothing sealed under it can be read again. False if there was
    /// none to destroy.
    pub fn destroy_person_key(
        &self,
        tx: &mut Tx<'_>,
        person: PersonId,
    ) -> Result<bool, CryptoError> {
        let now = self.0.env.now();
        // Before the statement, so that no moment is left in which the cache still answers.
        let destroyed = Cached::Destroyed(now.plus_ms(Self::CACHE_MS));
        self.shard(person).lock().insert(person, destroyed);
        Ok(store::person_destroy(tx, person, now)?)
    }

    /// Wraps up to `limit` keys of persons anew that lie under an older master key, and all signing
    /// keys. Returns how many keys of persons it did; 0 means that the older one is not needed for
    /// them any more.
    pub fn rewrap(&self, tx: &mut Tx<'_>, limit: u32) -> Result<usize, CryptoError> {
        let ring = &self.0.keyring;
        let rows = store::persons_of_other_master(tx, ring.current_id(), limit)?;
        for (person, old) in &rows {
            let bytes = ring.unwrap(&old.master_id, &person.0.bytes(), &old.bytes)?;
            store::person_rewrap(tx, *person, &self.wrap(*person, &bytes)?)?;
        }
        for stored in store::signing_keys(tx, Timestamp::default())? {
            if stored.sealed.master_id != ring.current_id() {
                let kid = stored.kid.as_bytes();
                let seed = ring.unwrap(&stored.sealed.master_id, kid, &stored.sealed.bytes)?;
                store::signing_rewrap(tx, &stored.kid, &self.seal_seed(&stored.kid, &seed)?)?;
            }
        }
        Ok(rows.len())
    }

    /// The keys that sign access tokens and those retired lately, for [`crate::TokenSigner`].
    pub fn signing_keys(&self, q: &mut Query<'_>) -> Result<Vec<SigningKey>, CryptoError> {
        let since = self.0.env.now().plus_ms(-SigningKey::GRACE_MS);
        let open = |k: store::StoredSigningKey| {
            let ring = &self.0.keyring;
            let seed = ring.unwrap(&k.sealed.master_id, k.kid.as_bytes(), &k.sealed.bytes)?;
            let seed = seed.try_into().map_err(|_| CryptoError::Form)?;
            SigningKey::from_seed(seed, k.created_at, k.retired_at)
        };
        store::signing_keys(q, since)?.into_iter().map(open).collect()
    }

    /// The same at the start of a process: makes a key if there is none. Two processes that start at
    /// once may make one each; both then serve.
    pub fn ensure_signing_keys(&self, tx: &mut Tx<'_>) -> Result<Vec<SigningKey>, CryptoError> {
        let keys = self.signing_keys(tx)?;
        if keys.iter().any(|k| k.retired_at.is_none()) {
            return Ok(keys);
        }
        self.insert_signing_key(tx)?;
        self.signing_keys(tx)
    }

    /// Puts a new signing key in the place of the current ones, whose tokens stay good for
    /// [`SigningKey::GRACE_MS`]. Returns all, for [`crate::TokenSigner::set_keys`].
    pub fn rotate_signing_keys(&self, tx: &mut Tx<'_>) -> Result<Vec<SigningKey>, CryptoError> {
        store::signing_retire(tx, self.0.env.now())?;
        self.insert_signing_key(tx)?;
        self.signing_keys(tx)
    }

    fn insert_signing_key(&self, tx: &mut Tx<'_>) -> Result<(), CryptoError> {
        let key = SigningKey::generate(&self.0.env)?;
        let sealed = self.seal_seed(&key.kid, &key.seed)?;
        Ok(store::signing_insert(tx, &key.kid, &key.public, &sealed, key.created_at)?)
    }

    fn seal_seed(&self, kid: &str, seed: &[u8]) -> Result<Wrapped, CryptoError> {
        let bytes = self.0.keyring.wrap(&self.0.env, kid.as_bytes(), seed)?;
        Ok(Wrapped { bytes, master_id: self.0.keyring.current_id().to_owned() })
    }

    fn wrap(&self, person: PersonId, key: &[u8]) -> Result<Wrapped, CryptoError> {
        let bytes = self.0.keyring.wrap(&self.0.env, &person.0.bytes(), key)?;
        Ok(Wrapped { bytes, master_id: self.0.keyring.current_id().to_owned() })
    }

    fn unwrap(&self, person: PersonId, wrapped: &Wrapped) -> Result<DataKey, CryptoError> {
        let bytes = self.0.keyring.unwrap(&wrapped.master_id, &person.0.bytes(), &wrapped.bytes)?;
        let bytes = bytes.try_into().map_err(|_| CryptoError::Form)?;
        let key = DataKey::new(person, &bytes, self.0.env.clone())?;
        self.remember(&key, false);
        Ok(key)
    }

    fn shard(&self, person: PersonId) -> &Mutex<Recent<PersonId, Cached>> {
        &self.0.cache[usize::from(person.0.bytes()[15]) % SHARDS]
    }

    fn remembered(&self, person: PersonId) -> Option<DataKey> {
        match self.shard(person).lock().get(&person)? {
            Cached::Key(key, until) if self.0.env.now() < until => Some(key),
            _ => None,
        }
    }

    fn remember(&self, key: &DataKey, committed: bool) {
        let now = self.0.env.now();
        let mut shard = self.shard(key.person()).lock();
        let must_ask = match shard.get(&key.person()) {
            Some(Cached::Destroyed(until)) => now < until,
            Some(Cached::Made(until)) => now < until && !committed,
            _ => false,
        };
        if !must_ask {
            let until = now.plus_ms(Self::CACHE_MS);
            shard.insert(key.person(), Cached::Key(key.clone(), until));
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({:?})", self.0.keyring)
    }
}
