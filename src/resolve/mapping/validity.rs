//! From when until when a line of a mapping file holds: half-open, in UTC.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};

/// From when until when an address is somebody's: half-open, in epoch milliseconds. The ends of time are no bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Validity {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Validity {
    pub(super) const ALWAYS: Self = Self { from: i64::MIN, until: i64::MAX };

    /// The instant from which it holds; `None` where it has no bound.
    pub fn from(&self) -> Option<DateTime<Utc>> {
        Some(self.from).filter(|from| *from != i64::MIN).and_then(DateTime::from_timestamp_millis)
    }

    /// The instant at which it holds no longer; `None` where it has no bound.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        Some(self.until).filter(|until| *until != i64::MAX).and_then(DateTime::from_timestamp_millis)
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.from < other.until && other.from < self.until
    }

    pub(super) fn holds_at(self, instant: DateTime<Utc>) -> bool {
        (self.from..self.until).contains(&instant.timestamp_millis())
    }
}

impl fmt::Display for Validity {
    /// `from 2026-11-01 until 2026-11-15`; `always` without bounds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from(), self.until()) {
            (None, None) => f.write_str("always"),
            (Some(from), None) => write!(f, "from {}", shown(from)),
            (None, Some(until)) => write!(f, "until {}", shown(until)),
            (Some(from), Some(until)) => write!(f, "from {} until {}", shown(from), shown(until)),
        }
    }
}

/// The date, with the time where it isn't midnight.
fn shown(instant: DateTime<Utc>) -> String {
    if instant.time() == NaiveTime::MIN {
        instant.date_naive().to_string()
    } else {
        instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

/// Reads a bound: a date, which is its midnight, or RFC 3339. `None` where the field is empty.
pub(super) fn bound(field: &str) -> Result<Option<i64>, String> {
    const FORM: &str = "write it like 2026-11-15, which is its midnight in UTC, or 2026-11-15T09:00:00Z";
    if field.is_empty() {
        return Ok(None);
    }
    let is_date = field.len() == "2026-11-15".len();
    let date = NaiveDate::parse_from_str(field, "%Y-%m-%d").ok().filter(|_| is_date);
    let midnight = date.map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let instant = midnight.or_else(|| DateTime::parse_from_rfc3339(field).ok().map(|instant| instant.to_utc()));
    instant.map(|instant| Some(instant.timestamp_millis())).ok_or_else(|| format!("not a date: {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_dates_or_instants() {
        let day = Some(1_794_700_800_000);
        for form in ["2026-11-15", "2026-11-15T00:00:00Z", "2026-11-15T01:00:00+01:00", "2026-11-15t00:00:00.000z"] {
            assert_eq!(bound(form), Ok(day), "{form}");
        }
        assert_eq!(bound(""), Ok(None));
        for form in [
            "15.11.2026",
            "11/15/2026",
            "2026-11-15T09:00:00",
            "2026-11",
            "2026-1-5",
            "20261115",
            "2026-02-30",
            "46341",
        ] {
            assert!(bound(form).unwrap_err().starts_with("not a date"), "{form}");
        }
    }

    #[test]
    fn a_validity_is_half_open() {
        let at = |form: &str| bound(form).unwrap().unwrap();
        let november = Validity { from: at("2026-11-01"), until: at("2026-12-01") };
        let december = Validity { from: at("2026-12-01"), until: i64::MAX };
        assert!(!november.overlaps(december) && november.overlaps(Validity::ALWAYS));
        let midnight = DateTime::from_timestamp_millis(at("2026-12-01")).unwrap();
        assert!(!november.holds_at(midnight) && december.holds_at(midnight));
        assert_eq!(november.to_string(), "from 2026-11-01 until 2026-12-01");
        assert_eq!(
            Validity { from: at("2026-11-01T09:30:00Z"), until: i64::MAX }.to_string(),
            "from 2026-11-01T09:30:00Z"
        );
    }
}
