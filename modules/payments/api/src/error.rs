use mela_base::{ErrorKind, Fault, Internal};

/// How a payment call fails.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// No such payment.
    #[error("there is no such payment; load the order again")]
    PaymentNotFound,
    /// A gateway that is not set up.
    #[error("this way of paying is not available here; choose another one")]
    MethodUnavailable,
    /// The gateway does not answer.
    #[error(
        "the payment service does not answer right now; your order is kept, try to pay again in a minute"
    )]
    GatewayUnavailable,
    /// The gateway refused.
    #[error("the payment service refused: {0}")]
    GatewayRefused(String),
    /// Forged, altered or signed with another key.
    #[error("the signature does not match; nothing was done")]
    BadSignature,
    /// Not what the gateway's contract says.
    #[error("this message cannot be read: {0}")]
    Malformed(&'static str),
    /// More than was captured.
    #[error("at most the captured amount can be refunded")]
    RefundTooLarge,
    /// The payment is in no state for this.
    #[error("the payment is in a state that does not allow this; load the order again")]
    WrongState,
    /// The id stands for another refund already.
    #[error("this refund was asked for before with another amount; use a new key for a new refund")]
    RefundDiffers,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for PaymentError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::PaymentNotFound => ErrorKind::NotFound,
            Self::GatewayUnavailable => ErrorKind::Unavailable,
            Self::BadSignature => ErrorKind::Denied,
            Self::Malformed(_) => ErrorKind::Invalid,
            Self::MethodUnavailable
            | Self::GatewayRefused(_)
            | Self::RefundTooLarge
            | Self::WrongState
            | Self::RefundDiffers => ErrorKind::Conflict,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::PaymentNotFound => "PAYMENT_NOT_FOUND",
            Self::MethodUnavailable => "METHOD_UNAVAILABLE",
            Self::GatewayUnavailable => "GATEWAY_UNAVAILABLE",
            Self::GatewayRefused(_) => "GATEWAY_REFUSED",
            Self::BadSignature => "BAD_SIGNATURE",
            Self::Malformed(_) => "MALFORMED_MESSAGE",
            Self::RefundTooLarge => "REFUND_TOO_LARGE",
            Self::WrongState => "PAYMENT_WRONG_STATE",
            Self::RefundDiffers => "REFUND_DIFFERS",
            Self::Internal(_) => "INTERNAL",
        }
    }
}

impl From<mela_db::DbError> for PaymentError {
    fn from(error: mela_db::DbError) -> Self {
        Self::Internal(Internal::new(error))
    }
}
