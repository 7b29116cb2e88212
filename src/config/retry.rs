//! `[retry]`: how often something that failed is tried again.

use std::time::Duration;

use super::form::{self, Wrong};
use super::reader::Section;
use super::schema::{Key, SectionSchema, Shape};

/// How often something that failed is tried again, at every remote.
#[derive(Debug, Clone)]
pub struct RetryConfig {
    /// How often it is tried within one run, the first time included; at least once.
    pub attempts: u32,
    /// The first pause.
    pub initial: Duration,
    /// The longest pause, unless the server asks for a longer one; at least `initial`.
    pub max: Duration,
    /// How long a delivery may stay pending before it counts as `mailbox_unavailable`.
    pub give_up: Duration,
}

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "retry",
    keys: &[
        Key::new("attempts", Shape::Integer, "6"),
        Key::new("initial", Shape::Duration, "\"500ms\""),
        Key::new("max", Shape::Duration, "\"30s\""),
        Key::new("give_up", Shape::Duration, "\"7d\""),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> RetryConfig {
    let attempts = section.or("attempts", 6, form::number(1..=100));
    let initial = section.or("initial", Duration::from_millis(500), form::duration);
    let max = section.or("max", Duration::from_secs(30), form::duration);
    let give_up = section.or("give_up", Duration::from_hours(7 * 24), form::duration);
    if max < initial {
        let key = if section.has("max") { "max" } else { "initial" };
        section.wrong(key, Wrong::new("the longest pause (retry.max) is shorter than the first one (retry.initial)"));
    }
    RetryConfig { attempts, initial, max, give_up }
}
