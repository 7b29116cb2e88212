//! What an error of the disk means to staging, and what to do about it.

use std::io::{Error, ErrorKind};
use std::path::Path;

use super::StagingError;

/// The error of doing `action` ("write", "read") to `path`.
pub(super) fn of(action: &str, path: &Path, error: &Error) -> StagingError {
    let path = path.display();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StagingError::Unavailable(format!(
            "the disk is full, can't {action} {path} ({error}): free space there, shorten staging.retain, or move \
             staging.path to a larger disk"
        )),
        ErrorKind::FileTooLarge => StagingError::Unavailable(format!(
            "can't {action} {path} ({error}): raise the limit on the size of files, or lower source.max_attachment_size"
        )),
        ErrorKind::ReadOnlyFilesystem => StagingError::Refused(format!(
            "can't {action} {path} ({error}): the file system is mounted read-only; mount it writable or change \
             staging.path"
        )),
        ErrorKind::PermissionDenied => StagingError::Refused(format!(
            "can't {action} {path} ({error}): let the user that runs the daemon own staging.path and all below it"
        )),
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::AlreadyExists => {
            StagingError::Refused(format!(
                "can't {action} {path} ({error}): something else is in its place; move it away or change staging.path"
            ))
        }
        ErrorKind::CrossesDevices | ErrorKind::TooManyLinks => StagingError::Refused(format!(
            "can't {action} {path} ({error}): staging.path and all below it must be one file system"
        )),
        ErrorKind::Unsupported => StagingError::Refused(format!(
            "can't {action} {path} ({error}): the file system doesn't know hard links; use one that does for staging.path"
        )),
        ErrorKind::NotFound => {
            StagingError::Unavailable(format!("can't {action} {path} ({error}): is the disk of staging.path mounted?"))
        }
        _ => StagingError::Unavailable(format!("can't {action} {path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_passes_and_a_read_only_one_does_not() {
        let of_kind = |kind: ErrorKind| of("write", Path::new("/staging/x"), &kind.into());
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::Interrupted, ErrorKind::NotFound] {
            assert!(matches!(of_kind(kind), StagingError::Unavailable(_)), "{kind}");
        }
        for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied, ErrorKind::CrossesDevices] {
            let error = of_kind(kind);
            assert!(matches!(&error, StagingError::Refused(advice) if advice.contains("staging.path")), "{error}");
        }
    }
}
