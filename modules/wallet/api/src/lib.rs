//! Module wallet: its contract.
