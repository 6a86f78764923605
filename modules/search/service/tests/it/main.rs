//! Search through its contract, over a catalogue in memory.

// A helper that cannot do its work can but fail the test.
#![allow(clippy::unwrap_used)]

mod follow;
mod garbage;
mod luma;
mod shop;
