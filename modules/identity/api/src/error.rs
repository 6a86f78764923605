use mela_base::{ErrorKind, Fault, Internal, PhoneError};

/// How an identity call fails.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Not an Indian mobile number.
    #[error("{0}")]
    InvalidPhone(#[from] PhoneError),
    /// Too many codes asked for.
    #[error("too many codes were requested; wait {retry_after_s} seconds and try again")]
    TooManyRequests {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// Wrong, used, expired, or never sent: which one is not told.
    #[error("this code is not valid; check it, or ask for a new one")]
    InvalidCode,
    /// Five wrong tries.
    #[error("too many wrong codes; ask for a new one")]
    TooManyTries,
    /// No token, or one that does not verify.
    #[error("log in first: the access token is missing or not valid")]
    Unauthenticated,
    /// The access token has run out.
    #[error("the access token has expired; refresh it")]
    TokenExpired,
    /// The refresh token was used before or its session has ended.
    #[error("this session has ended; log in again")]
    SessionEnded,
    /// Wrong e-mail or password: which one is not told.
    #[error("e-mail or password is wrong")]
    WrongPassword,
    /// A value is wrong.
    #[error("{message}")]
    Invalid {
        /// Which input field.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// No such person.
    #[error("there is no such person")]
    PersonNotFound,
    /// Staff rights are missing.
    #[error("your role does not allow this; ask an owner")]
    Denied,
    /// The SMS provider does not answer.
    #[error("the code could not be sent right now; try again in a minute")]
    SmsUnavailable,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for IdentityError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidPhone(_) | Self::Invalid { .. } => ErrorKind::Invalid,
            Self::TooManyRequests { .. } | Self::TooManyTries => ErrorKind::Exhausted,
            Self::InvalidCode
            | Self::Unauthenticated
            | Self::TokenExpired
            | Self::SessionEnded
            | Self::WrongPassword => ErrorKind::Unauthenticated,
            Self::PersonNotFound => ErrorKind::NotFound,
            Self::Denied => ErrorKind::Denied,
            Self::SmsUnavailable => ErrorKind::Unavailable,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidPhone(_) => "INVALID_PHONE",
            Self::TooManyRequests { .. } => "TOO_MANY_REQUESTS",
            Self::InvalidCode => "INVALID_CODE",
            Self::TooManyTries => "TOO_MANY_TRIES",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::SessionEnded => "SESSION_ENDED",
            Self::WrongPassword => "WRONG_PASSWORD",
            Self::Invalid { .. } => "INVALID_PROFILE",
            Self::PersonNotFound => "PERSON_NOT_FOUND",
            Self::Denied => "IDENTITY_DENIED",
            Self::SmsUnavailable => "SMS_UNAVAILABLE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidPhone(_) => Some("phone"),
            Self::InvalidCode => Some("code"),
            Self::Invalid { field, .. } => Some(field),
            _ => None,
        }
    }

    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests { retry_after_s } => Some(*retry_after_s),
            _ => None,
        }
    }
}
