//! An item as an e-mail message. Pure: no I/O, no clock, no randomness; the same input gives the same bytes.

use std::sync::OnceLock;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::identity::MessageId;

mod mime;

/// The version of the converter: changed with every change of its output, recorded with each copy that is sent.
pub const CONVERTER_VERSION: &str = "1";

/// An attachment of an item, as it was staged.
#[derive(Debug, Clone)]
pub enum StagedAttachment {
    /// The right bytes.
    Present {
        /// The bytes.
        bytes: Bytes,
        /// Their digest.
        digest: Digest,
    },
    /// The source doesn't have it (any more).
    Missing {
        /// Why, for the reader.
        detail: String,
    },
    /// The bytes came, but are not those that were declared; they stay in staging.
    Corrupt {
        /// What is wrong, for the reader.
        detail: String,
    },
}

impl StagedAttachment {
    /// Whether the bytes are there and right.
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present { .. })
    }
}

/// An address of a message's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The display name.
    pub name: Option<String>,
    /// The address: valid (RFC 5321).
    pub address: String,
}

/// A file of a message.
#[derive(Debug, Clone)]
pub struct MailAttachment {
    /// Its name, made safe.
    pub name: String,
    /// Its media type, checked against the bytes.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
    /// The Content-ID (without angle brackets) by which the body shows it inline; `None` for an ordinary attachment.
    pub content_id: Option<String>,
}

/// A message, field by field: what every mailbox is given, whether as MIME or as properties.
#[derive(Debug, Clone)]
pub struct Mail {
    /// `Message-ID`.
    pub message_id: MessageId,
    /// `In-Reply-To`.
    pub in_reply_to: Option<MessageId>,
    /// `References`, root first.
    pub references: Vec<MessageId>,
    /// `Date`: the message's own time.
    pub date: DateTime<Utc>,
    /// `From`.
    pub from: Address,
    /// `To`.
    pub to: Vec<Address>,
    /// `Subject`, on one line.
    pub subject: String,
    /// `Thread-Topic`.
    pub thread_topic: String,
    /// `X-WhatsApp-Archiver-…`, the most important first: where a mailbox takes only five, the first five.
    pub extra_headers: Vec<(&'static str, String)>,
    /// The body as plain text, lines ended by LF.
    pub text: String,
    /// The same body as HTML.
    pub html: String,
    /// The files.
    pub attachments: Vec<MailAttachment>,
}

/// What was sent, as recorded with each copy: what resuming and verifying compare with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The message's Message-ID.
    pub message_id: MessageId,
    /// Its own time.
    pub date: DateTime<Utc>,
    /// The SHA-256 of its subject.
    pub subject: Digest,
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
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// A converted item: converted once, shared by all its mailboxes.
#[derive(Debug)]
pub struct Message {
    /// The message field by field.
    pub mail: Mail,
    mime: OnceLock<Bytes>,
}

impl Message {
    /// A message of these fields; its MIME form is made when it is first asked for.
    pub fn new(mail: Mail) -> Self {
        Self { mail, mime: OnceLock::new() }
    }
}
