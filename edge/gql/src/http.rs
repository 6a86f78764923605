//! GraphQL over HTTP: media types, status codes, GET and POST, persisted queries, the answer cache.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationType};
use async_graphql::{ServerError, Value, Variables};
use axum::Router;
use axum::body::Body;
use axum::extract::{
    ConnectInfo, DefaultBodyLimit, FromRequestParts, Request as HttpRequest, State,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use mela_base::{Actor, Fault, Op};
use mela_identity_api::IdentityError;
use mela_telemetry::{Counter, Metrics};
use tokio::sync::watch;

use crate::cache::{Kept, ResponseCache, etag};
use crate::context::{Request, Services};
use crate::persisted::{Document, Documents, PersistedError};
use crate::schema::{Limits, MelaSchema, builder};
use crate::signals::{Signals, outcome};
use crate::weigh::TooHeavy;
use crate::ws;

/// How the endpoint behaves.
#[derive(Clone, Copy, Debug)]
pub struct GraphqlConfig {
    /// Limits on documents.
    pub limits: Limits,
    /// Largest request body in bytes.
    pub body_limit: usize,
    /// Keep finished answers to anonymous catalogue queries.
    pub cache: bool,
}

impl Default for GraphqlConfig {
    fn default() -> Self {
        Self { limits: Limits::default(), body_limit: 256 * 1024, cache: true }
    }
}

/// What the handlers share.
pub(crate) struct Endpoint {
    pub(crate) schema: MelaSchema,
    pub(crate) services: Services,
    pub(crate) documents: Documents,
    cache: Option<ResponseCache>,
    pub(crate) signals: Signals,
    /// Answers served from the cache.
    kept: Counter,
    body_limit: usize,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Routes of `/graphql`: GET, POST and the live socket.
///
/// `stopping` turns true when the server stops: live sockets say good-bye.
pub fn router(
    services: Services,
    config: GraphqlConfig,
    metrics: &Metrics,
    stopping: watch::Receiver<bool>,
) -> Router {
    let schema = builder(config.limits).data(services.clone()).finish();
    let endpoint = Arc::new(Endpoint {
        schema,
        services,
        documents: Documents::new(),
        cache: config.cache.then(ResponseCache::new),
        signals: Signals::new(metrics, &crate::schema::sdl()),
        kept: metrics.counter(
            "mela_graphql_kept_answers_total",
            "Answers served from the cache.",
            &[],
        ),
        body_limit: config.body_limit,
        stopping,
    });
    Router::new()
        .route("/graphql", any(handle))
        .layer(DefaultBodyLimit::max(config.body_limit))
        .with_state(endpoint)
}

/// The media type of the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Media {
    /// `application/graphql-response+json`: status codes tell what happened.
    Response,
    /// `application/json`: 200 for everything that is a well-formed GraphQL request.
    Json,
}

/// A request that never became a GraphQL request.
struct Refusal(StatusCode, &'static str, String);

/// The parameters of a GraphQL request.
#[derive(Default)]
struct Params {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Variables,
    persisted_hash: Option<String>,
}

async fn handle(State(endpoint): State<Arc<Endpoint>>, request: HttpRequest) -> Response {
    let upgraded = request.headers().get(header::UPGRADE);
    if upgraded.is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return upgrade(endpoint, request).await;
    }
    let media = match negotiate(request.headers()) {
        Ok(media) => media,
        Err(refusal) => return refuse(Media::Json, &refusal, "-"),
    };
    let request_id = request_id(request.headers());
    let mut response = match answer(&endpoint, media, request).await {
        Ok(response) => response,
        Err(refusal) => refuse(media, &refusal, &request_id),
    };
    // What is not said to be for everybody must not rest in a proxy: what concerns the caller, and
    // refusals, some of which are a 200.
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn upgrade(endpoint: Arc<Endpoint>, request: HttpRequest) -> Response {
    let (mut parts, _) = request.into_parts();
    let (ip, device) = (ip(&parts.extensions), device(&parts.headers));
    let id = request_id(&parts.headers);
    match axum::extract::WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => ws::accept(endpoint, upgrade, ws::Peer { ip, device, request_id: id }),
        Err(rejection) => axum::response::IntoResponse::into_response(rejection),
    }
}

async fn answer(
    endpoint: &Endpoint,
    media: Media,
    request: HttpRequest,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let get = parts.method == Method::GET;
    let key = match parts.method {
        Method::GET => Bytes::from(parts.uri.query().unwrap_or("").to_owned()),
        Method::POST => {
            json_content(headers)?;
            axum::body::to_bytes(body, endpoint.body_limit).await.map_err(|_| {
                let limit = endpoint.body_limit / 1024;
                refusal(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "BODY_TOO_LARGE",
                    format!("a request body is at most {limit} KiB"),
                )
            })?
        }
        _ => {
            let text = "send queries by GET or POST and mutations by POST".to_owned();
            return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", text));
        }
    };

    let anonymous = !headers.contains_key(header::AUTHORIZATION);
    let version = endpoint.services.catalog.version();
    let cache = endpoint.cache.as_ref().filter(|_| anonymous);
    if let Some(kept) = cache.and_then(|c| c.get(&key, version)) {
        endpoint.kept.inc();
        return Ok(kept_response(media, get, headers, &kept));
    }

    let params = if get { from_query(&key)? } else { from_body(&key)? };
    let op = caller(endpoint, headers, ip(&parts.extensions))?;
    let request_id = op.request_id.clone();
    let Some(document) = document(endpoint, &params)? else {
        // Does not parse: let the engine say where.
        let text = params.query.unwrap_or_default();
        return Ok(respond(media, endpoint.schema.execute(text).await, &request_id).0);
    };
    if get && !only_queries(&document.parsed, params.operation_name.as_deref()) {
        let text = "mutations are sent by POST".to_owned();
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", text));
    }

    let running = endpoint.signals.of(&document.parsed, params.operation_name.as_deref()).start();
    let context = Arc::new(Request::new(op));
    // The engine takes the parsed document and does not look at the text.
    let mut run = async_graphql::Request::new("").variables(params.variables).data(context.clone());
    run.operation_name = params.operation_name;
    run.set_parsed_query((*document.parsed).clone());
    let executed = endpoint.schema.execute(run).await;
    running.end(outcome(&executed.errors));
    let (mut response, body) = respond(media, executed, &request_id);

    let public = anonymous
        && !context.private.load(Ordering::Relaxed)
        && response.status() == StatusCode::OK;
    if let Some(body) = body.filter(|_| public && only_queries(&document.parsed, None)) {
        let kept = Kept::new(body, version);
        response = kept_response(media, get, headers, &kept);
        if let Some(cache) = cache {
            cache.put(key, kept);
        }
    }
    Ok(response)
}

/// Who calls: by access token, or anonymous.
pub(crate) fn caller_with_token(
    endpoint: &Endpoint,
    token: Option<&str>,
) -> Result<Actor, IdentityError> {
    token.map_or(Ok(Actor::Anonymous), |token| endpoint.services.identity.authenticate(token))
}

fn caller(endpoint: &Endpoint, headers: &HeaderMap, ip: Option<IpAddr>) -> Result<Op, Refusal> {
    let token = match headers.get(header::AUTHORIZATION) {
        None => None,
        Some(value) => {
            let token = value.to_str().ok().and_then(|v| v.split_once(' '));
            let token = token.filter(|t| t.0.eq_ignore_ascii_case("bearer")).map(|t| t.1.trim());
            Some(token.ok_or_else(|| unauthenticated(&IdentityError::Unauthenticated))?)
        }
    };
    let actor = caller_with_token(endpoint, token).map_err(|e| unauthenticated(&e))?;
    Ok(Op { request_id: request_id(headers), actor, ip, device: device(headers) })
}

fn unauthenticated(error: &IdentityError) -> Refusal {
    Refusal(StatusCode::UNAUTHORIZED, error.code(), error.to_string())
}

fn document(endpoint: &Endpoint, params: &Params) -> Result<Option<Document>, Refusal> {
    if let Some(hash) = &params.persisted_hash {
        return endpoint.documents.persisted(hash, params.query.as_deref()).map_err(|e| match e {
            PersistedError::NotFound => {
                // The text and code that Apollo's clients look for.
                refusal(
                    StatusCode::OK,
                    "PERSISTED_QUERY_NOT_FOUND",
                    "PersistedQueryNotFound".into(),
                )
            }
            PersistedError::Mismatch => {
                bad("PERSISTED_QUERY_MISMATCH", "sha256Hash is not the SHA-256 of the query")
            }
            PersistedError::Malformed => {
                bad("PERSISTED_QUERY_MALFORMED", "persistedQuery needs version 1 and 64 hex digits")
            }
            PersistedError::TooHeavy(heavy) => too_heavy(&heavy),
        });
    }
    let query =
        params.query.as_deref().ok_or_else(|| bad("QUERY_MISSING", "`query` is missing"))?;
    endpoint.documents.parse(query).map_err(|heavy| too_heavy(&heavy))
}

fn too_heavy(heavy: &TooHeavy) -> Refusal {
    bad("QUERY_TOO_HEAVY", heavy.0)
}

/// True if what would run is a query (an unnamed operation name in a document of many counts as one:
/// the engine refuses it anyway).
fn only_queries(document: &ExecutableDocument, name: Option<&str>) -> bool {
    match (&document.operations, name) {
        (DocumentOperations::Single(op), _) => op.node.ty == OperationType::Query,
        (DocumentOperations::Multiple(ops), Some(name)) => {
            ops.get(name).is_none_or(|op| op.node.ty == OperationType::Query)
        }
        (DocumentOperations::Multiple(ops), None) => {
            ops.values().all(|op| op.node.ty == OperationType::Query)
        }
    }
}

// === reading requests ===

fn json_content(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut parts = value.split(';').map(str::trim);
    let json = parts.next().is_some_and(|t| t.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|p| {
        let charset = p.to_ascii_lowercase();
        !charset.starts_with("charset=")
            || matches!(charset.trim_start_matches("charset=").trim_matches('"'), "utf-8" | "utf8")
    });
    if json && utf8 {
        return Ok(());
    }
    let text = "send the request as `content-type: application/json` in UTF-8".to_owned();
    Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", text))
}

fn from_body(body: &[u8]) -> Result<Params, Refusal> {
    let json: serde_json::Value = serde_json::from_slice(body).map_err(|e| {
        bad(
            "MALFORMED_JSON",
            &format!("the request body is not JSON: line {} column {}", e.line(), e.column()),
        )
    })?;
    let serde_json::Value::Object(mut map) = json else {
        return Err(bad(
            "MALFORMED_REQUEST",
            "the request body is one JSON object with `query`; batches are not taken",
        ));
    };
    let query = text(map.remove("query"), "query")?;
    let operation_name = text(map.remove("operationName"), "operationName")?;
    let variables = object(map.remove("variables"), "variables")?;
    let extensions = object(map.remove("extensions"), "extensions")?;
    params(query, operation_name, variables, extensions.as_ref())
}

fn from_query(query: &[u8]) -> Result<Params, Refusal> {
    let mut found = Params::default();
    let (mut variables, mut extensions) = (None, None);
    for (name, value) in form_pairs(query) {
        match name.as_str() {
            "query" => found.query = Some(value),
            "operationName" if !value.is_empty() => found.operation_name = Some(value),
            "variables" => variables = json_object(&value, "variables")?,
            "extensions" => extensions = json_object(&value, "extensions")?,
            _ => {}
        }
    }
    params(found.query, found.operation_name, variables, extensions.as_ref())
}

type JsonObject = serde_json::Map<String, serde_json::Value>;

fn params(
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<JsonObject>,
    extensions: Option<&JsonObject>,
) -> Result<Params, Refusal> {
    let persisted_hash = match extensions.and_then(|e| e.get("persistedQuery")) {
        None | Some(serde_json::Value::Null) => None,
        Some(p) if p.get("version").and_then(serde_json::Value::as_i64) == Some(1) => {
            let hash = p.get("sha256Hash").and_then(|h| h.as_str()).unwrap_or("");
            Some(hash.to_owned())
        }
        Some(_) => Some(String::new()),
    };
    let variables = variables.map(|v| Variables::from_json(serde_json::Value::Object(v)));
    Ok(Params { query, operation_name, variables: variables.unwrap_or_default(), persisted_hash })
}

fn text(value: Option<serde_json::Value>, name: &str) -> Result<Option<String>, Refusal> {
    match value {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(bad("MALFORMED_REQUEST", &format!("`{name}` is a string"))),
    }
}

fn object(value: Option<serde_json::Value>, name: &str) -> Result<Option<JsonObject>, Refusal> {
    match value {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(bad("MALFORMED_REQUEST", &format!("`{name}` is an object"))),
    }
}

fn json_object(text: &str, name: &str) -> Result<Option<JsonObject>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let json = serde_json::from_str(text)
        .map_err(|_| bad("MALFORMED_REQUEST", &format!("`{name}` is not JSON")))?;
    object(Some(json), name)
}

