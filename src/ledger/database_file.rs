//! Whether the database file of an SQLite ledger is still the one that was opened.
//!
//! SQLite goes on writing to a file that was deleted or replaced under it: everything that is recorded from then on is
//! gone when the process ends, and the next one would import it again.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::{LedgerError, address};

/// The file that was opened.
#[derive(Debug, Clone)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl DatabaseFile {
    /// The file that the URL of an open ledger names; `None` for a ledger that isn't a file of its own.
    pub(super) fn opened(url: &str) -> Option<Self> {
        let path = address::file_of(url)?;
        let metadata = std::fs::metadata(&path).ok()?;
        Some(Self { path, device: metadata.dev(), inode: metadata.ino() })
    }

    /// # Errors
    ///
    /// [`LedgerError::FileGone`] where the path leads to another file by now, or to none.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(self.gone("another file is there now")),
            Err(error) => Err(self.gone(&error.to_string())),
        }
    }

    fn gone(&self, detail: &str) -> LedgerError {
        LedgerError::FileGone { path: self.path.clone(), detail: detail.to_owned() }
    }
}
