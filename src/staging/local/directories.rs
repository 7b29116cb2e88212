//! Directories whose entries survive a power cut, and the removal of empty ones.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

/// How many directories are remembered as durable; beyond it all are forgotten, at the price of a few `fsync`s.
const MAX_REMEMBERED: usize = 4096;

/// The directories below a root.
#[derive(Debug, Default)]
pub(super) struct Directories {
    durable: Mutex<HashSet<PathBuf>>,
    /// Held shared while a file is placed in a directory, exclusively while empty ones are removed.
    pruning: RwLock<()>,
}

impl Directories {
    /// As long as the guard lives no directory is pruned by this process.
    pub(super) fn stay(&self) -> RwLockReadGuard<'_, ()> {
        self.pruning.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `directory`, which lies below `root`, and all between them, and makes their entries durable.
    pub(super) fn make(&self, root: &Path, directory: &Path) -> Result<()> {
        if directory == root || self.is_durable(directory) {
            return Ok(());
        }
        let Some(parent) = directory.parent() else { return Ok(()) };
        self.make(root, parent)?;
        make_one(directory)?;
        sync(parent)?;
        self.remember(directory);
        Ok(())
    }

    /// Forgets that `directory` and those above it are durable: one of them has gone.
    pub(super) fn forget(&self, directory: &Path) {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in directory.ancestors() {
            durable.remove(gone);
        }
    }

    /// Removes `directory` and those above it, up to but without `root`, as far as they are empty.
    pub(super) fn prune(&self, root: &Path, directory: &Path) {
        let _exclusive = self.pruning.write().unwrap_or_else(PoisonError::into_inner);
        for empty in directory.ancestors().take_while(|&ancestor| ancestor != root) {
            match std::fs::remove_dir(empty) {
                Ok(()) => self.forget(empty),
                Err(error) if error.kind() == ErrorKind::NotFound => self.forget(empty),
                // Not empty, or not ours to remove: an empty directory does no harm.
                Err(_) => return,
            }
        }
    }

    fn is_durable(&self, directory: &Path) -> bool {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(directory)
    }

    fn remember(&self, directory: &Path) {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= MAX_REMEMBERED {
            durable.clear();
        }
        durable.insert(directory.to_owned());
    }
}

/// Makes `root` and all above it that is missing, durably.
pub(super) fn make_root(root: &Path) -> Result<()> {
    match make_one(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = root.parent().ok_or(error)?;
            make_root(parent)?;
            make_one(root)?;
        }
        made => made?,
    }
    match root.parent() {
        // The directory above an existing root need not be readable.
        Some(parent) => sync(or_here(parent)).or_else(|error| match error.kind() {
            ErrorKind::PermissionDenied => Ok(()),
            _ => Err(error),
        }),
        None => Ok(()),
    }
}

/// The parent of a relative path of one segment is the empty path, which stands for the current directory.
fn or_here(parent: &Path) -> &Path {
    if parent.as_os_str().is_empty() { Path::new(".") } else { parent }
}

/// Makes one directory, open to its owner alone; one that is there is a success.
fn make_one(directory: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes the entries of `directory` durable.
pub(super) fn sync(directory: &Path) -> Result<()> {
    File::open(directory)?.sync_all()
}
