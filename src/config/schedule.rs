//! `[schedule]`: when runs start, and which time they read.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};

/// When runs start, and which time they read.
#[derive(Debug, Clone)]
pub struct ScheduleConfig {
    /// From one run to the next; at least a second.
    pub every: Duration,
    /// The time of day in UTC that runs keep to. Then `every` divides a day or is a whole number of days. `None`: `every` after the last start.
    pub at: Option<NaiveTime>,
    /// How much of the time before a window is read again.
    pub overlap: Duration,
    /// How far a window stays behind the present.
    pub settle: Duration,
    /// Where the first window of all begins.
    pub first: FirstWindow,
}

/// Where the first window of all begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstWindow {
    /// So long before the first run; longer than `settle`.
    Lookback(Duration),
    /// At an instant.
    From(DateTime<Utc>),
}
