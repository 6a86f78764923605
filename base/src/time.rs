use std::fmt;

/// One second in ms.
pub const SECOND_MS: i64 = 1_000;
/// One minute in ms.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// One hour in ms.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day in ms.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// India has one time zone, 5:30 ahead of UTC, and no daylight saving.
const IST_OFFSET_MS: i64 = 5 * HOUR_MS + 30 * MINUTE_MS;

/// An instant: µs since the Unix epoch, UTC. Serialises as RFC 3339 text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// A calendar day in Indian Standard Time, which is the day that invoices and schedules mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IstDate {
    /// E.g. 2026.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Timestamp {
    /// From µs since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From ms since the epoch.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms * 1_000)
    }

    /// From whole seconds since the epoch.
    pub const fn from_unix_s(s: i64) -> Self {
        Self(s * 1_000_000)
    }

    /// µs since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// ms since the epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Seconds since the epoch.
    pub const fn unix_s(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// `ms` later (earlier if negative).
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
    }

    /// ms from `earlier` to `self`.
    pub const fn since_ms(self, earlier: Self) -> i64 {
        (self.0 - earlier.0).div_euclid(1_000)
    }

    /// The calendar day in India.
    pub fn ist_date(self) -> IstDate {
        let days = (self.unix_ms() + IST_OFFSET_MS).div_euclid(DAY_MS);
        // Howard Hinnant's civil-from-days.
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        IstDate {
            year: i32::try_from(year).unwrap_or(i32::MAX),
            month: u8::try_from(month).unwrap_or(1),
            day: u8::try_from(doy - (153 * mp + 2) / 5 + 1).unwrap_or(1),
        }
    }

    /// Hour and minute of the day in India.
    pub fn ist_hour_minute(self) -> (u8, u8) {
        let minutes = (self.unix_ms() + IST_OFFSET_MS).rem_euclid(DAY_MS) / MINUTE_MS;
        (u8::try_from(minutes / 60).unwrap_or(0), u8::try_from(minutes % 60).unwrap_or(0))
    }

    fn utc(self) -> time::OffsetDateTime {
        time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    }

    /// Reads RFC 3339 (`2026-11-23T10:00:00Z`).
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
            .ok()?;
        i64::try_from(at.unix_timestamp_nanos() / 1_000).ok().map(Self)
    }
}

impl IstDate {
    /// The Indian financial year of the day, which starts on 1 April: `(2026, 2027)` is FY 2026-27.
    pub fn financial_year(self) -> (i32, i32) {
        let start = if self.month >= 4 { self.year } else { self.year - 1 };
        (start, start + 1)
    }

    /// The instant at which the day begins in India.
    pub fn start(self) -> Timestamp {
        // Howard Hinnant's days-from-civil.
        let y = i64::from(self.year) - i64::from(self.month <= 2);
        let era = y.div_euclid(400);
        let yoe = y.rem_euclid(400);
        let m = i64::from(self.month);
        let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + i64::from(self.day) - 1;
        let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
        Timestamp::from_unix_ms(days * DAY_MS - IST_OFFSET_MS)
    }

    /// 0 = Monday … 6 = Sunday.
    pub fn weekday(self) -> u8 {
        let days = (self.start().unix_ms() + IST_OFFSET_MS).div_euclid(DAY_MS);
        u8::try_from((days + 3).rem_euclid(7)).unwrap_or(0)
    }
}

/// `2026-11-23`.
impl fmt::Display for IstDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Debug for IstDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// RFC 3339 in UTC with ms: `2026-11-23T10:00:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.utc();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse_rfc3339(&text).ok_or_else(|| {
            serde::de::Error::custom("expected an RFC 3339 time, e.g. 2026-11-23T10:00:00Z")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indian_days_and_years() {
        let at = |s: &str| Timestamp::parse_rfc3339(s).unwrap().ist_date();
        assert_eq!(at("2026-03-31T18:29:59Z").to_string(), "2026-03-31");
        assert_eq!(at("2026-03-31T18:30:00Z").to_string(), "2026-04-01");
        assert_eq!(at("2026-03-31T18:29:59Z").financial_year(), (2025, 2026));
        assert_eq!(at("2026-03-31T18:30:00Z").financial_year(), (2026, 2027));
        assert_eq!(at("2028-02-29T00:00:00Z").to_string(), "2028-02-29");
        assert_eq!(at("2026-11-23T00:00:00Z").weekday(), 0);
        let day = at("2026-11-23T12:00:00Z");
        assert_eq!(day.start().to_string(), "2026-11-22T18:30:00.000Z");
        assert_eq!(day.start().ist_date(), day);
    }
}
