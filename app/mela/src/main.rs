//! The Mela binary.
fn main() {}
