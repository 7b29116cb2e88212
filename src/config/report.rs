//! `[report]`: the account of a run.

use super::Secret;

/// The account of a run.
#[derive(Debug, Clone, Default)]
pub struct ReportConfig {
    /// The Ed25519 key that signs reports: PKCS#8, PEM.
    pub signing_key: Option<Secret>,
}
