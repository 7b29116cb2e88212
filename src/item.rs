//! The domain: one WhatsApp item as an archiver captured it.
//!
//! [`raw`] is TeleMessage's own form, field by field; [`read`] makes an [`Item`] of it, or says why that is impossible.
//! Text fields are kept as they came (but for characters no mail can carry, see [`text`]), because identity and
//! conversion are computed from them.

use std::borrow::Cow;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

mod alias;
pub(crate) mod characters;
mod json;
mod kind;
mod leaves;
pub mod participant;
pub(crate) mod phone_number;
pub mod raw;
pub mod read;
mod reading;
pub mod text;
mod time;
mod version_1;

pub use kind::{DeletionScope, Kind};
pub use participant::{Identifier, Participant, ParticipantKind, Person};
pub use phone_number::PhoneNumber;
pub use reading::OtherField;
pub use time::{MAX_AHEAD, StatedTime};

/// TeleMessage's own number of an item: 64 bits, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemId(pub i64);

impl std::fmt::Display for ItemId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one capture: the SHA-256 of the item's JSON, byte for byte as it was sent. The same [`ItemId`] with other
/// bytes is another version, and another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemKey(pub Digest);

impl std::fmt::Display for ItemKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The TeleMessage product that captured an item (`sourceType`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Product {
    /// WhatsApp Phone Archiver, `WHATSAPP_ARCHIVER`.
    PhoneArchiver,
    /// WhatsApp Cloud Archiver, `WHATSAPP_CLOUD_ARCHIVER`.
    CloudArchiver,
    /// Any other value, as it came.
    Other(String),
}

impl Product {
    /// The product of a `sourceType`.
    pub fn from_source_type(source_type: &str) -> Self {
        match source_type.trim().to_ascii_uppercase().as_str() {
            "WHATSAPP_ARCHIVER" => Self::PhoneArchiver,
            "WHATSAPP_CLOUD_ARCHIVER" => Self::CloudArchiver,
            _ => Self::Other(source_type.to_owned()),
        }
    }

    /// The product's `sourceType`.
    pub fn source_type(&self) -> &str {
        match self {
            Self::PhoneArchiver => "WHATSAPP_ARCHIVER",
            Self::CloudArchiver => "WHATSAPP_CLOUD_ARCHIVER",
            Self::Other(other) => other,
        }
    }

    /// The product's name for a reader.
    pub fn name(&self) -> &str {
        match self {
            Self::PhoneArchiver => "WhatsApp Phone Archiver",
            Self::CloudArchiver => "WhatsApp Cloud Archiver",
            Self::Other(other) => other,
        }
    }
}

/// The item's own time, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageTime {
    /// The time in force.
    pub at: DateTime<Utc>,
    /// Set where the item's own `messageTime` is missing or impossible and `at` is the archiver's receiving time instead.
    pub substituted: Option<ImpossibleTime>,
}

/// Why a time of an item could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImpossibleTime {
    /// The item has none.
    Missing,
    /// It is no time that a WhatsApp message can have, in epoch milliseconds.
    Impossible(i64),
    /// It can't be read; as it came.
    Unreadable(String),
}

/// Which way an item went, seen from its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Received by the owner.
    In,
    /// Sent by the owner.
    Out,
}

/// Where an item was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chat {
    /// Between sender and recipients.
    Direct,
    Group(ChatName),
    /// Through a broadcast list.
    Broadcast(ChatName),
}

/// What is known of a group or a broadcast list. `id` is the item's `groupId`; `data_id` is `groupData.id`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatName {
    /// `groupId`, else nothing.
    pub id: Option<String>,
    /// `groupData.id`, else nothing.
    pub data_id: Option<String>,
    /// `groupName`, else `groupData.name`.
    pub name: Option<String>,
}

impl Chat {
    /// The name and ids of a group or broadcast list.
    pub fn name(&self) -> Option<&ChatName> {
        match self {
            Self::Direct => None,
            Self::Group(name) | Self::Broadcast(name) => Some(name),
        }
    }
}

/// One attachment as the item declares it. A declaration is only a hint: the bytes decide.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttachmentDeclaration {
    /// The file's name as it came: hostile until made safe.
    pub name: Option<String>,
    /// The declared media type.
    pub content_type: Option<String>,
    /// The declared size in bytes.
    pub size: Option<u64>,
    /// The declared SHA-256, which decides whether the bytes are right.
    pub digest: Option<Digest>,
    /// What is declared as a digest but isn't one that can be read, as it came.
    pub unreadable_digest: Option<String>,
    /// Whether the bytes are in the item itself (`content`), as base64.
    pub inline: bool,
}

