//! An item as an e-mail message. Pure: no I/O, no clock, no randomness; the same input gives the same bytes.
//!
//! Everything that the contract lists of an item is in its message, or the message says what is missing; an item of a type
//! that the contract doesn't list is shown as it came. No value of an item, however
//! hostile, can end a header, forge a part, or name a file outside a folder.

use std::sync::OnceLock;

use bytes::Bytes;
use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::identity::{Identities, Identity, MessageId, Thread};
use crate::item::{Chat, Direction, Item, Participant};
use crate::output_text;
use crate::resolution::Resolution;
use attachment::File;
use body::Body;
pub(crate) use mime::unstructured;
use people::People;
pub(crate) use people::{display_name, is_usable as is_usable_address};
pub(crate) use remark::remarks;

mod attachment;
mod body;
pub(crate) mod body_text;
mod details;
mod file_name;
mod headers;
mod kind;
mod media_type;
mod mime;
mod other;
mod people;
mod picture;
mod remark;
mod said;
mod section;
mod subject;
#[cfg(test)]
mod tests;
mod vcard;

/// The version of the converter: changed with every change of its output, recorded with each copy that is sent.
pub const CONVERTER_VERSION: &str = "2";

/// An attachment of an item, as it was staged.
#[derive(Debug, Clone)]
pub enum StagedAttachment {
    /// The right bytes.
    Present {
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

/// An attachment that is not in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingAttachment {
    /// Its place among the item's attachments, from 0.
    pub index: usize,
    /// Its declared name, made safe.
    pub name: String,
    /// Whether its bytes came but were wrong, rather than not at all.
    pub corrupt: bool,
    /// Why, for the reader.
    pub detail: String,
}

/// A converted item: converted once, shared by all its mailboxes.
#[derive(Debug)]
pub struct Message {
    /// The message field by field.
    pub mail: Mail,
    /// What its Message-ID is made of, for the message of an item.
    pub identities: Option<Identities>,
    missing: Vec<MissingAttachment>,
    mime: OnceLock<Bytes>,
}

impl Message {
    /// A message of these fields, with nothing missing.
    pub fn new(mail: Mail) -> Self {
        Self { mail, identities: None, missing: Vec::new(), mime: OnceLock::new() }
    }

    /// The message as a mailbox may have it that was given it under another Message-ID; `None` where there is no such one.
    pub fn under_other_id(&self) -> Option<Self> {
        let identities = self.identities?;
        let other = identities.other()?;
        let mail = Mail { message_id: other.message_id(), ..self.mail.clone() };
        let missing = self.missing.clone();
        Some(Self {
            mail,
            identities: Some(Identities { sent_as: other, ..identities }),
            missing,
            mime: OnceLock::new(),
        })
    }

    /// The MIME form, lines ended by CRLF. Made when it is first asked for; the same message gives the same bytes.
    pub fn mime(&self) -> &Bytes {
        self.mime.get_or_init(|| mime::write(&self.mail))
    }

    /// The length of the MIME form, in bytes.
    pub fn size(&self) -> u64 {
        self.mime().len() as u64
    }

