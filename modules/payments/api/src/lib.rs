//! Module payments: its contract.
