use mela_base::{ErrorKind, Fault, Internal};

/// How a wallet call fails.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// Not that many coins.
    #[error("you have {available} coins to spend; use at most that many")]
    NotEnoughCoins {
        /// What could be spent.
        available: i64,
    },
    /// The id stands for another movement already.
    #[error("this movement was booked before with other content; use a new key for a new movement")]
    TransferDiffers,
    /// A value is wrong.
    #[error("{message}")]
    Invalid {
        /// Which input field.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The caller must log in or start a guest session.
    #[error("log in or start a guest session first")]
    Unauthenticated,
    /// Staff rights are missing.
    #[error("your role does not allow giving coins; ask a manager")]
    Denied,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for WalletError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotEnoughCoins { .. } | Self::TransferDiffers => ErrorKind::Conflict,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::Denied => ErrorKind::Denied,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotEnoughCoins { .. } => "NOT_ENOUGH_COINS",
            Self::TransferDiffers => "TRANSFER_DIFFERS",
            Self::Invalid { .. } => "INVALID_TRANSFER",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Denied => "WALLET_DENIED",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            _ => None,
        }
    }
}

impl From<mela_db::DbError> for WalletError {
    fn from(error: mela_db::DbError) -> Self {
        Self::Internal(Internal::new(error))
    }
}
