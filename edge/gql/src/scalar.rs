//! Scalars of our own, and ids as arguments.

use std::str::FromStr;

use async_graphql::{Error, ID, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use mela_base::{IdError, Paise, Timestamp};

use crate::error::invalid;

/// An amount of Indian rupees in integer paise (100 = ₹1).
#[derive(Clone, Copy)]
pub(crate) struct PaiseScalar(pub Paise);

#[Scalar(name = "Paise")]
impl ScalarType for PaiseScalar {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(n) => n
                .as_i64()
                .filter(|p| p.abs() <= Paise::MAX_AMOUNT.0)
                .map(|p| Self(Paise(p)))
                .ok_or_else(|| InputValueError::custom("an amount is a whole number of paise")),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::from(self.0.0)
    }
}

/// An instant, RFC 3339 in UTC.
#[derive(Clone, Copy)]
pub(crate) struct DateTime(pub Timestamp);

#[Scalar(name = "DateTime")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Timestamp::parse_rfc3339(text)
                .map(Self)
                .ok_or_else(|| InputValueError::custom("write a time as 2026-11-23T10:00:00Z")),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::from(self.0.to_string())
    }
}

/// Reads a typed id from an argument.
pub(crate) fn id<T: FromStr<Err = IdError>>(field: &str, id: &ID) -> Result<T, Error> {
    id.as_str().parse().map_err(|e: IdError| invalid("INVALID_ID", field, &e.to_string()))
}
