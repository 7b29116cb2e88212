//! Identity: when two captures are the same message, and the Message-IDs that follow from it.
//!
//! Frozen. Archives are searched and copies are looked up by what is computed here, so a change is a version beside those that
//! there are, never an edit. Everything is computed from fields of the raw item, never from converter output.
//!
//! - The *reference* names one logical message, whoever captured it: message id and sender.
//! - The *identity* names one message with its content. Captures of the same identity are the same message; anything
//!   else is kept, even when it looks alike.
//! - The *thread* names a chat.
//!
//! Version 2 is in force: version 1 of the item in its usual form, with numbers as their digits, groups by `groupData.id` where
//! there is no `groupId`, and lines ended by LF. So both are the same for an item that comes in that form, as nearly all do. Where
//! they aren't, a mailbox may hold a copy under the first one: [`Identities`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::item::{DeletionScope, Item, Kind, Participant};

use self::fields::{Fields, Form};

mod fields;

/// The domain of every Message-ID: constant, and in a top-level domain that is never delegated (RFC 2606).
const DOMAIN: &str = "whatsapp-archiver.invalid";

/// Two captures with the same identity are the same message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(pub Digest);

/// A Message-ID (RFC 5322, 3.6.4) without its angle brackets. Made here alone, so it never needs quoting.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(String);

impl MessageId {
    fn of(digest: Digest) -> Self {
        let mut id = digest.short(32);
        id.push('@');
        id.push_str(DOMAIN);
        Self(id)
    }

    /// Reads a Message-ID of ours, with or without angle brackets; `None` where it is somebody else's.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bare = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
        let (local, domain) = bare.split_once('@')?;
        let ours = domain == DOMAIN
            && local.len() == 32
            && local.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        ours.then(|| Self(bare.to_owned()))
    }

    /// The id without angle brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`, which makes ids unique: 32 lower-case hexadecimal digits.
    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or(self.0.as_str(), |(local, _)| local)
    }

    /// The id with this local part; `None` where none of ours has such a one.
    pub fn from_local_part(local: &str) -> Option<Self> {
        Self::parse(&format!("{local}@{DOMAIN}"))
    }
}

impl fmt::Display for MessageId {
    /// With angle brackets, as in a header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

impl Identity {
    /// The identity of an item. `attachments` holds, for each of its attachments, the declared digest, else the digest of
    /// its bytes; nothing where it is missing or corrupt, so that a later complete capture is another message.
    pub fn of(item: &Item, attachments: &[Option<Digest>]) -> Self {
        Self(fields_of(item, attachments, Form::Usual).finish())
    }

    /// The same of version 1, which copies may bear that an earlier version of the program sent.
    pub fn of_version_1(item: &Item, attachments: &[Option<Digest>]) -> Self {
        let Some(earlier) = &item.version_1 else {
            return Self(fields_of(item, attachments, Form::AsItCame).finish());
        };
        let count = attachments.len() + earlier.attachments.len().saturating_sub(item.attachments.len());
        let attachments: Vec<_> = attachments.iter().copied().chain(std::iter::repeat(None)).take(count).collect();
        Self(fields_of(earlier, &attachments, Form::AsItCame).finish())
    }

    /// The Message-ID of every copy.
    pub fn message_id(&self) -> MessageId {
        MessageId::of(self.0)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the identity of an item is the digest of.
fn fields_of<'a>(item: &'a Item, attachments: &[Option<Digest>], form: Form) -> Fields<'a> {
    let mut fields = Fields::new("whatsapp-archiver identity 1", item, form);
    fields.digest_of(reference_of(item, &item.message_id, item.sender.as_ref(), form));
    fields.chat();
    fields.text(&item.message_type);
    fields.lines(Some(&item.text));

    let quoted = item.quoted.as_ref();
    fields.optional(quoted.and_then(|quoted| quoted.message_id.as_deref()));
    fields.participant(quoted.and_then(|quoted| quoted.sender.as_ref()));
    fields.lines(quoted.and_then(|quoted| quoted.text.as_deref()));

    let original = item.original.as_ref();
    fields.optional(original.and_then(|original| original.message_id.as_deref()));
    fields.participant(original.and_then(|original| original.sender.as_ref()));
    fields.lines(original.and_then(|original| original.text.as_deref()));
    fields.lines(original.and_then(|original| original.previous_text.as_deref()));
    fields.time(original.and_then(|original| original.message_time));

    let call = item.call.as_ref();
    fields.time(call.and_then(|call| call.start_time));
    fields.time(call.and_then(|call| call.end_time));
    fields.optional(call.and_then(|call| call.call_status.as_deref()));
    fields.number(call.and_then(|call| call.call_duration_in_millis));
    fields.optional(call.and_then(|call| call.call_type.as_deref()));

    let event = item.event.as_ref();
    fields.optional(event.and_then(|event| event.kind.as_deref()));
    fields.participant(event.and_then(|event| event.actor.as_ref()));
    fields.sorted(event.into_iter().flat_map(|event| &event.members));
    fields.optional(event.and_then(|event| event.emoji.as_deref()));
    fields.optional(event.and_then(|event| event.target_message_id.as_deref()));
    fields.participant(event.and_then(|event| event.target_sender.as_ref()));
    fields.lines(event.and_then(|event| event.old_value.as_deref()));
    fields.lines(event.and_then(|event| event.new_value.as_deref()));

    let location = item.location.as_ref();
    fields.optional(location.and_then(|location| location.latitude.as_deref()));
    fields.optional(location.and_then(|location| location.longitude.as_deref()));
    fields.lines(location.and_then(|location| location.name.as_deref()));
    fields.lines(location.and_then(|location| location.address.as_deref()));

