//! The numbers of a page's items, and the cursor after it, which is held against them.

use std::ops::Range;

use crate::item::read::peek_id;
use crate::source::page::Envelope;
use crate::source::{Cursor, SourceError};

/// How far `lastId` may lie beyond the cursor where no item of the page has a number to hold it against: numbers of one archive lie far
/// closer together, and one that is simply wrong would pass over the rest of the window.
const MAX_BLIND_STEP: i64 = 1_000_000_000;

/// Beyond any number of a real archive: greater ones are not exact in JSON for most who write it.
const MAX_ID: i64 = 1 << 53;

/// What the cursor after a page is held against: its items, and whether they are the last.
pub(super) struct Extent {
    items: usize,
    /// The numbers of its items, ascending, each once.
    ids: Vec<i64>,
    /// Some items have no number that can be read.
    has_unnumbered: bool,
    end: bool,
}

impl Extent {
    pub(super) fn of(body: &[u8], items: &[Range<usize>], end: bool) -> Self {
        let read = items.iter().map(|range| peek_id(body.get(range.clone())?));
        let mut ids: Vec<i64> = read.flatten().map(|id| id.0).collect();
        let has_unnumbered = ids.len() < items.len();
        ids.sort_unstable();
        ids.dedup();
        Self { items: items.len(), ids, has_unnumbered, end }
    }

    fn greatest(&self) -> Option<i64> {
        self.ids.last().copied()
    }

    /// How many numbers lie past the cursor, up to another.
    pub(super) fn passed(&self, cursor: Cursor, next: Cursor) -> usize {
        self.ids.iter().filter(|id| **id > cursor.0 && **id <= next.0).count()
    }

    /// The cursor after the page. One that stands still would be asked for the same page for ever, one that goes back for
    /// pages it had, and one beyond the greatest item of the page would pass over those between.
    pub(super) fn next_cursor(&self, cursor: Cursor, envelope: &Envelope) -> Result<Cursor, SourceError> {
        let last_id = match envelope.last_id {
            Some(last_id) if last_id > cursor.0 => last_id,
            _ if self.end => return Ok(cursor),
            Some(last_id) => {
                return Err(SourceError::Contract(format!(
                    "lastId {last_id} does not advance past cursor {cursor}, though endOfMessages is not set"
                )));
            }
            None => {
                return Err(SourceError::Contract(format!(
                    "the page after cursor {cursor} has no lastId, though endOfMessages is not set"
                )));
            }
        };
        if self.end {
            return Ok(Cursor(last_id));
        }
        match self.greatest() {
            Some(greatest) if greatest > cursor.0 && greatest < last_id => {
                tracing::warn!(
                    event = "cursor_corrected",
                    cursor = greatest,
                    last_id,
                    "the source's lastId is beyond every item of its page; reading continues after the greatest item"
                );
                Ok(Cursor(greatest))
            }
            Some(_) if self.passed(cursor, Cursor(last_id)) > 0 => Ok(Cursor(last_id)),
            Some(greatest) if greatest <= cursor.0 => Err(SourceError::Contract(format!(
                "the page after cursor {cursor} has no item past it, the greatest is {greatest}, though endOfMessages is \
                 not set"
            ))),
            // From there the same items would come again, one number further each time.
            Some(_) if !self.has_unnumbered => Err(SourceError::Contract(format!(
                "the page after cursor {cursor} has no item up to its lastId {last_id}, though endOfMessages is not set"
            ))),
            None if self.items == 0 => Err(SourceError::Contract(format!(
                "the page after cursor {cursor} has no items, though endOfMessages is not set; continuing at lastId \
                 {last_id} could skip items"
            ))),
            // Not one number up to there can be read: there is nothing else to hold lastId against.
            // At a window's beginning there is no cursor either, so that any number of a real archive will do.
            _ if last_id.saturating_sub(cursor.0) <= if cursor.0 > 0 { MAX_BLIND_STEP } else { MAX_ID } => {
                Ok(Cursor(last_id))
            }
            _ => Err(SourceError::Contract(format!(
                "the page after cursor {cursor} has no item whose id can be read, and continuing at lastId {last_id}, far \
                 beyond it, could skip items"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_advances_or_the_window_ends() {
        let next = |cursor, last_id, end| {
            let page = Extent { items: 1, ids: vec![9], has_unnumbered: false, end };
            page.next_cursor(Cursor(cursor), &Envelope { last_id, ..Envelope::default() })
        };
        assert_eq!(next(5, Some(9), false).unwrap(), Cursor(9));
        assert_eq!(next(5, Some(9), true).unwrap(), Cursor(9));
        // At the end, a cursor that is missing, stands still or goes back does no harm, and never counts.
        assert_eq!(next(5, None, true).unwrap(), Cursor(5));
        assert_eq!(next(5, Some(5), true).unwrap(), Cursor(5));
        assert_eq!(next(5, Some(0), true).unwrap(), Cursor(5));
        // The one item of the page would come again, and again.
        for broken in [None, Some(5), Some(4), Some(i64::MIN), Some(6), Some(8)] {
            assert!(matches!(next(5, broken, false), Err(SourceError::Contract(_))), "{broken:?}");
        }
    }
}
