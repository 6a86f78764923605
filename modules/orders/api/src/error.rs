use mela_base::ids::VariantId;
use mela_base::{ErrorKind, Fault, Internal};
use mela_payments_api::PaymentError;

/// How an orders call fails.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No such cart, or somebody else's.
    #[error("there is no such cart; start a new one")]
    CartNotFound,
    /// Changed by another request at the same time, more often than could be retried.
    #[error("the cart was changed at the same time elsewhere; load it again")]
    CartChanged,
    /// It has become an order.
    #[error("this cart was already ordered; start a new one")]
    CartPlaced,
    /// Nothing in it.
    #[error("the cart is empty; put something into it first")]
    CartEmpty,
    /// No address yet.
    #[error("the delivery address is missing; set it first")]
    AddressMissing,
    /// A variant that does not exist or is not sold any more.
    #[error("one of the items is not sold any more; take it out of the cart")]
    NotForSale {
        /// Which variant.
        variant_id: VariantId,
    },
    /// Too few left.
    #[error("only {available} left of one of the items; reduce the quantity and try again")]
    OutOfStock {
        /// Which variant.
        variant_id: VariantId,
        /// How many could be had.
        available: i64,
    },
    /// No courier goes there.
    #[error("we cannot deliver to this pincode yet")]
    NotDeliverable,
    /// Not this way of paying.
    #[error("{0}")]
    MethodUnavailable(String),
    /// Prices, charges or coins changed since the shopper looked.
    #[error("the amount to pay is now {now}, not {expected}; check it and confirm again")]
    TotalChanged {
        /// What the shopper saw.
        expected: mela_base::Paise,
        /// What it is.
        now: mela_base::Paise,
    },
    /// The key stands for another request already.
    #[error(
        "this idempotency key was used before with other content; use a new key for a new order"
    )]
    KeyReused,
    /// The coupon cannot be used.
    #[error("{0}")]
    CouponRefused(String),
    /// Fewer coins than that.
    #[error("you have {available} coins to spend; use at most that many")]
    NotEnoughCoins {
        /// What could be spent.
        available: i64,
    },
    /// No such order, or somebody else's.
    #[error("there is no such order")]
    OrderNotFound,
    /// The state machine says no.
    #[error("the order is {state} and cannot be changed that way")]
    WrongState {
        /// Where it stands.
        state: &'static str,
    },
    /// Not rendered yet.
    #[error("the invoice is not ready yet; try again in a moment")]
    InvoiceNotReady,
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
    #[error("your role does not allow this; ask somebody with more rights")]
    Denied,
    /// From payments.
    #[error(transparent)]
    Payment(#[from] PaymentError),
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for OrderError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::CartNotFound | Self::OrderNotFound => ErrorKind::NotFound,
            Self::CartChanged
            | Self::CartPlaced
            | Self::CartEmpty
            | Self::AddressMissing
            | Self::NotForSale { .. }
            | Self::OutOfStock { .. }
            | Self::NotDeliverable
            | Self::MethodUnavailable(_)
            | Self::TotalChanged { .. }
            | Self::KeyReused
            | Self::CouponRefused(_)
            | Self::NotEnoughCoins { .. }
            | Self::WrongState { .. } => ErrorKind::Conflict,
            Self::InvoiceNotReady => ErrorKind::Unavailable,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::Denied => ErrorKind::Denied,
            Self::Payment(inner) => inner.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::CartNotFound => "CART_NOT_FOUND",
            Self::CartChanged => "CART_CHANGED",
            Self::CartPlaced => "CART_PLACED",
            Self::CartEmpty => "CART_EMPTY",
            Self::AddressMissing => "ADDRESS_MISSING",
            Self::NotForSale { .. } => "NOT_FOR_SALE",
            Self::OutOfStock { .. } => "OUT_OF_STOCK",
            Self::NotDeliverable => "NOT_DELIVERABLE",
            Self::MethodUnavailable(_) => "METHOD_UNAVAILABLE",
            Self::TotalChanged { .. } => "TOTAL_CHANGED",
            Self::KeyReused => "KEY_REUSED",
            Self::CouponRefused(_) => "COUPON_REFUSED",
            Self::NotEnoughCoins { .. } => "NOT_ENOUGH_COINS",
            Self::OrderNotFound => "ORDER_NOT_FOUND",
            Self::WrongState { .. } => "ORDER_WRONG_STATE",
            Self::InvoiceNotReady => "INVOICE_NOT_READY",
            Self::Invalid { .. } => "INVALID_ORDER",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Denied => "ORDERS_DENIED",
            Self::Payment(inner) => inner.code(),
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            Self::CouponRefused(_) => Some("coupon"),
            _ => None,
        }
    }
}
