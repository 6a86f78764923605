//! Module search: its contract.
