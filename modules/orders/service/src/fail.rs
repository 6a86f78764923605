use mela_base::Internal;
use mela_blob::BlobError;
use mela_catalog_api::CatalogError;
use mela_crypto::CryptoError;
use mela_db::DbError;
use mela_inventory_api::InventoryError;
use mela_jobs::JobError;
use mela_messaging_api::MessagingError;
use mela_orders_api::OrderError;
use mela_payments_api::PaymentError;
use mela_wallet_api::WalletError;

/// How something fails inside: what the caller is told, or what the database said, which decides
/// sometimes what to do next.
#[derive(Debug)]
pub(crate) enum Fail {
    Order(OrderError),
    Db(DbError),
}

impl Fail {
    pub(crate) fn internal(what: impl std::fmt::Display) -> Self {
        Self::Order(Internal::new(what).into())
    }

    /// The unique index that refused, if one did.
    pub(crate) fn unique(&self, name: &str) -> bool {
        matches!(self, Self::Db(error) if error.is_unique_named(name))
    }
}

impl From<Fail> for OrderError {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Order(error) => error,
            Fail::Db(error) => Self::Internal(error.into()),
        }
    }
}

impl From<Fail> for Internal {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Order(OrderError::Internal(internal)) => internal,
            Fail::Order(error) => Self::new(error),
            Fail::Db(error) => error.into(),
        }
    }
}

impl From<Fail> for JobError {
    fn from(fail: Fail) -> Self {
        Self::from(Internal::from(fail))
    }
}

impl From<OrderError> for Fail {
    fn from(error: OrderError) -> Self {
        Self::Order(error)
    }
}

impl From<DbError> for Fail {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<CryptoError> for Fail {
    fn from(error: CryptoError) -> Self {
        Self::internal(error)
    }
}

impl From<BlobError> for Fail {
    fn from(error: BlobError) -> Self {
        Self::internal(error)
    }
}

impl From<InventoryError> for Fail {
    fn from(error: InventoryError) -> Self {
        Self::Order(match error {
            InventoryError::OutOfStock { variant_id, available } => {
                OrderError::OutOfStock { variant_id, available }
            }
            InventoryError::Internal(internal) => internal.into(),
            other => Internal::new(other).into(),
        })
    }
}

impl From<WalletError> for Fail {
    fn from(error: WalletError) -> Self {
        Self::Order(match error {
            WalletError::NotEnoughCoins { available } => OrderError::NotEnoughCoins { available },
            WalletError::Internal(internal) => internal.into(),
            other => Internal::new(other).into(),
        })
    }
}

impl From<PaymentError> for Fail {
    fn from(error: PaymentError) -> Self {
        Self::Order(match error {
            PaymentError::Internal(internal) => internal.into(),
            other => other.into(),
        })
    }
}

impl From<CatalogError> for Fail {
    fn from(error: CatalogError) -> Self {
        Self::internal(error)
    }
}

impl From<MessagingError> for Fail {
    fn from(error: MessagingError) -> Self {
        match error {
            MessagingError::Internal(internal) => Self::Order(internal.into()),
            other => Self::internal(other),
        }
    }
}
