use std::hint::black_box;

use ring::{digest, hmac};

/// A key for hashes that only we can compute: a phone number is found again by its hash, a
/// one-time code is checked against its hash, and neither can be guessed from a stolen table.
#[derive(Clone)]
pub struct LookupKey(hmac::Key);

impl LookupKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The hash of `value` within `domain` (`"phone"`, `"otp:login"`): the same value has unrelated
    /// hashes in two domains.
    pub fn hash(&self, domain: &str, value: &str) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.0, &message(domain, value)).as_ref());
        out
    }

    /// True if `hash` is the hash of `value`; takes the same time wherever they differ.
    pub fn verify(&self, domain: &str, value: &str, hash: &[u8]) -> bool {
        hmac::verify(&self.0, &message(domain, value), hash).is_ok()
    }
}

/// The length in front keeps `("a", "bc")` and `("ab", "c")` apart.
fn message(domain: &str, value: &str) -> Vec<u8> {
    let mut m = Vec::with_capacity(8 + domain.len() + value.len());
    m.extend_from_slice(&(domain.len() as u64).to_be_bytes());
    m.extend_from_slice(domain.as_bytes());
    m.extend_from_slice(value.as_bytes());
    m
}

impl std::fmt::Debug for LookupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LookupKey(***)")
    }
}

/// Compares two byte strings in a time that depends on their lengths only.
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && black_box(a.iter().zip(b).fold(0, |d, (x, y)| black_box(d | (x ^ y)))) == 0
}

/// Plain SHA-256, for what needs no key: random tokens, content addresses.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_apart_and_boundaries_count() {
        let key = LookupKey::new(&[7; 32]);
        let hash = key.hash("phone", "+919876543210");
        assert!(key.verify("phone", "+919876543210", &hash));
        assert!(!key.verify("phone", "+919876543211", &hash));
        assert!(!key.verify("otp", "+919876543210", &hash));
        assert!(!key.verify("phone", "+919876543210", &hash[..31]));
        assert_ne!(key.hash("a", "bc"), key.hash("ab", "c"));
        assert_ne!(hash, LookupKey::new(&[8; 32]).hash("phone", "+919876543210"));
    }

    #[test]
    fn constant_time_compare_compares() {
        assert!(ct_eq(b"", b"") && ct_eq(b"abc", b"abc"));
        assert!(!ct_eq(b"abc", b"abd") && !ct_eq(b"abc", b"ab"));
    }
}
