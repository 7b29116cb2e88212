//! Exports by chat and day: RSMF 2.0, the Relativity Short Message Format, and transcripts.
//!
//! Items come in the order of their arrival, files are by chat and day: each item's event is put aside in a file of its
//! chat and day, attachments beside it under their digest, and at the end each chat and day becomes one file. One of RSMF
//! becomes several where it has more events or bytes than review tools take ([`MAX_EVENTS`],
//! [`MAX_ATTACHMENT_BYTES`]). The files are put in their places once all of them are complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use super::error::{ExportError, at};
use super::options::Options;
use super::output::{ExportedFile, Output};
use crate::convert::Message;
use crate::digest::Digest;
use crate::item::Item;
use crate::resolution::Resolution;
use aside::Aside;
use event::Captured;
use roster::Roster;

mod aside;
mod event;
mod manifest;
mod roster;
mod transcript;
mod wrapper;

/// The most events that Relativity recommends for one file.
const MAX_EVENTS: usize = 10_000;
/// So that a file stays below the 2 GB that Relativity takes, base64 included.
const MAX_ATTACHMENT_BYTES: u64 = 1024 * 1024 * 1024;

/// What a chat and day becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Rsmf,
    Transcript,
}

/// Files with the Message-IDs that are in each.
type Written = Vec<(ExportedFile, Vec<String>)>;

/// What is put aside until the export ends.
#[derive(Debug)]
pub(super) struct Collection {
    folder: PathBuf,
    aside: Aside,
    form: Form,
    time_zone: Tz,
    max_file_size: u64,
    /// Names of chats and days: `<day>-<chat>`.
    chat_days: BTreeSet<String>,
}

impl Collection {
    pub(super) fn create(folder: &Path, options: &Options, form: Form) -> Result<Self, ExportError> {
        let (aside, chat_days) = (Aside::take(folder)?, BTreeSet::new());
        let max_file_size = options.max_file_size.unwrap_or(u64::MAX);
        Ok(Self { folder: folder.to_owned(), aside, form, time_zone: options.time_zone, max_file_size, chat_days })
    }

