//! Instants and windows on the command line.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};

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

/// A window whose end lies after its beginning.
pub(super) fn window(from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Window, String> {
    if from < to {
        return Ok(Window { from, to });
    }
    Err(format!(
        "--from {} does not lie before --to {}; --to is the first instant after the window",
        shown(from),
        shown(to)
    ))
}

/// An instant as it is written on the command line, to the second.
pub(super) fn shown(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_midnights_in_utc() {
        assert_eq!(parse("2026-11-21"), parse("2026-11-21T00:00:00Z"));
        assert_eq!(parse("2026-11-21T01:00:00+01:00"), parse("2026-11-21"));
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-21 02:00"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
