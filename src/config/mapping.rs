//! `[mapping]`: how participants are mapped to addresses.

use std::path::PathBuf;

use super::form::{self, Invalid};
use super::reader::Section;
use super::schema::{Key, SectionSchema, Shape};

/// How participants are mapped to addresses: at least one of the two ways is on.
#[derive(Debug, Clone)]
pub struct MappingConfig {
    /// Whether the item's e-mail property is used.
    pub automatic: bool,
    /// The administrator's mapping file, which is looked at first.
    pub custom: Option<PathBuf>,
}

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "mapping",
    keys: &[
        Key::new("automatic", Shape::Boolean, "true").default(),
        Key::new("custom", Shape::Text, "\"mapping.csv\""),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<MappingConfig> {
    let automatic = section.or_default("automatic", form::boolean);
    let custom = section.path("custom");
    if automatic == Some(false) && !section.has("custom") {
        let what = "without a custom mapping nobody is found, and nothing is imported";
        section.wrong("automatic", Invalid::with(what, "automatic = true, or custom = \"mapping.csv\""));
    }
    Some(MappingConfig { automatic: automatic?, custom })
}
