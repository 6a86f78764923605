//! Module payments: its implementation.
