use mela_base::Internal;
use mela_crypto::CryptoError;
use mela_db::DbError;
use mela_identity_api::IdentityError;

/// Leaves a transaction and undoes it. What must stay written is an `Ok` of its own instead.
pub(crate) struct Stop(pub(crate) IdentityError);

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        Self(IdentityError::Internal(error.into()))
    }
}

impl From<CryptoError> for Stop {
    fn from(error: CryptoError) -> Self {
        Self(IdentityError::Internal(Internal::new(error)))
    }
}

impl From<IdentityError> for Stop {
    fn from(error: IdentityError) -> Self {
        Self(error)
    }
}

impl From<Stop> for IdentityError {
    fn from(stop: Stop) -> Self {
        stop.0
    }
}
