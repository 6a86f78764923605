use std::fmt;
use std::sync::Arc;

use mela_base::{DAY_MS, Env, Timestamp};
use parking_lot::{Mutex, RwLock};
use ring::signature::Ed25519KeyPair;
use serde::{Deserialize, Serialize};

use crate::recent::Recent;
use crate::{CryptoError, jws, sha256};

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Who: the text of a person's or a staff member's id.
    pub sub: String,
    /// The login session.
    pub sid: String,
    /// True for a guest.
    #[serde(default)]
    pub guest: bool,
    /// The role, for staff only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Who issued it.
    pub iss: String,
    /// For whom it is meant.
    pub aud: String,
    /// When it was issued, in seconds since the epoch.
    pub iat: i64,
    /// From when it may be used; we leave it out, other issuers need not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// When it ends.
    pub exp: i64,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of ours at all, or longer than [`TokenSigner::MAX_LEN`].
    #[error("this is not an access token")]
    Malformed,
    /// Another algorithm, or a key that we do not (any more) know.
    #[error("the access token was not signed by a key of this shop; log in again")]
    UnknownKey,
    /// The signature does not match.
    #[error("the access token's signature is wrong; log in again")]
    BadSignature,
    /// Its time is over.
    #[error("the access token has expired; refresh it")]
    Expired,
    /// Its time has not come.
    #[error("the access token is not valid yet; check the clock")]
    NotYetValid,
    /// Issued by somebody else or for somebody else.
    #[error("the access token is meant for another service")]
    WrongAudience,
}

/// An Ed25519 key pair that signs tokens, or did so until it was retired.
pub struct SigningKey {
    pub(crate) kid: String,
    pub(crate) seed: [u8; 32],
    pub(crate) public: [u8; 32],
    pub(crate) created_at: Timestamp,
    pub(crate) retired_at: Option<Timestamp>,
    pair: Ed25519KeyPair,
    /// The header of every token of this key, encoded: the only header that is accepted for it.
    header: String,
}

impl SigningKey {
    /// A retired key's tokens are still accepted for this long, more than any of them lives.
    pub const GRACE_MS: i64 = DAY_MS;

    /// A new key.
    pub fn generate(env: &Env) -> Result<Self, CryptoError> {
        Self::from_seed(env.random(), env.now(), None)
    }

    pub(crate) fn from_seed(
        seed: [u8; 32],
        created_at: Timestamp,
        retired_at: Option<Timestamp>,
    ) -> Result<Self, CryptoError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| CryptoError::Key("not an Ed25519 seed".into()))?;
        let public = jws::public_key(&pair);
        let kid = jws::thumbprint(&public);
        let header = jws::b64(format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#).as_bytes());
        Ok(Self { kid, seed, public, created_at, retired_at, pair, header })
    }

    /// The key's public name: the thumbprint of its public half.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ***)", self.kid)
    }
}

/// Issues and checks access tokens. Cheap to clone; all clones share keys and cache.
#[derive(Clone)]
pub struct TokenSigner(Arc<Inner>);

struct Inner {
    env: Env,
    issuer: String,
    audience: String,
    /// Newest first.
    keys: RwLock<Arc<[SigningKey]>>,
    /// Tokens that were found good, by hash: a signature check costs 50 µs, a look-up under one.
    good: [Mutex<Recent<[u8; 32], Arc<AccessClaims>>>; SHARDS],
}

const SHARDS: usize = 16;
/// In all shards together; about 10 MiB when full.
const CACHED_TOKENS: usize = 32_768;

impl TokenSigner {
    /// Longer texts are not looked at.
    pub const MAX_LEN: usize = 4_096;
    /// By how much the clocks of two of our machines may differ.
    pub const LEEWAY_S: i64 = 5;

    /// A signer for tokens from `issuer` to `audience`. One of `keys` must not be retired.
    pub fn new(
        env: Env,
        issuer: &str,
        audience: &str,
        keys: Vec<SigningKey>,
    ) -> Result<Self, CryptoError> {
        let signer = Self(Arc::new(Inner {
            env,
            issuer: issuer.into(),
            audience: audience.into(),
            keys: RwLock::new(Arc::new([])),
            good: std::array::from_fn(|_| Mutex::new(Recent::new(CACHED_TOKENS / SHARDS))),
        }));
        signer.set_keys(keys)?;
        Ok(signer)
    }

    /// Puts other keys in place (after a rotation, here or on another node). The newest that is not
    /// retired signs, all of them verify, except those retired for [`SigningKey::GRACE_MS`].
    pub fn set_keys(&self, mut keys: Vec<SigningKey>) -> Result<(), CryptoError> {
        if !keys.iter().any(|k| k.retired_at.is_none()) {
            return Err(CryptoError::Key("no signing key that is not retired".into()));
        }
        keys.sort_by(|a, b| (b.created_at, &b.kid).cmp(&(a.created_at, &a.kid)));
        *self.0.keys.write() = keys.into();
        // A token of a key that is gone must not live on in the cache.
        self.0.good.iter().for_each(|shard| shard.lock().clear());
        Ok(())
    }

