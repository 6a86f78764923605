//! Module play: its contract.
