//! Play owns matches, their results and the leaderboards.
//!
//! Invariants:
//! - The server decides: its clock, one answer per question, points computed here.
//! - A person's result of a match is written once, with the points and coins, in one transaction;
//!   a repeat finds it written. Coins come from playing alone and have a daily limit.
//! - A match that ran when its process died is settled by what had been scored.
//! - What a player missed while the connection was gone is sent again, once, in order.

mod boards;
mod hub;
mod jobs;
mod questions;
mod quiz;
mod room;
mod service;
mod settle;
mod store;

pub use questions::{Question, read_questions};
pub use quiz::QuizConfig;
pub use service::PlayService;
pub use store::{MIGRATIONS, STATEMENTS};
