//! Notices that an administrator changed the mapping file or the user list.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::Config;

/// The files that are read again when they change, as they were at the last look.
#[derive(Debug)]
pub struct FileWatch {
    mapping: Option<Watched>,
    users: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// What shows that a file has changed: when it was written, how long it is, and which file it is (editors replace files).
type Stamp = (Option<SystemTime>, u64, u64);

impl Watched {
    fn new(path: PathBuf) -> Self {
        Self { seen: stamp(&path), path }
    }

    /// Whether the file has changed since the last look. One that has gone away hasn't: editors replace files.
    fn changed(&mut self) -> bool {
        let now = stamp(&self.path);
        if now.is_none() || now == self.seen {
            return false;
        }
        self.seen = now;
        true
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok(), metadata.len(), metadata.ino()))
}

impl FileWatch {
    /// The files that a configuration names, as they are now: taken before they are read, so that no change is missed.
    pub fn of(config: &Config) -> Self {
        let named = config.tables();
        Self { mapping: named.mapping.map(Watched::new), users: named.users.map(Watched::new) }
    }

    /// Whether the mapping file has changed since the last look.
    pub fn mapping_changed(&mut self) -> bool {
        self.mapping.as_mut().is_some_and(Watched::changed)
    }

    /// Whether the user list has changed since the last look.
    pub fn users_changed(&mut self) -> bool {
        self.users.as_mut().is_some_and(Watched::changed)
    }
}
