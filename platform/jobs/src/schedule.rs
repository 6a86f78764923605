use mela_base::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};

/// When a schedule is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Every {
    /// At the multiples of so many ms since the epoch.
    Ms(i64),
    /// Daily at this hour and minute of India.
    DailyIst {
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
    },
}

impl Every {
    /// The first time after `now`. Times that were missed are not made up for.
    pub(crate) fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ms(ms) => {
                let ms = ms.max(1);
                Timestamp::from_unix_ms((now.unix_ms().div_euclid(ms) + 1) * ms)
            }
            Self::DailyIst { hour, minute } => {
                let offset = i64::from(hour) * HOUR_MS + i64::from(minute) * MINUTE_MS;
                let today = now.ist_date().start().plus_ms(offset);
                if today > now { today } else { today.plus_ms(DAY_MS) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_times() {
        let at = |t: &str| Timestamp::parse_rfc3339(t).unwrap();
        let after = |e: Every, t: &str| e.after(at(t)).to_string();
        let five = Every::Ms(5 * MINUTE_MS);
        assert_eq!(after(five, "2026-01-05T04:31:00Z"), "2026-01-05T04:35:00.000Z");
        assert_eq!(after(five, "2026-01-05T04:35:00Z"), "2026-01-05T04:40:00.000Z");
        let breakfast = Every::DailyIst { hour: 7, minute: 30 };
        assert_eq!(after(breakfast, "2026-01-05T01:59:59Z"), "2026-01-05T02:00:00.000Z");
        assert_eq!(after(breakfast, "2026-01-05T02:00:00Z"), "2026-01-06T02:00:00.000Z");
        let night = Every::DailyIst { hour: 2, minute: 0 };
        assert_eq!(after(night, "2026-01-05T20:00:00Z"), "2026-01-05T20:30:00.000Z");
    }
}
