//! A file on its way into staging, written aside until it is whole.
//!
//! A draft is locked as long as it is in use, so that the sweep of another process distinguishes it from what a dead process
//! left behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{StagingError, fault};

/// The directory in which drafts lie.
#[derive(Debug)]
pub(super) struct Drafts {
    directory: PathBuf,
    made: AtomicU64,
}

impl Drafts {
    /// Those in this directory, which may have to be made yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, made: AtomicU64::new(0) }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path that no other draft has, in whatever process.
    pub(super) fn new_path(&self) -> PathBuf {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let unique = uuid::Uuid::now_v7().simple();
        self.directory.join(format!("{unique}-{number}"))
    }

    pub(super) fn begin(&self) -> Result<Draft, StagingError> {
        loop {
            let path = self.new_path();
            let created = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
            let file = created.map_err(|error| fault::of("create", &path, &error))?;
            // A file system without locks has no sweep either: see `is_abandoned`.
            let _ = file.lock();
            let links = file.metadata().map_err(|error| fault::of("examine", &path, &error))?.nlink();
            // Another process may have swept the file away between its creation and its lock.
            if links > 0 {
                return Ok(Draft { file, path });
            }
        }
    }

    /// A durable draft of `bytes`.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<Draft, StagingError> {
        let draft = self.begin()?;
        (&draft.file).write_all(bytes).map_err(|error| fault::of("write", &draft.path, &error))?;
        draft.sync()?;
        Ok(draft)
    }

    /// Removes the drafts that no process is writing.
    pub(super) fn sweep(&self) -> Result<(), StagingError> {
        let failed = |error| fault::of("read", &self.directory, &error);
        for entry in std::fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
            if is_file && is_abandoned(&path) {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(fault::of("remove", &path, &error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// A file without a name in staging. It goes away when this is dropped.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    path: PathBuf,
}

impl Draft {
    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), StagingError> {
        self.file.sync_all().map_err(|error| fault::of("write", &self.path, &error))
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, to be written from asynchronous code.
    pub(super) fn async_file(&self) -> std::io::Result<tokio::fs::File> {
        self.file.try_clone().map(tokio::fs::File::from_std)
    }

    /// The file, to be read from its beginning.
    pub(super) fn reader(&self) -> Result<&File, StagingError> {
        let rewound = (&self.file).seek(SeekFrom::Start(0));
        rewound.map(|_| &self.file).map_err(|error| fault::of("read", &self.path, &error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Nothing depends on it: what stays is swept by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where the file system has no locks nothing counts as abandoned: to leave a file is better than to take one that is
/// being written.
fn is_abandoned(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        },
        Err(_) => false,
    }
}
