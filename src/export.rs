//! Messages of a window as files: one `.eml` each, one mbox, RSMF for review tools, or transcripts to read; and `manifest.csv`, which names
//! every message, its file and the file's digest, and what could not be exported.
//!
//! A pure writer: it is handed items with their messages, one after the other, and writes files into a folder. It reads
//! no staging, no ledger and no mailbox. Nothing that is there already is overwritten. Two captures of the same message
//! (the same identity) are written once. What is held in memory doesn't grow with the window but for about 300 bytes a
//! message (and, for RSMF and transcripts, the texts and people of one chat and day at a time).

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use crate::convert::Message;
use crate::digest::Digest;
use crate::identity::MessageId;
use crate::item::Item;
use crate::json_fault::JsonFault;
use crate::resolution::Resolution;
use inventory::{Inventory, Placed};

mod chats;
mod eml;
mod inventory;
mod mbox;
mod output;
mod selection;

pub use inventory::{MANIFEST, Row};
pub use output::ExportedFile;
pub use selection::{By, Selection};

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One RFC 5322 file for each message, in a folder for each day.
    Eml,
    /// One mbox file of the `mboxrd` kind.
    Mbox,
    /// Relativity Short Message Format 2.0: one file for each chat and day.
    Rsmf,
    /// One page for each chat and day, to read and to print, with the attachments beside them.
    Html,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Eml, Self::Mbox, Self::Rsmf, Self::Html];

    /// The format's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eml => "eml",
            Self::Mbox => "mbox",
            Self::Rsmf => "rsmf",
            Self::Html => "html",
        }
    }

    /// The format of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// How an export is written.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The form.
    pub format: Format,
    /// In which days begin, and times are shown.
    pub time_zone: Tz,
    /// The largest RSMF file, in bytes. A chat and day that has more is split.
    pub max_file_size: Option<u64>,
}

impl Options {
    /// This form, with days and times in UTC.
    pub fn new(format: Format) -> Self {
        Self { format, time_zone: Tz::UTC, max_file_size: None }
    }
}

/// What an export wrote, once it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How much.
    pub summary: Summary,
    /// The digest of `manifest.csv`.
    pub manifest: Digest,
    /// Paths of files that are larger than asked for, because one event alone is.
    pub oversized: Vec<String>,
}

/// How much an export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Messages written.
    pub messages: u64,
    /// Further captures of a message that was written already.
    pub duplicates: u64,
    /// Files written, without `manifest.csv`.
    pub files: u64,
}

/// Why an export failed. What was written so far is left for the administrator to look at and remove, but of RSMF and
/// transcripts, whose files are put in their places at the end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file is there already.
    #[error("{path} is there already, and nothing is overwritten: export into another directory, or remove it first")]
    Taken { path: PathBuf },
    /// A file can't be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another export by chat and day is writing into the same folder.
    #[error("another export is under way into {folder}: wait for it, or export into another directory")]
    UnderWay { folder: PathBuf },
    /// The archive inside an RSMF file can't be written.
    #[error("cannot write the archive of {path}: {source}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// A page can't be written.
    #[error("cannot write the page {path}: {source}")]
    Page {
        /// The page.
        path: PathBuf,
        /// Why.
        #[source]
        source: askama::Error,
    },
    /// What was put aside for an RSMF file can't be written or read back.
    #[error("cannot put aside or read back {path}: {source}")]
    PutAside {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: JsonFault,
    },
}

/// Writes messages into a folder, as they come.
#[derive(Debug)]
pub struct Exporter {
    writer: Writer,
    inventory: Inventory,
    placed: Placed,
    max_file_size: u64,
    written: HashSet<MessageId>,
    summary: Summary,
}

#[derive(Debug)]
enum Writer {
    Eml(eml::Folder),
    Mbox(mbox::Mailbox),
    Chats(chats::Collection),
}

impl Exporter {
    /// An export into `folder`, which is made where it is missing.
    pub fn new(options: &Options, folder: &Path) -> Result<Self, ExportError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let writer = match options.format {
            Format::Eml => Writer::Eml(eml::Folder::new(folder, options.time_zone)),
            Format::Mbox => Writer::Mbox(mbox::Mailbox::create(folder)?),
            Format::Rsmf => Writer::Chats(chats::Collection::create(folder, options, chats::Form::Rsmf)?),
            Format::Html => Writer::Chats(chats::Collection::create(folder, options, chats::Form::Transcript)?),
        };
        Ok(Self {
            writer,
            inventory: Inventory::create(folder)?,
            placed: Placed::default(),
            max_file_size: options.max_file_size.unwrap_or(u64::MAX),
            written: HashSet::new(),
            summary: Summary::default(),
        })
    }

    /// Writes one message, with the item it was converted from and what is recorded of whose mailboxes it belongs in.
    pub fn add(&mut self, item: &Item, resolution: &Resolution, message: &Message) -> Result<(), ExportError> {
        self.inventory.add(&row_of(item, message))?;
        // By the key: a copy that was recorded under version 1 of the identity has another Message-ID.
        let own = || message.mail.message_id.clone();
        if !self.written.insert(message.identities.map_or_else(own, |identities| identities.key.message_id())) {
            self.summary.duplicates += 1;
            return Ok(());
        }
        match &mut self.writer {
            Writer::Eml(folder) => self.placed.file(folder.add(message)?, [message.mail.message_id.to_string()]),
            Writer::Mbox(mailbox) => mailbox.add(message)?,
            Writer::Chats(collection) => collection.add(item, resolution, message)?,
        }
        self.summary.messages += 1;
        Ok(())
    }

    /// Names an item that is not exported, with the reason, in `manifest.csv`.
    pub fn leave_out(&mut self, row: &Row) -> Result<(), ExportError> {
        self.inventory.add(row)
    }

    /// Ends the export. Without this call its last files are incomplete.
    pub fn finish(self) -> Result<Finished, ExportError> {
        let Self { writer, inventory, mut placed, max_file_size, summary, .. } = self;
        let mut oversized = Vec::new();
        let files = match writer {
            Writer::Eml(_) => Vec::new(),
            Writer::Mbox(mailbox) => vec![mailbox.finish()?],
            Writer::Chats(collection) => collection.finish()?,
        };
        for (file, messages) in files {
            oversized.extend((file.bytes > max_file_size).then(|| file.path.clone()));
            placed.file(file, messages);
        }
        let manifest = inventory.finish(&placed)?;
        Ok(Finished { summary: Summary { files: placed.len() as u64, ..summary }, manifest, oversized })
    }
}

/// The row of a message that is exported; what of it is missing is its problem.
fn row_of(item: &Item, message: &Message) -> Row {
    let missing: Vec<String> =
        message.missing().iter().map(|missing| format!("{} ({})", missing.name, missing.detail)).collect();
    Row {
        item: item.id.to_string(),
        message_id: Some(message.mail.message_id.to_string()),
        sent: Some(item.time.at),
        owner: item.owner.as_ref().map(|owner| owner.value.clone()),
        problem: (!missing.is_empty()).then(|| format!("attachments that are missing: {}", missing.join("; "))),
    }
}

/// A new file; one that is there already is an error.
fn create(path: &Path) -> Result<File, ExportError> {
    OpenOptions::new().write(true).create_new(true).open(path).map_err(at(path))
}

/// Names the file in an error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> ExportError + '_ {
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Taken { path: path.to_owned() },
        _ => ExportError::File { path: path.to_owned(), source },
    }
}
