//! Pure decisions.

use std::net::IpAddr;

use mela_base::Timestamp;
use mela_identity_api::IdentityError;

/// So many per window, with a gap between two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) max: u32,
    pub(crate) window_ms: i64,
    pub(crate) gap_ms: i64,
}

/// The instants of a log, oldest first.
fn instants(log: &[u8]) -> impl Iterator<Item = i64> {
    log.chunks_exact(8).map(|c| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(c);
        i64::from_be_bytes(bytes)
    })
}

/// Writes `now` into the log of a limited thing and forgets what is out of the window, or says how
/// many ms to wait. Exact: in no window of that length there are more than `max`.
pub(crate) fn admit(log: &[u8], now: Timestamp, limit: Limit) -> Result<Vec<u8>, i64> {
    let since = now.plus_ms(-limit.window_ms).micros();
    let kept: Vec<i64> = instants(log).filter(|at| *at > since).collect();
    let max = limit.max as usize;
    let full = if kept.len() < max {
        0
    } else {
        // The one whose end leaves room for one more; with a limit of 0 that is never.
        let blocking = kept.len().checked_sub(max).and_then(|i| kept.get(i)).copied();
        blocking.map_or(limit.window_ms, |at| ceil_ms(at - since))
    };
    let gap = kept
        .iter()
        .max()
        .map_or(0, |last| ceil_ms(last + limit.gap_ms * 1_000 - now.micros()).max(0));
    match full.max(gap) {
        0 => Ok(kept.into_iter().chain([now.micros()]).flat_map(i64::to_be_bytes).collect()),
        wait => Err(wait),
    }
}

fn ceil_ms(micros: i64) -> i64 {
    micros.div_euclid(1_000) + i64::from(micros.rem_euclid(1_000) > 0)
}

/// Takes one entry of `at` out again.
pub(crate) fn take_back(log: &[u8], at: Timestamp) -> Vec<u8> {
    let mut entries: Vec<i64> = instants(log).collect();
    if let Some(i) = entries.iter().rposition(|e| *e == at.micros()) {
        entries.remove(i);
    }
    entries.into_iter().flat_map(i64::to_be_bytes).collect()
}

/// Who counts as one caller: an IPv4 address, or the network that a subscriber gets in IPv6.
pub(crate) fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            format!("{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
        }
    }
}

/// Six digits, zeros in front.
pub(crate) fn code_text(number: u64) -> String {
    format!("{:06}", number % 1_000_000)
}

/// The code that was typed, if it can be one.
pub(crate) fn parse_code(text: &str) -> Option<&str> {
    let code = text.trim();
    (code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit())).then_some(code)
}

pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> IdentityError {
    IdentityError::Invalid { field, message: message.into() }
}

/// A name as it may be kept; `None` if it was emptied.
pub(crate) fn check_name(text: &str) -> Result<Option<String>, IdentityError> {
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(invalid("name", "a name has at most 100 characters, all of them printable"));
    }
    Ok((!name.is_empty()).then_some(name))
}

/// An e-mail address, in lower case. Whether it exists only a mail can tell.
pub(crate) fn check_email(text: &str) -> Result<String, IdentityError> {
    let email = text.trim().to_lowercase();
    let good = email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c))
        && email.split_once('@').is_some_and(|(local, domain)| {
            let labels = || domain.split('.');
            !local.is_empty()
                && !domain.contains('@')
                && labels().count() > 1
                && labels().all(|l| !l.is_empty())
        });
    if good {
        Ok(email)
    } else {
        Err(invalid("email", "an e-mail address looks like name@example.com"))
    }
}

/// A password that staff may have.
pub(crate) fn check_password(text: &str) -> Result<(), IdentityError> {
    let most = mela_crypto::password::MAX_LEN;
    if text.chars().count() < 10 || text.len() > most {
        return Err(invalid("password", format!("a password has 10 characters to {most} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Limit = Limit { max: 5, window_ms: 3_600_000, gap_ms: 30_000 };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_790_000_000_000 + ms)
    }

    #[test]
    fn five_an_hour_thirty_seconds_apart() {
        let mut log = Vec::new();
        for n in 0..5 {
            log = admit(&log, at(n * 30_000), HOUR).unwrap();
            assert!(admit(&log, at(n * 30_000 + 29_999), HOUR).is_err());
        }
        assert_eq!(admit(&log, at(120_000), HOUR), Err(3_480_000));
        assert_eq!(admit(&log, at(3_599_999), HOUR), Err(1));
        assert!(admit(&log, at(3_600_000), HOUR).is_ok());
        let less = take_back(&log, at(120_000));
        assert_eq!(admit(&less, at(120_000), HOUR).unwrap(), log);
        assert_eq!(take_back(&log, at(1)), log);
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_allowed(
            steps in prop::collection::vec(0i64..100, 1..200), max in 0u32..6, gap in 0i64..40,
        ) {
            let limit = Limit { max, window_ms: 200, gap_ms: gap };
            let (mut log, mut now, mut admitted) = (Vec::new(), 0, Vec::<i64>::new());
            for step in steps {
                now += step;
                match admit(&log, at(now), limit) {
                    Ok(new) => {
                        prop_assert!(new.len() <= 8 * max as usize);
                        if let Some(last) = admitted.last() {
                            prop_assert!(now - last >= gap);
                        }
                        log = new;
                        admitted.push(now);
                        let within = admitted.iter().filter(|a| **a > now - 200).count();
                        prop_assert!(within <= max as usize);
                    }
                    Err(wait) => {
                        prop_assert!(wait > 0);
                        if max > 0 {
                            // Waiting as told is enough, and one ms less is not.
                            prop_assert!(admit(&log, at(now + wait), limit).is_ok());
                            prop_assert!(admit(&log, at(now + wait - 1), limit).is_err());
                        }
                    }
                }
            }
        }

        #[test]
        fn garbage_never_panics(log: Vec<u8>, text in ".{0,300}", micros: i32) {
            let now = Timestamp::from_micros(micros.into());
            let _ = admit(&log, now, HOUR);
            let _ = take_back(&log, now);
            let _ = check_name(&text);
            let _ = check_email(&text);
            if let Some(code) = parse_code(&text) {
                prop_assert_eq!(code.len(), 6);
            }
        }
    }

    #[test]
    fn networks() {
        let net = |s: &str| network(s.parse().unwrap());
        assert_eq!(net("10.1.2.3"), "10.1.2.3");
        assert_eq!(net("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(net("2001:db8:1:2:3:4:5:6"), net("2001:db8:1:2::1"));
        assert_ne!(net("2001:db8:1:2::1"), net("2001:db8:1:3::1"));
    }

    #[test]
    fn typed_texts() {
        assert_eq!(code_text(42), "000042");
        assert_eq!(parse_code(" 000042 "), Some("000042"));
        for bad in ["", "12345", "1234567", "12345a", "१२३४५६", "-12345"] {
            assert_eq!(parse_code(bad), None);
        }
        assert_eq!(check_name("  Asha   Rao ").unwrap().as_deref(), Some("Asha Rao"));
        assert_eq!(check_name(" ").unwrap(), None);
        assert!(check_name(&"x".repeat(101)).is_err());
        assert_eq!(check_email(" A@Example.IN ").unwrap(), "a@example.in");
        for bad in
            ["", "a", "@x.in", "a@", "a@x", "a@x.", "a b@x.in", "a@x@y.in", "a@x.in\r\nTo: b"]
        {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }
}
