//! Module notify: its implementation.
