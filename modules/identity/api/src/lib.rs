//! Module identity: its contract.
