//! One `.eml` file for each message: `<UTC day>/<time>-<id>.eml`, the same bytes as in a mailbox.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{ExportError, at, create};
use crate::convert::Message;

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn add(&mut self, message: &Message) -> Result<(), ExportError> {
        let mail = &message.mail;
        let day = self.path.join(mail.date.format("%Y-%m-%d").to_string());
        fs::create_dir_all(&day).map_err(at(&day))?;
        // The whole id, so that no two messages share a name; it is hexadecimal up to its `@`.
        let id = mail.message_id.as_str().split('@').next().unwrap_or_default();
        let path = day.join(format!("{}-{id}.eml", mail.date.format("%H%M%S")));
        create(&path)?.write_all(message.mime()).map_err(at(&path))
    }
}