    pub(super) fn add(&mut self, item: &Item, resolution: &Resolution, message: &Message) -> Result<(), ExportError> {
        let mut captured = Captured::of(item, resolution, message);
        if self.form == Form::Transcript {
            captured.tell(item, message);
        }
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
    pub(super) fn finish(self) -> Result<Written, ExportError> {
        let (mut files, mut attachments, mut pages) = (Vec::new(), Attachments::default(), Vec::new());
        for chat_day in &self.chat_days {
            let path = self.aside.path(chat_day);
            let (mut events, roster) = read_back(&path)?;
            events.sort_by_key(Captured::place);
            match self.form {
                Form::Rsmf => self.write_parts(chat_day, events, &roster, &mut files)?,
                Form::Transcript => {
                    let (file, page) = self.write_page(chat_day, &events, &roster, &mut attachments)?;
                    files.push((file, events.into_iter().map(|event| event.message_id).collect()));
                    pages.push(page);
                }
            }
            fs::remove_file(&path).map_err(at(&path))?;
        }
        if self.form == Form::Transcript {
            let index = transcript::index(&pages, self.time_zone);
            files.push((self.write_text("index.html".to_owned(), index)?, Vec::new()));
        }
        self.refuse_taken(&files)?;
        let attachments = self.write_attachments(attachments)?;
        self.put_in_place(&files)?;
        files.extend(attachments);
        Ok(files)
    }

    fn write_parts(
        &self,
        chat_day: &str,
        events: Vec<Captured>,
        roster: &Roster,
        files: &mut Written,
    ) -> Result<(), ExportError> {
        let parts = parted(events, self.max_file_size.saturating_sub(roster.file_bytes()));
        let only = parts.len() == 1;
        for (number, part) in parts.into_iter().enumerate() {
            let suffix = if only { String::new() } else { format!("-{}", number + 1) };
            let file = self.write_file(format!("{chat_day}{suffix}.rsmf"), &part, roster)?;
            files.push((file, part.into_iter().map(|event| event.message_id).collect()));
        }
        Ok(())
    }

    /// Writes a transcript, and notes the attachments that it links to.
    fn write_page(
        &self,
        chat_day: &str,
        events: &[Captured],
        roster: &Roster,
        attachments: &mut Attachments,
    ) -> Result<(ExportedFile, transcript::Listed), ExportError> {
        let manifest = manifest::Manifest::of(events, roster);
        let day = events.first().map(|event| event.day(self.time_zone)).unwrap_or_default();
        for event in events {
            for file in &event.files {
                let (_, messages) = attachments
                    .entry(transcript::attachment_path(file.digest, &file.name))
                    .or_insert_with(|| (file.digest, Vec::new()));
                messages.push(event.message_id.clone());
            }
        }
        let name = format!("{chat_day}.html");
        let page = transcript::page(&manifest, &day, self.time_zone);
        let listed = transcript::Listed {
            day,
            chat: manifest.title().to_owned(),
            file: name.clone(),
            entries: manifest.events.len(),
        };
        Ok((self.write_text(name, page)?, listed))
    }

    fn write_text(&self, name: String, page: Result<String, askama::Error>) -> Result<ExportedFile, ExportError> {
        let mut output = Output::create(self.aside.folder(), name)?;
        let path = output.path().to_owned();
        let page = page.map_err(|source| ExportError::Page { path: path.clone(), source })?;
        output.write_all(page.as_bytes()).map_err(at(&path))?;
        output.finish()
    }

    /// Writes the attachments of transcripts, each once.
    fn write_attachments(&self, attachments: Attachments) -> Result<Written, ExportError> {
        let mut files = Vec::with_capacity(attachments.len());
        for (name, (digest, messages)) in attachments {
            let place = self.folder.join(&name);
            if let Some(folder) = place.parent() {
                fs::create_dir_all(folder).map_err(at(folder))?;
            }
            let mut output = Output::create(&self.folder, name)?;
            let aside = self.attachment_path(digest);
            let mut bytes = fs::File::open(&aside).map_err(at(&aside))?;
            io::copy(&mut bytes, &mut output).map_err(at(&place))?;
            files.push((output.finish()?, messages));
        }
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

    /// Fails where a file of one of these names is there already.
    fn refuse_taken(&self, files: &Written) -> Result<(), ExportError> {
        let mut places = files.iter().map(|(file, _)| self.folder.join(&file.path));
        match places.find(|place| place.symlink_metadata().is_ok()) {
            Some(taken) => Err(at(&taken)(io::ErrorKind::AlreadyExists.into())),
            None => Ok(()),
        }
    }

    /// Moves the finished files out into the folder.
    fn put_in_place(&self, files: &Written) -> Result<(), ExportError> {
        for (file, _) in files {
            let place = self.folder.join(&file.path);
            fs::rename(self.aside.path(&file.path), &place).map_err(at(&place))?;
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

/// The attachments of transcripts by their paths: the digest of each, and the messages that it belongs to.
type Attachments = BTreeMap<String, (Digest, Vec<String>)>;

/// The events of a chat and day, and the people whom they name.
fn read_back(path: &Path) -> Result<(Vec<Captured>, Roster), ExportError> {
    let file = BufReader::new(fs::File::open(path).map_err(at(path))?);
    let (mut events, mut roster) = (Vec::new(), Roster::default());
    for line in file.split(b'\n') {
        let line = line.map_err(at(path))?;
        let mut event: Captured = serde_json::from_slice(&line).map_err(put_aside_at(path))?;
        event.length = line.len() as u64;
        roster.take_from(&mut event);
        events.push(event);
    }
    Ok((events, roster))
}

fn put_aside_at(path: &Path) -> impl FnOnce(serde_json::Error) -> ExportError + '_ {
    move |source| ExportError::PutAside { path: path.to_owned(), source: source.into() }
}

/// In their order, as many together as one file takes.
fn parted(events: Vec<Captured>, max_file_size: u64) -> Vec<Vec<Captured>> {
    let mut parts: Vec<Vec<Captured>> = Vec::new();
    let (mut attachments, mut file, mut count) = (0, 0, 0);
    for event in events {
        let (of_files, of_event): (u64, u64) = (event.files.iter().map(|file| file.size).sum(), file_bytes(&event));
        let of_item = event.events();
        let fits = count + of_item <= MAX_EVENTS
            && attachments + of_files <= MAX_ATTACHMENT_BYTES
            && file + of_event <= max_file_size;
        match parts.last_mut() {
            Some(part) if fits => {
                part.push(event);
                (attachments, file, count) = (attachments + of_files, file + of_event, count + of_item);
            }
            _ => {
                parts.push(vec![event]);
                (attachments, file, count) = (of_files, of_event, of_item);
            }
        }
    }
    parts
}

/// The most bytes that an event can add to a file: its attachments and its part of the manifest in base64, and its part of the
/// transcript, of which each byte may take three.
fn file_bytes(event: &Captured) -> u64 {
    const ENTRY_BYTES: u64 = 512;
    let files: u64 = event.files.iter().map(|file| file.size + ENTRY_BYTES).sum();
    let further_events = ENTRY_BYTES * (event.events() as u64 - 1);
    in_base64(files + 2 * event.length + further_events) + 3 * event.length
}

/// An upper bound of the length of bytes in base64, in lines.
fn in_base64(bytes: u64) -> u64 {
    bytes.saturating_mul(7) / 5 + 4
}

#[cfg(test)]
mod tests {
    use super::event::CapturedFile;
    use super::*;
    use crate::convert::convert;

    fn captured(sizes: &[u64]) -> Captured {
        let json = br#"{"id":1,"gatewayReceivedDate":1763712000000,"body":{"text":"x"}}"#;
        let item = Item::read(json, "2025-12-01T00:00:00Z".parse().unwrap()).unwrap();
        let nobody = Resolution::default();
        let mut event = Captured::of(&item, &nobody, &convert(&item, &[], &nobody, "whatsapp.invalid"));
        let file = |&size| CapturedFile { name: "a".to_owned(), size, digest: Digest::of(b"a"), is_picture: false };
        event.files = sizes.iter().map(file).collect();
        event
    }

    fn lengths(events: Vec<Captured>) -> Vec<usize> {
        parted(events, u64::MAX).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_file_has_ten_thousand_events_at_most() {
        assert_eq!(lengths(vec![captured(&[]); 10_000]), [10_000]);
        assert_eq!(lengths(vec![captured(&[]); 10_001]), [10_000, 1]);
        assert!(lengths(Vec::new()).is_empty());
    }

    #[test]
    fn a_file_has_a_gibibyte_of_attachments_at_most_unless_one_event_alone_has_more() {
        const HALF: u64 = MAX_ATTACHMENT_BYTES / 2;
        assert_eq!(lengths(vec![captured(&[HALF, HALF]), captured(&[]), captured(&[1]), captured(&[HALF])]), [2, 2]);
        assert_eq!(lengths(vec![captured(&[3 * HALF]), captured(&[1])]), [1, 1]);
    }
}
