//! whatsapp-archiver: moves an organisation's WhatsApp items from TeleMessage into its mailboxes,
//! each exactly once.
//!
//! An item passes through the steps in one direction. The modules stand in the order of those steps:
//! a module may import those above it in this list, never those below, and files don't import each other in a circle.
//!
//! ```text
//! schedule ─▶ source ─▶ staging ─▶ resolve ─▶ convert ─▶ mailbox ─▶ ledger, report
//!  window      pages     raw        mailboxes   MIME       copies     the account
//! ```

// The vocabulary: what every step speaks of.
pub(crate) mod bounded_file;
pub mod clock;
pub mod digest;
pub mod digits;
pub mod failpoint;
pub mod json_fault;
pub mod local_paths;
pub mod panics;
pub mod scrub;
pub mod secret;
pub mod send_permit;
pub mod window;

pub mod item;

pub mod identity;
pub(crate) mod inline_content;
pub(crate) mod output_text;
pub mod reason;
pub mod resolution;
pub mod schedule;

// What the steps stand on.
pub mod http;
pub mod sign_in;

pub mod graph;
pub mod throttle;

// The steps.
pub mod source;

pub mod convert;
pub mod resolve;
pub mod staging;

pub mod mailbox;

// What the administrator has set.
pub mod config;

// What is remembered.
pub mod ledger;

// What a fault of a step means.
pub mod fault;

pub mod retry;

pub(crate) mod whereabouts;

// What is counted and accounted for.
pub mod capture_loss;
pub mod metrics;
pub mod report;

pub mod silence;
pub mod verify;

// What knows the order of the steps.
pub mod pipeline;

pub mod status;

// What is made of staged items besides copies in mailboxes.
pub mod export;
pub mod offline;
pub mod prove;

// What is built from the configuration, and what runs it.
pub mod lifecycle;
pub mod notify;
pub mod telemetry;

pub mod app;

pub mod check;
pub mod serve;

pub mod daemon;

pub mod cli;
