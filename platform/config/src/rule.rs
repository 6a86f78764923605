//! What a setting may be.

use std::net::SocketAddr;

use crate::check;

/// What a setting may be, and whether production needs it set.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) kind: Kind,
    /// The default is for development only.
    pub(crate) production: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// A whole number in this range.
    Int(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words.
    ListOf(&'static [&'static str]),
    /// `host:port` to listen on; may be empty if the default is.
    Address,
    /// An `http` or `https` address without a slash at the end.
    Url,
    /// The database's address.
    Database,
    /// Text that this function takes; the second part says what would be right. Empty is fine if
    /// the default is.
    Like(fn(&str) -> bool, &'static str),
}

impl Rule {
    pub(crate) const fn production(mut self) -> Self {
        self.production = true;
        self
    }
}

pub(crate) const fn rule(kind: Kind) -> Rule {
    Rule { kind, production: false }
}

impl Kind {
    /// Reads a value from the environment or a flag.
    pub(crate) fn read_text(self, text: &str) -> Result<toml::Value, String> {
        Ok(match self {
            Self::Int(..) => toml::Value::Integer(
                text.trim().parse().map_err(|_| self.complaint(&format!("`{text}`")))?,
            ),
            Self::ListOf(_) => {
                text.split(',').map(|t| t.trim().to_owned()).collect::<Vec<_>>().into()
            }
            _ => toml::Value::String(text.to_owned()),
        })
    }

    /// Checks a value; the error says what is wrong and what would be right. `default` is fine.
    pub(crate) fn check(self, value: &toml::Value, default: &toml::Value) -> Result<(), String> {
        if value == default {
            return Ok(());
        }
        let good = match (self, value) {
            (Self::Text | Self::Secret, toml::Value::String(_)) => true,
            (Self::Int(min, max), toml::Value::Integer(n)) => (min..=max).contains(n),
            (Self::OneOf(words), toml::Value::String(s)) => words.contains(&s.as_str()),
            (Self::ListOf(words), toml::Value::Array(list)) => {
                !list.is_empty()
                    && list.iter().all(|v| v.as_str().is_some_and(|s| words.contains(&s)))
            }
            (Self::Address, toml::Value::String(s)) => s.parse::<SocketAddr>().is_ok(),
            (Self::Url, toml::Value::String(s)) => check::is_url(s),
            (Self::Database, toml::Value::String(s)) => check::is_database_url(s),
            (Self::Like(like, _), toml::Value::String(s)) => like(s),
            _ => false,
        };
        if good { Ok(()) } else { Err(self.complaint(&self.show(value))) }
    }

    /// The value as it may be shown in a message.
    fn show(self, value: &toml::Value) -> String {
        match (self, value) {
            // May hold a password, even if it is in the wrong place.
            (Self::Secret | Self::Database, _) => "this value".into(),
            (_, toml::Value::Table(_)) => "a table".into(),
            _ => {
                let text = value.to_string();
                let cut: String = text.chars().take(80).collect();
                format!("`{}`", cut.trim_matches('"'))
            }
        }
    }

    fn complaint(self, shown: &str) -> String {
        match self {
            Self::Text | Self::Secret => format!("{shown} is not text in quotes"),
            Self::Int(min, max) => format!("{shown} is not a whole number from {min} to {max}"),
            Self::OneOf(words) => {
                let nearest = crate::load::nearest(shown.trim_matches('`'), words.iter().copied());
                let hint = nearest.map_or(String::new(), |n| format!("; did you mean \"{n}\"?"));
                format!("{shown} is not one of {}{hint}", quoted(words))
            }
            Self::ListOf(words) => format!("{shown} is not a list of {}", quoted(words)),
            Self::Address => format!(
                "{shown} is not an address to listen on; write an IP address and a port, such as \
                 \"127.0.0.1:8080\" or \"0.0.0.0:8080\""
            ),
            Self::Url => format!(
                "{shown} is not an http address; write one such as \"https://shop.example\" (no slash \
                 at the end)"
            ),
            Self::Database => format!(
                "{shown} is not a database address; write \"sqlite:path/to/file.db\" or \
                 \"postgres://user:password@host:5432/name\""
            ),
            Self::Like(_, right) => format!("{shown} is not {right}"),
        }
    }

    /// What may be written, for the reference, where that is not obvious.
    pub(crate) fn allowed(self) -> Option<String> {
        match self {
            Self::Int(min, max) => Some(format!("{min} – {max}")),
            Self::OneOf(words) => Some(format!("one of {}", quoted(words))),
            Self::ListOf(words) => Some(format!("list of {}", quoted(words))),
            _ => None,
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ")
}
