//! Identity, version 1: when two captures are the same message, and the Message-IDs that follow from it.
//!
//! Frozen. Archives are searched and copies are looked up by what is computed here, so a change is a version 2 beside
//! it, never an edit. Everything is computed from fields of the raw item, never from converter output.
//!
//! - The *reference* names one logical message, whoever captured it: message id and sender.
//! - The *identity* names one message with its content. Captures of the same identity are the same message; anything
//!   else is kept, even when it looks alike.
//! - The *thread* names a chat.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Digester};
use crate::item::{DeletionScope, Item, Kind, Participant};

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
        Self(format!("{}@{DOMAIN}", digest.short(32)))
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

    /// What stands before the `@`, which tells ids apart: 32 lower-case hexadecimal digits.
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
        let mut fields = Fields::new("whatsapp-archiver identity 1");
        fields.digest(reference_of(&item.message_id, item.sender.as_ref()));
        fields.chat(item);
        fields.text(&item.message_type);
        fields.text(&item.text);

        let quoted = item.quoted.as_ref();
        fields.optional(quoted.and_then(|quoted| quoted.message_id.as_deref()));
        fields.participant(quoted.and_then(|quoted| quoted.sender.as_ref()));
        fields.optional(quoted.and_then(|quoted| quoted.text.as_deref()));

        let original = item.original.as_ref();
        fields.optional(original.and_then(|original| original.message_id.as_deref()));
        fields.participant(original.and_then(|original| original.sender.as_ref()));
        fields.optional(original.and_then(|original| original.text.as_deref()));
        fields.optional(original.and_then(|original| original.previous_text.as_deref()));
        fields.number(original.and_then(|original| original.message_time));

        let call = item.call.as_ref();
        fields.number(call.and_then(|call| call.start_time));
        fields.number(call.and_then(|call| call.end_time));
        fields.optional(call.and_then(|call| call.call_status.as_deref()));
        fields.number(call.and_then(|call| call.call_duration_in_millis));
        fields.optional(call.and_then(|call| call.call_type.as_deref()));

        let event = item.event.as_ref();
        fields.optional(event.and_then(|event| event.kind.as_deref()));
        fields.participant(event.and_then(|event| event.actor.as_ref()));
        fields.sorted(event.into_iter().flat_map(|event| &event.members).map(|member| member.value.as_str()));
        fields.optional(event.and_then(|event| event.emoji.as_deref()));
        fields.optional(event.and_then(|event| event.target_message_id.as_deref()));
        fields.participant(event.and_then(|event| event.target_sender.as_ref()));
        fields.optional(event.and_then(|event| event.old_value.as_deref()));
        fields.optional(event.and_then(|event| event.new_value.as_deref()));

        let location = item.location.as_ref();
        fields.optional(location.and_then(|location| location.latitude.as_deref()));
        fields.optional(location.and_then(|location| location.longitude.as_deref()));
        fields.optional(location.and_then(|location| location.name.as_deref()));
        fields.optional(location.and_then(|location| location.address.as_deref()));

        fields.count(attachments.len());
        for attachment in attachments {
            fields.optional(attachment.map(|digest| digest.to_string()).as_deref());
        }
        if item.is_private_act() {
            fields.participant(item.owner.as_ref());
            fields.optional(original.and_then(|original| original.read_status.as_deref()));
        }
        Self(fields.finish())
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
        let mut chat = Fields::new("whatsapp-archiver thread 1");
        chat.chat(item);
        let original = original_of(item).map(|(message_id, sender)| MessageId::of(reference_of(message_id, sender)));
        Self {
            root: MessageId::of(chat.finish()),
            original,
            own: MessageId::of(reference_of(&item.message_id, item.sender.as_ref())),
        }
    }

    /// The ids of `References`, root first (RFC 5322, 3.6.4).
    pub fn references(&self) -> impl Iterator<Item = &MessageId> {
        std::iter::once(&self.root).chain(&self.original).chain(std::iter::once(&self.own))
    }
}

/// The message that an item is about: its id and its sender. An edit or a deletion for all can only be made by the
/// original's own sender, so that one stands in where the item doesn't name it.
fn original_of(item: &Item) -> Option<(&str, Option<&Participant>)> {
    let original = item.original.as_ref();
    let named = original.and_then(|original| original.message_id.as_deref()).filter(|id| !id.is_empty());
    let sender = original.and_then(|original| original.sender.as_ref());
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

fn reference_of(message_id: &str, sender: Option<&Participant>) -> Digest {
    let mut fields = Fields::new("whatsapp-archiver reference 1");
    fields.text(message_id);
    fields.participant(sender);
    fields.finish()
}

/// Fields in a fixed order, each with its length before it, so that no two lists of fields give the same bytes.
struct Fields(Digester);

impl Fields {
    fn new(purpose: &str) -> Self {
        let mut fields = Self(Digester::default());
        fields.text(purpose);
        fields
    }

    fn count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text.as_bytes());
    }

    /// A missing field is an empty one.
    fn optional(&mut self, text: Option<&str>) {
        self.text(text.unwrap_or_default());
    }

    fn number(&mut self, number: Option<i64>) {
        self.optional(number.map(|number| number.to_string()).as_deref());
    }

    fn participant(&mut self, participant: Option<&Participant>) {
        self.optional(participant.map(|participant| participant.value.as_str()));
    }

    fn digest(&mut self, digest: Digest) {
        self.text(&digest.to_string());
    }

    fn sorted<'a>(&mut self, values: impl Iterator<Item = &'a str>) {
        let mut values: Vec<&str> = values.collect();
        values.sort_unstable();
        self.count(values.len());
        for value in values {
            self.text(value);
        }
    }

    /// The chat: `groupId`, else the sorted values of sender and recipients, also where there is a `groupData.id`
    /// (which is not the same for all captures).
    fn chat(&mut self, item: &Item) {
        if let Some(group_id) = item.chat.name().and_then(|name| name.id.as_deref()) {
            self.text("group");
            self.text(group_id);
        } else {
            self.text("participants");
            self.sorted(item.sender.iter().chain(&item.recipients).map(|participant| participant.value.as_str()));
        }
    }

    fn finish(self) -> Digest {
        self.0.finish()
    }
}
