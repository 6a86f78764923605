//! Module inventory: its implementation.
