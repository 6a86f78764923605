//! `2026-11-23 15:30:00`, Indian time without saying so.

use mela_base::{IstDate, MINUTE_MS, SECOND_MS, Timestamp};

/// As Shipway writes it.
pub(crate) fn write(at: Timestamp) -> String {
    let (hour, minute) = at.ist_hour_minute();
    let second = at.unix_s().rem_euclid(60);
    format!("{} {hour:02}:{minute:02}:{second:02}", at.ist_date())
}

/// `None` if it is not a time: `Y-m-d H:i:s`, `Y-m-d H:i`, `Y-m-d`, or RFC 3339 with its own zone.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 40 || !text.is_ascii() {
        return None;
    }
    if let Some(at) = Timestamp::parse_rfc3339(text) {
        return Some(at);
    }
    let (date, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let mut parts = date.split('-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut parts2 = clock.split(':').map(number);
    let (hour, minute) = (parts2.next()??, parts2.next()??);
    let second = match parts2.next() {
        Some(second) => second?,
        None => 0,
    };
    let right = (2000..2200).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    if !right || parts.next().is_some() || parts2.next().is_some() {
        return None;
    }
    let date = IstDate {
        year: i32::try_from(year).ok()?,
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
    };
    let start = date.start();
    // The 31st of a month with 30 days is another day.
    (start.ist_date() == date)
        .then(|| start.plus_ms((hour * 60 + minute) * MINUTE_MS + second * SECOND_MS))
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indian_time_both_ways() {
        let at = Timestamp::from_unix_s(1_700_000_000);
        assert_eq!(write(at), "2023-11-15 03:43:20");
        assert_eq!(read("2023-11-15 03:43:20"), Some(at));
        assert_eq!(read("2023-11-15T03:43:20+05:30"), Some(at));
        assert_eq!(read("2023-11-15 03:43"), Some(Timestamp::from_unix_s(1_699_999_980)));
        assert!(read("2023-11-15").is_some());
    }

    #[test]
    fn garbage() {
        for bad in [
            "",
            " ",
            "now",
            "0000-00-00 00:00:00",
            "2023-02-30 10:00:00",
            "2023-11-15 24:00:00",
            "2023-11-15 10:00:00:00",
            "15-11-2023 10:00:00",
            "２０２３-11-15",
            "2023-11-15 -1:00:00",
            "99999999999999999999-1-1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
