//! The files that `init` writes.

/// A commented configuration with every key, to start from.
pub const EXAMPLE: &str = include_str!("../../config/example.toml");

/// The beginning of a mapping file: the one that [`EXAMPLE`] names, without any number yet.
pub const EXAMPLE_MAPPING: &str = "External User ID,Microsoft 365 User Mailbox\n";
