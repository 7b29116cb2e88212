//! Why a verification, or that of one mailbox, came to no end.

use std::io;

use crate::ledger::LedgerError;
use crate::mailbox::ImportError;

/// Why a verification has no result.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A finding could not be written out.
    #[error("writing failed: {0}")]
    Io(#[from] io::Error),
    /// The program was asked to stop.
    #[error("the verification was stopped before its end; it proves nothing")]
    Stopped,
}

/// Why a mailbox was not compared to its end.
pub(super) enum ReadError {
    /// The mailbox's own trouble.
    Mailbox(ImportError),
    /// It is not where it was, or nobody says that it is.
    Lost(String),
    /// The verification's.
    Verify(VerifyError),
}

impl From<ImportError> for ReadError {
    fn from(error: ImportError) -> Self {
        Self::Mailbox(error)
    }
}

impl From<VerifyError> for ReadError {
    fn from(error: VerifyError) -> Self {
        Self::Verify(error)
    }
}

impl From<LedgerError> for ReadError {
    fn from(error: LedgerError) -> Self {
        Self::Verify(error.into())
    }
}
