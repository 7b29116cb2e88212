//! `[network]`: what all connections share.

use std::path::{Path, PathBuf};

use super::form::Invalid;
use super::reader::Section;
use super::schema::{Key, SectionSchema, Shape};
use crate::bounded_file;

/// The largest file of certificates, in bytes.
pub(crate) const MAX_CA_FILE: u32 = 16 << 20;

/// What all connections share.
#[derive(Debug, Clone, Default)]
pub struct NetworkConfig {
    /// Certificates that are trusted besides the platform's roots: PEM.
    pub ca_file: Option<PathBuf>,
}

pub(super) const SCHEMA: SectionSchema =
    SectionSchema { name: "network", keys: &[Key::new("ca_file", Shape::Text, "\"corporate-ca.pem\"")] };

pub(super) fn read(section: &mut Section<'_>) -> NetworkConfig {
    let ca_file = section.path("ca_file");
    if let Some(path) = &ca_file
        && let Err(what) = check_holds_certificates(path)
    {
        section.wrong("ca_file", Invalid::with(what, "the path of a file with certificates, PEM"));
    }
    NetworkConfig { ca_file }
}

fn check_holds_certificates(path: &Path) -> Result<(), String> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let bytes = bounded_file::read_regular(path, MAX_CA_FILE)
        .map_err(|error| format!("the file {} {error}", path.display()))?;
    if bytes.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Ok(());
    }
    Err(format!("the file {} holds no certificate", path.display()))
}
