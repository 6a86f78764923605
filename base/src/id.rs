use std::fmt;
use std::str::FromStr;

/// A 128-bit, time-ordered identifier (UUID version 7), without a type of its own.
///
/// Module code uses the typed wrappers in [`crate::ids`]; this is what they hold and what the
/// database stores. The random part comes from a cryptographic source, so an id that was never
/// published (a guest's cart) can serve as a capability.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Id([u8; 16]);

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid id: expected {expected}")]
pub struct IdError {
    /// What was given, cut to 64 characters.
    pub text: String,
    /// What would be right, e.g. `ord_` followed by 26 letters and digits.
    pub expected: &'static str,
}

/// Crockford's base 32, lower case: no i, l, o, u, so ids survive being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Id {
    /// Makes a version 7 UUID from a time in ms since the epoch and ten random bytes.
    pub fn from_parts(unix_ms: i64, random: [u8; 10]) -> Self {
        let mut b = [0u8; 16];
        b[..6].copy_from_slice(&unix_ms.max(0).to_be_bytes()[2..]);
        b[6..].copy_from_slice(&random);
        b[6] = 0x70 | (b[6] & 0x0f);
        b[8] = 0x80 | (b[8] & 0x3f);
        Self(b)
    }

    /// An id that follows from a name: the same name gives the same id on every machine.
    /// Used where a retry must hit the same row (ledger accounts, transfers).
    pub fn from_name(name: &str) -> Self {
        let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
        let mut b = [0u8; 16];
        b.copy_from_slice(&hash.as_ref()[..16]);
        b[6] = 0x80 | (b[6] & 0x0f);
        b[8] = 0x80 | (b[8] & 0x3f);
        Self(b)
    }

    /// The raw bytes, most significant first.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The id with these raw bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Time of creation in ms since the epoch; meaningless for ids made by [`Id::from_name`].
    pub fn unix_ms(self) -> i64 {
        let mut b = [0u8; 8];
        b[2..].copy_from_slice(&self.0[..6]);
        i64::from_be_bytes(b)
    }

    /// Parses the 26 characters that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 26 {
            return None;
        }
        let mut n: u128 = 0;
        for (i, c) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|a| *a == c)? as u128;
            if i == 0 && digit > 7 {
                return None;
            }
            n = n << 5 | digit;
        }
        Some(Self(n.to_be_bytes()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = u128::from_be_bytes(self.0);
        let mut text = [0u8; 26];
        for (i, c) in text.iter_mut().enumerate() {
            *c = ALPHABET[(n >> (5 * (25 - i)) & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text).ok_or_else(|| IdError::new(text, "26 letters and digits"))
    }
}

impl IdError {
    /// An error for `text`, which is cut to 64 characters.
    pub fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(64).collect(), expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_sorts_like_time() {
        let a = Id::from_parts(1_000, [255; 10]);
        let b = Id::from_parts(1_001, [0; 10]);
        assert_eq!(Id::parse(&a.to_string()), Some(a));
        assert!(a < b && a.to_string() < b.to_string());
        assert_eq!(a.unix_ms(), 1_000);
    }

    #[test]
    fn garbage_is_refused() {
        for bad in ["", "x", "zzzzzzzzzzzzzzzzzzzzzzzzzz", "0000000000000000000000000U", "é"] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }
}
