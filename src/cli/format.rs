//! How lists and reports are written.

use clap::{Args, ValueEnum};

use crate::report::lists::Numbers;

/// Whether phone numbers are shown whole.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct ShowNumbers {
    /// Show phone numbers in full
    #[arg(long)]
    pub(super) show_numbers: bool,
}

impl ShowNumbers {
    pub(super) fn numbers(self) -> Numbers {
        if self.show_numbers { Numbers::Shown } else { Numbers::Masked }
    }
}

/// How a list or a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a terminal
    Table,
    /// JSON
    Json,
    /// CSV, of what is not imported
    Csv,
}
