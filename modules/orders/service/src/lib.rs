//! Module orders: its implementation.
