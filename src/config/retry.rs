//! `[retry]`: how often something that failed is tried again.

use std::time::Duration;

use super::form::Invalid;
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
        Key::new("attempts", Shape::Integer(1, 100), "6").default(),
        Key::new("initial", Shape::Duration, "\"500ms\"").default(),
        Key::new("max", Shape::Duration, "\"30s\"").default(),
        Key::new("give_up", Shape::Duration, "\"7d\"").default(),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<RetryConfig> {
    let attempts = section.number("attempts");
    let (initial, max) = (section.duration("initial"), section.duration("max"));
    let give_up = section.duration("give_up");
    if max.zip(initial).is_some_and(|(max, initial)| max < initial) {
        let key = if section.has("max") { "max" } else { "initial" };
        section.wrong(key, Invalid::new("the longest pause (retry.max) is shorter than the first one (retry.initial)"));
    }
    Some(RetryConfig { attempts: attempts?, initial: initial?, max: max?, give_up: give_up? })
}
