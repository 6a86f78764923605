//! The SMS gateway under DLT: only registered senders, only registered texts.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{SmsCategory, SmsConfig, SmsTemplate};
use crate::faults::{self, Refusal};
use crate::serve::{self, MAX_BODY};
use crate::world::World;

/// Newest messages kept.
const KEPT: usize = 5_000;
const MAX_TEMPLATES: usize = 1_000;
const SLOT: &str = "{#var#}";

pub(crate) struct SmsBox {
    pub(crate) templates: Vec<SmsTemplate>,
    do_not_disturb: HashSet<String>,
    messages: VecDeque<Message>,
    sent: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Message {
    id: String,
    at_ms: i64,
    to: String,
    /// As the phone shows it, with the suffix that tells the category.
    sender: String,
    template_id: String,
    template_category: SmsCategory,
    text: String,
    /// The first number of 4 to 8 digits, which is what a test looks for.
    code: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendRequest {
    entity_id: String,
    header: String,
    template_id: String,
    template_category: SmsCategory,
    to: String,
    text: String,
}

struct Rejected(&'static str, String);

impl SmsBox {
    pub(crate) fn new(cfg: &SmsConfig) -> Self {
        Self {
            templates: cfg.templates.clone(),
            do_not_disturb: HashSet::new(),
            messages: VecDeque::new(),
            sent: 0,
        }
    }

    /// Adds templates, or replaces those with the same id.
    pub(crate) fn register(&mut self, new: Vec<SmsTemplate>) -> Result<usize, String> {
        new.iter().try_for_each(SmsTemplate::check)?;
        if self.templates.len() + new.len() > MAX_TEMPLATES {
            return Err(format!("at most {MAX_TEMPLATES} templates are kept"));
        }
        for template in new {
            self.templates.retain(|t| t.template_id != template.template_id);
            self.templates.push(template);
        }
        Ok(self.templates.len())
    }

    pub(crate) fn disturb_not(&mut self, to: &str) -> Result<(), String> {
        if !is_indian_mobile(to) || self.do_not_disturb.len() >= 10_000 {
            return Err("to must be +91 and ten digits; at most 10000 numbers are kept".into());
        }
        self.do_not_disturb.insert(to.into());
        Ok(())
    }

    /// Newest first.
    pub(crate) fn list(&self, to: Option<&str>, limit: usize) -> Vec<Value> {
        let wanted = self.messages.iter().rev().filter(|m| to.is_none_or(|to| m.to == to));
        wanted.take(limit).filter_map(|m| serde_json::to_value(m).ok()).collect()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
    }

    fn accept(&mut self, world: &World, request: SendRequest) -> Result<String, Rejected> {
        let no = |code, text: &str| Err(Rejected(code, text.into()));
        if request.entity_id != world.cfg.sms.entity_id {
            return no("UNKNOWN_ENTITY", "entity_id is not registered");
        }
        if !is_indian_mobile(&request.to) {
            return no("INVALID_NUMBER", "to must be +91 and ten digits, the first 6 to 9");
        }
        if !self.templates.iter().any(|t| t.header == request.header) {
            return no("UNKNOWN_HEADER", "header is not registered");
        }
        let Some(template) = self.templates.iter().find(|t| t.template_id == request.template_id)
        else {
            return no("UNKNOWN_TEMPLATE", "template_id is not registered");
        };
        if template.header != request.header {
            return no("HEADER_MISMATCH", "the template is not registered for this header");
        }
        if template.category != request.template_category {
            return no("CATEGORY_MISMATCH", "the template is registered in another category");
        }
        if !matches(&template.text, &request.text, world.cfg.sms.max_slot) {
            let text = format!(
                "text differs from the template outside its slots, or a slot is empty or longer than {} characters",
                world.cfg.sms.max_slot
            );
            return Err(Rejected("TEMPLATE_MISMATCH", text));
        }
        let now_ms = world.clock.now_ms();
        if template.category == SmsCategory::Promotional {
            let hour = (now_ms / 1000 + 19_800).rem_euclid(86_400) / 3600;
            if !(10..21).contains(&hour) {
                return no("OUTSIDE_HOURS", "promotional messages go out from 10:00 to 21:00 IST");
            }
            if self.do_not_disturb.contains(&request.to) {
                return no("DND", "the number does not want promotional messages");
            }
        }
        let suffix = match template.category {
            SmsCategory::Transactional => 'T',
            SmsCategory::ServiceImplicit | SmsCategory::ServiceExplicit => 'S',
            SmsCategory::Promotional => 'P',
        };
        let id = world.ids.razorpay("SM");
        if self.messages.len() >= KEPT {
            self.messages.pop_front();
        }
        self.sent += 1;
        self.messages.push_back(Message {
            id: id.clone(),
            at_ms: now_ms,
            to: request.to,
            sender: format!("{}-{suffix}", request.header),
            template_id: request.template_id,
            template_category: request.template_category,
            code: first_code(&request.text),
            text: request.text,
        });
        Ok(id)
    }
}

fn is_indian_mobile(to: &str) -> bool {
    to.strip_prefix("+91").is_some_and(|n| {
        n.len() == 10 && n.bytes().all(|b| b.is_ascii_digit()) && n.as_bytes()[0] >= b'6'
    })
}

fn first_code(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_digit())
        .find(|d| (4..=8).contains(&d.len()))
        .map(str::to_owned)
}

/// Whether `text` is the template with each slot filled by 1 to `max_slot` characters.
/// Keeps the set of places that can be reached, so no text makes it slow.
fn matches(template: &str, text: &str, max_slot: usize) -> bool {
    let text: Vec<char> = text.chars().collect();
    if text.len() > 4_000 {
        return false;
    }
    let mut reachable = vec![false; text.len() + 1];
    reachable[0] = true;
    for (i, literal) in template.split(SLOT).enumerate() {
        if i > 0 {
            let mut since = usize::MAX;
            let mut after = vec![false; text.len() + 1];
            for at in 1..=text.len() {
                since = if reachable[at - 1] { 1 } else { since.saturating_add(1) };
                after[at] = since <= max_slot;
            }
            reachable = after;
        }
        let literal: Vec<char> = literal.chars().collect();
        let mut after = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            if reachable[at] && text[at..].starts_with(&literal) {
                after[at + literal.len()] = true;
            }
        }
        reachable = after;
    }
    reachable[text.len()]
}

fn refused(refusal: Refusal) -> Response {
    let (status, code) = match refusal {
        Refusal::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        Refusal::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "THROTTLED"),
    };
    rejected(status, code, "try again later")
}

