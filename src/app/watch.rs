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
    /// It was there at the look before the last one, and not at the last one.
    is_going: bool,
}

/// What shows that a file has changed.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    written: Option<SystemTime>,
    length: u64,
    /// Which file it is: editors replace files.
    inode: u64,
}

impl Watched {
    fn new(path: PathBuf) -> Self {
        Self { seen: stamp(&path), is_going: false, path }
    }

    /// Whether the file has changed since the last look. One that has gone away has once it is still away at the next look:
    /// editors replace files, and a start would be refused without it.
    fn changed(&mut self) -> bool {
        let now = stamp(&self.path);
        let is_going = now.is_none() && self.seen.is_some() && !self.is_going;
        self.is_going = is_going;
        if now == self.seen || is_going {
            return false;
        }
        self.seen = now;
        true
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp { written: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_has_changed_once_and_so_has_one_that_went_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mapping.csv");
        std::fs::write(&path, "a").unwrap();
        let mut watched = Watched::new(path.clone());
        assert!(!watched.changed());
        std::fs::remove_file(&path).unwrap();
        assert!(!watched.changed(), "an editor may be about to write it");
        std::fs::write(&path, "bb").unwrap();
        assert_eq!([watched.changed(), watched.changed()], [true, false]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!([watched.changed(), watched.changed(), watched.changed()], [false, true, false]);
        std::fs::write(&path, "bb").unwrap();
        assert_eq!([watched.changed(), watched.changed()], [true, false]);
    }
}
