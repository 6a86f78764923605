use mela_base::Internal;

/// Why the database did not do it. No variant ever carries a parameter's value, so an error may be
/// logged as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// A UNIQUE index or primary key refused a row. See [`DbError::is_unique_named`] for the name.
    #[error("unique constraint {constraint} refused the row")]
    Unique {
        /// The index's name.
        constraint: String,
    },
    /// A CHECK refused a row.
    #[error("check constraint {constraint} refused the row")]
    Check {
        /// The constraint's name.
        constraint: String,
    },
    /// A foreign key refused a row.
    #[error("a foreign key refused the row")]
    ForeignKey,
    /// Not exactly one row (`one`), or more than one (`opt`).
    #[error("{0} did not find exactly one row")]
    NotOne(&'static str),
    /// A value had another type than asked for.
    #[error("type: {0}")]
    Type(String),
    /// Two transactions collided. Retried by the driver; seen outside only when the tries ran out.
    #[error("the transaction kept colliding with others")]
    Serialization,
    /// Closed, cannot connect, lost while committing, or busy beyond the bounded queue.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// Everything else.
    #[error("{0}")]
    Other(String),
}

impl DbError {
    /// Whether a unique index or primary key refused a row.
    pub fn is_unique(&self) -> bool {
        matches!(self, Self::Unique { .. })
    }

    /// Whether the unique index of this name refused a row. The name is that of
    /// `CREATE UNIQUE INDEX`; for a primary key `table_pkey`, for a UNIQUE in the table's
    /// definition `table_column_key`, on both engines.
    pub fn is_unique_named(&self, name: &str) -> bool {
        matches!(self, Self::Unique { constraint } if constraint == name)
    }

    /// Whether a CHECK refused a row.
    pub fn is_check(&self) -> bool {
        matches!(self, Self::Check { .. })
    }

    /// Whether the CHECK of this name (`CONSTRAINT name CHECK (…)`) refused a row.
    pub fn is_check_named(&self, name: &str) -> bool {
        matches!(self, Self::Check { constraint } if constraint == name)
    }

    /// Whether the same call may work later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(crate) fn unavailable(text: impl std::fmt::Display) -> Self {
        Self::Unavailable(text.to_string())
    }

    pub(crate) fn other(text: impl std::fmt::Display) -> Self {
        Self::Other(text.to_string())
    }
}

impl From<DbError> for Internal {
    fn from(error: DbError) -> Self {
        Self::new(format_args!("database: {error}"))
    }
}
