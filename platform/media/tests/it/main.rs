//! Media tests.
