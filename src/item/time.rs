//! Times as items state them: epoch milliseconds, or an instant written out.

use std::borrow::Cow;

use chrono::{DateTime, Duration, NaiveDate, TimeZone as _, Utc};

use super::characters::{ascii_digit, is_invisible};
use super::reading::{text, whole_part};

/// An instant that an item states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatedTime {
    /// In epoch milliseconds.
    pub millis: i64,
    /// Whether a WhatsApp message can have it.
    pub is_possible: bool,
}

impl StatedTime {
    pub(super) fn new(millis: i64, staged_at: DateTime<Utc>) -> Self {
        Self { millis, is_possible: possible(millis, staged_at).is_some() }
    }

    /// The instant, where it is possible.
    pub fn instant(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.millis).filter(|_| self.is_possible)
    }
}

/// How far a message's own time may lie after the time at which it was received, and that after the time at which it was staged.
pub const MAX_AHEAD: Duration = Duration::days(2);

/// An instant that a WhatsApp message can have: from 2009, when WhatsApp began, to [`MAX_AHEAD`] after it was `known`.
pub(super) fn possible(millis: i64, known: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let instant = Utc.timestamp_millis_opt(millis).single()?;
    let first = NaiveDate::from_ymd_opt(2009, 1, 1)?.and_hms_opt(0, 0, 0)?.and_utc();
    (first..=known + MAX_AHEAD).contains(&instant).then_some(instant)
}

/// Epoch milliseconds, as a number or as text, a fraction cut off; or an instant in the form of ISO 8601 with its offset
/// from UTC. Without an offset it could be any of a day's instants, and isn't read.
pub(super) fn millis(raw: &str) -> Option<i64> {
    let said = text(raw)?;
    let said = plain(&said);
    let said = said.trim();
    said.parse()
        .ok()
        .or_else(|| whole_part(said).filter(|_| !is_rounded(said)).map(|(whole, _)| whole))
        .or_else(|| written_out(said))
}

/// Without what shows nothing, and with digits of any script as those of ASCII.
fn plain(said: &str) -> Cow<'_, str> {
    if said.is_ascii() {
        return Cow::Borrowed(said);
    }
    let shown = said.chars().filter(|&character| !is_invisible(character));
    Cow::Owned(shown.map(|character| ascii_digit(character).unwrap_or(character)).collect())
}

/// Whether a value is epoch milliseconds in plain digits, so that its number alone says what came.
pub(super) fn is_plain_number(raw: &str) -> bool {
    raw.trim_matches('"').parse::<i64>().is_ok()
}

/// Whether a number with an exponent has so few digits that a spreadsheet has rounded it.
fn is_rounded(said: &str) -> bool {
    const MIN_DIGITS: usize = 8;
    let mantissa = said.split_once(['e', 'E']).map(|(mantissa, _)| mantissa);
    mantissa.is_some_and(|mantissa| mantissa.bytes().filter(u8::is_ascii_digit).count() < MIN_DIGITS)
}

fn written_out(said: &str) -> Option<i64> {
    const FORMS: [&str; 10] = [
        "%Y-%m-%dT%H:%M:%S%.f%#z",
        "%Y-%m-%d %H:%M:%S%.f%#z",
        "%Y-%m-%d %H:%M:%S%.f %#z",
        "%Y-%m-%dT%H:%M%#z",
        "%Y-%m-%d %H:%M%#z",
        "%Y-%m-%d %H:%M %#z",
        "%Y%m%dT%H%M%S%.f%#z",
        "%Y%m%dT%H%M%#z",
        "%Y-%jT%H:%M:%S%.f%#z",
        "%G-W%V-%uT%H:%M:%S%.f%#z",
    ];
    if said.len() > 64 || !said.is_ascii() {
        return None;
    }
    if let Ok(at) = DateTime::parse_from_rfc2822(said) {
        return is_certain(said).then(|| at.timestamp_millis());
    }
    // The name of a zone in brackets repeats the offset (RFC 9557).
    let said = said.strip_suffix(']').and_then(|said| said.split_once('[')).map_or(said, |(instant, _)| instant);
    let said = said.to_ascii_uppercase().replacen(',', ".", 1);
    let zoned = ["UTC", "GMT", "Z"].into_iter().find_map(|zone| said.strip_suffix(zone));
    let said = zoned.map_or_else(|| said.clone(), |local| format!("{}+0000", local.trim_end()));
    let is_form = |form: &&str| !form.contains("%j") || said.find('T') == Some("2026-312".len());
    let at = FORMS.into_iter().filter(is_form).find_map(|form| DateTime::parse_from_str(&said, form).ok());
    at.map(|at| at.timestamp_millis())
}

/// Whether a date of a mail has a year of four digits and a zone that means one thing only: an offset or GMT.
fn is_certain(said: &str) -> bool {
    let mut words = said.split_ascii_whitespace();
    let has_year = words.clone().any(|word| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit()));
    let zone = words.next_back().unwrap_or_default().to_ascii_uppercase();
    has_year && (zone.starts_with(['+', '-']) || ["GMT", "UT", "UTC"].contains(&zone.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_come_in_many_forms() {
        const AT: i64 = 1_794_132_898_250;
        for raw in [
            "1794132898250",
            "1794132898250.75",
            "1.79413289825e12",
            r#"" 1794132898250 ""#,
            r#""1794132898250.0""#,
            r#""2026-11-08T10:14:58.250Z""#,
            r#""2026-11-08t11:14:58.25+01:00""#,
            r#""2026-11-08 05:14:58.250 -0500""#,
            r#""2026-11-08 10:14:58,250 UTC""#,
            r#""20261108T101458.250Z""#,
            r#""2026-W45-7T10:14:58.25Z""#,
            r#""2026-312T10:14:58.25Z""#,
            r#""2026-11-08T11:14:58.25+01:00[Europe/Berlin]""#,
            "\"\u{200e}１７９４１３２８９８２５０\"",
            "\"\u{2066}2026-11-08T10:14:58.25Z\u{2069}\"",
            "[1794132898250]",
        ] {
            assert_eq!(millis(raw), Some(AT), "{raw}");
        }
        assert_eq!(millis(r#""2026-11-08T10:14Z""#), Some(1_794_132_840_000));
        for rfc_5322 in [r#""Sun, 8 Nov 2026 10:14:58 GMT""#, r#""Sun, 08 Nov 2026 05:14:58 -0500""#] {
            assert_eq!(millis(rfc_5322), Some(1_794_132_898_000), "{rfc_5322}");
        }
        for raw in [
            r#""2026-11-08T10:14:58""#,
            r#""soon""#,
            r#"{"$date":1}"#,
            "true",
            "9e18",
            r#""2026-13-08T10:14:58Z""#,
            r#""inf""#,
            "[1,2]",
            r#""1,794,132,898,250""#,
            r#""2026-11T10:14:58Z""#,
            r#""Sun, 8 Nov 2026 10:14:58 A""#,
            r#""Sun, 8 Nov 26 10:14:58 GMT""#,
            r#""1.79413E+12""#,
        ] {
            assert_eq!(millis(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_day_before_whatsapp_and_one_after_tomorrow_are_impossible() {
        let staged_at = DateTime::from_timestamp_millis(1_794_132_898_250).unwrap();
        for (millis, is_possible) in
            [(0, false), (1_230_767_999_999, false), (1_230_768_000_000, true), (1_794_132_898, false)]
        {
            assert_eq!(StatedTime::new(millis, staged_at), StatedTime { millis, is_possible });
        }
        assert!(StatedTime::new(i64::MAX, staged_at).instant().is_none());
    }
}
