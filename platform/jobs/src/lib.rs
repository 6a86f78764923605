//! Durable job queue: retries, dead letters, schedules.
