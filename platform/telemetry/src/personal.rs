/// What kind of personal data a text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonalData {
    /// An Indian mobile number.
    Mobile,
    /// An e-mail address.
    Email,
    /// A UPI address.
    Vpa,
    /// 13 to 19 digits with a right check digit: a payment card.
    Card,
}

/// The first kind of personal data that stands in `text`, if any.
///
/// Made for tests over log lines, so it errs towards finding: mobile numbers also with `+91`, spaces
/// and dashes; e-mail and UPI addresses; card numbers by their check digit. Digits inside longer
/// words (ids, hashes) do not count, nor do decimals.
pub fn personal_data_in(text: &str) -> Option<PersonalData> {
    address(text).or_else(|| number(text))
}

/// UPI handles of the large apps and banks; others look like `user@host` and would be noise.
const VPA_HANDLES: &[&str] = &[
    "upi",
    "ybl",
    "ibl",
    "axl",
    "apl",
    "paytm",
    "ptyes",
    "ptaxis",
    "pthdfc",
    "ptsbi",
    "okaxis",
    "okhdfcbank",
    "okicici",
    "oksbi",
    "yapl",
    "rapl",
    "waicici",
    "wahdfcbank",
    "fam",
    "jupiteraxis",
];

fn address(text: &str) -> Option<PersonalData> {
    let b = text.as_bytes();
    for (at, _) in text.match_indices('@') {
        let local = |c: &u8| c.is_ascii_alphanumeric() || b"._%+-".contains(c);
        if !b[..at].last().is_some_and(local) {
            continue;
        }
        let host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        let domain = text[at + 1..].split(|c| !host(c)).next().unwrap_or_default();
        let domain = domain.trim_end_matches(['.', '-']);
        if VPA_HANDLES.contains(&domain) {
            return Some(PersonalData::Vpa);
        }
        let top = domain.rsplit_once('.').map_or("", |(_, top)| top);
        if top.len() >= 2 && top.bytes().all(|c| c.is_ascii_alphabetic()) {
            return Some(PersonalData::Email);
        }
    }
    None
}

fn number(text: &str) -> Option<PersonalData> {
    let b = text.as_bytes();
    let mut i = 0;
    while i < b.len() {
        if !b[i].is_ascii_digit() {
            i += 1;
            continue;
        }
        // A run of digits, with single spaces or dashes between groups.
        let start = i;
        let mut groups: Vec<&str> = Vec::new();
        loop {
            let from = i;
            while i < b.len() && b[i].is_ascii_digit() {
                i += 1;
            }
            groups.push(&text[from..i]);
            let more = i + 1 < b.len() && matches!(b[i], b' ' | b'-') && b[i + 1].is_ascii_digit();
            if !more {
                break;
            }
            i += 1;
        }
        let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        let inside_before = start > 0 && (word(b[start - 1]) || b[start - 1] == b'.');
        let inside_after = i < b.len()
            && (word(b[i]) || (b[i] == b'.' && b.get(i + 1).is_some_and(u8::is_ascii_digit)));
        if inside_before {
            groups.remove(0);
        }
        if inside_after {
            groups.pop();
        }
        if let Some(found) = in_groups(&groups) {
            return Some(found);
        }
    }
    None
}

/// Any neighbouring groups that together are a number.
fn in_groups(groups: &[&str]) -> Option<PersonalData> {
    for from in 0..groups.len() {
        let mut digits = String::new();
        // A card is printed in at most five groups.
        for group in groups[from..].iter().take(5) {
            digits.push_str(group);
            if is_mobile(&digits) {
                return Some(PersonalData::Mobile);
            }
            if is_card(&digits) {
                return Some(PersonalData::Card);
            }
        }
    }
    None
}

fn is_mobile(digits: &str) -> bool {
    let national = match digits.len() {
        10 => digits,
        11 => digits.strip_prefix('0').unwrap_or_default(),
        12 => digits.strip_prefix("91").unwrap_or_default(),
        _ => "",
    };
    national.starts_with(['6', '7', '8', '9'])
}

fn is_card(digits: &str) -> bool {
    // Microseconds since 1970 have 16 digits too, and begin with 1 until 2033; no card does.
    if !(13..=19).contains(&digits.len()) || !digits.starts_with(['2', '3', '4', '5', '6', '8']) {
        return false;
    }
    let sum: u32 = digits
        .bytes()
        .rev()
        .map(|c| u32::from(c - b'0'))
        .enumerate()
        .map(|(i, d)| {
            if i % 2 == 0 {
                d
            } else if d > 4 {
                2 * d - 9
            } else {
                2 * d
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_what_is_personal() {
        use PersonalData::{Card, Email, Mobile, Vpa};
        for (text, kind) in [
            ("sent to 9876543210", Mobile),
            ("to=+919876543210,", Mobile),
            ("98765 43210", Mobile),
            ("+91-98765-43210", Mobile),
            ("{\"phone\":\"09876543210\"}", Mobile),
            ("call 9876543210.", Mobile),
            ("order 12 9876543210 x", Mobile),
            ("from asha.k@mail.example to", Email),
            ("<a+b@x.co>", Email),
            ("paid by asha@okaxis", Vpa),
            ("card 4100 2800 0000 1007", Card),
            ("4100280000001007", Card),
            ("3782-822463-10005", Card),
        ] {
            assert_eq!(personal_data_in(text), Some(kind), "{text}");
        }
    }

    #[test]
    fn leaves_the_rest_alone() {
        for text in [
            "",
            "2026-11-23T10:00:00.123456Z took 0.9876543210 s",
            "per_01jd9876543210abcdefghjkmn",
            "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "at 1790000000123456 micros, 1790000000 s",
            "+91******3210",
            "postgres://me:***@db/x, user@host, a @ b, rate 20@18",
            "4100 2800 0000 1008",
            "invoice ML/2627/000001 of 499900 paise",
            "127.0.0.1:8080 mela@0.1.0",
        ] {
            assert_eq!(personal_data_in(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_mobile_in_any_sentence(n in 6_000_000_000u64..=9_999_999_999, before in "[ a-z=\":,]{0,10}", after in "([ ,\"}\n][a-z ]{0,5})?") {
            let spaced = before.is_empty() || !before.ends_with(|c: char| c.is_ascii_alphanumeric());
            prop_assume!(spaced);
            prop_assert_eq!(personal_data_in(&format!("{before}{n}{after}")), Some(PersonalData::Mobile));
        }

        #[test]
        fn never_panics(text in "\\PC{0,60}", digits in "[0-9 .@+-]{0,60}") {
            let _ = (personal_data_in(&text), personal_data_in(&digits));
        }
    }
}
