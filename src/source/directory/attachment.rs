//! Attachments as files: `attachments/<id>/<index>-<any name>`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::SourceError;
use super::files::open_regular;
use crate::item::ItemId;

/// Opens the attachment `index` of `item` in the folder `root`; returns it with its length in bytes.
///
/// Nothing trails in a folder, so one that isn't there is gone; unless the folder itself is missing.
pub(crate) fn open(root: &Path, item: ItemId, index: usize) -> Result<(File, u64), SourceError> {
    let all = root.join("attachments");
    let folder = all.join(item.to_string());
    // Each of these may stand in a message or a report: without the server's own path.
    let failed = |error: Error| match error.kind() {
        ErrorKind::NotFound if !root.is_dir() => {
            SourceError::Unavailable("the folder of source.path is missing: mount its disk again".to_owned())
        }
        ErrorKind::NotADirectory if !root.is_dir() => {
            SourceError::Unavailable("there is something else than a folder at source.path".to_owned())
        }
        ErrorKind::NotFound => SourceError::AttachmentGone(format!("there is no file attachments/{item}/{index}-…")),
        ErrorKind::InvalidInput | ErrorKind::NotADirectory => {
            SourceError::AttachmentGone(format!("attachments/{item}/{index}-…: {error}"))
        }
        _ => SourceError::Unavailable(format!("attachment {} of item {item} can't be read: {error}", index + 1)),
    };
    let path = require_folder(&all).and_then(|()| require_folder(&folder)).and_then(|()| find(&folder, index));
    let file = path.and_then(|path| open_regular(&path)).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok((file, length))
}

/// A folder itself, not a symbolic link to one.
fn require_folder(path: &Path) -> Result<(), Error> {
    if path.symlink_metadata()?.is_dir() { Ok(()) } else { Err(Error::new(ErrorKind::InvalidInput, "not a folder")) }
}

/// The one file whose name begins with the index and a dash.
fn find(folder: &Path, index: usize) -> Result<PathBuf, Error> {
    let prefix = format!("{index}-");
    let belongs = |name: &OsStr| name.as_encoded_bytes().starts_with(prefix.as_bytes());
    let mut found = None;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if belongs(&entry.file_name()) && found.replace(entry.path()).is_some() {
            return Err(Error::new(ErrorKind::InvalidInput, "several files have this index: leave one"));
        }
    }
    found.ok_or_else(|| ErrorKind::NotFound.into())
}
