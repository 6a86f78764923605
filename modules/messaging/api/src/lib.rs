//! Module messaging: its contract.
