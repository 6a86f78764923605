//! Sealing of personal data, keyed hashes, signed tokens, passwords.
//!
//! - [`MasterKey`] and [`Keyring`]: the one secret of an installation, and its predecessor while
//!   it is being replaced.
//! - [`DataKey`]: each person's own key; personal data rests only sealed under it, and destroying
//!   it erases the person from the database and from every backup of it.
//! - [`Vault`]: keeps those keys in the database, wrapped under the master key.
//! - [`LookupKey`]: keyed hashes for finding a person by phone, and for keeping one-time codes.
//! - [`TokenSigner`]: access tokens (compact JWS, EdDSA) and the JWKS that publishes their keys.
//! - [`password`]: argon2id for staff.
//! - [`Secret`]: text that does not print itself.
//!
//! All primitives come from `ring`, except argon2id.

mod jws;
mod key;
mod lookup;
pub mod password;
mod recent;
mod seal;
mod secret;
mod store;
mod token;
mod vault;

pub use key::{KeyFile, Keyring, MasterKey};
pub use lookup::{LookupKey, ct_eq, sha256};
pub use seal::{CryptoError, DataKey};
pub use secret::Secret;
pub use store::{MIGRATIONS, STATEMENTS};
pub use token::{AccessClaims, SigningKey, TokenError, TokenSigner};
pub use vault::Vault;

/// Lower-case hex of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|n| char::from(b"0123456789abcdef"[usize::from(n)]))
        .collect()
}

/// The bytes of hex text in either case; `None` if it is not that.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |c: u8| char::from(c).to_digit(16).and_then(|n| u8::try_from(n).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks(2).map(|c| Some(nibble(c[0])? << 4 | nibble(c[1])?)).collect()
}
