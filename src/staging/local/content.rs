//! Whether a blob that is there already is the one that was to be put.

use std::io::{ErrorKind, Read};

use super::{BlobName, StagingError};

/// The size of the pieces that are compared, in bytes.
const PIECE: usize = 1 << 18;

/// A success where both sides have the same bytes, else a [`StagingError::Conflict`].
pub(super) fn same_content(name: &BlobName, there: &mut impl Read, ours: &mut impl Read) -> Result<(), StagingError> {
    let mut there_piece = vec![0; PIECE];
    let mut our_piece = vec![0; PIECE];
    let read_failed = |error| StagingError::Unavailable(format!("can't compare {name} with what is staged: {error}"));
    loop {
        let there_length = read_full(there, &mut there_piece).map_err(read_failed)?;
        let our_length = read_full(ours, &mut our_piece).map_err(read_failed)?;
        if there_piece.get(..there_length) != our_piece.get(..our_length) {
            return Err(StagingError::Conflict { name: name.clone() });
        }
        if there_length < there_piece.len() {
            return Ok(());
        }
    }
}

/// Reads until `buffer` is full or nothing is left, and returns how many bytes were read.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(there: &[u8], ours: &[u8]) -> bool {
        let name = BlobName::parse("x").unwrap();
        match same_content(&name, &mut &*there, &mut &*ours) {
            Ok(()) => true,
            Err(StagingError::Conflict { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn only_the_same_bytes_are_the_same() {
        let full = vec![7; PIECE];
        let longer = [&full[..], b"x"].concat();
        assert!(same(b"", b"") && same(b"ab", b"ab") && same(&full, &full) && same(&longer, &longer));
        assert!(!same(b"", b"a") && !same(b"ab", b"a") && !same(b"ab", b"ac"));
        assert!(!same(&full, &longer) && !same(&longer, &full));
    }
}
