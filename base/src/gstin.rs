use std::fmt;

use crate::pincode::State;

/// A GSTIN of a regular taxpayer: state code, PAN, registration number in the state, `Z`, check
/// character. `Debug` masks the PAN, which for a sole trader is personal data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Gstin {
    text: String,
    state: State,
}

/// Why a text is not a GSTIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GstinError {
    /// Not 15 characters.
    #[error("a GSTIN has 15 characters, such as 27AAPFU0939F1ZV")]
    WrongLength,
    /// A character that cannot stand where it stands.
    #[error(
        "a GSTIN is two digits of the state, the ten characters of the PAN, one more character, Z and a check character"
    )]
    Malformed,
    /// No state has this code.
    #[error(
        "the first two digits of a GSTIN are a state's GST code (01 to 38), which these are not"
    )]
    UnknownState,
    /// The check character does not fit: mistyped.
    #[error(
        "the check character at the end does not fit the rest of the GSTIN: look for a mistyped character"
    )]
    WrongCheck,
}

const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

impl Gstin {
    /// Reads a GSTIN; lower case and spaces around it are fine.
    pub fn parse(text: &str) -> Result<Self, GstinError> {
        let text = text.trim();
        if text.len() != 15 || !text.is_ascii() {
            return Err(GstinError::WrongLength);
        }
        let text = text.to_ascii_uppercase();
        let fits = text.bytes().enumerate().all(|(i, c)| match i {
            0 | 1 | 7..=10 => c.is_ascii_digit(),
            2..=6 | 11 => c.is_ascii_uppercase(),
            12 => c.is_ascii_uppercase() || (b'1'..=b'9').contains(&c),
            13 => c == b'Z',
            _ => c.is_ascii_uppercase() || c.is_ascii_digit(),
        });
        if !fits {
            return Err(GstinError::Malformed);
        }
        let state = State::by_code(&text[..2]).ok_or(GstinError::UnknownState)?;
        if text.as_bytes()[14] != check_character(&text.as_bytes()[..14]) {
            return Err(GstinError::WrongCheck);
        }
        Ok(Self { text, state })
    }

    /// The 15 characters.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The state of the registration, from which goods are dispatched.
    pub fn state(&self) -> State {
        self.state
    }
}

/// Luhn's idea in base 36: every second value counts twice, and a product counts by its digits.
fn check_character(first: &[u8]) -> u8 {
    let mut sum = 0;
    for (i, c) in first.iter().enumerate() {
        let value = usize::from(if c.is_ascii_digit() { c - b'0' } else { c - b'A' + 10 });
        let product = value * (1 + i % 2);
        sum += product / 36 + product % 36;
    }
    ALPHABET[(36 - sum % 36) % 36]
}

impl fmt::Display for Gstin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Masked: `27**********1ZV`.
impl fmt::Debug for Gstin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}**********{}", &self.text[..2], &self.text[12..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples() {
        let g = Gstin::parse(" 27aapfu0939f1zv ").unwrap();
        assert_eq!((g.as_str(), g.state().name), ("27AAPFU0939F1ZV", "Maharashtra"));
        assert_eq!(format!("{g:?} {g}"), "27**********1ZV 27AAPFU0939F1ZV");
        assert_eq!(Gstin::parse("29AAGCB7383J1Z4").unwrap().state().code, "29");
    }

    #[test]
    fn refusals() {
        assert_eq!(Gstin::parse(""), Err(GstinError::WrongLength));
        assert_eq!(Gstin::parse("27AAPFU0939F1Z"), Err(GstinError::WrongLength));
        assert_eq!(Gstin::parse("२७AAPFU0939"), Err(GstinError::WrongLength));
        assert_eq!(Gstin::parse("27AAPFU0939F0ZV"), Err(GstinError::Malformed));
        assert_eq!(Gstin::parse("27AAPFU0939F1YV"), Err(GstinError::Malformed));
        assert_eq!(Gstin::parse("25AAPFU0939F1ZV"), Err(GstinError::UnknownState));
        assert_eq!(Gstin::parse("27AAPFU0939F1ZW"), Err(GstinError::WrongCheck));
    }

    #[test]
    fn every_single_typing_error_is_seen() {
        let good = "27AAPFU0939F1ZV";
        for i in 0..15 {
            for c in ALPHABET {
                let mut other = good.as_bytes().to_vec();
                other[i] = *c;
                let other = String::from_utf8(other).unwrap();
                assert_eq!(Gstin::parse(&other).is_ok(), other == good, "{other}");
            }
        }
    }
}
