//! The directory tree of a staging area, seen from threads that may wait for the disk.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::directories::{self, Directories};
use super::draft::Drafts;
use super::{BlobName, StagingError, fault};

/// Where drafts lie. No blob can have this name, because `~` is in none.
const DRAFTS: &str = "~drafts";
/// How often a file is placed anew when other processes remove its directory meanwhile.
const MAX_ATTEMPTS: u32 = 100;

/// A staging area in a directory.
#[derive(Debug)]
pub(super) struct Area {
    root: PathBuf,
    directories: Directories,
    drafts: Drafts,
}

/// What came of giving a file its name.
pub(super) enum Placed {
    /// It has the name, durably.
    New,
    /// The name was taken, by this file.
    Taken(File),
}

impl Area {
    pub(super) fn new(root: PathBuf) -> Self {
        let drafts = Drafts::new(root.join(DRAFTS));
        Self { root, directories: Directories::default(), drafts }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path_of(&self, name: &BlobName) -> PathBuf {
        self.root.join(name.as_str())
    }

    pub(super) fn drafts(&self) -> &Drafts {
        &self.drafts
    }

    /// Makes the directory, proves that it can do all that staging needs, and clears what a dead process left.
    pub(super) fn prepare(&self) -> Result<(), StagingError> {
        let drafts = self.drafts.directory();
        directories::make_root(&self.root).map_err(|error| fault::of("create", &self.root, &error))?;
        self.directories.make(&self.root, drafts).map_err(|error| fault::of("create", drafts, &error))?;
        self.warn_of_open_permissions();
        self.drafts.sweep()?;
        self.try_hard_links()
    }

    fn try_hard_links(&self) -> Result<(), StagingError> {
        let probe = self.drafts.write(b"probe")?;
        let second = self.drafts.new_path();
        fs::hard_link(probe.path(), &second).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => fault::of("link", &second, &ErrorKind::Unsupported.into()),
            _ => fault::of("link", &second, &error),
        })?;
        fs::remove_file(&second).map_err(|error| fault::of("remove", &second, &error))?;
        let drafts = self.drafts.directory();
        directories::sync(drafts).map_err(|error| fault::of("write", drafts, &error))
    }

    fn warn_of_open_permissions(&self) {
        let mode = fs::metadata(&self.root).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
        if mode & 0o077 != 0 {
            let (path, found) = (self.root.display(), format!("{mode:04o}"));
            warn!(event = "permissions_open", path = %path, key = "staging.path", found, "other users have rights on it: chmod 0700 it");
        }
    }

    /// Gives the durable file at `path` the name `name`, unless that is taken.
    pub(super) fn place(&self, path: &Path, name: &BlobName) -> Result<Placed, StagingError> {
        self.refuse_links(name)?;
        let target = self.path_of(name);
        let directory = target.parent().unwrap_or(&self.root);
        for _ in 0..MAX_ATTEMPTS {
            let _stay = self.directories.stay();
            let linked = self.directories.make(&self.root, directory).and_then(|()| fs::hard_link(path, &target));
            match linked {
                Ok(()) => {
                    directories::sync(directory).map_err(|error| fault::of("write", directory, &error))?;
                    return Ok(Placed::New);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    // Where it has gone again meanwhile, the name is free.
                    if let Some(there) = self.open_if_there(name)? {
                        return Ok(Placed::Taken(there));
                    }
                }
                // Another process has pruned the directory, or one above it.
                Err(error) if error.kind() == ErrorKind::NotFound => self.directories.forget(directory),
                Err(error) => return Err(fault::of("write", &target, &error)),
            }
        }
        Err(fault::of("write", &target, &ErrorKind::NotFound.into()))
    }

    /// Makes the name of a blob durable that another process may have given it a moment ago.
    pub(super) fn make_durable(&self, name: &BlobName) -> Result<(), StagingError> {
        let target = self.path_of(name);
        let directory = target.parent().unwrap_or(&self.root);
        let _stay = self.directories.stay();
        let synced = self.directories.make(&self.root, directory).and_then(|()| directories::sync(directory));
        match synced {
            // It was there, and another process has removed it since.
            Err(error) if error.kind() == ErrorKind::NotFound => self.root_is_there(),
            synced => synced.map_err(|error| fault::of("write", directory, &error)),
        }
    }

    /// The blob's file.
    pub(super) fn open(&self, name: &BlobName) -> Result<File, StagingError> {
        self.open_if_there(name)?.ok_or_else(|| StagingError::NotFound { name: name.clone() })
    }

    /// The blob's file; `None` where it isn't there.
    pub(super) fn open_if_there(&self, name: &BlobName) -> Result<Option<File>, StagingError> {
        self.refuse_links(name)?;
        let path = self.path_of(name);
        let found = path.symlink_metadata().and_then(|metadata| {
            if metadata.is_file() { File::open(&path) } else { Err(ErrorKind::IsADirectory.into()) }
        });
        match found {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => self.root_is_there().map(|()| None),
            Err(error) => Err(fault::of("read", &path, &error)),
        }
    }

    /// The blobs whose names begin with `prefix`, sorted, with their sizes.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<(BlobName, u64)>, StagingError> {
        self.root_is_there()?;
        let mut found = Vec::new();
        let mut pending = match prefix.rsplit_once('/') {
            None => vec![String::new()],
            Some((directory, _)) => match BlobName::parse(directory) {
                Some(name) => {
                    self.refuse_links(&name)?;
                    vec![name.as_str().to_owned()]
                }
                None => return Ok(found),
            },
        };
        while let Some(directory) = pending.pop() {
            self.list_one(&directory, &mut pending, &mut found)?;
        }
        found.retain(|(name, _)| name.as_str().starts_with(prefix));
        found.sort_unstable();
        Ok(found)
    }

    /// Lists one directory: blobs to `found`, directories to `pending`. What was never put here is passed over, and so
    /// is what goes away meanwhile.
    fn list_one(
        &self,
        directory: &str,
        pending: &mut Vec<String>,
        found: &mut Vec<(BlobName, u64)>,
    ) -> Result<(), StagingError> {
        let path = self.root.join(directory);
        let failed = |error| fault::of("list", &path, &error);
        let entries = match fs::read_dir(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let separator = if directory.is_empty() { "" } else { "/" };
            let name = entry.file_name().to_str().map(|segment| format!("{directory}{separator}{segment}"));
            let Some(name) = name.as_deref().and_then(BlobName::parse) else { continue };
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(name.as_str().to_owned()),
                Ok(metadata) if metadata.is_file() => found.push((name, metadata.len())),
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a blob, and the directories that are empty without it.
    pub(super) fn remove(&self, name: &BlobName) -> Result<(), StagingError> {
        self.refuse_links(name)?;
        let path = self.path_of(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.root_is_there()?,
            removed => removed.map_err(|error| fault::of("remove", &path, &error))?,
        }
        if let Some(directory) = path.parent() {
            self.directories.prune(&self.root, directory);
        }
        Ok(())
    }

    /// A blob that is missing must not be distinguished from a disk that is missing by its absence alone.
    fn root_is_there(&self) -> Result<(), StagingError> {
        fs::metadata(self.drafts.directory()).map(|_| ()).map_err(|error| fault::of("read", &self.root, &error))
    }

    /// Refuses a name on whose way a symbolic link lies, which could lead out of the area.
    fn refuse_links(&self, name: &BlobName) -> Result<(), StagingError> {
        let mut path = self.root.clone();
        for segment in name.as_str().split('/') {
            path.push(segment);
            match path.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() => {
                    return Err(StagingError::Refused(format!(
                        "{} is a symbolic link, which staging doesn't follow: put a directory in its place, or point \
                         staging.path itself elsewhere",
                        path.display()
                    )));
                }
                Ok(_) => {}
                // What isn't there leads nowhere; other errors come again where the path is used.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}
