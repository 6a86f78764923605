//! The built binary, as shoppers, staff, providers and hostile callers meet it.

// Helpers outside of test functions may unwrap too: a panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_audit;
mod api_http;
mod api_limits;
mod api_live;
mod api_play;
mod api_rights;
mod api_statements;
mod browser;
mod cli_config;
mod cli_help;
mod cli_import;
mod cli_operate;
mod crash;
mod crash_truth;
mod main_job;
mod server;
