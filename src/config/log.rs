//! `[log]`: what is logged.

/// What is logged.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The least urgent level that is logged.
    pub level: tracing::Level,
}
