use std::fmt;
use std::sync::Arc;

use mela_base::Env;
use mela_base::ids::PersonId;
use mela_db::DbError;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a cryptographic step failed. No variant holds key or data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The bytes were changed, moved from where they were sealed, or sealed under another key.
    #[error("sealed data cannot be opened: it was changed, moved, or sealed under another key")]
    Unreadable,
    /// Sealed under a master key that is neither the current nor the previous one.
    #[error("sealed under a master key with id {0}, which is not configured")]
    UnknownMasterKey(String),
    /// The opened bytes are not the expected JSON, or the value cannot be written as JSON.
    #[error("sealed data does not have the expected form")]
    Form,
    /// A key in the wrong form; the text says what would be right.
    #[error("{0}")]
    Key(String),
    /// The database failed.
    #[error("key store: {0}")]
    Store(#[from] DbError),
}

/// Sealed bytes: this version byte, 12 bytes of nonce, ciphertext, 16 bytes of tag.
const VERSION: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;

/// One person's key (AES-256-GCM). Made, stored and destroyed by [`crate::Vault`].
///
/// `aad` names where the sealed value lives (`"address.body"`, `"person.phone"`); together with the
/// person it is bound to the ciphertext, so a value that somebody copies into another column, or
/// another person's row, does not open.
#[derive(Clone)]
pub struct DataKey(Arc<Parts>);

struct Parts {
    person: PersonId,
    key: LessSafeKey,
    env: Env,
}

impl DataKey {
    pub(crate) fn new(person: PersonId, bytes: &[u8; 32], env: Env) -> Result<Self, CryptoError> {
        Ok(Self(Arc::new(Parts { person, key: aes(bytes)?, env })))
    }

    /// Whose key it is.
    pub fn person(&self) -> PersonId {
        self.0.person
    }

    /// Seals `plain`; 29 bytes longer than it.
    pub fn seal(&self, aad: &str, plain: &[u8]) -> Result<Vec<u8>, CryptoError> {
        seal(&self.0.key, &self.0.env, &self.context(aad), plain)
    }

    /// Opens what [`DataKey::seal`] made with the same `aad`.
    pub fn open(&self, aad: &str, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
        open(&self.0.key, &self.context(aad), sealed)
    }

    /// Seals text.
    pub fn seal_str(&self, aad: &str, plain: &str) -> Result<Vec<u8>, CryptoError> {
        self.seal(aad, plain.as_bytes())
    }

    /// Opens text.
    pub fn open_str(&self, aad: &str, sealed: &[u8]) -> Result<String, CryptoError> {
        String::from_utf8(self.open(aad, sealed)?).map_err(|_| CryptoError::Form)
    }

    /// Seals a value as JSON.
    pub fn seal_json<T: Serialize>(&self, aad: &str, value: &T) -> Result<Vec<u8>, CryptoError> {
        self.seal(aad, &serde_json::to_vec(value).map_err(|_| CryptoError::Form)?)
    }

    /// Opens a value that was sealed as JSON.
    pub fn open_json<T: DeserializeOwned>(
        &self,
        aad: &str,
        sealed: &[u8],
    ) -> Result<T, CryptoError> {
        serde_json::from_slice(&self.open(aad, sealed)?).map_err(|_| CryptoError::Form)
    }

    fn context(&self, aad: &str) -> Vec<u8> {
        let mut context = self.0.person.0.bytes().to_vec();
        context.extend_from_slice(aad.as_bytes());
        context
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({}, ***)", self.0.person)
    }
}

pub(crate) fn aes(bytes: &[u8; 32]) -> Result<LessSafeKey, CryptoError> {
    // Cannot fail for 32 bytes; an error beats a panic if it ever does.
    UnboundKey::new(&AES_256_GCM, bytes)
        .map(LessSafeKey::new)
        .map_err(|_| CryptoError::Key("AES-256 wants 32 bytes".into()))
}

pub(crate) fn seal(
    key: &LessSafeKey,
    env: &Env,
    aad: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let nonce: [u8; NONCE] = env.random();
    let mut out = Vec::with_capacity(1 + NONCE + plain.len() + TAG);
    out.push(VERSION);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut out[1 + NONCE..],
        )
        .map_err(|_| CryptoError::Form)?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

pub(crate) fn open(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
    if sealed.len() < 1 + NONCE + TAG || sealed[0] != VERSION {
        return Err(CryptoError::Unreadable);
    }
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&sealed[1..=NONCE]);
    let mut body = sealed[1 + NONCE..].to_vec();
    let len = key
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
        .map_err(|_| CryptoError::Unreadable)?
        .len();
    body.truncate(len);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mela_base::{Id, ManualClock, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn key(person: u8, bytes: u8) -> DataKey {
        let env = Env::test(Arc::new(ManualClock::new(Timestamp::default())), 1);
        DataKey::new(PersonId(Id::from_bytes([person; 16])), &[bytes; 32], env).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(plain: Vec<u8>, aad in "[a-z.]{0,20}") {
            let k = key(1, 1);
            let sealed = k.seal(&aad, &plain).unwrap();
            prop_assert_eq!(sealed.len(), plain.len() + 29);
            prop_assert_eq!(k.open(&aad, &sealed).unwrap(), plain);
        }

        #[test]
        fn any_flipped_bit_is_noticed(plain: Vec<u8>, at: usize, bit in 0u8..8) {
            let k = key(1, 1);
            let mut sealed = k.seal("t.c", &plain).unwrap();
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(k.open("t.c", &sealed), Err(CryptoError::Unreadable));
        }

        #[test]
        fn garbage_never_panics(sealed: Vec<u8>) {
            prop_assert_eq!(key(1, 1).open("t.c", &sealed), Err(CryptoError::Unreadable));
        }

        #[test]
        fn cut_or_lengthened_is_noticed(plain: Vec<u8>, cut in 1usize..40) {
            let k = key(1, 1);
            let sealed = k.seal("t.c", &plain).unwrap();
            prop_assert!(k.open("t.c", &sealed[..sealed.len().saturating_sub(cut)]).is_err());
            prop_assert!(k.open("t.c", &[sealed, vec![0]].concat()).is_err());
        }
    }

    #[test]
    fn a_ciphertext_cannot_be_moved() {
        let sealed = key(1, 1).seal_str("person.phone", "x").unwrap();
        assert_eq!(key(1, 1).open_str("person.phone", &sealed).unwrap(), "x");
        assert_eq!(key(1, 1).open("person.email", &sealed), Err(CryptoError::Unreadable));
        assert_eq!(key(2, 1).open("person.phone", &sealed), Err(CryptoError::Unreadable));
        assert_eq!(key(1, 2).open("person.phone", &sealed), Err(CryptoError::Unreadable));
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        let k = key(1, 1);
        assert_ne!(k.seal("a", b"same").unwrap(), k.seal("a", b"same").unwrap());
        assert_eq!(format!("{k:?}").matches("***").count(), 1);
    }

    #[test]
    fn json() {
        let k = key(1, 1);
        let sealed = k.seal_json("a", &("x", 7)).unwrap();
        assert_eq!(k.open_json::<(String, u8)>("a", &sealed).unwrap(), ("x".to_owned(), 7));
        assert_eq!(k.open_json::<u8>("a", &sealed), Err(CryptoError::Form));
    }
}
