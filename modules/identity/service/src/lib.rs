//! Module identity: its implementation.