    /// Claims for a token that starts now and ends after `minutes`.
    pub fn claims(
        &self,
        sub: impl fmt::Display,
        sid: impl fmt::Display,
        guest: bool,
        role: Option<&str>,
        minutes: u32,
    ) -> AccessClaims {
        let now = self.0.env.now().unix_s();
        AccessClaims {
            sub: sub.to_string(),
            sid: sid.to_string(),
            guest,
            role: role.map(str::to_owned),
            iss: self.0.issuer.clone(),
            aud: self.0.audience.clone(),
            iat: now,
            nbf: None,
            exp: now + i64::from(minutes) * 60,
        }
    }

    /// The token that says `claims`.
    pub fn sign(&self, claims: &AccessClaims) -> Result<String, CryptoError> {
        let payload = serde_json::to_vec(claims).map_err(|_| CryptoError::Form)?;
        let keys = Arc::clone(&self.0.keys.read());
        let key = keys
            .iter()
            .find(|k| k.retired_at.is_none())
            .ok_or_else(|| CryptoError::Key("no signing key that is not retired".into()))?;
        Ok(jws::sign(&key.pair, &key.header, &payload))
    }

    /// What `token` says, if it is good now. On [`TokenError::UnknownKey`] another node may have
    /// rotated keys: load them again, at most every few seconds, and try once more.
    pub fn verify(&self, token: &str) -> Result<Arc<AccessClaims>, TokenError> {
        if token.len() > Self::MAX_LEN {
            return Err(TokenError::Malformed);
        }
        let hash = sha256(token.as_bytes());
        let shard = &self.0.good[usize::from(hash[0]) % SHARDS];
        // Times are checked each time; what else was good once stays good.
        let cached = shard.lock().get(&hash);
        if let Some(claims) = cached {
            self.check_times(&claims).inspect_err(|_| shard.lock().remove(&hash))?;
            return Ok(claims);
        }
        let claims = self.verify_signature(token)?;
        self.check_times(&claims)?;
        shard.lock().insert(hash, Arc::clone(&claims));
        Ok(claims)
    }

    fn verify_signature(&self, token: &str) -> Result<Arc<AccessClaims>, TokenError> {
        let (signed, header, payload, signature) =
            jws::split(token).ok_or(TokenError::Malformed)?;
        let grace = self.0.env.now().plus_ms(-SigningKey::GRACE_MS);
        let keys = Arc::clone(&self.0.keys.read());
        // Comparing the whole header leaves nothing to interpret: no other algorithm, no `none`,
        // no `crit`, no embedded key.
        let key = keys
            .iter()
            .find(|k| k.header == header && k.retired_at.is_none_or(|at| at > grace))
            .ok_or(TokenError::UnknownKey)?;
        if !jws::verify(&key.public, signed, signature) {
            return Err(TokenError::BadSignature);
        }
        let payload = jws::unb64(payload).ok_or(TokenError::Malformed)?;
        let claims: AccessClaims =
            serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)?;
        if claims.iss != self.0.issuer || claims.aud != self.0.audience {
            return Err(TokenError::WrongAudience);
        }
        Ok(Arc::new(claims))
    }

    fn check_times(&self, claims: &AccessClaims) -> Result<(), TokenError> {
        let now = self.0.env.now().unix_s();
        if claims.exp.saturating_add(Self::LEEWAY_S) <= now {
            return Err(TokenError::Expired);
        }
        if claims.nbf.unwrap_or(claims.iat).max(claims.iat) > now.saturating_add(Self::LEEWAY_S) {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }

    /// The public keys as a JSON Web Key Set, for `/.well-known/jwks.json`.
    pub fn jwks(&self) -> serde_json::Value {
        let grace = self.0.env.now().plus_ms(-SigningKey::GRACE_MS);
        let keys: Vec<_> = self
            .0
            .keys
            .read()
            .iter()
            .filter(|k| k.retired_at.is_none_or(|at| at > grace))
            .map(|k| {
                serde_json::json!({
                    "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                    "kid": k.kid, "x": jws::b64(&k.public),
                })
            })
            .collect();
        serde_json::json!({ "keys": keys })
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenSigner").field(&self.0.keys.read()).finish()
    }
}

#[cfg(test)]
mod tests {
    use mela_base::ManualClock;

    use super::*;

