use mela_base::{ErrorKind, Fault, Internal};

/// How a catalogue call fails.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No such product, or not visible to the caller.
    #[error("there is no such product; it may have been taken out of the shop")]
    ProductNotFound,
    /// No such variant.
    #[error("there is no such variant; load the product again")]
    VariantNotFound,
    /// A value is wrong.
    #[error("{message}")]
    Invalid {
        /// Which input field.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Staff rights are missing.
    #[error("your role does not allow changes of the catalogue; ask a manager")]
    Denied,
    /// Our fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl Fault for CatalogError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ProductNotFound | Self::VariantNotFound => ErrorKind::NotFound,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Denied => ErrorKind::Denied,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::ProductNotFound => "PRODUCT_NOT_FOUND",
            Self::VariantNotFound => "VARIANT_NOT_FOUND",
            Self::Invalid { .. } => "INVALID_PRODUCT",
            Self::Denied => "CATALOG_DENIED",
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

impl From<mela_db::DbError> for CatalogError {
    fn from(error: mela_db::DbError) -> Self {
        Self::Internal(Internal::new(error))
    }
}