fn rejected(status: StatusCode, code: &str, message: &str) -> Response {
    serve::json(status, &json!({ "status": "rejected", "code": code, "message": message }))
}

/// `POST /sms/send`.
pub(crate) async fn send(State(world): State<Arc<World>>, request: Request<Body>) -> Response {
    if request.method() != Method::POST {
        return rejected(StatusCode::METHOD_NOT_ALLOWED, "METHOD", "send with POST");
    }
    if let Some(key) = &world.cfg.sms.api_key {
        let sent = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        if sent.and_then(|v| v.strip_prefix("Bearer ")) != Some(key) {
            return rejected(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "the api key is not valid");
        }
    }
    let Ok(body) = to_bytes(request.into_body(), MAX_BODY).await else {
        return rejected(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", "the request is too large");
    };
    faults::run(&world, "sms", "send", refused, || {
        let request: SendRequest = match serde_json::from_slice(&body) {
            Ok(request) => request,
            Err(error) => {
                return rejected(StatusCode::BAD_REQUEST, "INVALID_REQUEST", &error.to_string());
            }
        };
        match world.sms.lock().accept(&world, request) {
            Ok(id) => {
                serve::json(StatusCode::OK, &json!({ "status": "accepted", "message_id": id }))
            }
            Err(Rejected(code, text)) => rejected(StatusCode::BAD_REQUEST, code, &text),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_take_text_and_the_rest_must_match_exactly() {
        let t = "Your code is {#var#}. Valid {#var#} minutes. -Mela";
        assert!(matches(t, "Your code is 123456. Valid 10 minutes. -Mela", 30));
        assert!(!matches(t, "Your code is 123456. Valid 10 minutes. -mela", 30));
        assert!(!matches(t, "Your code is . Valid 10 minutes. -Mela", 30));
        assert!(!matches(t, "Your code is 123456. Valid 10 minutes. -Mela ", 30));
        assert!(matches("{#var#}", "x", 30) && !matches("{#var#}", "", 30));
        assert!(matches("{#var#}{#var#}", &"x".repeat(60), 30));
        assert!(!matches("{#var#}{#var#}", &"x".repeat(61), 30));
        assert!(matches("नमस्ते {#var#}", "नमस्ते सीता", 30));
    }

    #[test]
    fn the_code_is_found() {
        assert_eq!(first_code("Use 482913 in 10 min").as_deref(), Some("482913"));
        assert_eq!(first_code("no code"), None);
    }
}
