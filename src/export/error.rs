//! Why an export failed.

use std::io;
use std::path::{Path, PathBuf};

use crate::json_fault::JsonFault;

/// Why an export failed. What was written so far is left for the administrator to look at and remove, but of RSMF and
/// transcripts, whose files are put in their places at the end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file is there already.
    #[error("{path} already exists, and nothing is overwritten: export into another directory, or remove it first")]
    Taken { path: PathBuf },
    /// A file can't be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another export by chat and day is writing into the same folder.
    #[error("another export is under way into {folder}: wait for it, or export into another directory")]
    UnderWay { folder: PathBuf },
    /// The archive inside an RSMF file can't be written.
    #[error("cannot write the archive of {path}: {source}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// A page can't be written.
    #[error("cannot write the page {path}: {source}")]
    Page {
        /// The page.
        path: PathBuf,
        /// Why.
        #[source]
        source: askama::Error,
    },
    /// What was put aside for an RSMF file can't be written or read back.
    #[error("cannot put aside or read back {path}: {source}")]
    PutAside {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: JsonFault,
    },
}

/// Names the file in an error.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> ExportError + '_ {
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Taken { path: path.to_owned() },
        _ => ExportError::File { path: path.to_owned(), source },
    }
}
