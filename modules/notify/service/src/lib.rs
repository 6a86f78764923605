//! The ways out: SMS under the rules of DLT, mail over SMTP.
//!
//! Owns no table. What always holds:
//!
//! - An SMS is the registered text to the character, its slots filled with one line of 1 to 30
//!   characters each: operators drop anything else, after it was paid for. What cannot be filled
//!   so is refused before it is sent.
//! - [`NotifyError::Unavailable`](mela_notify_api::NotifyError) means that the same call may work
//!   later, also if the provider took the message and only its answer was lost: a caller that
//!   repeats may send twice.
//! - Neither numbers, addresses nor texts are logged, and no password leaves without TLS except
//!   to this machine itself.

mod mail;
mod sms;
mod templates;

pub use mail::{SmtpConfig, SmtpMail, SmtpTls};
pub use sms::{DltConfig, DltSms};
pub use templates::{RegisteredTemplate, TEMPLATES};
