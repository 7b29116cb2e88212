//! The servers that tests talk to.

pub(crate) mod azure_wire;
pub(crate) mod azurite;
#[cfg(feature = "test-cyrus")]
pub(crate) mod cyrus;
pub(crate) mod dovecot;
pub(crate) mod graph;
pub(crate) mod imap_client;
pub(crate) mod imap_proxy;
pub(crate) mod imap_script;
pub(crate) mod plain_http;
pub(crate) mod postgres;
pub(crate) mod telemessage;
pub(crate) mod tls;
