//! Finds messages of ours in a mailbox: by their file name, else by their Message-ID, in every folder, because people
//! move messages and mail programs name files anew.
//!
//! Only these questions list directories. A listing can miss a file that is renamed meanwhile, so that "not there" is
//! said only after a second listing agrees.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::file_name::{self, unique_part_of};
use super::layout::{Layout, sync_directory};
use crate::convert::Manifest;
use crate::digest::{Digest, DigestingWriter};
use crate::identity::MessageId;
use crate::mailbox::{RemoteId, Verdict};

/// How much of a foreign file is read in search of its Message-ID, in bytes.
const MAX_HEADER: u64 = 256 * 1024;

/// A message looked for in a whole mailbox. What is found is made durable, as a delivery would have done; what a
/// delivery left unfinished in `tmp` is removed where nothing is found.
pub(super) fn recover(layout: &Layout, address: &str, wanted: &MessageId) -> io::Result<Option<RemoteId>> {
    for _listing in 0..2 {
        let mut found = None;
        walk(&folders(&layout.mailbox(address))?, |id, path| {
            if id == *wanted {
                found = Some(path.to_owned());
            }
            found.is_none()
        })?;
        if let Some(path) = found {
            return made_durable(&path).map(Some);
        }
    }
    remove_unfinished(&layout.archive(address).join("tmp"), &HashSet::from([wanted.clone()]))?;
    Ok(None)
}

/// The same for many messages at once: which of them are nowhere.
pub(super) fn absent(layout: &Layout, address: &str, ids: Vec<MessageId>) -> io::Result<HashSet<MessageId>> {
    let mut absent: HashSet<MessageId> = ids.into_iter().collect();
    for _listing in 0..2 {
        walk(&folders(&layout.mailbox(address))?, |id, _| {
            absent.remove(&id);
            !absent.is_empty()
        })?;
    }
    remove_unfinished(&layout.archive(address).join("tmp"), &absent)?;
    Ok(absent)
}

/// Removes a message of ours from the archive folder: for a self-test's own alone.
pub(super) fn remove(layout: &Layout, address: &str, id: &MessageId) -> io::Result<()> {
    let archive = layout.archive(address);
    let mut found = Vec::new();
    walk(std::slice::from_ref(&archive), |seen, path| {
        if seen == *id {
            found.push(path.to_owned());
        }
        true
    })?;
    for path in found {
        fs::remove_file(&path)?;
        made_durable(&path)?;
    }
    remove_unfinished(&archive.join("tmp"), &HashSet::from([id.clone()]))
}

/// The Message-IDs of ours in the archive folder, as often as they are there.
pub(super) fn inventory(layout: &Layout, address: &str) -> io::Result<Vec<MessageId>> {
    let mut ids = Vec::new();
    walk(&[layout.archive(address)], |id, _| {
        ids.push(id);
        true
    })?;
    Ok(ids)
}

/// One verdict for each manifest.
pub(super) fn verify(layout: &Layout, address: &str, sent: &[Manifest]) -> io::Result<Vec<Verdict>> {
    let wanted: HashSet<&MessageId> = sent.iter().map(|manifest| &manifest.message_id).collect();
    let copies = all_copies_of(layout, address, &wanted)?;
    let nowhere = Vec::new();
    let verdict = |manifest: &Manifest| match copies.get(&manifest.message_id).unwrap_or(&nowhere).as_slice() {
        [] => Ok(Verdict::Missing),
        [copy] => compare(layout, address, copy, manifest),
        several => Ok(Verdict::Doubled { copies: several.len() }),
    };
    sent.iter().map(verdict).collect()
}

/// How often each message is there.
pub(super) fn count(layout: &Layout, address: &str, ids: &[MessageId]) -> io::Result<Vec<usize>> {
    let copies = all_copies_of(layout, address, &ids.iter().collect())?;
    Ok(ids.iter().map(|id| copies.get(id).map_or(0, Vec::len)).collect())
}

/// Where the copies of messages are. What isn't found is looked for twice.
fn all_copies_of(
    layout: &Layout,
    address: &str,
    wanted: &HashSet<&MessageId>,
) -> io::Result<HashMap<MessageId, Vec<PathBuf>>> {
    let copies = copies_of(layout, address, wanted)?;
    if copies.len() < wanted.len() { copies_of(layout, address, wanted) } else { Ok(copies) }
}

fn copies_of(
    layout: &Layout,
    address: &str,
    wanted: &HashSet<&MessageId>,
) -> io::Result<HashMap<MessageId, Vec<PathBuf>>> {
    let mut copies: HashMap<MessageId, Vec<PathBuf>> = HashMap::new();
    walk(&folders(&layout.mailbox(address))?, |id, path| {
        if wanted.contains(&id) {
            copies.entry(id).or_default().push(path.to_owned());
        }
        true
    })?;
    Ok(copies)
}

/// Compares a copy with what was sent. One that was moved since it was found is looked for once more.
fn compare(layout: &Layout, address: &str, copy: &Path, manifest: &Manifest) -> io::Result<Verdict> {
    let (digest, size) = match content_of(copy) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let moved = copies_of(layout, address, &HashSet::from([&manifest.message_id]))?;
            match moved.into_values().flatten().collect::<Vec<_>>().as_slice() {
                [] => return Ok(Verdict::Missing),
                [copy] => content_of(copy)?,
                several => return Ok(Verdict::Doubled { copies: several.len() }),
            }
        }
        content => content?,
    };
    if size != manifest.size {
        return Ok(Verdict::Altered { detail: format!("{size} bytes, where {} were sent", manifest.size) });
    }
    if digest != manifest.mime {
        return Ok(Verdict::Altered { detail: format!("other content, of digest {digest}") });
    }
    Ok(Verdict::Intact)
}

