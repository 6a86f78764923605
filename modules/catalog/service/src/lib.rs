//! Module catalog: its implementation.
