//! Module play: its implementation.
