//! A `.json` file as one page.

use std::io::Read as _;

use super::files::ItemFile;
use super::{Cursor, Read, SourceError};
use crate::source::page::split_export;

/// The largest file that is read as one page, in bytes; twice that where one item is asked for.
const LARGEST: u64 = 32 << 20;

/// Reads and splits `file`.
pub(super) fn read(file: &ItemFile, cursor: Cursor, limit: usize) -> Result<Read, SourceError> {
    let unreadable = |detail: String| SourceError::PageUnreadable { cursor, detail };
    let cap = if limit <= 1 { 2 * LARGEST } else { LARGEST };
    let Some(mut open) = file.open()? else {
        return Ok(Read { body: bytes::Bytes::new(), items: Vec::new(), next_offset: None });
    };
    let mut body = Vec::new();
    let read = open.by_ref().take(cap + 1).read_to_end(&mut body).map_err(|error| file.fault(&error))?;
    if read as u64 > cap {
        let advice = "split it, or write it as .jsonl, an item a line";
        return Err(unreadable(format!("{} is larger than {} MiB: {advice}", file.shown(), cap >> 20)));
    }
    let (envelope, items) = split_export(&body)
        .map_err(|error| unreadable(format!("{}: {error}; mend the file or move it away", file.shown())))?;
    if let Some(code) = envelope.and_then(|envelope| envelope.result_code).filter(|&code| code != 0) {
        return Err(SourceError::Contract(format!(
            "{} is an answer that tells of an error (resultCode {code}), not of items: export it again, or move it away",
            file.shown()
        )));
    }
    Ok(Read { body: body.into(), items, next_offset: None })
}
