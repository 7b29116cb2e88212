//! `[http]`: the status pages, health and metrics.

use std::net::SocketAddr;

use super::Secret;

/// The status pages, health and metrics.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where they are served.
    pub listen: SocketAddr,
    /// What a reader of the pages must show; there where `listen` is not a loopback address.
    pub token: Option<Secret>,
}
