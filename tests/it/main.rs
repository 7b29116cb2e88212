//! The integration tests: real servers, wire-level servers that fail on command, and the real binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test whose assumption is broken should end; clippy exempts the test functions alone, not what they share"
)]

mod archive;
mod audit;
mod azure;
mod cli;
mod config;
mod convert_fuzz;
mod convert_golden;
mod convert_property;
mod daemon;
mod directory_source;
mod export;
mod export_folder;
mod export_manifest;
mod export_rsmf;
mod export_transcript;
mod graph;
mod graph_users;
mod hooked_staging;
mod hostile;
mod http;
mod imap;
mod imap_scripted;
mod installation;
mod kill;
mod ledger;
mod ledger_copy;
mod local_staging;
mod log_events;
mod mailbox_contract;
mod maildir;
mod mapping;
mod metrics;
mod notify;
mod oracle;
mod pipeline;
mod preload;
mod rebuild;
mod resolve;
mod retention;
mod retry;
mod serve;
mod servers;
mod shrinking;
mod siege;
mod sign_in;
mod staging_contract;
mod telemessage;
mod verify;
