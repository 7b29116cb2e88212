//! Files, read whole within bounds.

use std::io::{Error, Read as _};
use std::path::Path;

/// Why a file is not read.
pub(super) enum Unreadable {
    Io(Error),
    TooLarge,
}

/// The bytes of a file, a pipe or a device; at most `cap`.
pub(super) fn read(path: &Path, cap: u32) -> Result<Vec<u8>, Unreadable> {
    let file = std::fs::File::open(path).map_err(Unreadable::Io)?;
    let metadata = file.metadata().map_err(Unreadable::Io)?;
    // With room for all of it, so that growing leaves no copies of a secret behind in memory.
    let expected = usize::try_from(metadata.len().min(u64::from(cap))).unwrap_or(0);
    let mut bytes = Vec::with_capacity(expected + 1);
    file.take(u64::from(cap) + 1).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    if bytes.len() as u64 > u64::from(cap) { Err(Unreadable::TooLarge) } else { Ok(bytes) }
}

/// The bytes of a file proper; at most `cap`.
pub(super) fn read_regular(path: &Path, cap: u32) -> Result<Vec<u8>, Unreadable> {
    // Asked before opening: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(Unreadable::Io)?.is_file() {
        return Err(Unreadable::Io(Error::other("not a file")));
    }
    read(path, cap)
}
