//! Half-open windows of receiving time, `[from, to)`, and days.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A day in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// A half-open span of TeleMessage's receiving time (`gatewayReceivedDate`), to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first instant that belongs to the window.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub to: DateTime<Utc>,
}

impl Window {
    /// Whether `instant` lies in the window.
    pub fn contains(&self, instant: DateTime<Utc>) -> bool {
        self.from <= instant && instant < self.to
    }

    /// The window's name in staging: both ends in UTC, sortable, without characters that a path or a URL would need quoted:
    /// `20261121T020000.000Z_20261122T020000.000Z`.
    pub fn staging_name(&self) -> String {
        const FORM: &str = "%Y%m%dT%H%M%S%.3fZ";
        format!("{}_{}", self.from.format(FORM), self.to.format(FORM))
    }
}

impl Window {
    /// The window of a name in staging; `None` where it isn't one.
    pub fn parse_staging_name(name: &str) -> Option<Self> {
        let instant = |text: &str| Some(NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S%.fZ").ok()?.and_utc());
        let (from, to) = name.split_once('_')?;
        let window = Self { from: instant(from)?, to: instant(to)? };
        (window.staging_name() == name).then_some(window)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to {}",
            self.from.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            self.to.to_rfc3339_opts(SecondsFormat::AutoSi, true)
        )
    }
}

/// The day of an instant, since 1970 in UTC.
pub fn day_of(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_millis().div_euclid(DAY)
}

/// When a day since 1970 ended; nothing where no clock says so.
pub fn end_of_day(day: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(day.checked_add(1)?.checked_mul(DAY)?)
}
