//! Durable job queue: retries, dead letters, schedules.
//!
//! [`enqueue`] writes a job in the caller's transaction, so it exists if and only if the fact does.
//! A worker ([`Jobs::run`]) in any process takes it when it is due, under a lease that it renews
//! while the handler runs: a job of a process that died is taken again. So a handler runs **at
//! least once** and must be idempotent. A failed job comes again after a growing while and becomes
//! a dead letter after its handler's number of attempts; a done one is deleted.
//!
//! A unique key admits one job of that key at a time, from the moment it is enqueued until it is
//! done (or dead and discarded). A handler that wants to come again returns [`JobError::Later`]
//! instead of enqueuing its own key.

mod schedule;
mod store;
mod worker;

pub use store::{Job, MIGRATIONS, NewJob, STATEMENTS, enqueue, enqueue_all, own_statements};
pub use worker::{JobError, JobHandler, Jobs, MAX_ATTEMPTS};
