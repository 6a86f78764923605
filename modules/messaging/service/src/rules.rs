//! Pure decisions.

use mela_base::ids::MessageId;
use mela_base::{Id, Internal, Timestamp};
use mela_messaging_api::{MessagingError, NewMessage};

/// Longest kind, title, text and link, in characters.
const MAX_KIND: usize = 40;
const MAX_TITLE: usize = 200;
const MAX_BODY: usize = 4_000;
const MAX_LINK: usize = 400;

/// What callers inside the system get wrong is our fault, not the person's.
pub(crate) fn check(message: &NewMessage) -> Result<(), MessagingError> {
    let fits = |text: &str, max| !text.is_empty() && text.chars().count() <= max;
    // A path of the storefront and nothing that a browser would take for another host.
    let path = |link: &str| {
        fits(link, MAX_LINK)
            && link.starts_with('/')
            && !link.starts_with("//")
            && !link.chars().any(|c| c == '\\' || c.is_control())
    };
    let good = fits(&message.kind, MAX_KIND)
        && fits(&message.title, MAX_TITLE)
        && message.body.chars().count() <= MAX_BODY
        && message.link.as_deref().is_none_or(path);
    if good {
        return Ok(());
    }
    Err(Internal::new(format_args!("message {} has a field out of bounds", message.id)).into())
}

/// The place in an inbox after a message: time and id.
pub(crate) fn cursor(at: Timestamp, id: MessageId) -> String {
    format!("{:x}.{}", at.micros(), id.0)
}

pub(crate) fn parse_cursor(text: &str) -> Result<(Timestamp, MessageId), MessagingError> {
    text.split_once('.')
        .filter(|(at, _)| at.len() <= 16 && at.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|(at, id)| Some((i64::from_str_radix(at, 16).ok()?, Id::parse(id)?)))
        .map(|(at, id)| (Timestamp::from_micros(at), MessageId(id)))
        .ok_or(MessagingError::InvalidCursor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn garbage_cursors_are_refused(text in ".{0,60}") {
            let _ = parse_cursor(&text);
        }

        #[test]
        fn cursors_round_trip(micros in 0i64.., bytes: [u8; 16]) {
            let (at, id) = (Timestamp::from_micros(micros), MessageId(Id::from_bytes(bytes)));
            prop_assert_eq!(parse_cursor(&cursor(at, id)).unwrap(), (at, id));
        }
    }

    #[test]
    fn links_stay_in_the_shop() {
        let with = |link: &str| NewMessage {
            id: MessageId::default(),
            person_id: Default::default(),
            kind: "order".into(),
            title: "t".into(),
            body: String::new(),
            link: Some(link.into()),
        };
        assert!(check(&with("/orders/ord_1")).is_ok());
        for bad in ["", "orders", "//evil.example", "/\\evil.example", "https://x", "/a\nb"] {
            assert!(check(&with(bad)).is_err(), "{bad}");
        }
        assert!(check(&NewMessage { title: "x".repeat(201), ..with("/") }).is_err());
        assert!(check(&NewMessage { kind: String::new(), ..with("/") }).is_err());
    }
}
