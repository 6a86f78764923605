//! How often something may happen: exact over a sliding window, in the database, so that neither
//! a restart nor a second process forgets.

use mela_base::{HOUR_MS, Timestamp};
use mela_db::Tx;
use mela_identity_api::IdentityError;

use crate::rules::{self, Limit};
use crate::stop::Stop;
use crate::store::{self, Hash};

/// What is limited, by its keyed hash, and how.
pub(crate) type Limited = (Hash, Limit);

pub(crate) fn per_hour(max: u32) -> Limit {
    Limit { max, window_ms: HOUR_MS, gap_ms: 0 }
}

/// Counts one event of each subject at `now`, or refuses if one of them has had too many.
pub(crate) fn admit(tx: &mut Tx<'_>, limited: &[Limited], now: Timestamp) -> Result<(), Stop> {
    let logs = locked(tx, limited.iter().map(|(s, _)| *s), now)?;
    let mut admitted = Vec::with_capacity(logs.len());
    let mut wait_ms = 0;
    for (subject, log) in &logs {
        let Some((_, limit)) = limited.iter().find(|(s, _)| s == subject) else { continue };
        match rules::admit(log, now, *limit) {
            Ok(log) => admitted.push((*subject, log, now.plus_ms(limit.window_ms))),
            Err(wait) => wait_ms = wait.max(wait_ms),
        }
    }
    if wait_ms > 0 {
        let retry_after_s = u64::try_from(wait_ms).unwrap_or(0).div_ceil(1_000);
        return Err(Stop(IdentityError::TooManyRequests { retry_after_s }));
    }
    Ok(store::put_limits(tx, &admitted)?)
}

/// Uncounts what [`admit`] counted at `at`.
pub(crate) fn take_back(tx: &mut Tx<'_>, limited: &[Limited], at: Timestamp) -> Result<(), Stop> {
    let mut logs = Vec::with_capacity(limited.len());
    for (subject, log) in locked(tx, limited.iter().map(|(s, _)| *s), at)? {
        if let Some((_, limit)) = limited.iter().find(|(s, _)| *s == subject) {
            logs.push((subject, rules::take_back(&log, at), at.plus_ms(limit.window_ms)));
        }
    }
    Ok(store::put_limits(tx, &logs)?)
}

/// In the order of the hashes, so that two callers never wait for each other in a circle.
fn locked(
    tx: &mut Tx<'_>,
    subjects: impl Iterator<Item = Hash>,
    now: Timestamp,
) -> Result<Vec<(Hash, Vec<u8>)>, Stop> {
    let mut subjects: Vec<Hash> = subjects.collect();
    subjects.sort_unstable();
    subjects.dedup();
    Ok(store::lock_limits(tx, &subjects, now)?)
}
