use std::borrow::Cow;

use mela_base::ids::*;
use mela_base::{Id, Paise, Timestamp};

/// A parameter or a column.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// INTEGER 0/1 in SQLite, BOOLEAN in Postgres.
    Bool(bool),
    /// INTEGER, BIGINT.
    Int(i64),
    /// REAL, DOUBLE PRECISION.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BLOB, BYTEA.
    Bytes(Vec<u8>),
    /// BLOB of 16 bytes, UUID.
    Id(Id),
    /// INTEGER µs since the epoch, TIMESTAMPTZ.
    Time(Timestamp),
    /// TEXT, JSONB. Rows hold JSON as [`Value::Text`] until it is asked for.
    Json(serde_json::Value),
}

/// Shows the kind only: values can be personal data.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl Value {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Real(_) => "real",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Id(_) => "id",
            Self::Time(_) => "time",
            Self::Json(_) => "json",
        }
    }
}

/// What a column can be read as. `None` means another type.
pub trait FromValue: Sized {
    /// The conversion.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from {
    ($($from:ty => |$x:ident| $to:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($x: $from) -> Self { $to }
        }
    )*};
}

from! {
    bool => |x| Self::Bool(x);
    u8 => |x| Self::Int(x.into());
    u16 => |x| Self::Int(x.into());
    i32 => |x| Self::Int(x.into());
    u32 => |x| Self::Int(x.into());
    i64 => |x| Self::Int(x);
    f64 => |x| Self::Real(x);
    &str => |x| Self::Text(x.to_owned());
    String => |x| Self::Text(x);
    &String => |x| Self::Text(x.clone());
    Cow<'_, str> => |x| Self::Text(x.into_owned());
    Vec<u8> => |x| Self::Bytes(x);
    &Vec<u8> => |x| Self::Bytes(x.clone());
    &[u8] => |x| Self::Bytes(x.to_vec());
    Id => |x| Self::Id(x);
    Timestamp => |x| Self::Time(x);
    Paise => |x| Self::Int(x.0);
    serde_json::Value => |x| Self::Json(x);
    &serde_json::Value => |x| Self::Json(x.clone());
    &Value => |x| x.clone();
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(x: [u8; N]) -> Self {
        Self::Bytes(x.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(x: &[u8; N]) -> Self {
        Self::Bytes(x.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(x: Option<T>) -> Self {
        x.map_or(Self::Null, Into::into)
    }
}

impl<T: Clone + Into<Value>> From<&Option<T>> for Value {
    fn from(x: &Option<T>) -> Self {
        x.clone().map_or(Self::Null, Into::into)
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl FromValue for $t {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Int(x) => Self::try_from(*x).ok(),
                    _ => None,
                }
            }
        }
    )*};
}

integers!(i64, i32, u32, u16, u8);

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(x) => Some(*x),
            Value::Int(0) => Some(false),
            Value::Int(1) => Some(true),
            _ => None,
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Real(x) => Some(*x),
            // An average or a sum can come as a whole number.
            Value::Int(x) => Some(*x as Self),
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(x) => Some(x.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bytes(x) => Some(x.clone()),
            _ => None,
        }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bytes(x) => x.as_slice().try_into().ok(),
            _ => None,
        }
    }
}

impl FromValue for Id {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Id(x) => Some(*x),
            Value::Bytes(x) => x.as_slice().try_into().ok().map(Self::from_bytes),
            _ => None,
        }
    }
}

impl FromValue for Timestamp {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Time(x) => Some(*x),
            Value::Int(x) => Some(Self::from_micros(*x)),
            _ => None,
        }
    }
}

impl FromValue for Paise {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value).map(Paise)
    }
}

impl FromValue for serde_json::Value {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Json(x) => Some(x.clone()),
            Value::Text(x) => serde_json::from_str(x).ok(),
            _ => None,
        }
    }
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

macro_rules! typed_ids {
    ($($t:ident),* $(,)?) => {$(
        impl From<$t> for Value {
            fn from(id: $t) -> Self { Self::Id(id.0) }
        }

        impl FromValue for $t {
            fn from_value(value: &Value) -> Option<Self> { Id::from_value(value).map(Self) }
        }
    )*};
}

// Every typed id of mela_base::ids; one that is missing here does not compile where it is bound.
typed_ids!(
    PersonId,
    SessionId,
    StaffId,
    ProductId,
    VariantId,
    CategoryId,
    MediaId,
    ReviewId,
    LocationId,
    CartId,
    OrderId,
    OrderLineId,
    InvoiceId,
    PaymentId,
    RefundId,
    ShipmentId,
    AccountId,
    TransferId,
    HoldId,
    MatchId,
    MessageId,
    EventId,
    JobId,
    BlobId,
);
