//! Module messaging: its implementation.
