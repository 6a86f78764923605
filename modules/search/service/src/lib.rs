//! Module search: its implementation.
