//! RSMF 2.0, the Relativity Short Message Format: one file for each chat and day.
//!
//! Items come in the order of their arrival, files are by chat and day: each item's event is put aside in a file of its
//! chat and day, attachments beside it under their digest, and at the end each chat and day becomes one file, or several
//! where it has more events or bytes than review tools take ([`EVENTS_OF_A_FILE`], [`ATTACHMENT_BYTES_OF_A_FILE`]). The
//! files are put in their places once all of them are complete.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use super::output::{ExportedFile, Output};
use super::{ExportError, Options, at};
use crate::convert::Message;
use crate::digest::Digest;
use crate::item::Item;
use crate::resolve::Resolution;
use aside::Aside;
use event::{Captured, CapturedFile};
use roster::Roster;

mod aside;
mod event;
mod manifest;
mod roster;
mod wrapper;

/// The most events that Relativity recommends for one file.
const EVENTS_OF_A_FILE: usize = 10_000;
/// So that a file stays below the 2 GB that Relativity takes, base64 included.
const ATTACHMENT_BYTES_OF_A_FILE: u64 = 1024 * 1024 * 1024;

/// What is put aside until the export ends.
#[derive(Debug)]
pub(super) struct Collection {
    folder: PathBuf,
    aside: Aside,
    time_zone: Tz,
    /// Names of chats and days: `<day>-<chat>`.
    chat_days: BTreeSet<String>,
}

impl Collection {
    pub(super) fn create(folder: &Path, options: &Options) -> Result<Self, ExportError> {
        let (aside, chat_days) = (Aside::take(folder)?, BTreeSet::new());
        Ok(Self { folder: folder.to_owned(), aside, time_zone: options.time_zone, chat_days })
    }

    pub(super) fn add(&mut self, item: &Item, resolution: &Resolution, message: &Message) -> Result<(), ExportError> {
        let captured = Captured::of(item, resolution, message);
        for file in &message.mail.attachments {
            self.put_aside(file.digest, &file.bytes)?;
        }
        let name = format!("{}-{}", captured.day(self.time_zone), captured.chat.id);
        let path = self.aside.path(&name);
        let mut line = serde_json::to_vec(&captured).map_err(put_aside_at(&path))?;
        line.push(b'\n');
        let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(at(&path))?;
        file.write_all(&line).map_err(at(&path))?;
        self.chat_days.insert(name);
        Ok(())
    }

    /// Writes the files; returns them, each with the Message-IDs that are in it.
    pub(super) fn finish(self) -> Result<Vec<(ExportedFile, Vec<String>)>, ExportError> {
        let mut files = Vec::new();
        for chat_day in &self.chat_days {
            let path = self.aside.path(chat_day);
            let (mut events, roster) = read_back(&path)?;
            events.sort_by_key(Captured::place);
            let parts = parted(events);
            let only = parts.len() == 1;
            for (number, part) in parts.into_iter().enumerate() {
                let suffix = if only { String::new() } else { format!("-{}", number + 1) };
                let name = format!("{chat_day}{suffix}.rsmf");
                let file = self.write_file(name, &part, &roster)?;
                files.push((file, part.into_iter().map(|event| event.message_id).collect()));
            }
            fs::remove_file(&path).map_err(at(&path))?;
        }
        self.put_in_place(&files)?;
        Ok(files)
    }

    fn write_file(&self, name: String, events: &[Captured], roster: &Roster) -> Result<ExportedFile, ExportError> {
        let mut output = Output::create(self.aside.folder(), name)?;
        let path = output.path().to_owned();
        let manifest = manifest::Manifest::of(events, roster);
        let archive = self.aside.path("rsmf.zip");
        wrapper::write_archive(&archive, &path, &manifest, |digest| self.attachment_path(digest))?;
        wrapper::write(&mut output, &archive, &manifest, events, self.time_zone)?;
        fs::remove_file(&archive).map_err(at(&archive))?;
        output.finish()
    }

