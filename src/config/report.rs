//! `[report]`: the account of a run.

use super::Secret;
use super::reader::Section;
use super::schema::{Key, SectionSchema, Shape};

/// The account of a run.
#[derive(Debug, Clone, Default)]
pub struct ReportConfig {
    /// The Ed25519 key that signs reports: PKCS#8, PEM.
    pub signing_key: Option<Secret>,
}

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "report",
    keys: &[Key::new("signing_key", Shape::Secret, "{ file = \"/run/secrets/report_key\" }")],
};

pub(super) fn read(section: &mut Section<'_>) -> ReportConfig {
    ReportConfig { signing_key: section.secret("signing_key") }
}
