//! A part of a file of lines as a page.
//!
//! A line is an item, whatever it holds: one that is not JSON fails alone. A line too long for the memory is cut: its
//! beginning is the item, which fails as malformed and says in the log where the whole of it lies.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use tracing::error;

use super::SourceError;
use super::files::ItemFile;
use crate::source::export_file::items_of_line;

/// A page takes no further line when it has so many bytes.
const PAGE: usize = 8 << 20;
/// The longest line that is read whole, in bytes: what TeleMessage's own page of one item may have.
const MAX_LINE: usize = 64 << 20;
/// How much of a longer line is kept.
const KEPT: usize = 64 << 10;
const READ_BUFFER: usize = 1 << 18;

type Lines = BufReader<std::fs::File>;

/// What was read of a file for one page.
pub(super) struct Read {
    pub(super) body: Bytes,
    pub(super) items: Vec<Range<usize>>,
    /// Where the next page of this file begins; `None` where the file ends.
    pub(super) next_offset: Option<u64>,
}

/// Reads at most `limit` lines of `file` from `offset` on.
pub(super) fn read(file: &ItemFile, offset: u64, limit: usize) -> Result<Read, SourceError> {
    let failed = |error: std::io::Error| file.fault(&error);
    let Some(open) = file.open()? else { return Ok(page(Vec::new(), Vec::new(), None)) };
    let mut lines = BufReader::with_capacity(READ_BUFFER, open);
    let mut at = line_start(&mut lines, offset).map_err(failed)?;
    // As much as most pages ever need: one that grew would be there twice for a moment, while it is copied.
    let mut body = Vec::with_capacity(2 * PAGE);
    let mut items = Vec::new();
    while items.len() < limit && body.len() < PAGE {
        let start = body.len();
        let read = lines.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut body).map_err(failed)?;
        if read == 0 {
            return Ok(page(body, items, None));
        }
        if read > MAX_LINE && !body.ends_with(b"\n") {
            if start > 0 {
                // A page of its own for the long line.
                body.truncate(start);
                return Ok(page(body, items, Some(at)));
            }
            let length = read as u64 + skip_line(&mut lines).map_err(failed)?;
            error!(event = "source_line_too_long", entry = %file.shown(), offset = at, length, "a line is too long to be read; it counts as malformed");
            body.truncate(KEPT);
            // As it is found again when what was staged is read.
            items.extend(items_of_line(&body, 0));
            if items.is_empty() {
                items.push(0..KEPT);
            }
            at += length;
            break;
        }
        items.extend(items_of_line(&body, start));
        at += read as u64;
    }
    let ended = is_end(&mut lines).map_err(failed)?;
    Ok(page(body, items, (!ended).then_some(at)))
}

fn page(mut body: Vec<u8>, items: Vec<Range<usize>>, next_offset: Option<u64>) -> Read {
    body.shrink_to_fit();
    Read { body: Bytes::from(body), items, next_offset }
}

/// Moves to the first line that begins at `offset` or after it, and returns where that is. They differ only where the
/// file has changed since the cursor was made; what is passed over then comes in the next run.
fn line_start(lines: &mut Lines, offset: u64) -> std::io::Result<u64> {
    let Some(before) = offset.checked_sub(1) else { return Ok(0) };
    lines.seek(SeekFrom::Start(before))?;
    Ok(before + skip_line(lines)?)
}

/// Whether nothing is left.
fn is_end(lines: &mut Lines) -> std::io::Result<bool> {
    lines.fill_buf().map(<[u8]>::is_empty)
}

/// Passes over the rest of a line, its end included, and returns how many bytes that was.
fn skip_line(lines: &mut Lines) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = lines.fill_buf()?;
        let end = buffer.iter().position(|&byte| byte == b'\n').map(|end| end + 1);
        let length = end.unwrap_or(buffer.len());
        lines.consume(length);
        skipped += length as u64;
        if end.is_some() || length == 0 {
            return Ok(skipped);
        }
    }
}
