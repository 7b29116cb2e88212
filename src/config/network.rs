//! `[network]`: what all connections share.

use std::path::PathBuf;

/// What all connections share.
#[derive(Debug, Clone, Default)]
pub struct NetworkConfig {
    /// Certificates that are trusted besides the platform's roots: PEM.
    pub ca_file: Option<PathBuf>,
}
