//! Which files of the folder hold items.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::SourceError;
use crate::item::phone_number::mask_numbers_in;
use crate::output_text::cell;

/// The files that hold items, in the order of their names, and what else lies there.
#[derive(Debug)]
pub(super) struct Folder {
    files: Vec<ItemFile>,
    passed_over: Vec<String>,
}

/// A file that holds items.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ItemFile {
    path: PathBuf,
    is_lines: bool,
}

impl Folder {
    /// The most names of what is passed over that are kept.
    const MAX_NAMED: usize = 1000;

    /// Finds the files of the folder at `path`. Whatever is neither `.json` nor `.jsonl`, or is hidden, is passed over.
    pub(super) fn read(path: &Path) -> Result<Self, SourceError> {
        let failed = |error: Error| folder_fault(path, &error);
        let mut files = Vec::new();
        let mut passed_over = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name();
            if name == "attachments" {
                continue;
            }
            let why = match ItemFile::of(entry.path()) {
                Some(file) if kind.is_file() => {
                    files.push(file);
                    continue;
                }
                _ if kind.is_dir() => "a folder in the folder: move its files up",
                _ if !kind.is_file() => "not a regular file",
                _ if name.as_encoded_bytes().starts_with(b".") => "hidden",
                _ => "its name ends neither in .json nor in .jsonl",
            };
            passed_over.push(format!("{} ({why})", mask_numbers_in(&cell(&name.to_string_lossy()))));
        }
        files.sort_unstable();
        passed_over.sort_unstable();
        let more = passed_over.len().saturating_sub(Self::MAX_NAMED);
        passed_over.truncate(Self::MAX_NAMED);
        if more > 0 {
            passed_over.push(format!("and {more} more"));
        }
        Ok(Self { files, passed_over })
    }

    /// What is not read, by name, and why.
    pub(super) fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Logs what is not read.
    pub(super) fn report_passed_over(&self) {
        for entry in &self.passed_over {
            warn!(event = "source_file_passed_over", entry, "not read, because it holds no items for the source");
        }
    }

    /// Refuses a folder in which there is something, but nothing that can be read.
    pub(super) fn require_something(&self, path: &Path) -> Result<(), SourceError> {
        const NAMED: usize = 10;
        if !self.files.is_empty() || self.passed_over.is_empty() {
            return Ok(());
        }
        let named: Vec<&str> = self.passed_over.iter().take(NAMED).map(String::as_str).collect();
        Err(SourceError::Contract(format!(
            "nothing in the folder {} can be read: {}; put the exported files there as .json or .jsonl",
            path.display(),
            named.join(", ")
        )))
    }

    /// The file at `index`.
    pub(super) fn file(&self, index: usize) -> Option<&ItemFile> {
        self.files.get(index)
    }
}

impl ItemFile {
    /// The file at `path`, where its name is that of a file with items.
    fn of(path: PathBuf) -> Option<Self> {
        let hidden = path.file_name()?.as_encoded_bytes().starts_with(b".");
        let extension = path.extension()?.to_ascii_lowercase();
        let is_lines = extension == "jsonl";
        (!hidden && (is_lines || extension == "json")).then_some(Self { path, is_lines })
    }

    /// Whether it holds an item a line.
    pub(super) fn is_lines(&self) -> bool {
        self.is_lines
    }

    /// Its path, for messages.
    pub(super) fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Opens it. `None` where it has gone since the folder was read.
    pub(super) fn open(&self) -> Result<Option<File>, SourceError> {
        match open_regular(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                warn!(event = "source_file_passed_over", entry = %self.shown(), "the file has gone, so it is not read");
                Ok(None)
            }
            opened => opened.map(Some).map_err(|error| self.fault(&error)),
        }
    }

    /// The error of reading it.
    pub(super) fn fault(&self, error: &Error) -> SourceError {
        SourceError::Unavailable(format!("{} can't be read: {error}", self.shown()))
    }
}

/// Opens a regular file, and never what a symbolic link points to.
pub(super) fn open_regular(path: &Path) -> Result<File, Error> {
    if path.symlink_metadata()?.is_file() {
        File::open(path)
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

fn folder_fault(path: &Path, error: &Error) -> SourceError {
    let advice = match error.kind() {
        ErrorKind::NotFound => "create it, mount its disk, or correct source.path",
        ErrorKind::NotADirectory => "source.path must name a folder",
        ErrorKind::PermissionDenied => "let the user that runs the daemon read it",
        _ => "see whether its disk is in order",
    };
    SourceError::Unavailable(format!("the folder {} can't be read ({error}): {advice}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_files_hold_items() {
        let is_lines = |name: &str| ItemFile::of(PathBuf::from(name)).map(|file| file.is_lines);
        for name in ["a.json", "a.b.JSON"] {
            assert_eq!(is_lines(name), Some(false), "{name}");
        }
        for name in ["a.jsonl", "a.JsonL"] {
            assert_eq!(is_lines(name), Some(true), "{name}");
        }
        for name in ["json", ".json", ".a.json", "._a.json", "a.json.gz", "a.json~", "attachments"] {
            assert_eq!(is_lines(name), None, "{name}");
        }
    }
}
