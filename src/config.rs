//! The configuration: one TOML file, every problem of it told at once.