    /// Whether an attachment of the item is not in the message.
    pub fn is_partial(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The attachments of the item that are not in the message.
    pub fn missing(&self) -> &[MissingAttachment] {
        &self.missing
    }

    /// What is recorded with each copy.
    pub fn manifest(&self) -> Manifest {
        let attachments = self.mail.attachments.iter();
        Manifest {
            message_id: self.mail.message_id.clone(),
            date: self.mail.date,
            subject: Digest::of(self.mail.subject.as_bytes()),
            text: Some(body_text::digest(&self.mail.html)),
            mime: Digest::of(self.mime()),
            size: self.size(),
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

/// An item's message. `attachments` are its attachments as staged, in its own order; `resolution` is what was recorded
/// before the first copy was sent; who has no address gets one under `placeholder_domain`.
pub fn convert(
    item: &Item,
    attachments: &[StagedAttachment],
    resolution: &Resolution,
    placeholder_domain: &str,
) -> Message {
    convert_as(item, attachments, resolution, placeholder_domain, None)
}

/// The same of an item whose copies have had the identity `recorded` so far, and go on having it.
pub fn convert_as(
    item: &Item,
    attachments: &[StagedAttachment],
    resolution: &Resolution,
    placeholder_domain: &str,
    recorded: Option<Identity>,
) -> Message {
    let people = People::of(item, resolution, placeholder_domain);
    let identities = identities_of(item, attachments, recorded);
    let message_id = identities.sent_as.message_id();
    let thread = Thread::of(item);
    let files = attachment::files(item, attachments, &message_id);
    let missing: Vec<MissingAttachment> = files.iter().filter_map(File::to_missing).collect();
    let subject = subject::of(item, &people);
    let body = Body::of(item, &people, &files, &subject);
    let mail = Mail {
        message_id,
        references: thread.references().cloned().collect(),
        in_reply_to: thread.original,
        date: item.time.at.trunc_subsecs(0),
        from: from(item, &people),
        to: to(item, &people),
        thread_topic: subject::thread_topic(item, &people),
        extra_headers: headers::of(item, &missing),
        text: body.to_text(),
        html: body.to_html(),
        subject,
        attachments: files.iter().filter_map(File::to_mail).collect(),
    };
    Message { missing, identities: Some(identities), ..Message::new(mail) }
}

/// The identities of an item as staged: for each attachment the declared digest, else that of its bytes; nothing where it
/// is missing or corrupt.
fn identities_of(item: &Item, attachments: &[StagedAttachment], recorded: Option<Identity>) -> Identities {
    let digests = (0..item.attachments.len().max(attachments.len())).map(|index| match attachments.get(index)? {
        StagedAttachment::Present { digest, .. } => {
            Some(item.attachments.get(index).and_then(|declared| declared.digest).unwrap_or(*digest))
        }
        StagedAttachment::Missing { .. } | StagedAttachment::Corrupt { .. } => None,
    });
    Identities::of(item, &digests.collect::<Vec<_>>(), recorded)
}

/// Who an item is from: its sender; where it names none, the owner who sent it, or who did what an event says.
pub(crate) fn sender_of(item: &Item) -> Option<&Participant> {
    let owner = item.owner.as_ref().filter(|_| item.direction == Some(Direction::Out));
    let actor = item.event.as_ref().and_then(|event| event.actor.as_ref());
    let has_value = |participant: &&Participant| !participant.value.trim().is_empty();
    item.sender.as_ref().or(owner).or(actor.filter(has_value))
}

fn from(item: &Item, people: &People<'_>) -> Address {
    sender_of(item).map_or_else(|| people.stand_in("Unknown sender", "unknown-sender"), |sender| people.address(sender))
}

/// All who took part but the sender, recipients first, so that a search for any of them finds the message. Without any, a
/// group stands for itself.
fn to(item: &Item, people: &People<'_>) -> Vec<Address> {
    let mut seen = std::collections::HashSet::new();
    let mut to: Vec<&Participant> =
        item.recipients.iter().filter(|recipient| seen.insert(item.key_of(recipient))).collect();
    seen.extend(sender_of(item).map(|sender| item.key_of(sender)));
    let others = item.participants().into_iter().filter(|participant| !participant.value.trim().is_empty());
    to.extend(others.filter(|participant| seen.insert(item.key_of(participant))));
    let to: Vec<Address> = to.into_iter().map(|participant| people.address(participant)).collect();
    let chat = match &item.chat {
        Chat::Group(chat) | Chat::Broadcast(chat) if to.is_empty() => chat,
        _ => return to,
    };
    let id = chat.id.as_deref().or(chat.data_id.as_deref());
    let name = chat.name.as_deref().filter(|own| output_text::name(own, 1).is_some());
    match (name.or(id), id.or(name)) {
        (Some(name), Some(id)) => vec![people.stand_in(name, id)],
        _ => to,
    }
}