    fields.count(attachments.len());
    for attachment in attachments {
        fields.optional(attachment.map(|digest| digest.to_string()).as_deref());
    }
    if item.is_private_act() {
        fields.participant(item.owner.as_ref());
        fields.optional(original.and_then(|original| original.read_status.as_deref()));
    }
    fields
}

/// Under which identities a mailbox may have a copy of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identities {
    /// What makes two captures the same message.
    pub key: Identity,
    /// What the Message-ID of its copies is made of: the key, unless an earlier version of the program has recorded another.
    pub sent_as: Identity,
    /// The identity of version 1, where that is another than the key and proves that a message is the same.
    pub version_1: Option<Identity>,
}

impl Identities {
    /// The identities of an item. `recorded` is the one that its copies have had so far.
    pub fn of(item: &Item, attachments: &[Option<Digest>], recorded: Option<Identity>) -> Self {
        let fields = fields_of(item, attachments, Form::Usual);
        let may_differ = fields.is_changed() || item.version_1.is_some();
        let key = Identity(fields.finish());
        let version_1 = may_differ.then(|| Identity::of_version_1(item, attachments)).filter(|other| *other != key);
        // What version 1 couldn't read, it left out. Where nothing else tells two items apart, that makes different ones equal.
        let is_proof =
            |other: &Identity| item.version_1.is_none() || is_told_by_its_id(item) || recorded == Some(*other);
        let version_1 = version_1.filter(is_proof);
        let sent_as = version_1.filter(|version_1| recorded == Some(*version_1)).unwrap_or(key);
        Self { key, sent_as, version_1 }
    }

    /// The other identity that a copy may have.
    pub fn other(&self) -> Option<Identity> {
        let version_1 = self.version_1?;
        Some(if self.sent_as == version_1 { self.key } else { version_1 })
    }
}

impl From<Identity> for Identities {
    /// Of a message that is known by one identity.
    fn from(key: Identity) -> Self {
        Self { key, sent_as: key, version_1: None }
    }
}

/// Whether the message id alone tells an item from all others of its chat: not that of an edit without a number, of which there
/// may be several, nor that of an event.
fn is_told_by_its_id(item: &Item) -> bool {
    match item.kind {
        Kind::Message | Kind::StatusPost | Kind::Call | Kind::Deletion(_) | Kind::Edit(Some(_)) => true,
        Kind::Edit(None) | Kind::Reaction | Kind::GroupEvent | Kind::Unknown(_) => false,
    }
}

/// How a message hangs together with others: what its `References` and `In-Reply-To` are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// The chat: the same for all its messages, whoever captured them.
    pub root: MessageId,
    /// The reference of the message that this one answers, edits, deletes or reacts to.
    pub original: Option<MessageId>,
    /// The message's own reference, which its answers name as their original.
    pub own: MessageId,
}

impl Thread {
    /// The thread of an item.
    pub fn of(item: &Item) -> Self {
        let mut chat = Fields::new("whatsapp-archiver thread 1", item, Form::Usual);
        chat.chat();
        let reference =
            |message_id, sender| MessageId::of(reference_of(item, message_id, sender, Form::Usual).finish());
        Self {
            root: MessageId::of(chat.finish()),
            original: original_of(item).map(|(message_id, sender)| reference(message_id, sender)),
            own: reference(&item.message_id, item.sender.as_ref()),
        }
    }

    /// The ids of `References`, root first (RFC 5322, 3.6.4).
    pub fn references(&self) -> impl Iterator<Item = &MessageId> {
        std::iter::once(&self.root).chain(&self.original).chain(std::iter::once(&self.own))
    }
}

/// The message that an item is about: its id and its sender. An edit or a deletion for all can only be made by the
/// original's own sender, so that one stands in where the item doesn't name it.
pub(crate) fn original_of(item: &Item) -> Option<(&str, Option<&Participant>)> {
    let original = item.original.as_ref();
    let named = original.and_then(|original| original.message_id.as_deref()).filter(|id| !id.is_empty());
    let has_value = |participant: &&Participant| !participant.value.trim().is_empty();
    let sender = original.and_then(|original| original.sender.as_ref()).filter(has_value);
    match &item.kind {
        Kind::Edit(number) => {
            let edited = item.message_id.strip_prefix("EDIT-")?;
            let edited = if number.is_some() { edited.rsplit_once('-').map_or(edited, |(id, _)| id) } else { edited };
            Some((named.unwrap_or(edited), sender.or(item.sender.as_ref())))
        }
        Kind::Deletion(DeletionScope::ForAll) => {
            let deleted = item.message_id.strip_prefix("DELETE_FOR_ALL-")?;
            Some((named.unwrap_or(deleted), sender.or(item.sender.as_ref())))
        }
        Kind::Deletion(DeletionScope::ForMe) => {
            let deleted = item.message_id.strip_prefix("DELETE_FOR_ME-")?;
            Some((named.unwrap_or(deleted), sender))
        }
        Kind::Deletion(DeletionScope::WholeChat) => None,
        Kind::Reaction => {
            let event = item.event.as_ref()?;
            let target = event.target_message_id.as_deref().filter(|id| !id.is_empty())?;
            Some((target, event.target_sender.as_ref()))
        }
        _ => {
            let quoted = item.quoted.as_ref()?;
            let answered = quoted.message_id.as_deref().filter(|id| !id.is_empty())?;
            Some((answered, quoted.sender.as_ref()))
        }
    }
}

fn reference_of<'a>(item: &'a Item, message_id: &str, sender: Option<&'a Participant>, form: Form) -> Fields<'a> {
    let mut fields = Fields::new("whatsapp-archiver reference 1", item, form);
    fields.text(message_id);
    fields.participant(sender);
    fields
}

#[cfg(test)]
mod tests;