    /// Moves the finished files out into the folder: none of them where one of their names is taken.
    fn put_in_place(&self, files: &[(ExportedFile, Vec<String>)]) -> Result<(), ExportError> {
        let places = || files.iter().map(|(file, _)| (&file.path, self.folder.join(&file.path)));
        if let Some((_, taken)) = places().find(|(_, place)| place.symlink_metadata().is_ok()) {
            return Err(at(&taken)(io::ErrorKind::AlreadyExists.into()));
        }
        for (name, place) in places() {
            fs::rename(self.aside.path(name), &place).map_err(at(&place))?;
        }
        Ok(())
    }

    fn attachment_path(&self, digest: Digest) -> PathBuf {
        self.aside.path(&format!("{digest}.attachment"))
    }

    fn put_aside(&self, digest: Digest, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.attachment_path(digest);
        if path.exists() {
            return Ok(());
        }
        fs::write(&path, bytes).map_err(at(&path))
    }
}

/// The events of a chat and day, and the people whom they name.
fn read_back(path: &Path) -> Result<(Vec<Captured>, Roster), ExportError> {
    let file = BufReader::new(fs::File::open(path).map_err(at(path))?);
    let (mut events, mut roster) = (Vec::new(), Roster::default());
    for line in file.split(b'\n') {
        let mut event: Captured = serde_json::from_slice(&line.map_err(at(path))?).map_err(put_aside_at(path))?;
        roster.take_from(&mut event);
        events.push(event);
    }
    Ok((events, roster))
}

fn put_aside_at(path: &Path) -> impl FnOnce(serde_json::Error) -> ExportError + '_ {
    move |source| ExportError::PutAside { path: path.to_owned(), source: source.into() }
}

/// In their order, as many together as one file takes.
fn parted(events: Vec<Captured>) -> Vec<Vec<Captured>> {
    let mut parts: Vec<Vec<Captured>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size: u64 = event.files.iter().map(CapturedFile::size).sum();
        let fits = parts.last().is_some_and(|part| part.len() < EVENTS_OF_A_FILE)
            && bytes + size <= ATTACHMENT_BYTES_OF_A_FILE;
        match parts.last_mut() {
            Some(part) if fits => {
                part.push(event);
                bytes += size;
            }
            _ => {
                parts.push(vec![event]);
                bytes = size;
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::convert;

    fn captured(sizes: &[u64]) -> Captured {
        let json = br#"{"id":1,"gatewayReceivedDate":1763712000000,"body":{"text":"x"}}"#;
        let item = Item::read(json, "2025-12-01T00:00:00Z".parse().unwrap()).unwrap();
        let nobody = Resolution::default();
        let mut event = Captured::of(&item, &nobody, &convert(&item, &[], &nobody, "whatsapp.invalid"));
        let file = |&size| CapturedFile { name: "a".to_owned(), size, digest: Digest::of(b"a") };
        event.files = sizes.iter().map(file).collect();
        event
    }

    fn lengths(events: Vec<Captured>) -> Vec<usize> {
        parted(events).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_file_has_ten_thousand_events_at_most() {
        assert_eq!(lengths(vec![captured(&[]); 10_000]), [10_000]);
        assert_eq!(lengths(vec![captured(&[]); 10_001]), [10_000, 1]);
        assert!(lengths(Vec::new()).is_empty());
    }

    #[test]
    fn a_file_has_a_gibibyte_of_attachments_at_most_unless_one_event_alone_has_more() {
        const HALF: u64 = ATTACHMENT_BYTES_OF_A_FILE / 2;
        assert_eq!(lengths(vec![captured(&[HALF, HALF]), captured(&[]), captured(&[1]), captured(&[HALF])]), [2, 2]);
        assert_eq!(lengths(vec![captured(&[3 * HALF]), captured(&[1])]), [1, 1]);
    }
}
