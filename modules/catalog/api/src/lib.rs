//! Module catalog: its contract.
