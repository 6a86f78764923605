use std::fmt;

/// An Indian mobile number in E.164: `+91` and ten digits of which the first is 6 to 9.
///
/// `Debug` and `Display` mask it, so that it cannot slip into a log; [`Phone::e164`] is explicit.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phone(String);

/// Why a text is not an Indian mobile number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// Letters or other signs.
    #[error("a mobile number has only digits, spaces, dashes and an optional +91 in front")]
    NotDigits,
    /// Another country's code.
    #[error("only Indian mobile numbers (+91) can be used here")]
    NotIndian,
    /// Not ten digits.
    #[error("an Indian mobile number has ten digits after +91")]
    WrongLength,
    /// A land line or a short code.
    #[error("an Indian mobile number starts with 6, 7, 8 or 9")]
    NotMobile,
}

impl Phone {
    /// Accepts what people type: `98765 43210`, `+91-98765-43210`, `919876543210`, `09876543210`.
    pub fn parse(text: &str) -> Result<Self, PhoneError> {
        if text.len() > 32 {
            return Err(PhoneError::WrongLength);
        }
        let t = text.trim();
        let (international, t) = t.strip_prefix('+').map_or((false, t), |rest| (true, rest));
        let mut digits = String::with_capacity(12);
        for c in t.chars() {
            match c {
                '0'..='9' => digits.push(c),
                ' ' | '-' | '(' | ')' => {}
                _ => return Err(PhoneError::NotDigits),
            }
        }
        let national = if international || digits.len() == 12 {
            digits.strip_prefix("91").ok_or(PhoneError::NotIndian)?
        } else if digits.len() == 11 {
            digits.strip_prefix('0').ok_or(PhoneError::WrongLength)?
        } else {
            &digits
        };
        if national.len() != 10 {
            return Err(PhoneError::WrongLength);
        }
        if !national.starts_with(['6', '7', '8', '9']) {
            return Err(PhoneError::NotMobile);
        }
        Ok(Self(format!("+91{national}")))
    }

    /// The number itself, `+919876543210`. Personal data: never into a log.
    pub fn e164(&self) -> &str {
        &self.0
    }
}

/// Masked: `+91******3210`.
impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+91******{}", &self.0[9..])
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        for good in
            ["98765 43210", "+91-98765-43210", "919876543210", "09876543210", "+91 (98765) 43210"]
        {
            assert_eq!(Phone::parse(good).unwrap().e164(), "+919876543210", "{good}");
        }
        assert_eq!(Phone::parse("+14155550100"), Err(PhoneError::NotIndian));
        assert_eq!(Phone::parse("12345"), Err(PhoneError::WrongLength));
        assert_eq!(Phone::parse("1234567890"), Err(PhoneError::NotMobile));
        assert_eq!(Phone::parse("98765x3210"), Err(PhoneError::NotDigits));
        assert_eq!(Phone::parse("९८७६५४३२१०"), Err(PhoneError::NotDigits));
        assert_eq!(format!("{:?}", Phone::parse("9876543210").unwrap()), "+91******3210");
    }
}
