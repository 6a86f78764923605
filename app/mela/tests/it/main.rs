//! The built binary, as shoppers, staff, providers and hostile callers meet it.

// Helpers outside of test functions may unwrap too: a panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod server;
