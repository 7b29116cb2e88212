//! `[report]`: the account of a run.

use super::document::Value;
use super::form::{self, Invalid};
use super::reader::Section;
use super::schema::{Key, SectionSchema, Shape};
use crate::secret::Secret;

/// The account of a run.
#[derive(Debug, Clone)]
pub struct ReportConfig {
    /// The Ed25519 key that signs reports: PKCS#8, PEM.
    pub signing_key: Option<Secret>,
    /// How many of a hundred deliveries of a run may fail by rule without a warning; 100: any number.
    pub max_failed_percent: u8,
}

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "report",
    keys: &[
        Key::new("signing_key", Shape::Secret, "{ file = \"/run/secrets/report_key\" }"),
        Key::new("max_failed_share", Shape::Percent, "\"20%\"").default(),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<ReportConfig> {
    let signing_key = section.secret("signing_key");
    let max_failed_percent = section.or_default("max_failed_share", percent);
    Some(ReportConfig { signing_key, max_failed_percent: max_failed_percent? })
}

/// A whole number of percent.
fn percent(value: &Value) -> Result<u8, Invalid> {
    let text = form::text(value)?;
    let digits =
        text.strip_suffix('%').map(str::trim_end).filter(|digits| digits.bytes().all(|it| it.is_ascii_digit()));
    let percent = digits.and_then(|digits| digits.parse().ok()).filter(|percent| *percent <= 100);
    percent.ok_or_else(|| Invalid::new("not a share: a whole number from 0% to 100% is expected"))
}
