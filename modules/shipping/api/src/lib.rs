//! Module shipping: its contract.
