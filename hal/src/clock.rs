//! Time as values: [`Mono`] for deadlines, [`Wall`] for records. Only [`Clock::system`] reads a clock.
//!
//! Pure code takes `now` as a parameter, so a test moves time by hand and a replay can run in the past.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Nanoseconds since an arbitrary start; never runs backwards, never survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, d: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;
    fn sub(self, d: Duration) -> Mono {
        Mono(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Calendar time: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wall {
    /// Milliseconds since the Unix epoch.
    pub ms: i64,
    /// Whether the box has reason to believe it (the clock was set, and has not jumped back).
    pub trusted: bool,
}

impl Wall {
    /// A believed time, `ms` after the Unix epoch.
    pub const fn trusted(ms: i64) -> Wall {
        Wall { ms, trusted: true }
    }
}

/// RFC 3339 in UTC with milliseconds, e.g. `2026-11-22T10:15:00.250Z`.
impl std::fmt::Display for Wall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, ms) = (self.ms.div_euclid(MS_PER_DAY), self.ms.rem_euclid(MS_PER_DAY));
        let (year, month, day) = civil_from_days(days);
        let s = ms / 1000;
        let (h, m, s, ms) = (s / 3600, s / 60 % 60, s % 60, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// Reads `YYYY-MM-DD` or `YYYY-MM-DDThh:mm[:ss[.mmm]]Z`; the result is marked trusted.
impl std::str::FromStr for Wall {
    type Err = WallError;
    fn from_str(text: &str) -> Result<Wall, WallError> {
        let bad = || WallError { found: text.chars().take(40).collect() };
        let (date, time) = text.split_once('T').unwrap_or((text, "00:00Z"));
        let mut parts = date.split('-').map(number);
        let mut field = || parts.next().flatten().ok_or_else(bad);
        let (year, month, day) = (field()?, field()?, field()?);
        if parts.next().is_some() || !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
            return Err(bad());
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return Err(bad());
        }
        let clock = time.strip_suffix('Z').ok_or_else(bad)?;
        let (clock, millis) = clock.split_once('.').unwrap_or((clock, "0"));
        let millis = number(&format!("{millis:0<3}")).filter(|m| *m < 1000).ok_or_else(bad)?;
        let mut parts = clock.split(':').map(number);
        let (h, m) = (parts.next().flatten(), parts.next().flatten());
        let s = parts.next().unwrap_or(Some(0));
        match (h, m, s, parts.next()) {
            (Some(h @ 0..=23), Some(m @ 0..=59), Some(s @ 0..=59), None) => {
                Ok(Wall::trusted(days * MS_PER_DAY + ((h * 60 + m) * 60 + s) * 1000 + millis))
            }
            _ => Err(bad()),
        }
    }
}

/// Digits alone, and few enough that no sum of them overflows.
fn number(text: &str) -> Option<i64> {
    let fits = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// Text that is no date this project writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a UTC time; write 2026-11-22 or 2026-11-22T10:15Z")]
pub struct WallError {
    /// The first 40 characters of what was given.
    pub found: String,
}

/// Where `now` comes from: the system, or a hand that a test moves.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// The machine's own clocks; [`Mono`] counts from this call.
    pub fn system() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Monotonic time since this clock was made.
    pub fn mono(&self) -> Mono {
        Mono(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Calendar time; trusted from the day this version was built on, as an unset clock starts earlier.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn wall(&self) -> Wall {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        Wall { ms, trusted: ms >= NOT_BEFORE_MS }
    }
}

const MS_PER_DAY: i64 = 86_400_000;
/// 2026-01-01: no Headgate ran before it, so an earlier clock was never set.
const NOT_BEFORE_MS: i64 = 1_767_225_600_000;

/// Gregorian date of a day count from 1970-01-01 (proleptic; years 0..=9999 matter here).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468; // days from 0000-03-01
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = if month > 2 { month - 3 } else { month + 9 };
    let doy = (153 * mp + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_prints_as_rfc_3339_and_reads_back() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_342_500_250, "2026-11-22T10:15:00.250Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(Wall::trusted(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Wall::trusted(ms)));
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "tomorrow",
            "2026-13-01",
            "2026-02-30",
            "2026-02-00",
            "2026-11-22T24:00Z",
            "2026-11-22T10:15",
            "1-1-1-1",
            "2026-01-9223372036854775807",
            "2026-+1-01",
            "2026-11-22T10:15:00.-1Z",
        ] {
            assert!(text.parse::<Wall>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_deadline_never_overflows() {
        assert_eq!(Mono(u64::MAX) + Duration::MAX, Mono(u64::MAX));
        assert_eq!(Mono(3).since(Mono(5)), Duration::ZERO);
    }
}
