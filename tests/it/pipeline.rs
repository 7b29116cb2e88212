//! The pipeline in this process, against servers, mailboxes and a directory that fail on command.

mod attachments;
mod capture_loss;
mod destination;
mod duplicates;
mod faults;
mod follower;
mod items;
mod many_failed;
mod memory;
mod reassigned;
mod resolution;
mod sharing;
mod staging;
mod unknown;
mod users;
mod windows;
mod world;