/// The digest and the length of a file.
fn content_of(path: &Path) -> io::Result<(Digest, u64)> {
    let mut content = DigestingWriter::default();
    io::copy(&mut BufReader::with_capacity(64 * 1024, File::open(path)?), &mut content)?;
    Ok(content.finish())
}

/// Makes the directory entry of a file durable and returns the file's id.
fn made_durable(path: &Path) -> io::Result<RemoteId> {
    if let Some(directory) = path.parent() {
        sync_directory(directory)?;
    }
    Ok(RemoteId(path.file_name().map(unique_part_of).unwrap_or_default()))
}

/// Removes what interrupted deliveries of these messages left in `tmp`.
fn remove_unfinished(tmp: &Path, ids: &HashSet<MessageId>) -> io::Result<()> {
    for path in files(tmp)? {
        if path.file_name().and_then(file_name::message_id).is_some_and(|id| ids.contains(&id)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The folders of a mailbox, the mailbox itself first; none where there is no mailbox.
fn folders(mailbox: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![mailbox.to_owned()];
    for entry in entries(mailbox)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Passes each message of ours in these folders to `seen`, until it returns false. Files that bear our name come
/// first: only where they don't suffice are the others read.
fn walk(folders: &[PathBuf], mut seen: impl FnMut(MessageId, &Path) -> bool) -> io::Result<()> {
    let mut foreign = Vec::new();
    for directory in folders.iter().flat_map(|folder| [folder.join("cur"), folder.join("new")]) {
        for path in files(&directory)? {
            match path.file_name().and_then(file_name::message_id) {
                None => foreign.push(path),
                Some(id) => {
                    if !seen(id, &path) {
                        return Ok(());
                    }
                }
            }
        }
    }
    for path in foreign {
        if let Some(id) = message_id_within(&path)?
            && !seen(id, &path)
        {
            return Ok(());
        }
    }
    Ok(())
}

/// The entries of a directory; none where there is no such directory.
fn entries(directory: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

/// The regular files of a directory, and links to such, but the hidden ones, which belong to the mail program. Who opened a FIFO would
/// wait for ever.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in entries(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_file() || kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|found| found.is_file()) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// The Message-ID of a file, where it is one of ours. A file that is gone has none.
fn message_id_within(path: &Path) -> io::Result<Option<MessageId>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    message_id_of_header(BufReader::new(file.take(MAX_HEADER)))
}

/// The value of the first `Message-ID` field of a header, unfolded.
fn message_id_of_header(mut header: impl io::BufRead) -> io::Result<Option<MessageId>> {
    const FIELD: &[u8] = b"message-id:";
    let mut line = Vec::new();
    let mut value: Option<Vec<u8>> = None;
    loop {
        line.clear();
        header.read_until(b'\n', &mut line)?;
        let content = line.trim_ascii();
        let folded = line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        match &mut value {
            Some(value) if folded && !content.is_empty() => value.extend_from_slice(content),
            Some(value) => return Ok(MessageId::parse(&String::from_utf8_lossy(value))),
            None if content.is_empty() => return Ok(None),
            None => value = field_value(content, FIELD),
        }
    }
}

/// The value of a header line where it is of this field.
fn field_value(line: &[u8], field: &[u8]) -> Option<Vec<u8>> {
    let (name, value) = line.split_at_checked(field.len())?;
    name.eq_ignore_ascii_case(field).then(|| value.trim_ascii().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("message"), "").unwrap();
        fs::write(path(".hidden"), "").unwrap();
        fs::create_dir(path("folder")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for (to, name) in [("message", "link"), ("pipe", "link to the pipe"), ("nothing", "dangling")] {
            std::os::unix::fs::symlink(path(to), path(name)).unwrap();
        }
        let found: HashSet<PathBuf> = files(folder.path()).unwrap().into_iter().collect();
        assert_eq!(found, HashSet::from([path("message"), path("link")]));
    }

    #[test]
    fn the_message_id_is_read_from_any_header() {
        let ours = "0123456789abcdef0123456789abcdef@whatsapp-archiver.invalid";
        let id = MessageId::parse(ours);
        assert!(id.is_some());
        for header in [
            format!("Message-ID: <{ours}>\r\n\r\n"),
            format!("From: a@b.example\nMESSAGE-id:<{ours}>\n\nMessage-ID: <x@y>\n"),
            format!("Subject: x\r\nMessage-ID:\r\n <{ours}>\r\nDate: x\r\n\r\n"),
            format!("Message-Id: <{ours}>"),
        ] {
            assert_eq!(message_id_of_header(header.as_bytes()).unwrap(), id, "{header}");
        }
        for header in [
            String::new(),
            "\r\n".to_owned(),
            format!("Subject: x\n\nMessage-ID: <{ours}>\n"),
            "Message-ID: <abc@contoso.example>\n\n".to_owned(),
            format!("Message-ID: <x@y>\nMessage-ID: <{ours}>\n\n"),
            "Message-ID:".to_owned(),
        ] {
            assert_eq!(message_id_of_header(header.as_bytes()).unwrap(), None, "{header}");
        }
    }
}
