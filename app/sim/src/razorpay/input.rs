//! Reading a request body as Razorpay does: field by field, and nothing may be left over.

use axum::http::{HeaderMap, header};
use serde_json::{Map, Value};

use super::error::ApiError;

/// Most paise in one order; keeps every sum far inside an i64.
const MAX_AMOUNT: i64 = 1_000_000_000_000;

pub(crate) struct Input {
    fields: Map<String, Value>,
    strict: bool,
}

impl Input {
    /// An empty body is an empty object.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8], strict: bool) -> Result<Self, ApiError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { fields: Map::new(), strict });
        }
        let is_json = headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v.trim_start().to_ascii_lowercase().starts_with("application/json"));
        if strict && !is_json {
            return Err(ApiError::bad("The content type of the request must be application/json."));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self { fields, strict }),
            // The PHP behind the real API takes an empty list for an empty object.
            Ok(Value::Array(list)) if list.is_empty() => Ok(Self { fields: Map::new(), strict }),
            _ => Err(ApiError::bad("The request body must be a JSON object.")),
        }
    }

    /// Absent and null are the same.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|v| !v.is_null())
    }

    pub(crate) fn int(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = match &value {
            Value::Number(n) => n.as_i64(),
            Value::String(s) if s.bytes().all(|b| b.is_ascii_digit()) => s.parse().ok(),
            _ => None,
        };
        match number {
            Some(n) => Ok(Some(n)),
            None => Err(ApiError::field(name, format!("The {name} must be an integer."))),
        }
    }

    /// An amount of money in paise.
    pub(crate) fn amount(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.int(name)? {
            Some(n) if n > MAX_AMOUNT => {
                Err(ApiError::field(name, "Amount exceeds maximum amount allowed."))
            }
            other => Ok(other),
        }
    }

    pub(crate) fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(s)) if s.chars().count() <= max => Ok(Some(s)),
            Some(Value::String(_)) => {
                let text = format!("The {name} may not be greater than {max} characters.");
                Err(ApiError::field(name, text))
            }
            Some(_) => Err(ApiError::field(name, format!("The {name} must be a string."))),
        }
    }

    /// `true`, `false`, `1`, `0`, also as strings.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let flag = match &value {
            Value::Bool(b) => Some(*b),
            Value::Number(n) => match n.as_i64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Value::String(s) => match s.as_str() {
                "0" | "false" => Some(false),
                "1" | "true" => Some(true),
                _ => None,
            },
            _ => None,
        };
        match flag {
            Some(b) => Ok(Some(b)),
            None => Err(ApiError::field(name, format!("The {name} field must be true or false."))),
        }
    }

    /// INR, the only one here.
    pub(crate) fn currency(&mut self, required: bool) -> Result<(), ApiError> {
        match self.text("currency", 3)? {
            Some(c) if c == "INR" => Ok(()),
            Some(_) => Err(ApiError::field("currency", "Currency is not supported")),
            None if required => Err(missing("currency")),
            None => Ok(()),
        }
    }

    pub(crate) fn notes(&mut self) -> Result<Option<Map<String, Value>>, ApiError> {
        let bad = |text: &str| Err(ApiError::field("notes", text));
        let notes = match self.take("notes") {
            None => return Ok(None),
            Some(Value::Object(notes)) => notes,
            Some(Value::Array(list)) if list.is_empty() => Map::new(),
            Some(_) => return bad("notes must be an object of strings"),
        };
        if notes.len() > 15 {
            return bad("Number of fields in notes should be less than or equal to 15");
        }
        for (key, value) in &notes {
            let length = match value {
                Value::String(s) => s.chars().count(),
                Value::Number(_) | Value::Bool(_) | Value::Null => 0,
                _ => return bad("notes must be an object of strings"),
            };
            if length.max(key.chars().count()) > 256 {
                return bad("The notes value may not be greater than 256 characters.");
            }
        }
        Ok(Some(notes))
    }

    /// A nested object, read by the same rules.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Input>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Input { fields, strict: self.strict })),
            Some(_) => Err(ApiError::field(name, format!("The {name} must be an array."))),
        }
    }

    /// Reads and forgets what exists in the real API and has no meaning here.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(*name);
        }
    }

    /// Nothing else may have been sent.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.fields.keys().next() {
            Some(name) if self.strict => {
                Err(ApiError::extra_field(&name.chars().take(60).collect::<String>()))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn missing(field: &str) -> ApiError {
    ApiError::field(field, format!("The {field} field is required."))
}

/// `prefix` and 14 letters or digits.
pub(crate) fn check_id(id: &str, prefix: &str) -> Result<(), ApiError> {
    match id.strip_prefix(prefix) {
        Some(rest) if rest.len() == 14 && rest.bytes().all(|b| b.is_ascii_alphanumeric()) => Ok(()),
        _ => Err(ApiError::malformed_id(id)),
    }
}

/// Query of a list call.
pub(crate) struct Page {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) count: usize,
    pub(crate) skip: usize,
    pub(crate) others: Vec<(String, String)>,
}

impl Page {
    pub(crate) fn parse(query: &str) -> Result<Self, ApiError> {
        let mut page =
            Self { from: i64::MIN, to: i64::MAX, count: 10, skip: 0, others: Vec::new() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned().take(50) {
            let number = || {
                value
                    .parse::<i64>()
                    .map_err(|_| ApiError::field(&name, format!("The {name} must be an integer.")))
            };
            match name.as_str() {
                "from" => page.from = number()?,
                "to" => page.to = number()?,
                "count" => match number()? {
                    n @ 1..=100 => page.count = n as usize,
                    _ => {
                        return Err(ApiError::field(
                            "count",
                            "The count must be between 1 and 100.",
                        ));
                    }
                },
                "skip" => match number()? {
                    n @ 0.. => page.skip = usize::try_from(n).unwrap_or(usize::MAX),
                    _ => return Err(ApiError::field("skip", "The skip must be at least 0.")),
                },
                _ => page.others.push((name, value)),
            }
        }
        Ok(page)
    }

    pub(crate) fn other(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Both `expand[]=x` and `expand[expand]=x`, as the SDKs send it.
    pub(crate) fn expands(&self, what: &str) -> bool {
        self.others.iter().any(|(n, v)| n.starts_with("expand") && v == what)
    }

    /// The page of what matches, newest first as it comes in.
    pub(crate) fn collect<'a, T: 'a>(
        &self,
        items: impl Iterator<Item = &'a T>,
        created_at: impl Fn(&T) -> i64,
        matches: impl Fn(&T) -> bool,
        json: impl Fn(&T) -> Value,
    ) -> Value {
        let items = items
            .filter(|item| (self.from..=self.to).contains(&created_at(item)) && matches(item))
            .skip(self.skip)
            .take(self.count)
            .map(json)
            .collect();
        collection(items)
    }
}

pub(crate) fn collection(items: Vec<Value>) -> Value {
    serde_json::json!({ "entity": "collection", "count": items.len(), "items": items })
}
