//! What every layer shares: ids, money, time, randomness, errors, limits.
//!
//! Nothing here does I/O and nothing here knows tokio. Clock and randomness are values ([`Env`])
//! that are passed in, so that a whole purchase history replays from a seed.

mod env;
mod error;
mod event;
mod gstin;
mod id;
pub mod ids;
mod money;
mod op;
mod page;
mod phone;
pub mod pincode;
mod time;

pub use env::{Clock, Env, ManualClock, OsRandom, Random, SeededRandom, SystemClock};
pub use error::{ErrorKind, Fault, Internal};
pub use event::Event;
pub use gstin::{Gstin, GstinError};
pub use id::{Id, IdError};
pub use money::{Paise, PaiseError};
pub use op::{Actor, Op, Role};
pub use page::{Page, PageRequest};
pub use phone::{Phone, PhoneError};
pub use time::{DAY_MS, HOUR_MS, IstDate, MINUTE_MS, SECOND_MS, Timestamp};
