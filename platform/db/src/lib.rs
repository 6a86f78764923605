//! One SQL text on two engines: SQLite with group commit, PostgreSQL with retries.
