use std::fmt;

/// An amount of Indian rupees in integer paise (100 paise = ₹1). May be negative (a refund, a
/// discount); never a float anywhere, from the imported CSV to the printed invoice.
///
/// Mela's books are in one currency, INR. Arithmetic saturates nowhere: `checked_*` report
/// overflow, the operators panic on it as integers do in debug and are only used on amounts that
/// are already bounded by [`Paise::MAX_AMOUNT`].
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Paise(pub i64);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaiseError {
    /// Not digits with at most two decimals.
    #[error(
        "`{0}` is not an amount: write rupees with at most two decimals, such as 499 or 499.50"
    )]
    Malformed(String),
    /// Larger than [`Paise::MAX_AMOUNT`].
    #[error("`{0}` is too large an amount: the limit is ₹10,00,00,00,000")]
    TooLarge(String),
}

impl Paise {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount that is taken from outside: ₹1,000 crore. 92,000 of them fit an `i64`.
    pub const MAX_AMOUNT: Self = Self(1_000_000_000_000);

    /// Whole rupees.
    pub const fn rupees(rupees: i64) -> Self {
        Self(rupees * 100)
    }

    /// Reads decimal rupees (`499`, `499.5`, `499.50`) by text, never through a float.
    pub fn parse_rupees(text: &str) -> Result<Self, PaiseError> {
        let malformed = || PaiseError::Malformed(text.chars().take(40).collect());
        let t = text.trim();
        let (negative, t) = t.strip_prefix('-').map_or((false, t), |rest| (true, rest));
        let (whole, fraction) = t.split_once('.').unwrap_or((t, ""));
        let digits = |s: &str| s.bytes().all(|c| c.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(malformed());
        }
        // Magento writes four decimals: more than two are fine as long as they say nothing.
        if fraction.len() > 2 && fraction[2..].bytes().any(|c| c != b'0') {
            return Err(malformed());
        }
        let too_large = || PaiseError::TooLarge(text.chars().take(40).collect());
        let whole: i64 = whole.parse().map_err(|_| too_large())?;
        let cents: i64 = format!("{:0<2}", &fraction[..fraction.len().min(2)])
            .parse()
            .map_err(|_| malformed())?;
        let paise =
            whole.checked_mul(100).and_then(|w| w.checked_add(cents)).ok_or_else(too_large)?;
        if paise > Self::MAX_AMOUNT.0 {
            return Err(too_large());
        }
        Ok(Self(if negative { -paise } else { paise }))
    }

    /// Plain decimal rupees with two places, as gateways and CSV files want: `1234.50`.
    pub fn to_rupees(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let abs = self.0.unsigned_abs();
        format!("{sign}{}.{:02}", abs / 100, abs % 100)
    }

    /// `self + other`, or `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// `self × n`, or `None` on overflow.
    pub fn checked_mul(self, n: i64) -> Option<Self> {
        self.0.checked_mul(n).map(Self)
    }

    /// `self × numerator / denominator`, rounded half away from zero (the rounding that GST law
    /// and gateways use for paise). `denominator` must be positive.
    pub fn mul_ratio(self, numerator: i64, denominator: i64) -> Self {
        debug_assert!(denominator > 0);
        let n = i128::from(self.0) * i128::from(numerator);
        let d = i128::from(denominator.max(1));
        let half = if n < 0 { -d / 2 } else { d / 2 };
        Self(i64::try_from((n + half) / d).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX }))
    }

    /// Splits `self` in proportion to `weights` so that the parts add up to `self` exactly: each
    /// part is rounded down and the paise left over go to the largest remainders, first come first.
    /// All-zero weights put everything on the first part; no weights give no parts.
    pub fn split(self, weights: &[i64]) -> Vec<Self> {
        let total: i128 = weights.iter().map(|w| i128::from((*w).max(0))).sum();
        if weights.is_empty() {
            return Vec::new();
        }
        let mut parts = vec![Self::ZERO; weights.len()];
        if total == 0 {
            parts[0] = self;
            return parts;
        }
        let mut rest = self.0;
        let mut remainders = Vec::with_capacity(weights.len());
        for (i, w) in weights.iter().enumerate() {
            let exact = i128::from(self.0) * i128::from((*w).max(0));
            let part = i64::try_from(exact.div_euclid(total)).unwrap_or_default();
            parts[i] = Self(part);
            rest -= part;
            remainders.push((std::cmp::Reverse(exact.rem_euclid(total)), i));
        }
        remainders.sort_unstable();
        for (_, i) in remainders.into_iter().take(usize::try_from(rest).unwrap_or(0)) {
            parts[i].0 += 1;
        }
        parts
    }
}

/// For people, with Indian grouping: `₹12,34,567.50`.
impl fmt::Display for Paise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let abs = self.0.unsigned_abs();
        let whole = (abs / 100).to_string();
        let mut grouped = String::new();
        for (i, c) in whole.chars().enumerate() {
            let left = whole.len() - i;
            if i > 0 && (left == 3 || (left > 3 && left % 2 == 1)) {
                grouped.push(',');
            }
            grouped.push(c);
        }
        write!(f, "{}₹{grouped}.{:02}", if self.0 < 0 { "-" } else { "" }, abs % 100)
    }
}

impl fmt::Debug for Paise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::ops::Add for Paise {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::Sub for Paise {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl std::ops::Neg for Paise {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl std::iter::Sum for Paise {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, std::ops::Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_by_text() {
        assert_eq!(Paise::parse_rupees("8.35"), Ok(Paise(835)));
        assert_eq!(Paise::parse_rupees("8.3"), Ok(Paise(830)));
        assert_eq!(Paise::parse_rupees("52.0000"), Ok(Paise(5200)));
        assert_eq!(Paise::parse_rupees("-1.05"), Ok(Paise(-105)));
        for bad in ["", ".", "1.234", "1e3", "1,000", "₹5", "٣", "99999999999999999999"] {
            assert!(Paise::parse_rupees(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shows_lakhs_and_crores() {
        assert_eq!(Paise(123_456_750).to_string(), "₹12,34,567.50");
        assert_eq!(Paise(-99_900).to_string(), "-₹999.00");
        assert_eq!(Paise(100_000).to_string(), "₹1,000.00");
    }

    #[test]
    fn split_loses_nothing() {
        assert_eq!(Paise(100).split(&[1, 1, 1]), [Paise(34), Paise(33), Paise(33)]);
        assert_eq!(Paise(7).split(&[0, 0]), [Paise(7), Paise(0)]);
        let parts = Paise(99_999).split(&[333, 7, 1_000_001, 0]);
        assert_eq!(parts.into_iter().sum::<Paise>(), Paise(99_999));
    }

    #[test]
    fn ratio_rounds_half_away_from_zero() {
        assert_eq!(Paise(25).mul_ratio(1, 10), Paise(3));
        assert_eq!(Paise(-25).mul_ratio(1, 10), Paise(-3));
        assert_eq!(Paise(24).mul_ratio(1, 10), Paise(2));
    }
}
