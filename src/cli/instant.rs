//! Instants and windows on the command line.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::window::Window;

/// RFC 3339, or a date: its midnight, UTC.
pub(super) fn parse(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(instant.with_timezone(&Utc));
    }
    let date: Result<NaiveDate, _> = text.parse();
    date.map(|date| date.and_time(NaiveTime::MIN).and_utc())
        .map_err(|_| "write 2026-11-21T02:00:00Z, or a date such as 2026-11-21 for its midnight in UTC".to_owned())
}

/// An instant, or a day that begins when its time zone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Instant(DateTime<Utc>),
    Day(NaiveDate),
}

impl Moment {
    /// RFC 3339, or a date.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let date = || text.parse().map(Self::Day).map_err(|_: chrono::ParseError| String::new());
        let read = DateTime::parse_from_rfc3339(text).map(|instant| Self::Instant(instant.with_timezone(&Utc)));
        read.or_else(|_| date()).map_err(|_| "write 2026-11-21T02:00:00Z, or a date such as 2026-11-21".to_owned())
    }

    /// The instant; of a day its first one in this time zone.
    pub(super) fn at(self, time_zone: Tz) -> DateTime<Utc> {
        match self {
            Self::Instant(instant) => instant,
            Self::Day(day) => first_of(day, time_zone),
        }
    }
}

/// The first instant of a day: midnight, or later where the clocks go forward over it.
fn first_of(day: NaiveDate, time_zone: Tz) -> DateTime<Utc> {
    /// Clocks were never put forward in steps that this doesn't meet.
    const STEP: TimeDelta = TimeDelta::minutes(15);
    let midnight = day.and_time(NaiveTime::MIN);
    let end = day.checked_add_days(Days::new(2)).map_or(NaiveDateTime::MAX, |end| end.and_time(NaiveTime::MIN));
    let times = std::iter::successors(Some(midnight), |time| time.checked_add_signed(STEP));
    let first = times.take_while(|time| *time < end).find_map(|time| time_zone.from_local_datetime(&time).earliest());
    first.map_or_else(|| midnight.and_utc(), |first| first.with_timezone(&Utc))
}

/// A time zone of the IANA database.
pub(super) fn time_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| "not a time zone of the IANA database, such as Europe/London or UTC".to_owned())
}

/// A window whose end lies after its beginning.
pub(super) fn window(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Window, String> {
    if from < to {
        return Ok(Window { from, to });
    }
    Err(format!("--from {} is not before --to {}; --to is the first instant after the window", shown(from), shown(to)))
}

/// An instant as it is written on the command line, to the second.
pub(super) fn shown(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_when_their_time_zone_says() {
        for (zone, date, first) in [
            ("UTC", "2026-03-29", "2026-03-29T00:00:00Z"),
            ("Europe/London", "2026-03-29", "2026-03-29T00:00:00Z"),
            ("Europe/London", "2026-03-30", "2026-03-29T23:00:00Z"),
            ("America/New_York", "2026-11-01", "2026-11-01T04:00:00Z"),
            // The clocks went from midnight to one.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
            // The day had its first hour twice.
            ("America/Havana", "2026-11-01", "2026-11-01T04:00:00Z"),
        ] {
            assert_eq!(
                Moment::parse(date).unwrap().at(time_zone(zone).unwrap()),
                parse(first).unwrap(),
                "{zone} {date}"
            );
        }
        let instant = Moment::parse("2026-11-21T02:00:00Z").unwrap();
        assert_eq!(instant.at(Tz::Europe__London), parse("2026-11-21T02:00:00Z").unwrap());
        assert!(time_zone("London").is_err() && Moment::parse("yesterday").is_err());
    }

    #[test]
    fn dates_are_midnights_in_utc() {
        assert_eq!(parse("2026-11-21"), parse("2026-11-21T00:00:00Z"));
        assert_eq!(parse("2026-11-21T01:00:00+01:00"), parse("2026-11-21"));
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-21 02:00"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
