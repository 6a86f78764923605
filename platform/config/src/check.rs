//! What values mean, beyond their type.

use mela_base::Gstin;
use mela_base::pincode::State;

/// As an invoice prints it: no spaces, capital letters.
pub(crate) fn is_gstin(text: &str) -> bool {
    Gstin::parse(text).is_ok() && text.trim() == text && text.to_ascii_uppercase() == text
}

pub(crate) fn is_state_code(text: &str) -> bool {
    State::by_code(text).is_some()
}

pub(crate) fn is_pincode(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|c| c.is_ascii_digit()) && !text.starts_with('0')
}

/// `SERIES/2627/000001` must fit into the 16 characters that the law allows.
pub(crate) fn is_series(text: &str) -> bool {
    (1..=4).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

pub(crate) fn is_email(text: &str) -> bool {
    let plain = text.bytes().all(|c| c.is_ascii_graphic() && !b"<>\"(),:;[]\\".contains(&c));
    plain
        && text.len() <= 254
        && text.split_once('@').is_some_and(|(user, domain)| {
            !user.is_empty()
                && domain.contains('.')
                && !domain.contains('@')
                && domain.split('.').all(|label| !label.is_empty())
        })
}

pub(crate) fn is_vpa(text: &str) -> bool {
    let name = |s: &str| s.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c));
    text.split_once('@').is_some_and(|(user, handle)| {
        (2..=256).contains(&user.len())
            && name(user)
            && (2..=64).contains(&handle.len())
            && handle.bytes().all(|c| c.is_ascii_alphanumeric())
    })
}

pub(crate) fn is_master_key(text: &str) -> bool {
    mela_crypto::MasterKey::parse(text).is_ok()
}

pub(crate) fn is_not_empty(text: &str) -> bool {
    !text.trim().is_empty()
}

pub(crate) fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b".-:".contains(&c))
}

pub(crate) fn is_url(text: &str) -> bool {
    host_of(text).is_some_and(|h| is_host(&h))
        && !text.ends_with('/')
        && text.bytes().all(|c| c.is_ascii_graphic())
}

pub(crate) fn is_database_url(text: &str) -> bool {
    match text.split_once(':') {
        Some(("sqlite", path)) => !path.is_empty(),
        Some(("postgres" | "postgresql", rest)) => rest.len() > 2 && rest.starts_with("//"),
        _ => false,
    }
}

/// The host of an http address, without port and brackets.
fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains('@') {
        return None;
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => match authority.rsplit_once(':') {
            Some((host, port)) => port.parse::<u16>().ok().map(|_| host)?,
            None => authority,
        },
    };
    Some(host.to_ascii_lowercase())
}

/// True for `https` to another machine, which is what production needs.
pub(crate) fn is_public_https(url: &str) -> bool {
    let local = |h: &str| h == "localhost" || h.starts_with("127.") || h == "::1" || h == "0.0.0.0";
    url.starts_with("https://") && host_of(url).is_some_and(|h| !local(&h))
}

/// A database address without its password.
pub(crate) fn masked_database_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // A password may come as a parameter too.
    let rest = rest.split_once('?').map_or(rest.to_owned(), |(address, query)| {
        let shown = query.split('&').map(|p| match p.split_once('=') {
            Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}=***"),
            _ => p.to_owned(),
        });
        format!("{address}?{}", shown.collect::<Vec<_>>().join("&"))
    });
    match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{scheme}://{name}:***@{host}"),
            None => format!("{scheme}://{user}@{host}"),
        },
        None => format!("{scheme}://{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merchants() {
        assert!(is_gstin("27AAPFU0939F1ZV"));
        for bad in ["27AAPFU0939F1ZW", "27aapfu0939f1zv", " 27AAPFU0939F1ZV", "", "२7AAPFU0939F1ZV"]
        {
            assert!(!is_gstin(bad), "{bad}");
        }
        assert!(is_state_code("29") && !is_state_code("00") && !is_state_code("7"));
    }

    #[test]
    fn addresses() {
        for good in ["http://127.0.0.1:80", "https://shop.example", "https://[::1]:8443/base"] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "shop.example",
            "ftp://x",
            "https://",
            "https://x/",
            "http://x:99999",
            "http://a b",
            "https://u:p@x",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
        assert!(is_public_https("https://api.razorpay.com"));
        for local in
            ["http://shop.example", "https://127.0.0.1", "https://LOCALHOST:9", "https://[::1]"]
        {
            assert!(!is_public_https(local), "{local}");
        }
    }

    #[test]
    fn passwords_in_database_addresses_are_masked() {
        assert_eq!(masked_database_url("postgres://a:b@c/d"), "postgres://a:***@c/d");
        assert_eq!(
            masked_database_url("postgres://a:b@x@c/d?password=q&x=1"),
            "postgres://a:***@c/d?password=***&x=1"
        );
        assert_eq!(masked_database_url("sqlite:a.db"), "sqlite:a.db");
    }

    #[test]
    fn people_and_payees() {
        assert!(
            is_email("help@shop.example")
                && !is_email("help@shop")
                && !is_email("a@b@c.d")
                && !is_email("a b@c.d")
        );
        assert!(
            is_vpa("shop.name@okbank") && !is_vpa("shop") && !is_vpa("a@") && !is_vpa("sh op@bank")
        );
        assert!(is_pincode("560001") && !is_pincode("060001") && !is_pincode("56000"));
        assert!(is_series("ML") && !is_series("MELAS") && !is_series("ml") && !is_series(""));
    }
}
