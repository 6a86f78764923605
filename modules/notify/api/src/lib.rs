//! Module notify: its contract.
