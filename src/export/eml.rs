//! One `.eml` file for each message: `<day>/<time>-<id>.eml`, the same bytes as in a mailbox.

use std::fs;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use super::error::{ExportError, at};
use super::output::{ExportedFile, Output};
use crate::convert::Message;

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    time_zone: Tz,
}

impl Folder {
    pub(super) fn new(path: &Path, time_zone: Tz) -> Self {
        Self { path: path.to_owned(), time_zone }
    }

    pub(super) fn add(&mut self, message: &Message) -> Result<ExportedFile, ExportError> {
        let mail = &message.mail;
        let sent = mail.date.with_timezone(&self.time_zone);
        let day = sent.format("%Y-%m-%d").to_string();
        let folder = self.path.join(&day);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        // The whole id, so that no two messages share a name; it is hexadecimal.
        let id = mail.message_id.local_part();
        let mut output = Output::create(&self.path, format!("{day}/{}-{id}.eml", sent.format("%H%M%S")))?;
        message.write_mime(&mut output).map_err(at(&folder))?;
        output.finish()
    }
}
