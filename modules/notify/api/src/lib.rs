//! Notify: the ways out to a person's phone and mailbox. Called from jobs and from OTP login;
//! what may be sent when (consent, quiet hours, caps) becomes one gate here later.

use async_trait::async_trait;
use mela_base::{ErrorKind, Fault, Internal, Phone};

/// An SMS template as registered on DLT: operators drop a text that does not match it exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmsTemplate {
    /// Variables: code, minutes of validity.
    LoginCode,
    /// Variables: order number, amount.
    OrderConfirmed,
    /// Variables: order number.
    OutForDelivery,
}

/// A mail. No `Debug`: it is personal data.
pub struct Mail {
    /// One address.
    pub to: String,
    /// Subject line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// Files.
    pub attachments: Vec<Attachment>,
}

/// A file that goes with a mail.
pub struct Attachment {
    /// E.g. `invoice.pdf`.
    pub name: String,
    /// E.g. `application/pdf`.
    pub content_type: String,
    /// The bytes.
    pub content: Vec<u8>,
}

/// How a notification fails.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The provider does not answer or asks to come back later.
    #[error("the message could not be handed over right now; it will be tried again")]
    Unavailable,
    /// The provider refused for good.
    #[error("the message was refused: {0}")]
    Refused(String),
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for NotifyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable => ErrorKind::Unavailable,
            Self::Refused(_) => ErrorKind::Conflict,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable => "NOTIFY_UNAVAILABLE",
            Self::Refused(_) => "NOTIFY_REFUSED",
            Self::Internal(_) => "INTERNAL",
        }
    }
}

/// Sends SMS through a provider.
#[async_trait]
pub trait SmsSender: Send + Sync {
    /// Fills the template's slots with `variables` in order and hands the text over.
    async fn send(
        &self,
        to: &Phone,
        template: SmsTemplate,
        variables: &[&str],
    ) -> Result<(), NotifyError>;
}

/// Sends mail over SMTP.
#[async_trait]
pub trait MailSender: Send + Sync {
    /// Hands one mail over.
    async fn send(&self, mail: Mail) -> Result<(), NotifyError>;
}
