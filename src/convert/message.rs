//! An item's message: its fields, its MIME form, and the manifest that the ledger records of it.

use std::io;
use std::sync::OnceLock;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::attachment::MissingAttachment;
use super::mail::Mail;
use super::{body_text, mime};
use crate::digest::{Digest, DigestingWriter};
use crate::identity::{Identities, MessageId};

/// A converted item: converted once, shared by all its mailboxes.
#[derive(Debug)]
pub struct Message {
    /// The message field by field.
    pub mail: Mail,
    /// What its Message-ID is made of, for the message of an item.
    pub identities: Option<Identities>,
    missing: Vec<MissingAttachment>,
    mime: OnceLock<Bytes>,
    digested: OnceLock<(Digest, u64)>,
}

/// The MIME form of a message with so many bytes of files is kept only where somebody needs it whole.
const LARGE: usize = 1024 * 1024;

impl Message {
    /// A message of these fields, with nothing missing.
    pub fn new(mail: Mail) -> Self {
        Self { mail, identities: None, missing: Vec::new(), mime: OnceLock::new(), digested: OnceLock::new() }
    }

    /// The message of an item, without the attachments that are `missing`.
    pub(super) fn of_item(mail: Mail, identities: Identities, missing: Vec<MissingAttachment>) -> Self {
        Self { missing, identities: Some(identities), ..Self::new(mail) }
    }

    /// The message as a mailbox may have it that was given it under another Message-ID; `None` where there is no such one.
    pub fn under_other_id(&self) -> Option<Self> {
        let identities = self.identities?;
        let other = identities.other()?;
        let mail = Mail { message_id: other.message_id(), ..self.mail.clone() };
        Some(Self::of_item(mail, Identities { sent_as: other, ..identities }, self.missing.clone()))
    }

    /// The MIME form, lines ended by CRLF. Made when it is first asked for; the same message gives the same bytes.
    pub fn mime(&self) -> &Bytes {
        self.mime.get_or_init(|| mime::write(&self.mail))
    }

    /// Writes the MIME form. A large one is not held whole.
    ///
    /// # Errors
    /// Those of `output`.
    pub fn write_mime(&self, mut output: impl io::Write) -> io::Result<()> {
        if self.mime.get().is_none() && self.is_large() {
            return mime::write_to(&self.mail, output);
        }
        output.write_all(self.mime())
    }

    fn is_large(&self) -> bool {
        self.mail.attachments.iter().map(|file| file.bytes.len()).sum::<usize>() > LARGE
    }

    /// The SHA-256 of the MIME form, and its length in bytes.
    fn digested(&self) -> (Digest, u64) {
        *self.digested.get_or_init(|| {
            let mut digesting = DigestingWriter::default();
            // It takes whatever it is given.
            self.write_mime(&mut digesting).unwrap_or_default();
            digesting.finish()
        })
    }

    /// The length of the MIME form, in bytes.
    pub fn size(&self) -> u64 {
        if self.is_large() { self.digested().1 } else { self.mime().len() as u64 }
    }

    /// The attachments of the item that are not in the message.
    pub fn missing(&self) -> &[MissingAttachment] {
        &self.missing
    }

    /// What is recorded with each copy.
    pub fn manifest(&self) -> Manifest {
        let attachments = self.mail.attachments.iter();
        let (mime, size) = self.digested();
        Manifest {
            message_id: self.mail.message_id.clone(),
            date: self.mail.date,
            subject: Digest::of(self.mail.subject.as_bytes()),
            text: Some(body_text::digest(&self.mail.html)),
            mime,
            size,
            attachments: attachments
                .map(|file| ManifestAttachment {
                    name: file.name.clone(),
                    size: file.bytes.len() as u64,
                    digest: file.digest,
                })
                .collect(),
        }
    }
}

/// What was sent, as recorded with each copy: what resuming and verifying compare with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub message_id: MessageId,
    /// Its own time.
    pub date: DateTime<Utc>,
    /// The SHA-256 of its subject.
    pub subject: Digest,
    /// The digest of the words of its HTML body, which a mailbox that keeps no MIME form gives back too; `None` in what was
    /// recorded before there was this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Digest>,
    /// The SHA-256 of the MIME form.
    pub mime: Digest,
    /// The length of the MIME form, in bytes.
    pub size: u64,
    /// Its files.
    pub attachments: Vec<ManifestAttachment>,
}

/// One file of a [`Manifest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestAttachment {
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub digest: Digest,
}
