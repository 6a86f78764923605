//! Webhooks: only which orders they are about is read.

use mela_crypto::{Secret, ct_eq};
use serde_json::Value;

/// The most entries of one batch that are looked at.
const MAX_ENTRIES: usize = 1_000;

/// Why a webhook is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HookError {
    NotFromCourier,
    Malformed(&'static str),
}

/// The order numbers of a batch. Entries that cannot be read are left out; a batch of only such
/// entries is refused.
pub(crate) fn read(body: &[u8], hash: &Secret) -> Result<Vec<String>, HookError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|_| HookError::Malformed("not a JSON object with status_feed"))?;
    let given = value["hash"].as_str().unwrap_or_default();
    if !hash.is_empty() && !ct_eq(given.as_bytes(), hash.expose().as_bytes()) {
        return Err(HookError::NotFromCourier);
    }
    let feed = value["status_feed"]
        .as_array()
        .ok_or(HookError::Malformed("status_feed is missing or not a list"))?;
    if feed.len() > MAX_ENTRIES {
        return Err(HookError::Malformed("status_feed has more than 1000 entries"));
    }
    let mut numbers: Vec<String> = feed
        .iter()
        .filter_map(|entry| match &entry["order_id"] {
            // Our numbers are plain; PostgreSQL refuses a NUL, and the courier would try for ever.
            Value::String(s) if (1..=64).contains(&s.len()) && plain(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            _ => None,
        })
        .collect();
    if numbers.is_empty() && !feed.is_empty() {
        return Err(HookError::Malformed("no entry of status_feed names an order_id"));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn plain(number: &str) -> bool {
    number.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches() {
        let hash = Secret::from("h");
        let body = br#"{"hash":"h","status_feed":[{"order_id":"B"},{"order_id":"A","current_status":"DEL"},{"x":1},7,{"order_id":"A"}]}"#;
        assert_eq!(read(body, &hash), Ok(vec!["A".to_owned(), "B".to_owned()]));
        assert_eq!(read(br#"{"hash":"h","status_feed":[]}"#, &hash), Ok(Vec::new()));
        assert_eq!(
            read(br#"{"status_feed":[{"order_id":7}]}"#, &Secret::from("")),
            Ok(vec!["7".to_owned()])
        );
    }

    #[test]
    fn forged_and_garbage() {
        let hash = Secret::from("h");
        for forged in
            [&br#"{"hash":"x","status_feed":[]}"#[..], br#"{"status_feed":[]}"#, b"{}", b"[]", b"7"]
        {
            assert_eq!(read(forged, &hash), Err(HookError::NotFromCourier));
        }
        for bad in [
            &b""[..],
            b"\xff",
            b"{",
            br#"{"hash":"h"}"#,
            br#"{"hash":"h","status_feed":{}}"#,
            br#"{"hash":"h","status_feed":[1,2]}"#,
            br#"{"hash":"h","status_feed":[{"order_id":"a\u0000b"}]}"#,
        ] {
            assert!(matches!(read(bad, &hash), Err(HookError::Malformed(_))));
        }
        let many = format!(r#"{{"hash":"h","status_feed":[{}1]}}"#, "1,".repeat(1_000));
        assert!(matches!(read(many.as_bytes(), &hash), Err(HookError::Malformed(_))));
        assert!(read("[".repeat(200_000).as_bytes(), &hash).is_err());
    }
}
