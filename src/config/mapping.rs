//! `[mapping]`: how participants are mapped to addresses.

use std::path::PathBuf;

/// How participants are mapped to addresses: at least one of the two ways is on.
#[derive(Debug, Clone)]
pub struct MappingConfig {
    /// Whether the item's e-mail property is used.
    pub automatic: bool,
    /// The administrator's mapping file, which is looked at first.
    pub custom: Option<PathBuf>,
}
