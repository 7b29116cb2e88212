//! `[schedule]`: when runs start, and which time they read.

use std::time::Duration;

use chrono::NaiveTime;

use super::form::{self, Invalid};
use super::reader::Section;
use super::schema::{Key, SectionSchema, Shape};
use crate::schedule::{Begin, Schedule};

const DAY: Duration = Duration::from_hours(24);

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "schedule",
    keys: &[
        Key::new("every", Shape::Duration, "\"24h\"").default(),
        Key::new("at", Shape::TimeOfDay, "\"02:00\""),
        Key::new("overlap", Shape::Duration, "\"24h\"").default(),
        Key::new("settle", Shape::Duration, "\"5m\"").default(),
        Key::new("first_lookback", Shape::Duration, "\"24h\"").default(),
        Key::new("start_from", Shape::Instant, "2026-11-01T00:00:00Z"),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<Schedule> {
    let every = section.or_default("every", form::duration_from(Duration::from_secs(1), "1s"));
    let at = section.optional("at", form::time_of_day);
    let overlap = section.duration("overlap");
    let settle = section.duration("settle");
    let lookback = section.duration("first_lookback");
    let start_from = section.optional("start_from", form::instant);
    if let Some(every) = every {
        check_keeps_to_time_of_day(section, every, at);
    }
    let holds_no_time = settle.zip(lookback).is_some_and(|(settle, lookback)| settle >= lookback);
    if section.has("start_from") && section.has("first_lookback") {
        let what = "contradicts first_lookback: both say where the first window begins";
        section.wrong("start_from", Invalid::with(what, "either first_lookback or start_from"));
    } else if start_from.is_none() && holds_no_time {
        let key = if section.has("first_lookback") { "first_lookback" } else { "settle" };
        section
            .wrong(key, Invalid::new("settle must be shorter than first_lookback, or the first window would be empty"));
    }
    let begin = start_from.map(Begin::At).or(lookback.map(|lookback| Begin::Lookback(span(lookback))));
    Some(Schedule { every: span(every?), at, overlap: span(overlap?), settle: span(settle?), begin: begin? })
}

fn span(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX)
}

fn check_keeps_to_time_of_day(section: &mut Section<'_>, every: Duration, at: Option<NaiveTime>) {
    let (every, day) = (every.as_millis(), DAY.as_millis());
    if at.is_some() && !day.is_multiple_of(every) && !every.is_multiple_of(day) {
        let what = "runs can't keep to a time of day: schedule.every neither divides a day nor is a number of days";
        section.wrong("at", Invalid::with(what, "no `at`, or every = \"24h\" (12h, 8h, 6h, 4h, …; 2d, 7d, …)"));
    }
}
