//! Messaging: the in-app inbox of every person, live and durable. Chat comes later.

use std::pin::Pin;

use async_trait::async_trait;
use futures_core::Stream;
use mela_base::ids::{MessageId, PersonId};
use mela_base::{ErrorKind, Event, Fault, Internal, Op, Page, PageRequest, Timestamp};
use mela_db::Tx;

/// A message to put into an inbox. No personal data: it is kept as it is.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Chosen by the caller so that a retry writes nothing twice.
    pub id: MessageId,
    /// Whose inbox.
    pub person_id: PersonId,
    /// What it is about, e.g. `order`, `coins`.
    pub kind: String,
    /// Headline.
    pub title: String,
    /// Text.
    pub body: String,
    /// A path within the storefront, e.g. `/orders/ord_…`.
    pub link: Option<String>,
}

/// A message in an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Identity.
    pub id: MessageId,
    /// What it is about.
    pub kind: String,
    /// Headline.
    pub title: String,
    /// Text.
    pub body: String,
    /// A path within the storefront.
    pub link: Option<String>,
    /// When it was put there.
    pub created_at: Timestamp,
    /// When it was read first.
    pub read_at: Option<Timestamp>,
}

/// How a messaging call fails.
#[derive(Debug, thiserror::Error)]
pub enum MessagingError {
    /// The caller must log in or start a guest session.
    #[error("log in or start a guest session first")]
    Unauthenticated,
    /// No such message in the caller's inbox.
    #[error("there is no such message in your inbox")]
    MessageNotFound,
    /// A cursor that was not given by us.
    #[error("this cursor is not valid; start from the first page")]
    InvalidCursor,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for MessagingError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::MessageNotFound => ErrorKind::NotFound,
            Self::InvalidCursor => ErrorKind::Invalid,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::MessageNotFound => "MESSAGE_NOT_FOUND",
            Self::InvalidCursor => "INVALID_CURSOR",
            Self::Internal(_) => "INTERNAL",
        }
    }
}

impl From<mela_db::DbError> for MessagingError {
    fn from(error: mela_db::DbError) -> Self {
        Self::Internal(Internal::new(error))
    }
}

/// A message arrived in an inbox.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct MessageArrived {
    /// Whose inbox.
    pub person_id: PersonId,
    /// Which message.
    pub message_id: MessageId,
}

impl Event for MessageArrived {
    const TOPIC: &'static str = "messaging.message_arrived";
    fn key(&self) -> String {
        self.person_id.to_string()
    }
}

/// Messages as they arrive.
pub type MessageStream = Pin<Box<dyn Stream<Item = Message> + Send>>;

/// The messaging contract.
#[async_trait]
pub trait Messaging: Send + Sync {
    /// Inside a transaction: puts messages into inboxes; ids already there are left as they are.
    fn post_in(&self, tx: &mut Tx<'_>, messages: &[NewMessage]) -> Result<(), MessagingError>;
    /// The caller's inbox, newest first.
    async fn inbox(&self, op: &Op, page: &PageRequest) -> Result<Page<Message>, MessagingError>;
    /// How many of the caller's messages are unread.
    async fn unread(&self, op: &Op) -> Result<u64, MessagingError>;
    /// Marks one message of the caller's as read.
    async fn mark_read(&self, op: &Op, id: MessageId) -> Result<(), MessagingError>;
    /// The caller's messages as they arrive from now on.
    async fn watch(&self, op: &Op) -> Result<MessageStream, MessagingError>;
}