    fn signer() -> (Arc<ManualClock>, Env, TokenSigner) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_s(1_790_000_000)));
        let env = Env::test(Arc::clone(&clock), 1);
        let key = SigningKey::generate(&env).unwrap();
        let signer = TokenSigner::new(env.clone(), "https://shop", "shop", vec![key]).unwrap();
        (clock, env, signer)
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let (clock, _, signer) = signer();
        let claims = signer.claims("per_1", "ses_1", true, None, 15);
        let token = signer.sign(&claims).unwrap();
        for _ in 0..2 {
            assert_eq!(*signer.verify(&token).unwrap(), claims);
        }
        clock.advance_ms((15 * 60 + TokenSigner::LEEWAY_S) * 1_000 - 1);
        assert!(signer.verify(&token).is_ok());
        clock.advance_ms(1);
        assert_eq!(signer.verify(&token), Err(TokenError::Expired));
        assert_eq!(signer.verify(&token), Err(TokenError::Expired));
    }

    #[test]
    fn not_before_its_time() {
        let (clock, _, signer) = signer();
        let token = signer.sign(&signer.claims("a", "b", false, Some("owner"), 1)).unwrap();
        clock.advance_ms(-4_000);
        assert!(signer.verify(&token).is_ok());
        clock.advance_ms(-2_000);
        assert_eq!(signer.verify(&token), Err(TokenError::NotYetValid));
    }

    #[test]
    fn anything_changed_is_refused() {
        let (_, _, signer) = signer();
        let claims = signer.claims("per_1", "ses_1", false, None, 15);
        let token = signer.sign(&claims).unwrap();
        assert!(signer.verify(&token).is_ok());
        for i in 0..token.len() {
            let mut bad = token.clone().into_bytes();
            bad[i] = if bad[i] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            assert!(signer.verify(&bad).is_err(), "{i}: {bad}");
        }
        for bad in ["", ".", "..", "...", "a.b.c", &format!("{token}."), &format!("{token}=")] {
            assert!(signer.verify(bad).is_err(), "{bad}");
        }
        assert_eq!(signer.verify(&"a".repeat(4_097)), Err(TokenError::Malformed));
    }

    #[test]
    fn no_other_algorithm_and_no_other_key() {
        let (_, env, signer) = signer();
        let claims = signer.claims("per_1", "ses_1", false, None, 15);
        let token = signer.sign(&claims).unwrap();
        let (_, payload) = token.split_once('.').unwrap();
        for header in [
            r#"{"alg":"none"}"#.to_owned(),
            r#"{"alg":"HS256","typ":"JWT"}"#.to_owned(),
            format!(
                r#"{{"alg":"none","typ":"JWT","kid":"{}"}}"#,
                signer.jwks()["keys"][0]["kid"].as_str().unwrap()
            ),
        ] {
            let bad = format!("{}.{payload}", jws::b64(header.as_bytes()));
            assert_eq!(signer.verify(&bad), Err(TokenError::UnknownKey), "{header}");
        }
        let other = SigningKey::generate(&env).unwrap();
        let other = TokenSigner::new(env.clone(), "https://shop", "shop", vec![other]).unwrap();
        assert_eq!(signer.verify(&other.sign(&claims).unwrap()), Err(TokenError::UnknownKey));
        let elsewhere = AccessClaims { aud: "bank".into(), ..claims.clone() };
        let elsewhere = signer.sign(&elsewhere).unwrap();
        assert_eq!(signer.verify(&elsewhere), Err(TokenError::WrongAudience));
        let issuer = signer.sign(&AccessClaims { iss: "x".into(), ..claims }).unwrap();
        assert_eq!(signer.verify(&issuer), Err(TokenError::WrongAudience));
    }

    #[test]
    fn rotation_keeps_old_tokens_for_a_day() {
        let (clock, env, signer) = signer();
        let old = SigningKey::generate(&env).unwrap();
        let (seed, made) = (old.seed, old.created_at);
        signer.set_keys(vec![old]).unwrap();
        let token = signer.sign(&signer.claims("per_1", "ses_1", false, None, 3_000)).unwrap();
        clock.advance_ms(1_000);
        let retired = SigningKey::from_seed(seed, made, Some(env.now())).unwrap();
        let new = SigningKey::generate(&env).unwrap();
        let kid = new.kid().to_owned();
        signer.set_keys(vec![retired, new]).unwrap();
        assert!(signer.verify(&token).is_ok());
        assert_eq!(signer.jwks()["keys"].as_array().unwrap().len(), 2);
        assert_eq!(signer.jwks()["keys"][0]["kid"], kid);
        let newer = signer.sign(&signer.claims("per_1", "ses_1", false, None, 15)).unwrap();
        assert!(newer.split('.').next() != token.split('.').next());
        clock.advance_ms(SigningKey::GRACE_MS);
        assert_eq!(signer.jwks()["keys"].as_array().unwrap().len(), 1);
        signer.0.good.iter().for_each(|s| s.lock().clear());
        assert_eq!(signer.verify(&token), Err(TokenError::UnknownKey));
        let gone = SigningKey::from_seed(seed, made, Some(made)).unwrap();
        assert!(signer.set_keys(vec![gone]).is_err());
    }

    #[test]
    fn the_published_key_is_rfc_8037_shaped() {
        let (_, _, signer) = signer();
        let key = &signer.jwks()["keys"][0];
        assert_eq!((&key["kty"], &key["crv"]), (&"OKP".into(), &"Ed25519".into()));
        assert_eq!(key["x"].as_str().unwrap().len(), 43);
        assert!(key.get("d").is_none());
    }
}
