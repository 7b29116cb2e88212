//! Messages of a window as files: one `.eml` each, one mbox, or RSMF for review tools.
//!
//! A pure writer: it is handed items with their messages, one after the other, and writes files into a folder. It reads
//! no staging, no ledger and no mailbox. Nothing that is there already is overwritten. Two captures of the same message
//! (the same identity) are written once. What is held in memory doesn't grow with the window but for about 100 bytes a
//! message (and, for RSMF, the texts and people of one chat and day at a time).

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::convert::Message;
use crate::identity::MessageId;
use crate::item::Item;
use crate::json_fault::JsonFault;
use crate::resolve::Resolution;

mod eml;
mod mbox;
mod rsmf;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One RFC 5322 file for each message, in a folder for each UTC day.
    Eml,
    /// One mbox file of the `mboxrd` kind.
    Mbox,
    /// Relativity Short Message Format 2.0: one file for each chat and UTC day.
    Rsmf,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Eml, Self::Mbox, Self::Rsmf];

    /// The format's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eml => "eml",
            Self::Mbox => "mbox",
            Self::Rsmf => "rsmf",
        }
    }

    /// The format of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// What an export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Messages written.
    pub messages: u64,
    /// Further captures of a message that was written already.
    pub duplicates: u64,
    /// Files written.
    pub files: u64,
}

/// Why an export failed. What was written so far is left for the administrator to look at and remove, but of RSMF, whose
/// files are put in their places at the end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file can't be written, or is there already.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another RSMF export is writing into the same folder.
    #[error("another export is under way into {folder}: wait for it, or export into another directory")]
    UnderWay {
        /// The folder.
        folder: PathBuf,
    },
    /// The archive inside an RSMF file can't be written.
    #[error("cannot write the archive of {path}: {source}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: zip::result::ZipError,
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
    written: HashSet<MessageId>,
    summary: Summary,
}

#[derive(Debug)]
enum Writer {
    Eml(eml::Folder),
    Mbox(mbox::Mailbox),
    Rsmf(rsmf::Collection),
}

impl Exporter {
    /// An export into `folder`, which is made where it is missing.
    pub fn new(format: Format, folder: &Path) -> Result<Self, ExportError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let writer = match format {
            Format::Eml => Writer::Eml(eml::Folder::new(folder)),
            Format::Mbox => Writer::Mbox(mbox::Mailbox::create(folder)?),
            Format::Rsmf => Writer::Rsmf(rsmf::Collection::create(folder)?),
        };
        Ok(Self { writer, written: HashSet::new(), summary: Summary::default() })
    }

    /// Writes one message, with the item it was converted from and what is recorded of whose mailboxes it belongs in.
    pub fn add(&mut self, item: &Item, resolution: &Resolution, message: &Message) -> Result<(), ExportError> {
        if !self.written.insert(message.mail.message_id.clone()) {
            self.summary.duplicates += 1;
            return Ok(());
        }
        match &mut self.writer {
            Writer::Eml(folder) => folder.add(message)?,
            Writer::Mbox(mailbox) => mailbox.add(message)?,
            Writer::Rsmf(collection) => collection.add(item, resolution, message)?,
        }
        self.summary.messages += 1;
        Ok(())
    }

    /// Ends the export. Without this call its last files are incomplete.
    pub fn finish(self) -> Result<Summary, ExportError> {
        let files = match self.writer {
            Writer::Eml(_) => self.summary.messages,
            Writer::Mbox(mailbox) => mailbox.finish().map(|()| 1)?,
            Writer::Rsmf(collection) => collection.finish()?,
        };
        Ok(Summary { files, ..self.summary })
    }
}

/// A new file; one that is there already is an error.
fn create(path: &Path) -> Result<File, ExportError> {
    OpenOptions::new().write(true).create_new(true).open(path).map_err(at(path))
}

/// Names the file in an error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> ExportError + '_ {
    move |source| ExportError::File { path: path.to_owned(), source }
}
