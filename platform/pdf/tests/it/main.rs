//! Invoice tests.
