//! Writes messages: `tmp`, synchronised, renamed into `cur`, and the directory synchronised once for all of them.
//!
//! A file in `cur` is always whole. Whatever fails before the rename is certain and leaves nothing behind; what fails
//! after it leaves the outcome unknown. A file that is there already is left as it is.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::file_name::{seen, unique_part};
use super::io_error::import_error;
use super::layout::{Layout, sync_directory};
use crate::convert::Message;
use crate::mailbox::{ImportError, RemoteId, SendPermit};

/// The most threads that wait for the disk, for one batch.
const MAX_THREADS: usize = 4;

/// The fewest messages that are worth a thread.
const MIN_MESSAGES_PER_THREAD: usize = 4;

/// Delivers a batch into one mailbox whose folder is known to exist or not (`is_known`). One result for each message.
pub(super) fn deliver(
    layout: &Layout,
    address: &str,
    is_known: bool,
    messages: &[Arc<Message>],
    permit: &SendPermit,
) -> Vec<Result<RemoteId, ImportError>> {
    if !is_known && let Err(error) = layout.make(address) {
        let error = import_error(&error, "the mailbox can't be made");
        return messages.iter().map(|_| Err(error.clone())).collect();
    }
    let batch = Batch { layout, address, folder: layout.archive(address), permit };
    let written: Vec<Result<Written, ImportError>> = messages.iter().map(|message| batch.write(message)).collect();
    let renamed = batch.put_all(written);
    if !renamed.iter().any(Result::is_ok) {
        return renamed;
    }
    match sync_directory(&batch.folder.join("cur")) {
        Ok(()) => renamed,
        Err(error) => {
            let unknown = ImportError::OutcomeUnknown(format!("the folder could not be synchronised: {error}"));
            renamed.into_iter().map(|result| result.and_then(|_| Err(unknown.clone()))).collect()
        }
    }
}

/// One delivery of several messages.
struct Batch<'a> {
    layout: &'a Layout,
    address: &'a str,
    folder: PathBuf,
    permit: &'a SendPermit,
}

/// A message on its way.
enum Written {
    /// In `tmp`, not yet synchronised.
    InTmp { unique: String, path: TemporaryFile, file: File },
    /// In `cur` since an earlier delivery.
    InCur { unique: String },
}

impl Batch<'_> {
    /// Writes a message into `tmp`.
    fn write(&self, message: &Message) -> Result<Written, ImportError> {
        let size = message.size();
        let unique = unique_part(&message.mail, size);
        if self.is_there(&unique, size)? {
            return Ok(Written::InCur { unique });
        }
        let path = self.folder.join("tmp").join(temporary_name(&unique));
        let received = SystemTime::UNIX_EPOCH
            + Duration::from_millis(u64::try_from(message.mail.date.timestamp_millis()).unwrap_or_default());
        let attempt = || write_file(&path, message, received);
        let (path, file) =
            self.remaking(attempt).map_err(|error| import_error(&error, "the message can't be written"))?;
        Ok(Written::InTmp { unique, path, file })
    }

    /// Whether the message is in `cur` under the name that it is delivered with.
    fn is_there(&self, unique: &str, size: u64) -> Result<bool, ImportError> {
        match fs::symlink_metadata(self.folder.join("cur").join(seen(unique))) {
            Ok(metadata) if metadata.is_file() && metadata.len() == size => Ok(true),
            Ok(_) => Err(ImportError::Unexpected(format!("{unique} is there, but is not {size} bytes long"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(import_error(&error, "the folder can't be read")),
        }
    }

    /// Moves written messages into `cur`. Several threads wait for the disk together: a journal that is committed for
    /// one file is committed for all that were synchronised by then.
    fn put_all(&self, mut written: Vec<Result<Written, ImportError>>) -> Vec<Result<RemoteId, ImportError>> {
        let put = |part: Vec<Result<Written, ImportError>>| -> Vec<Result<RemoteId, ImportError>> {
            part.into_iter().map(|written| written.and_then(|written| self.put(written))).collect()
        };
        let (count, size) = (written.len(), written.len().div_ceil(MAX_THREADS).max(MIN_MESSAGES_PER_THREAD));
        let mut parts = Vec::with_capacity(MAX_THREADS);
        while written.len() > size {
            let rest = written.split_off(size);
            parts.push(std::mem::replace(&mut written, rest));
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = parts.into_iter().map(|part| (part.len(), scope.spawn(move || put(part)))).collect();
            let last = put(written);
            let mut results = Vec::with_capacity(count);
            for (length, thread) in threads {
                results.extend(thread.join().unwrap_or_else(|_panic| broken_off(length)));
            }
            results.extend(last);
            results
        })
    }

    /// Moves a written message into `cur`, its content synchronised first.
    fn put(&self, written: Written) -> Result<RemoteId, ImportError> {
        let (unique, path, file) = match written {
            Written::InCur { unique } => return Ok(RemoteId(unique)),
            Written::InTmp { unique, path, file } => (unique, path, file),
        };
        file.sync_all().map_err(|error| import_error(&error, "the message can't be made durable"))?;
        drop(file);
        self.permit.ask()?;
        let target = self.folder.join("cur").join(seen(&unique));
        match fs::rename(&path.0, &target) {
            Ok(()) => {
                path.was_renamed();
                Ok(RemoteId(unique))
            }
            // The folder was deleted in the meantime, and the message with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ImportError::Unavailable("the folder was deleted during the delivery".to_owned()))
            }
            Err(error) if is_certain(&error) => Err(import_error(&error, "the message can't be put into its folder")),
            Err(error) => Err(ImportError::OutcomeUnknown(format!("the message was renamed, or not: {error}"))),
        }
    }

    /// Tries, makes the folder again where it was deleted, and tries once more.
    fn remaking<T>(&self, attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.layout.make(self.address)?;
                attempt()
            }
            result => result,
        }
    }
}

/// The results of a thread that panicked.
fn broken_off(count: usize) -> Vec<Result<RemoteId, ImportError>> {
    let unknown = ImportError::OutcomeUnknown("the delivery was broken off".to_owned());
    std::iter::repeat_with(|| Err(unknown.clone())).take(count).collect()
}

/// A name in `tmp` that no other attempt has: two processes never write to one file.
fn temporary_name(unique: &str) -> String {
    format!("{unique}.{}", Uuid::now_v7().simple())
}

/// Whether a failed rename certainly did nothing. On a network file system others may have happened.
fn is_certain(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded | NotADirectory)
}

/// Creates the file of a message with this time of modification, which mail programs show as the time of receipt.
fn write_file(path: &Path, message: &Message, modified: SystemTime) -> io::Result<(TemporaryFile, File)> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let path = TemporaryFile(path.to_owned());
    message.write_mime(&mut file)?;
    file.set_times(FileTimes::new().set_modified(modified))?;
    Ok((path, file))
}

/// A file in `tmp`, removed where it isn't renamed.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// There is nothing left to remove.
    fn was_renamed(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // What can't be removed is only a file in `tmp`, which nobody reads.
            let _ = fs::remove_file(&self.0);
        }
    }
}
