//! Where things lie: `mailboxes/<address, lower case>/.WhatsApp Archiver/{cur,new,tmp}` (Maildir++).
//!
//! Addresses and folder names are data: whatever they hold, the path stays below the root, and different addresses have
//! different directories.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::mailbox::folder_name::to_modified_utf7;

/// The longest name of a file or directory, in bytes, on the file systems in use.
const MAX_NAME: usize = 255;

/// The folder name can't be that of a Maildir++ folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} can't be the name of a Maildir folder: {problem}")]
pub struct InvalidFolder {
    name: String,
    problem: &'static str,
}

/// The paths below one root.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    folder: String,
}

impl Layout {
    /// The paths below `root` for archive folders named `folder`. `/` and `.` both stand for the next level of a
    /// hierarchy of folders, as in Maildir++.
    pub(super) fn new(root: PathBuf, folder: &str) -> Result<Self, InvalidFolder> {
        let invalid = |problem| InvalidFolder { name: folder.to_owned(), problem };
        let name = folder.trim();
        if name.split(['/', '.']).any(|level| level.trim().is_empty()) {
            return Err(invalid("it is empty, or has an empty part"));
        }
        if name.chars().any(char::is_control) {
            return Err(invalid("it has a control character"));
        }
        // Encoded level by level: the base64 of modified UTF-7 has neither separator in its alphabet.
        let levels: Vec<String> = name.split(['/', '.']).map(to_modified_utf7).collect();
        let folder = format!(".{}", levels.join("."));
        if folder.len() > MAX_NAME {
            return Err(invalid("it is too long"));
        }
        Ok(Self { root, folder })
    }

    /// The directory of a mailbox.
    pub(super) fn mailbox(&self, address: &str) -> PathBuf {
        self.root.join(directory_name(address))
    }

    /// The archive folder of a mailbox.
    pub(super) fn archive(&self, address: &str) -> PathBuf {
        self.mailbox(address).join(&self.folder)
    }

    /// One message in an archive folder: the first by name of the first mailbox that has any. Large trees aren't searched through.
    pub(super) fn sample(&self) -> Option<PathBuf> {
        let mailboxes = first_entries(&self.root);
        mailboxes
            .into_iter()
            .find_map(|mailbox| first_entries(&mailbox.join(&self.folder).join("cur")).into_iter().next())
    }

    /// Makes what is missing of a mailbox and its archive folder, durably: the folder itself, and the mailbox's own
    /// `cur`, `new` and `tmp`, without which mail programs don't take it for a mailbox.
    ///
    /// What is there already may have been made by a process that died before it was durable, so every directory is
    /// synchronised: where nothing is new, that costs next to nothing.
    pub(super) fn make(&self, address: &str) -> io::Result<()> {
        make_root(&self.root)?;
        let mailbox = self.mailbox(address);
        let archive = self.archive(address);
        make_maildir(&mailbox)?;
        sync_directory(&self.root)?;
        make_maildir(&archive)?;
        sync_directory(&mailbox)?;
        // Maildir++ marks what is a folder and not a mailbox of its own, for delivery agents that look for quotas.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(archive.join("maildirfolder")) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync_directory(&archive),
        }
    }
}

/// Makes the directory of all mailboxes and those above it that are missing, durably.
fn make_root(root: &Path) -> io::Result<()> {
    match make_directory(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_root(root.parent().ok_or(error)?)?;
            make_directory(root)?;
        }
        made => made?,
    }
    // The parent of a relative path of one segment is the empty path.
    let parent = root.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    match parent.map_or(Ok(()), sync_directory) {
        // The directory above an existing root need not be readable.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synchronised => synchronised,
    }
}

/// The entries of a directory in the order of their names; of a very large one, of a part. None where it can't be read.
fn first_entries(directory: &Path) -> Vec<PathBuf> {
    const MAX_FOLDERS: usize = 10_000;
    let entries = fs::read_dir(directory).into_iter().flatten().take(MAX_FOLDERS);
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Makes what is missing of a Maildir.
fn make_maildir(path: &Path) -> io::Result<()> {
    make_directory(path)?;
    for part in ["cur", "new", "tmp"] {
        make_directory(&path.join(part))?;
    }
    sync_directory(path)
}

/// Makes a directory where there is none.
fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && fs::metadata(path)?.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The directory of an address: the address itself in lower case where it is an ordinary one. Bytes that a path could
/// stumble over are percent-encoded; what is too long is cut and gets a digest, behind a `%-` that nothing else has.
fn directory_name(address: &str) -> String {
    let lower = address.to_lowercase();
    let mut name = String::with_capacity(lower.len());
    for (place, byte) in lower.bytes().enumerate() {
        let leading_dot = place == 0 && byte == b'.';
        if is_ordinary(byte) && !leading_dot {
            name.push(char::from(byte));
        } else {
            name.push('%');
            name.push_str(&hex::encode_upper([byte]));
        }
    }
    if name.is_empty() || name.len() > MAX_NAME {
        let mark = format!("%-{}", Digest::of(lower.as_bytes()));
        name.truncate(MAX_NAME - mark.len());
        name.push_str(&mark);
    }
    name
}

/// What an atom of an address is made of (RFC 5322, 3.2.3) but `/` and `%`, and what stands between atoms.
fn is_ordinary(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"@.!#$&'*+-=?^_`{|}~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    #[test]
    fn an_ordinary_address_is_its_own_directory() {
        assert_eq!(directory_name("Ana.O'Brien+x@Contoso.Example"), "ana.o'brien+x@contoso.example");
    }

    #[test]
    fn hostile_addresses_stay_below_the_root() {
        assert_eq!(directory_name("../../etc/passwd"), "%2E.%2F..%2Fetc%2Fpasswd");
        assert_eq!(directory_name(".."), "%2E.");
        assert_eq!(directory_name("a\0b%c d"), "a%00b%25c%20d");
        assert_eq!(directory_name("é@x.example"), "%C3%A9@x.example");
        assert!(directory_name("").starts_with("%-"));
    }

    #[test]
    fn long_addresses_are_distinguished() {
        let (one, other) = ("a".repeat(300), format!("{}b", "a".repeat(299)));
        assert_eq!(directory_name(&one).len(), MAX_NAME);
        assert_ne!(directory_name(&one), directory_name(&other));
    }

    #[test]
    fn folder_names_are_encoded_level_by_level() {
        let folder = |name| Layout::new(PathBuf::new(), name).map(|layout| layout.folder);
        assert_eq!(folder("WhatsApp Archiver").unwrap(), ".WhatsApp Archiver");
        assert_eq!(folder("Archiv/Wörter").unwrap(), ".Archiv.W&APY-rter");
        assert_eq!(folder("Archive.R&D").unwrap(), ".Archive.R&-D");
        for bad in ["", " ", ".", "..", "../x", "/x", "x/", "a//b", "a\0", "a\nb"] {
            assert!(folder(bad).is_err(), "{bad:?}");
        }
        assert!(folder(&"x".repeat(300)).is_err());
    }

    proptest! {
        #[test]
        fn a_directory_name_is_one_ordinary_component(address in ".*") {
            let name = directory_name(&address);
            prop_assert!(!name.starts_with('.') && name.len() <= MAX_NAME);
            let components: Vec<_> = Path::new(&name).components().collect();
            prop_assert_eq!(components, vec![Component::Normal(name.as_ref())]);
        }

        #[test]
        fn different_addresses_have_different_directories(one in "[.%/a-c]{0,6}", other in "[.%/a-c]{0,6}") {
            prop_assert_eq!(directory_name(&one) == directory_name(&other), one == other);
        }
    }
}
