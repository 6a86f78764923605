use std::fmt;

/// The few ways in which a call can fail, as far as a caller must tell them apart. Each edge maps
/// them once: to an HTTP status, to GraphQL `extensions`, to a WebSocket frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorKind {
    /// What was named does not exist, or the caller may not know that it does.
    NotFound,
    /// It clashes with what is already so (sold out, already placed, other content under this key).
    Conflict,
    /// The input is wrong; [`Fault::field`] says where.
    Invalid,
    /// Known caller, not allowed.
    Denied,
    /// Unknown caller: log in first.
    Unauthenticated,
    /// Too much, too often; [`Fault::retry_after_s`] says when to come back.
    Exhausted,
    /// A part or a provider cannot answer now; the same call may work later.
    Unavailable,
    /// Our fault. The public message says nothing; the log has it under the request id.
    Internal,
}

/// What every module's error enum can tell an edge. `Display` is the public message: what
/// happened and what to do, without personal data or internals.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// The kind.
    fn kind(&self) -> ErrorKind;
    /// A stable code, `SCREAMING_SNAKE_CASE`, unique in the system (`OUT_OF_STOCK`).
    fn code(&self) -> &'static str;
    /// The input field that is wrong, if one is.
    fn field(&self) -> Option<&str> {
        None
    }
    /// Seconds after which a retry makes sense, for [`ErrorKind::Exhausted`].
    fn retry_after_s(&self) -> Option<u64> {
        None
    }
}

/// An internal failure: the public sees a fixed sentence, the log sees the context.
///
/// Every module error has a variant `Internal(#[from] Internal)`; a store's database error becomes
/// one through `Internal::new`.
pub struct Internal(Box<str>);

impl Internal {
    /// Wraps whatever went wrong. The text goes to the log only; it must hold no personal data.
    pub fn new(context: impl fmt::Display) -> Self {
        Self(context.to_string().into_boxed_str())
    }

    /// For the log.
    pub fn context(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Internal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something went wrong on our side; try again, and give the request id to support if it stays")
    }
}

impl fmt::Debug for Internal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Internal({})", self.0)
    }
}

impl std::error::Error for Internal {}
