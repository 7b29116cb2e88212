//! Messages of a window as files: one `.eml` each, one mbox, RSMF for review tools, or transcripts to read; and `manifest.csv`, which names
//! every message, its file and the file's digest, and what could not be exported.
//!
//! A pure writer: it is handed items with their messages, one after the other, and writes files into a folder. It reads
//! no staging, no ledger and no mailbox. Nothing that is there already is overwritten. Two captures of the same message
//! (the same identity) are written once. What is held in memory doesn't grow with the window but for about 300 bytes a
//! message (and, for RSMF and transcripts, the texts and people of one chat and day at a time).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::path::Path;

use crate::convert::Message;
use crate::digest::Digest;
use crate::identity::MessageId;
use crate::item::Item;
use crate::resolution::Resolution;
use error::at;
use inventory::{Inventory, Placed};

mod chats;
mod eml;
mod error;
mod filters;
mod inventory;
mod mbox;
mod options;
mod output;
mod selection;

pub use error::ExportError;
pub use filters::{Filters, Value};
pub use inventory::{MANIFEST, Row};
pub use options::{Format, Options};
pub use output::ExportedFile;
pub use selection::{By, Selection};

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

/// Writes messages into a folder, as they come.
#[derive(Debug)]
pub struct Exporter {
    writer: Writer,
    inventory: Inventory,
    placed: Placed,
    max_file_size: u64,
    /// The Message-ID that each message was written under, by that of its identity's key.
    written: HashMap<MessageId, MessageId>,
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
            written: HashMap::new(),
            summary: Summary::default(),
        })
    }

    /// Writes one message, with the item it was converted from and what is recorded of whose mailboxes it belongs in.
    pub fn add(&mut self, item: &Item, resolution: &Resolution, message: &Message) -> Result<(), ExportError> {
        // By the key: a copy that was recorded under version 1 of the identity has another Message-ID.
        let own = &message.mail.message_id;
        let key = message.identities.map_or_else(|| own.clone(), |identities| identities.key.message_id());
        let written = self.written.entry(key);
        let is_duplicate = matches!(written, Entry::Occupied(_));
        let written_as = written.or_insert_with(|| own.clone());
        self.inventory.add(&row_of(item, message, written_as))?;
        if is_duplicate {
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

/// The row of a capture of a message that is exported; what of it is missing is its problem.
fn row_of(item: &Item, message: &Message, written_as: &MessageId) -> Row {
    let missing: Vec<String> =
        message.missing().iter().map(|missing| format!("{} ({})", missing.name, missing.detail)).collect();
    Row {
        item: item.id.to_string(),
        message_id: Some(written_as.to_string()),
        sent: Some(item.time.at),
        owner: item.owner.as_ref().map(|owner| owner.value.clone()),
        problem: (!missing.is_empty()).then(|| format!("attachments that are missing: {}", missing.join("; "))),
    }
}
