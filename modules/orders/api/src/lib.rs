//! Module orders: its contract.
