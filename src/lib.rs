//! whatsapp-archiver: moves an organisation's WhatsApp items from TeleMessage into its mailboxes,
//! each exactly once.
//!
//! An item walks down one staircase and never back up. The modules stand in the order of its steps;
//! a module may import those above it in this list and the vocabulary, never those below.
//!
//! ```text
//! schedule ─▶ source ─▶ staging ─▶ resolve ─▶ convert ─▶ mailbox ─▶ ledger, report
//!  window      pages     raw        mailboxes   MIME       copies     the account
//! ```

// The vocabulary: what every step speaks of.
pub mod clock;
pub mod digest;
pub mod digits;
pub mod identity;
pub(crate) mod inline_content;
pub mod item;
pub mod json_fault;
pub mod local_paths;
pub(crate) mod output_text;
pub mod schedule;
pub mod scrub;
pub mod send_permit;
pub mod window;

// What the steps stand on.
pub mod config;
pub mod graph;
pub mod http;
pub mod sign_in;
pub mod throttle;

// The steps.
pub mod convert;
pub mod mailbox;
pub mod resolve;
pub mod source;
pub mod staging;

// What a fault of a step means.
pub mod fault;
pub mod retry;

// What is remembered.
pub mod capture_loss;
pub mod ledger;
pub mod metrics;
pub mod report;
pub mod silence;

// What knows the order of the steps.
pub mod failpoint;
pub mod pipeline;
pub mod status;

// What proves it.
pub mod verify;

// What is made of staged items besides copies in mailboxes.
pub mod export;
pub mod offline;
pub mod prove;

// What is built from the configuration, and what runs it.
pub mod app;
pub mod check;
pub mod cli;
pub mod daemon;
pub mod lifecycle;
pub mod notify;
pub mod serve;
pub mod telemetry;
