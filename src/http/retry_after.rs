//! The times in a reply: `Retry-After` (RFC 9110, 10.2.3), seconds or a date in any of the three forms of HTTP (5.6.7),
//! and `Date` (6.6.1).

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The longest pause that is honoured. A server that asks for more is asked again after it.
pub const MAX_PAUSE: Duration = Duration::from_hours(24);

/// The pause that a reply asks for, at most a day; zero where its date is past, `None` where there is none that can be read.
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large to read is a long pause, not none.
        value.parse().map_or(MAX_PAUSE, Duration::from_secs)
    } else {
        (http_date(value)? - now).to_std().unwrap_or(Duration::ZERO)
    };
    Some(pause.min(MAX_PAUSE))
}

/// What an error's words say of the end of a pause that isn't waited for.
pub fn not_before(end: Option<DateTime<Utc>>) -> String {
    end.map_or_else(String::new, |end| format!(", not before {}", end.to_rfc3339_opts(SecondsFormat::Secs, true)))
}

/// When the reply was made, by its server's clock; `None` where it doesn't say.
pub fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    http_date(headers.get(DATE)?.to_str().ok()?.trim())
}

fn http_date(value: &str) -> Option<DateTime<Utc>> {
    const RFC_850: &str = "%A, %d-%b-%y %H:%M:%S GMT";
    const ASCTIME: &str = "%a %b %e %H:%M:%S %Y";
    let imf_fixdate = DateTime::parse_from_rfc2822(value).map(|date| date.to_utc());
    let obsolete = |form| NaiveDateTime::parse_from_str(value, form).map(|date| date.and_utc());
    imf_fixdate.or_else(|_| obsolete(RFC_850)).or_else(|_| obsolete(ASCTIME)).ok()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use reqwest::header::HeaderValue;

    use super::*;

    fn asked_for(value: &str) -> Option<Duration> {
        let now = Utc.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_bytes(value.as_bytes()).unwrap())]);
        retry_after(&headers, now)
    }

    #[test]
    fn seconds() {
        assert_eq!(asked_for("0"), Some(Duration::ZERO));
        assert_eq!(asked_for(" 120 "), Some(Duration::from_mins(2)));
    }

    #[test]
    fn every_form_of_http_date() {
        let ninety_seconds = Some(Duration::from_secs(90));
        assert_eq!(asked_for("Sat, 21 Nov 2026 12:01:30 GMT"), ninety_seconds);
        assert_eq!(asked_for("Saturday, 21-Nov-26 12:01:30 GMT"), ninety_seconds);
        assert_eq!(asked_for("Sat Nov 21 12:01:30 2026"), ninety_seconds);
        let in_four_hours = Utc.with_ymd_and_hms(2026, 11, 6, 8, 49, 37).unwrap();
        assert_eq!(http_date("Fri Nov  6 08:49:37 2026"), Some(in_four_hours));
    }

    #[test]
    fn a_past_date_is_no_pause() {
        assert_eq!(asked_for("Sat, 21 Nov 2026 11:59:59 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn a_day_is_the_longest_pause() {
        assert_eq!(asked_for("86401"), Some(MAX_PAUSE));
        assert_eq!(asked_for("99999999999999999999999"), Some(MAX_PAUSE));
        assert_eq!(asked_for("Sat, 21 Nov 2099 12:00:00 GMT"), Some(MAX_PAUSE));
    }

    #[test]
    fn anything_else_is_no_answer() {
        for garbage in ["", "soon", "-5", "1.5", "12 seconds", "Sat, 21 Foo 2026 12:01:30 GMT", "\u{fc}"] {
            assert_eq!(asked_for(garbage), None, "{garbage}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Utc.timestamp_opt(0, 0).unwrap()), None);
    }
}
