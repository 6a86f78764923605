//! Amounts in words, the Indian way.

use mela_base::Paise;

const SMALL: [&str; 20] = [
    "Zero",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
    "Thirteen",
    "Fourteen",
    "Fifteen",
    "Sixteen",
    "Seventeen",
    "Eighteen",
    "Nineteen",
];
const TENS: [&str; 10] =
    ["", "", "Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety"];

/// `Rupees One Lakh Two Thousand and Fifty Paise Only`.
pub(crate) fn rupees(amount: Paise) -> String {
    let abs = amount.0.unsigned_abs();
    let mut out = String::from(if amount.0 < 0 { "Minus Rupees " } else { "Rupees " });
    out.push_str(&number(abs / 100));
    if !abs.is_multiple_of(100) {
        out.push_str(" and ");
        out.push_str(&number(abs % 100));
        out.push_str(" Paise");
    }
    out.push_str(" Only");
    out
}

fn number(n: u64) -> String {
    let mut parts = Vec::new();
    let crores = n / 10_000_000;
    if crores > 0 {
        parts.push(format!("{} Crore", number(crores)));
    }
    for (size, name) in [(100_000, "Lakh"), (1_000, "Thousand"), (100, "Hundred")] {
        let limit = if size == 100 { 10 } else { 100 };
        let count = n / size % limit;
        if count > 0 {
            parts.push(format!("{} {name}", below_hundred(count)));
        }
    }
    if !n.is_multiple_of(100) || parts.is_empty() {
        parts.push(below_hundred(n % 100));
    }
    parts.join(" ")
}

fn below_hundred(n: u64) -> String {
    let index = |n: u64| usize::try_from(n).unwrap_or(0);
    if n < 20 {
        return SMALL[index(n)].to_owned();
    }
    let tens = TENS[index(n / 10)];
    if n.is_multiple_of(10) { tens.to_owned() } else { format!("{tens} {}", SMALL[index(n % 10)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indian_words() {
        let cases = [
            (0, "Rupees Zero Only"),
            (5, "Rupees Zero and Five Paise Only"),
            (100, "Rupees One Only"),
            (11_300, "Rupees One Hundred Thirteen Only"),
            (99_999, "Rupees Nine Hundred Ninety Nine and Ninety Nine Paise Only"),
            (100_000, "Rupees One Thousand Only"),
            (
                12_345_650,
                "Rupees One Lakh Twenty Three Thousand Four Hundred Fifty Six and Fifty Paise Only",
            ),
            (1_000_000_000, "Rupees One Crore Only"),
            (1_000_000_000_000, "Rupees One Thousand Crore Only"),
            (20_500_001_000, "Rupees Twenty Crore Fifty Lakh Ten Only"),
        ];
        for (paise, words) in cases {
            assert_eq!(rupees(Paise(paise)), words);
        }
        assert_eq!(rupees(Paise(-200)), "Minus Rupees Two Only");
    }
}
