//! The integration tests: real servers, wire-level servers that fail on command, and the real binary.

mod azure;
mod cli;
mod config;
mod convert_golden;
mod convert_property;
mod daemon;
mod directory_source;
mod export;
mod graph;
mod graph_users;
mod imap;
mod imap_scripted;
mod kill;
mod ledger;
mod local_staging;
mod mailbox_contract;
mod maildir;
mod mapping;
mod pipeline;
mod resolve;
mod servers;
mod sign_in;
mod staging_contract;
mod telemessage;
