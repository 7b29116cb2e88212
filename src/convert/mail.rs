//! The fields of a message, before they are written: as MIME ([`mime`](super::mime)), or as the properties that Graph takes.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::digest::Digest;
use crate::identity::MessageId;

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
    /// `Date`: the message's own time, to the second, which is all that `Date` and the mailboxes keep.
    pub date: DateTime<Utc>,
    /// `From`.
    pub from: Address,
    /// `To`. Empty where nobody is known: the header then says `undisclosed-recipients:;`.
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
