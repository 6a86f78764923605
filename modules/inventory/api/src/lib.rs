//! Module inventory: its contract.
