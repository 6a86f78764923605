//! Every request gets an id, which the answer carries and every log line names.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use mela_base::{Actor, Env, Op};
use mela_identity_api::Identity;
use mela_telemetry::accept_request_id;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// State of [`request_ids`].
#[derive(Clone)]
pub struct RequestIds(pub Env);

/// Middleware: takes over a proxy's `x-request-id` if it is harmless, else makes one.
pub async fn request_ids(
    State(ids): State<RequestIds>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    let id =
        given.and_then(accept_request_id).unwrap_or_else(|| mela_telemetry::request_id(&ids.0));
    let value = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"));
    request.headers_mut().insert(REQUEST_ID.clone(), value.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID.clone(), value);
    response
}

/// How many proxies in front are ours: state of [`client_addresses`].
#[derive(Clone, Copy)]
pub struct Proxies(pub usize);

/// Middleware: behind proxies every connection comes from one of them, and limits by address would
/// count all shoppers as one. The caller's address is then what the outermost of our proxies has
/// written down; what stands further left anybody can have made up.
pub async fn client_addresses(
    State(Proxies(count)): State<Proxies>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(ip) = forwarded_for(request.headers(), count) {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(ip, 0)));
    }
    next.run(request).await
}

/// The address that the first of `proxies` heard from, if there are any and it is one.
fn forwarded_for(headers: &HeaderMap, proxies: usize) -> Option<IpAddr> {
    let lists = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let mut from_the_right = lists.rev().flat_map(|list| list.rsplit(','));
    let text = from_the_right.nth(proxies.checked_sub(1)?)?.trim();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(with_port)
}

/// Who calls a plain route: by bearer token if there is a good one, else anonymous.
pub(crate) fn op(headers: &HeaderMap, identity: &Arc<dyn Identity>) -> Op {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let actor = header("authorization")
        .and_then(|v| v.strip_prefix("Bearer "))
        .and_then(|token| identity.authenticate(token).ok())
        .unwrap_or(Actor::Anonymous);
    Op { request_id: header("x-request-id").unwrap_or("-").into(), actor, ip: None, device: None }
}

/// The first value of a name in a query string.
pub(crate) fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = serde_urlencoded::from_str::<Vec<(String, String)>>(query?).ok()?;
    pairs.into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lists: &[&str], proxies: usize) -> Option<String> {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append("x-forwarded-for", HeaderValue::from_str(list).unwrap());
        }
        forwarded_for(&headers, proxies).map(|ip| ip.to_string())
    }

    #[test]
    fn only_what_our_own_proxies_wrote_is_believed() {
        let lists = ["6.6.6.6, 7.7.7.7", "1.2.3.4,10.0.0.1"];
        assert_eq!(heard(&lists, 0), None);
        assert_eq!(heard(&lists, 1).as_deref(), Some("10.0.0.1"));
        assert_eq!(heard(&lists, 2).as_deref(), Some("1.2.3.4"));
        assert_eq!(heard(&lists, 3).as_deref(), Some("7.7.7.7"));
        assert_eq!(heard(&lists, 5), None);
        assert_eq!(heard(&[], 1), None);
        for (text, ip) in [
            ("1.2.3.4:5678", Some("1.2.3.4")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(heard(&[text], 1).as_deref(), ip, "{text}");
        }
    }
}
