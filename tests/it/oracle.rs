//! What is in mailboxes, told without any code of the pipeline: by reading the messages as any mail program would.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mail_parser::{MessageParser, MimeHeaders as _};

pub(crate) mod books;
mod copies;
mod remote;

pub(crate) use copies::{Copy, Expected, differences};
pub(crate) use remote::{read_dovecot, read_graph};

/// A message as it was found in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// `X-WhatsApp-Archiver-Message-ID`: WhatsApp's own id.
    pub(crate) whatsapp_id: String,
    /// What stands in the body after its particulars.
    pub(crate) text: String,
    /// The names and contents of its files.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// What each mailbox holds, by its address.
pub(crate) type Mailboxes = BTreeMap<String, Vec<Found>>;

impl Found {
    /// Reads a message.
    pub(crate) fn read(mime: &[u8]) -> Self {
        let message = MessageParser::new().parse(mime).expect("a message");
        let header = message.header("X-WhatsApp-Archiver-Message-ID").and_then(|value| value.as_text());
        let body = message.body_text(0).expect("a text").replace("\r\n", "\n");
        // The lines of what was said stand after bars, but for the first.
        let text = body.replace("\n| ", "\n");
        let file = |part: &mail_parser::MessagePart<'_>| {
            (part.attachment_name().unwrap_or_default().to_owned(), part.contents().to_vec())
        };
        Self {
            whatsapp_id: header.expect("the header that names the WhatsApp message").trim().to_owned(),
            text: text.trim().to_owned(),
            files: message.attachments().map(file).collect(),
        }
    }
}

/// Reads all Maildirs below `root`: what is delivered, wherever in a mailbox it is.
pub(crate) fn read_maildirs(root: &Path) -> Mailboxes {
    let mut mailboxes = Mailboxes::new();
    let Ok(entries) = fs::read_dir(root) else { return mailboxes };
    for mailbox in entries {
        let mailbox = mailbox.unwrap();
        let found = mailboxes.entry(mailbox.file_name().into_string().unwrap()).or_default();
        for directory in ["cur", "new", ".WhatsApp Archiver/cur", ".WhatsApp Archiver/new"] {
            let Ok(files) = fs::read_dir(mailbox.path().join(directory)) else { continue };
            found.extend(files.map(|file| Found::read(&fs::read(file.unwrap().path()).unwrap())));
        }
        found.sort();
    }
    mailboxes
}

/// The WhatsApp ids that each mailbox holds, sorted, as often as they are there. Mailboxes without any are left out.
pub(crate) fn ids(mailboxes: &Mailboxes) -> BTreeMap<String, Vec<String>> {
    let held = mailboxes.iter().filter(|(_, found)| !found.is_empty());
    held.map(|(address, found)| {
        let mut ids: Vec<String> = found.iter().map(|found| found.whatsapp_id.clone()).collect();
        ids.sort();
        (address.clone(), ids)
    })
    .collect()
}