/// A captured item, read and checked.
#[derive(Debug, Clone)]
pub struct Item {
    /// TeleMessage's number.
    pub id: ItemId,
    /// When TeleMessage received it (`gatewayReceivedDate`), where that is possible at all.
    pub received: Option<DateTime<Utc>>,
    /// The product that captured it.
    pub product: Product,
    /// `networkType`, as it came.
    pub network_type: Option<String>,
    /// WhatsApp's id; the item's own id where that is empty.
    pub message_id: String,
    /// `messageType`, as it came.
    pub message_type: String,
    /// What happened.
    pub kind: Kind,
    /// When it happened.
    pub time: MessageTime,
    /// Which way it went, seen from the owner.
    pub direction: Option<Direction>,
    /// The archived employee whose phone or account captured it.
    pub owner: Option<Participant>,
    /// Who sent it.
    pub sender: Option<Participant>,
    /// To whom.
    pub recipients: Vec<Participant>,
    /// `participantEnrichments`: who the participants are.
    pub people: Vec<(Participant, Person)>,
    /// The LIDs that the item says to be somebody's number.
    pub lids: Vec<(String, PhoneNumber)>,
    /// The item's own subject.
    pub subject: Option<String>,
    /// The item's text; empty where it has none.
    pub text: String,
    /// Where it was said.
    pub chat: Chat,
    /// `threadID`, which can differ from owner to owner.
    pub thread_id: Option<String>,
    /// `threadName`.
    pub thread_name: Option<String>,
    /// `callInfo`.
    pub call: Option<raw::CallInfo>,
    /// `originalMessageData`.
    pub original: Option<raw::OriginalMessageData>,
    /// `event`.
    pub event: Option<raw::Event>,
    /// `location`.
    pub location: Option<raw::Location>,
    /// `quoted`.
    pub quoted: Option<raw::Quoted>,
    /// `viewOnce`.
    pub view_once: bool,
    /// `forwarded`.
    pub forwarded: bool,
    /// `messageStatus`, as it came.
    pub message_status: Option<String>,
    /// `securityContent` is set: the content is encrypted and can't be read.
    pub encrypted: bool,
    /// The attachments, in order.
    pub attachments: Vec<AttachmentDeclaration>,
    /// What the item holds besides, as it came: fields that the archive doesn't know, and values that it can't read.
    pub other: Vec<OtherField>,
    /// Of an item of an unknown type, or with many other fields: all of it as JSON, indented, without the bytes of its
    /// attachments.
    pub whole: Option<Bytes>,
    /// The item as version 1 of the identity read it, where that is something else.
    pub version_1: Option<Box<Item>>,
}

impl Item {
    /// Everyone who took part: the owner, the sender, the recipients, and the actor and members of an event; each once,
    /// in this order.
    pub fn participants(&self) -> Vec<&Participant> {
        let event = self.event.as_ref();
        let all = (self.owner.iter())
            .chain(&self.sender)
            .chain(&self.recipients)
            .chain(event.and_then(|event| event.actor.as_ref()))
            .chain(event.into_iter().flat_map(|event| &event.members));
        let mut seen = std::collections::HashSet::new();
        all.filter(|participant| seen.insert(self.key_of(participant))).collect()
    }

    /// What makes two participants of this item the same: also of a number and a LID, where the item says so.
    pub fn key_of<'a>(&self, participant: &'a Participant) -> Cow<'a, str> {
        let key = participant.key();
        let known = self.lids.binary_search_by(|(lid, _)| lid.as_str().cmp(&key)).ok();
        match known.and_then(|place| self.lids.get(place)) {
            Some((_, number)) => Cow::Owned(number.digits().to_owned()),
            None => key,
        }
    }

    /// All that a participant can be found by in a mapping file, the number first.
    pub fn identifiers_of(&self, participant: &Participant) -> Vec<Identifier> {
        let key = self.key_of(participant);
        let same = self.lids.iter().filter(|(_, number)| number.digits() == key);
        let same = same.flat_map(|(lid, number)| [Identifier::Number(number.clone()), Identifier::Name(lid.clone())]);
        let mut identifiers: Vec<Identifier> = participant.identifier().into_iter().chain(same).collect();
        identifiers.sort();
        identifiers.dedup();
        identifiers
    }

    /// What `participantEnrichments` says of a participant.
    pub fn person(&self, participant: &Participant) -> Option<&Person> {
        let key = self.key_of(participant);
        self.people.iter().find(|(other, _)| self.key_of(other) == key).map(|(_, person)| person)
    }

    /// Whether only the owner's own view changed (a deletion for me, a chat deleted or cleared), so that two owners'
    /// captures are two different acts.
    pub fn is_private_act(&self) -> bool {
        matches!(self.kind, Kind::Deletion(DeletionScope::ForMe | DeletionScope::WholeChat))
    }
}
