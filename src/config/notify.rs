//! `[notify]`: whom the daemon calls for help.

use super::Secret;

/// Whom the daemon calls for help.
#[derive(Debug, Clone, Default)]
pub struct NotifyConfig {
    /// The address that alerts are posted to: an http or https URL, secret because it often holds a token.
    pub webhook: Option<Secret>,
}
