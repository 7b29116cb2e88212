//! Where an export by chat and day puts everything until it ends: a folder in the export's own, for one process at a time.
//!
//! A lock that the operating system drops with its process shows whether an export is still writing. One that was killed
//! leaves its folder behind; the next takes it over and begins again. Removed with everything in it when it is dropped.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::export::error::{ExportError, at};

/// The folder, and the lock file beside it.
#[derive(Debug)]
pub(super) struct Aside {
    path: PathBuf,
    lock_path: PathBuf,
    /// Held until this is dropped.
    _lock: File,
}

impl Aside {
    /// An empty one in `folder`. What an export left there that is gone is removed; one that is under way is an error.
    pub(super) fn take(folder: &Path) -> Result<Self, ExportError> {
        let (path, lock_path) = (folder.join(".export-unfinished"), folder.join(".export-unfinished.lock"));
        let Some(lock) = lock(&lock_path).map_err(at(&lock_path))? else {
            return Err(ExportError::UnderWay { folder: folder.to_owned() });
        };
        let aside = Self { path, lock_path, _lock: lock };
        aside.empty().map_err(at(&aside.path))?;
        Ok(aside)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.path
    }

    /// The path of what is put aside under `name`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn empty(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir(&self.path),
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // The next export into this folder removes what can't be removed now. The lock file goes while it is locked.
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Locks the file of that name; `None` where another process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Whoever had it may have removed it since it was opened here, and then another may have made a new one.
    let locked = file.metadata()?.ino();
    let is_the_one = fs::metadata(path).is_ok_and(|found| found.ino() == locked);
    Ok(is_the_one.then_some(file))
}
