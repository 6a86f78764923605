//! Module wallet: its implementation.
