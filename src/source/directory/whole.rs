//! A file as a page: one document, or the first part of a file of lines. What it holds decides which, not its name; the name only
//! where a line is too long to look at.

use std::io::{Read as _, Seek as _, SeekFrom};

use super::files::ItemFile;
use super::lines::{self, Read};
use super::{Cursor, SourceError};
use crate::source::export_file::{begins_with_lines, split_document};

/// The largest document that is read as one page, in bytes; twice that where one item is asked for.
const MAX_DOCUMENT: u64 = 32 << 20;
/// How much of a file is looked at first.
const HEAD: u64 = 64 << 10;

/// Reads the page at the beginning of `file`.
pub(super) fn read(file: &ItemFile, cursor: Cursor, limit: usize) -> Result<Read, SourceError> {
    let failed = |error: std::io::Error| file.fault(&error);
    let Some(mut open) = file.open()? else {
        return Ok(Read { body: bytes::Bytes::new(), items: Vec::new(), next_offset: None });
    };
    let mut head = Vec::new();
    open.by_ref().take(HEAD).read_to_end(&mut head).map_err(failed)?;
    if begins_with_lines(&head) {
        return lines::read(file, 0, limit.max(1));
    }
    open.seek(SeekFrom::Start(0)).map_err(failed)?;
    let cap = if limit <= 1 { 2 * MAX_DOCUMENT } else { MAX_DOCUMENT };
    let mut body = Vec::new();
    let read = open.by_ref().take(cap + 1).read_to_end(&mut body).map_err(failed)?;
    if read as u64 > cap && file.is_lines() {
        return lines::read(file, 0, limit.max(1));
    }
    if read as u64 > cap {
        let detail = format!("{} is larger than {} MiB: split it, or write an item a line", file.shown(), cap >> 20);
        // A larger one is taken where it comes alone.
        return Err(if limit <= 1 {
            SourceError::Contract(detail)
        } else {
            SourceError::PageUnreadable { cursor, detail }
        });
    }
    match split_document(&body) {
        Ok(items) => Ok(Read { body: body.into(), items, next_offset: None }),
        Err(_) if begins_with_lines(&body) || file.is_lines() && is_unclear(&body) => {
            lines::read(file, 0, limit.max(1))
        }
        Err(why) => Err(SourceError::Contract(format!(
            "{} can't be read: {why}; correct the file or move it away",
            file.shown()
        ))),
    }
}

/// Whether what it holds doesn't show if it is one of lines: there is none, or only one, or the first is too long to be looked at.
fn is_unclear(body: &[u8]) -> bool {
    let mut lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first = lines.next();
    first.is_none_or(|first| first.len() as u64 > HEAD) || lines.next().is_none()
}
