//! Exchange Online as a destination against a Graph that keeps the published rules and fails on command.

mod contract;
mod create_message;
mod folder;
mod limits;
mod outcomes;
mod program;
mod self_test;