/// Name and value pairs of a query string.
fn form_pairs(query: &[u8]) -> Vec<(String, String)> {
    serde_urlencoded::from_bytes(query).unwrap_or_default()
}

fn request_id(headers: &HeaderMap) -> Arc<str> {
    headers
        .get("x-request-id")
        .and_then(|v| v.to_str().ok())
        .filter(|v| v.len() <= 64)
        .unwrap_or("-")
        .into()
}

/// The client's device id, hashed: only limits use it.
fn device(headers: &HeaderMap) -> Option<Arc<str>> {
    let id = headers.get("x-device-id")?.as_bytes();
    Some(String::from_utf8_lossy(&etag(id)).trim_matches('"').into())
}

fn ip(extensions: &axum::http::Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

// === answering ===

fn negotiate(headers: &HeaderMap) -> Result<Media, Refusal> {
    let mut any = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or("").split(',') {
            any = true;
            match range.split(';').next().unwrap_or("").trim() {
                "application/graphql-response+json" => return Ok(Media::Response),
                "application/json" | "application/*" | "*/*" => return Ok(Media::Json),
                _ => {}
            }
        }
    }
    if any {
        let text = "answers are application/graphql-response+json or application/json".to_owned();
        return Err(refusal(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", text));
    }
    Ok(Media::Json)
}

/// The answer, and its body if it has no errors.
fn respond(
    media: Media,
    mut response: async_graphql::Response,
    request_id: &str,
) -> (Response, Option<Bytes>) {
    // Without data and without a path, nothing ran: the document or its variables were wrong.
    let refused = matches!(response.data, Value::Null)
        && !response.errors.is_empty()
        && response.errors.iter().all(|e| e.path.is_empty());
    for error in &mut response.errors {
        complete(error, refused, request_id);
    }
    let body = if refused {
        serde_json::to_vec(&serde_json::json!({ "errors": response.errors }))
    } else {
        serde_json::to_vec(&response)
    };
    let body = Bytes::from(body.unwrap_or_default());
    let status = match media {
        Media::Response if refused => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let clean = response.errors.is_empty().then(|| body.clone());
    (json_response(media, status, body), clean)
}

/// Every error carries a code and the request id.
pub(crate) fn complete(error: &mut ServerError, refused: bool, request_id: &str) {
    let extensions = error.extensions.get_or_insert_with(Default::default);
    if extensions.get("code").is_none() {
        // The engine's words for its limits.
        let heavy = ["Query is too complex.", "Query is nested too deep."];
        let code = if heavy.contains(&error.message.as_str()) {
            error.message = "the document asks for too much, or too deep; ask for less".to_owned();
            "QUERY_TOO_HEAVY"
        } else if refused {
            "INVALID_DOCUMENT"
        } else {
            "INVALID_ARGUMENT"
        };
        extensions.set("code", code);
        extensions.set("kind", "INVALID");
    }
    extensions.set("requestId", request_id);
}

fn json_response(media: Media, status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = match media {
        Media::Response => "application/graphql-response+json; charset=utf-8",
        Media::Json => "application/json; charset=utf-8",
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn kept_response(media: Media, get: bool, headers: &HeaderMap, kept: &Kept) -> Response {
    // A list of tags, or a weak one made by a proxy, holds ours in its quotes.
    let given = headers.get(header::IF_NONE_MATCH).map_or(&b""[..], HeaderValue::as_bytes);
    if get && given.windows(kept.etag.len()).any(|tag| tag == kept.etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        public_headers(response.headers_mut(), &kept.etag);
        return response;
    }
    let mut response = json_response(media, StatusCode::OK, kept.body.clone());
    if get {
        public_headers(response.headers_mut(), &kept.etag);
    }
    response
}

/// Lets a CDN serve anonymous catalogue answers that were asked for by GET.
fn public_headers(headers: &mut HeaderMap, etag: &Bytes) {
    let control = HeaderValue::from_static("public, max-age=5, stale-while-revalidate=30");
    headers.insert(header::CACHE_CONTROL, control);
    headers.insert(header::VARY, HeaderValue::from_static("accept, authorization"));
    if let Ok(etag) = HeaderValue::from_maybe_shared(etag.clone()) {
        headers.insert(header::ETAG, etag);
    }
}

fn refuse(media: Media, refusal: &Refusal, request_id: &str) -> Response {
    let Refusal(status, code, message) = refusal;
    let body = serde_json::json!({
        "errors": [{ "message": message, "extensions": { "code": code, "requestId": request_id } }]
    });
    let mut response = json_response(media, *status, Bytes::from(body.to_string()));
    if *status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

fn refusal(status: StatusCode, code: &'static str, message: String) -> Refusal {
    Refusal(status, code, message)
}

fn bad(code: &'static str, message: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, code, message.to_owned())
}
