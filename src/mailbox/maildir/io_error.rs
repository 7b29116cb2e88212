//! What an error of the file system means for a copy that is certainly not there.

use std::io;

use crate::mailbox::ImportError;

/// The meaning of an error; `what` says what could not be done.
pub(super) fn import_error(error: &io::Error, what: &str) -> ImportError {
    use io::ErrorKind::{
        FileTooLarge, InvalidFilename, InvalidInput, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        Unsupported,
    };
    let detail = match error.kind() {
        StorageFull | QuotaExceeded => format!("{what}: the disk of mailbox.path is full ({error}): free space there"),
        _ => format!("{what}: {error}"),
    };
    match error.kind() {
        PermissionDenied | ReadOnlyFilesystem => ImportError::Forbidden(detail),
        InvalidFilename | InvalidInput | FileTooLarge | Unsupported => ImportError::Unexpected(detail),
        // A full disk, a quota, a file system that is gone, too many open files: all of them pass.
        _ => ImportError::Unavailable(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_passes_and_a_missing_right_does_not() {
        let meaning = |kind: io::ErrorKind| import_error(&kind.into(), "x");
        assert!(matches!(meaning(io::ErrorKind::StorageFull), ImportError::Unavailable(_)));
        assert!(matches!(meaning(io::ErrorKind::QuotaExceeded), ImportError::Unavailable(_)));
        assert!(matches!(meaning(io::ErrorKind::PermissionDenied), ImportError::Forbidden(_)));
        assert!(matches!(meaning(io::ErrorKind::ReadOnlyFilesystem), ImportError::Forbidden(_)));
        assert!(matches!(meaning(io::ErrorKind::FileTooLarge), ImportError::Unexpected(_)));
        assert!(matches!(import_error(&io::Error::from_raw_os_error(5), "x"), ImportError::Unavailable(_)));
    }
}
