//! Files, read whole within bounds.

use std::fs::FileType;
use std::io::{Error, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("can't be read: {0}")]
    Io(#[from] Error),
    #[error("is larger than {}", if *.0 < 1 << 20 { format!("{} KiB", .0 >> 10) } else { format!("{} MiB", .0 >> 20) })]
    TooLarge(u32),
}

/// The bytes of a file, a pipe or a device; at most `cap`.
pub(crate) fn read(path: &Path, cap: u32) -> Result<Vec<u8>, Unreadable> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    // With room for all of it, so that growing leaves no copies of a secret behind in memory.
    let expected = usize::try_from(metadata.len().min(u64::from(cap))).unwrap_or(0);
    let mut bytes = Vec::with_capacity(expected + 1);
    file.take(u64::from(cap) + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > u64::from(cap) { Err(Unreadable::TooLarge(cap)) } else { Ok(bytes) }
}

/// The bytes of a regular file; at most `cap`. Anything else is refused before it is opened: a pipe would wait for its
/// writer, and a device has no end.
pub(crate) fn read_regular(path: &Path, cap: u32) -> Result<Vec<u8>, Unreadable> {
    let metadata = std::fs::metadata(path)?;
    if let Some(kind) = irregular(metadata.file_type()) {
        return Err(Error::other(format!("it is {kind}, not a file")).into());
    }
    if metadata.len() > u64::from(cap) {
        return Err(Unreadable::TooLarge(cap));
    }
    read(path, cap)
}

/// What it is, unless it is a regular file.
fn irregular(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}
