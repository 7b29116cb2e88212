//! A cursor as a position in the folder: which file, and which byte of it.

use super::{Cursor, SourceError};

/// How many bits of a cursor hold the offset: files of up to a tebibyte.
const OFFSET_BITS: u32 = 40;
const OFFSETS: i64 = 1 << OFFSET_BITS;

/// The position of the next byte to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The file, counted from 0 in the order of names.
    pub(super) file: usize,
    /// The byte of it.
    pub(super) offset: u64,
}

impl Position {
    /// The position of a cursor. An unknown one is past every file.
    pub(super) fn of(cursor: Cursor) -> Self {
        let file = usize::try_from(cursor.0 >> OFFSET_BITS).unwrap_or(usize::MAX);
        Self { file, offset: (cursor.0 & (OFFSETS - 1)).unsigned_abs() }
    }

    /// The cursor of the position.
    pub(super) fn cursor(self) -> Result<Cursor, SourceError> {
        let file = i64::try_from(self.file).ok().and_then(|file| file.checked_mul(OFFSETS));
        let offset = i64::try_from(self.offset).ok().filter(|&offset| offset < OFFSETS);
        match (file, offset) {
            (Some(file), Some(offset)) => Ok(Cursor(file + offset)),
            _ => Err(SourceError::Contract(
                "the folder has more than 8 million files, or one of more than a tebibyte: split it".to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_ascend_with_places_and_lead_back() {
        let positions = [(0, 0), (0, 1), (0, (1 << 40) - 1), (1, 0), (7, 12), (8_000_000, 5)]
            .map(|(file, offset)| Position { file, offset });
        let cursors = positions.map(|position| position.cursor().unwrap());
        assert!(cursors.is_sorted());
        assert_eq!(cursors.map(Position::of), positions);
        assert_eq!(Position { file: 0, offset: 0 }.cursor().unwrap(), Cursor(0));
    }

    #[test]
    fn a_place_beyond_every_cursor_is_an_error() {
        for (file, offset) in [(0, 1 << 40), (1 << 23, 0), (usize::MAX, 0)] {
            assert!(Position { file, offset }.cursor().is_err());
        }
    }
}
