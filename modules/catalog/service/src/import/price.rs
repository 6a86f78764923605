//! Exact decimal prices: text to rational to paise, never a float.

use mela_base::Paise;

/// No single article costs more: ₹10 crore. What is above is a slip of the file or of the rate.
pub(crate) const MAX_PRICE: Paise = Paise::rupees(100_000_000);

/// An exact decimal number: `units / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    units: i128,
    scale: u32,
}

fn decimal(text: &str) -> Option<Decimal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    if whole.len() > 12 || fraction.len() > 8 {
        return None;
    }
    let units = format!("0{whole}{fraction}").parse().ok()?;
    Some(Decimal { units, scale: u32::try_from(fraction.len()).ok()? })
}

/// Rupees for one unit of the file's currency, exactly as written (`83.25`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(Decimal);

/// Why a text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate: write the rupees for one unit of the file's currency, such as 83.25")]
pub struct RateError(String);

impl Rate {
    /// The file's prices are rupees.
    pub const ONE: Self = Self(Decimal { units: 1, scale: 0 });

    /// Reads decimal rupees per unit; positive and below 1,000,000.
    pub fn rupees_per_unit(text: &str) -> Result<Self, RateError> {
        let error = || RateError(text.chars().take(40).collect());
        let rate = decimal(text.trim()).ok_or_else(error)?;
        if rate.units == 0 || rate.units >= 1_000_000 * 10i128.pow(rate.scale) {
            return Err(error());
        }
        Ok(Self(rate))
    }

    /// The price in paise, rounded half up. The reason why not, for the import's report.
    pub(crate) fn convert(self, text: &str) -> Result<Paise, String> {
        let shown: String = text.chars().take(40).collect();
        if text.trim().starts_with('-') {
            return Err(format!("the price `{shown}` is negative"));
        }
        let price = decimal(text.trim())
            .ok_or_else(|| format!("`{shown}` is not a price: digits with a decimal point"))?;
        if price.units == 0 {
            return Err("the price is zero".to_owned());
        }
        let paise =
            round_half_up(price.units * self.0.units * 100, 10i128.pow(price.scale + self.0.scale));
        match i64::try_from(paise) {
            Ok(0) => Err(format!("the price `{shown}` is less than a paisa")),
            Ok(paise) if paise <= MAX_PRICE.0 => Ok(Paise(paise)),
            _ => Err(format!("the price `{shown}` is above {MAX_PRICE}")),
        }
    }
}

/// `n / d`, both positive; halves go up.
fn round_half_up(n: i128, d: i128) -> i128 {
    (2 * n + d) / (2 * d)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exact_to_the_paisa() {
        let rate = Rate::rupees_per_unit("83.25").unwrap();
        assert_eq!(rate.convert("52"), Ok(Paise(432_900)));
        assert_eq!(rate.convert("56.99"), Ok(Paise(474_442))); // 4744.4175
        assert_eq!(rate.convert("0.02"), Ok(Paise(167))); // 1.665 goes up
        assert_eq!(Rate::ONE.convert("499.5000"), Ok(Paise(49_950)));
        for bad in [
            "",
            "-5",
            "0",
            "0.00",
            "1e3",
            "NaN",
            "1,000",
            "₹5",
            "9999999999999",
            "0.0000001",
            ".",
            "٣",
        ] {
            assert!(rate.convert(bad).is_err(), "{bad}");
        }
        for bad in ["", "0", "-1", "1000000", "x", "83,2"] {
            assert!(Rate::rupees_per_unit(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_off_by_more_than_half_a_paisa(whole in 0u64..9_999, cents in 0u32..100, rate in 1u64..1_000_000) {
            let text = format!("{whole}.{cents:02}");
            let exact = (i128::from(whole) * 100 + i128::from(cents)) * i128::from(rate); // 1/100 paise
            let rate = Rate::rupees_per_unit(&format!("{}.{:02}", rate / 100, rate % 100)).unwrap();
            if let Ok(paise) = rate.convert(&text) {
                let off = i128::from(paise.0) * 100 - exact;
                prop_assert!((-49..=50).contains(&off), "{off}");
            }
        }

        #[test]
        fn any_text_is_safe(text in ".{0,40}") {
            let _ = Rate::ONE.convert(&text);
            let _ = Rate::rupees_per_unit(&text);
        }
    }
}
