//! Module shipping: its implementation.
