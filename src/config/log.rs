//! `[log]`: what is logged.

use tracing::Level;

use super::reader::Section;
use super::schema::{Choice, Key, SectionSchema, Shape, names};

/// What is logged.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The least urgent level that is logged.
    pub level: Level,
}

impl Choice for Level {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("info", Self::INFO),
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("debug", Self::DEBUG),
        ("trace", Self::TRACE),
    ];
}

pub(super) const SCHEMA: SectionSchema =
    SectionSchema { name: "log", keys: &[Key::new("level", Shape::Choice(names::<Level>), "\"info\"")] };

pub(super) fn read(section: &mut Section<'_>) -> Option<LogConfig> {
    Some(LogConfig { level: section.choice("level")? })
}
