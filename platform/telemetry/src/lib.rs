//! Logs, metrics, request ids.
