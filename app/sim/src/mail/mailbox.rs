//! The mails that arrived, as raw bytes, and how they are shown.

use std::collections::VecDeque;

use mail_parser::{Address, Message, MessageParser, MimeHeaders};
use serde_json::{Value, json};

/// Newest mails kept, in number and in bytes.
const KEPT: usize = 500;
const KEPT_BYTES: usize = 64 << 20;

pub(crate) struct Mail {
    pub(crate) id: u64,
    pub(crate) at_ms: i64,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) raw: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct MailBox {
    mails: VecDeque<Mail>,
    bytes: usize,
    arrived: u64,
}

/// A file inside a mail.
pub(crate) struct Attachment {
    pub(crate) name: String,
    pub(crate) content_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl MailBox {
    pub(crate) fn put(&mut self, at_ms: i64, from: String, to: Vec<String>, raw: Vec<u8>) {
        self.arrived += 1;
        self.bytes += raw.len();
        self.mails.push_back(Mail { id: self.arrived, at_ms, from, to, raw });
        while self.mails.len() > KEPT || (self.bytes > KEPT_BYTES && self.mails.len() > 1) {
            if let Some(gone) = self.mails.pop_front() {
                self.bytes -= gone.raw.len();
            }
        }
    }

    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    pub(crate) fn clear(&mut self) {
        self.mails.clear();
        self.bytes = 0;
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Mail> {
        self.mails.iter().find(|m| m.id == id)
    }

    /// Newest first, optionally only those to one address.
    pub(crate) fn list(&self, to: Option<&str>, limit: usize) -> Vec<Value> {
        let meant = |m: &&Mail| to.is_none_or(|to| m.to.iter().any(|t| t.eq_ignore_ascii_case(to)));
        self.mails.iter().rev().filter(meant).take(limit).map(Mail::summary).collect()
    }
}

fn addresses(address: Option<&Address<'_>>) -> Vec<String> {
    let show = |a: &mail_parser::Addr<'_>| match (&a.name, &a.address) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (None, Some(address)) => address.to_string(),
        (Some(name), None) => name.to_string(),
        (None, None) => String::new(),
    };
    address.map(|a| a.iter().map(show).collect()).unwrap_or_default()
}

impl Mail {
    fn parsed(&self) -> Option<Message<'_>> {
        MessageParser::default().parse(&self.raw)
    }

    fn summary(&self) -> Value {
        let parsed = self.parsed();
        let subject = parsed.as_ref().and_then(|m| m.subject()).unwrap_or("(no subject)");
        json!({
            "id": self.id,
            "at_ms": self.at_ms,
            "from": self.from,
            "to": self.to,
            "subject": subject,
            "size": self.raw.len(),
            "attachments": parsed.as_ref().map_or(0, Message::attachment_count),
        })
    }

    /// Everything that can be shown.
    pub(crate) fn json(&self) -> Value {
        let mut json = self.summary();
        let Some(parsed) = self.parsed() else { return json };
        json["header_from"] = addresses(parsed.from()).into();
        json["header_to"] = addresses(parsed.to()).into();
        json["text"] = parsed.body_text(0).map_or(Value::Null, |t| t.into_owned().into());
        json["html"] = self.html().map_or(Value::Null, Value::from);
        json["attachments"] = self
            .files(&parsed)
            .enumerate()
            .map(|(i, file)| {
                json!({
                    "name": file.name,
                    "content_type": file.content_type,
                    "size": file.bytes.len(),
                    "url": format!("/_sim/mail/{}/attachments/{i}", self.id),
                })
            })
            .collect();
        json
    }

    /// The HTML part, if the mail has one of its own.
    pub(crate) fn html(&self) -> Option<String> {
        let parsed = self.parsed()?;
        let has_html =
            parsed.html_bodies().any(|p| matches!(p.body, mail_parser::PartType::Html(_)));
        if has_html { parsed.body_html(0).map(|h| h.into_owned()) } else { None }
    }

    fn files<'a>(&self, parsed: &'a Message<'a>) -> impl Iterator<Item = Attachment> + use<'a> {
        parsed.attachments().enumerate().map(|(i, part)| {
            let content_type = part.content_type().map_or_else(
                || "application/octet-stream".into(),
                |t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or("octet-stream")),
            );
            let name = part.attachment_name().unwrap_or_default();
            let name = if name.is_empty() { format!("attachment-{i}") } else { name.to_owned() };
            Attachment { name, content_type, bytes: part.contents().to_vec() }
        })
    }

    pub(crate) fn attachment(&self, index: usize) -> Option<Attachment> {
        let parsed = self.parsed()?;
        self.files(&parsed).nth(index)
    }
}
