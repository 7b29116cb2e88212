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
use crate::item::{DeletionScope, Item, Kind, Participant, StatedTime};

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

    fn time(&mut self, time: Option<StatedTime>) {
        self.number(time.map(|time| time.millis));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn item(body: &str) -> Item {
        let json = format!(r#"{{"id":1,"gatewayReceivedDate":1763712000000,"body":{body}}}"#);
        Item::read(json.as_bytes(), "2025-12-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    fn identity(body: &str) -> String {
        Identity::of(&item(body), &[]).to_string()
    }

    /// Computed by a second implementation, in another language. They never change.
    #[test]
    fn frozen_vectors() {
        let plain = item(
            r#"{"messageId":"3EB0A1","sender":{"value":"15550101"},"recipients":[{"value":"15550102"},{"value":"15550100"}],
                "messageType":"APP_MESSAGE","text":"Hi, Ünal","owner":{"value":"15550100"},"direction":"IN"}"#,
        );
        let digests = [Some("ab".repeat(32).parse().unwrap()), None];
        assert_vector(
            &plain,
            &digests,
            [
                "482a3363e15106a66ea58cf61f444b43052037e46cf9d72c239ae1ca5cd4d41b",
                "a1ed74ac4efc16ae338ead1d8966bab1",
                "70fb14e7eb72dd68edc091ee71c2b52b",
            ],
        );
        assert_eq!(
            Identity::of(&plain, &digests).message_id().as_str(),
            "482a3363e15106a66ea58cf61f444b43@whatsapp-archiver.invalid"
        );
        let full = item(
            r#"{"messageId":"3EB0A2","sender":{"value":"15550101"},"recipients":[{"value":"15550100"}],"groupId":"120363020304@g.us",
                "messageType":"EVENT","text":"t","quoted":{"messageId":"q1","sender":{"value":"15550102"},"text":"q"},
                "originalMessageData":{"messageId":"o1","sender":{"value":"15550103"},"text":"new","previousText":"old",
                  "messageTime":1763712000000,"readStatus":"READ"},
                "callInfo":{"startTime":1,"endTime":2,"callStatus":"1","callDurationInMillis":3,"callType":"VOICE"},
                "event":{"type":"Reaction","actor":{"value":"15550101"},"members":[{"value":"2"},{"value":"1"}],"emoji":"👍",
                  "targetMessageId":"3EB0A1","targetSender":{"value":"15550101"},"oldValue":"a","newValue":"b"},
                "location":{"latitude":47.3769,"longitude":8.5417,"name":"HB","address":"Zürich"}}"#,
        );
        assert_vector(
            &full,
            &[],
            [
                "0a8daa69739deb956f22c1938aae9d285bb42bcd13f3768a3e62950b5aeb40d3",
                "3e98d3652a42744577dd7534337aa29f",
                "6119b0da9b9c1cf38a84fba1211a18a7",
            ],
        );
        assert_eq!(Thread::of(&full).original, Some(Thread::of(&plain).own), "a reaction hangs under its message");
        let private = item(
            r#"{"messageId":"DELETE_FOR_ME-3EB0A1","sender":{"value":"15550100"},"recipients":[{"value":"15550101"}],
                "messageType":"APP_MESSAGE","owner":{"value":"15550100"},
                "originalMessageData":{"sender":{"value":"15550101"},"readStatus":"READ"}}"#,
        );
        assert_vector(
            &private,
            &[],
            [
                "9c4a1c5bba4e7a76a5300f121602f07a3f736eef6ca9889b5ca130f807fe5798",
                "59a33524c7e1c019f2d6b7c21195553b",
                "70b110501b0dbe2d4bf1d684c229af81",
            ],
        );
    }

    fn assert_vector(item: &Item, digests: &[Option<Digest>], [identity, reference, root]: [&str; 3]) {
        assert_eq!(Identity::of(item, digests).to_string(), identity);
        let thread = Thread::of(item);
        assert_eq!(thread.own.as_str(), format!("{reference}@whatsapp-archiver.invalid"));
        assert_eq!(thread.root.as_str(), format!("{root}@whatsapp-archiver.invalid"));
    }

    #[test]
    fn who_captured_it_makes_no_difference() {
        let captured = |owner: &str, direction: &str, thread: &str| {
            identity(&format!(
                r#"{{"messageId":"m","sender":{{"value":"1"}},"recipients":[{{"value":"2"}}],"text":"t",
                    "owner":{{"value":"{owner}"}},"direction":"{direction}","threadID":"{thread}"}}"#
            ))
        };
        assert_eq!(captured("1", "OUT", "a"), captured("2", "IN", "b"));
    }

    #[test]
    fn a_private_act_is_its_owners_and_a_deletion_for_all_is_everybodys() {
        let deleted = |prefix: &str, owner: &str, read: &str| {
            identity(&format!(
                r#"{{"messageId":"{prefix}m","sender":{{"value":"1"}},"recipients":[{{"value":"2"}}],
                    "owner":{{"value":"{owner}"}},"originalMessageData":{{"readStatus":"{read}"}}}}"#
            ))
        };
        for private in ["DELETE_FOR_ME-", "DELETE_ALL_MESSAGES-"] {
            assert_ne!(deleted(private, "1", "READ"), deleted(private, "2", "READ"), "{private}");
            assert_ne!(deleted(private, "1", "READ"), deleted(private, "1", "UNREAD"), "{private}");
        }
        assert_eq!(deleted("DELETE_FOR_ALL-", "1", "READ"), deleted("DELETE_FOR_ALL-", "2", "UNREAD"));
    }

    #[test]
    fn any_other_content_is_another_message() {
        let bodies = [
            r#"{"messageId":"m"}"#,
            r#"{"messageId":"m","text":"t"}"#,
            r#"{"messageId":"mt"}"#,
            r#"{"messageId":"m","messageType":"t"}"#,
            r#"{"messageId":"m","groupId":"t"}"#,
            r#"{"messageId":"m","sender":{"value":"t"}}"#,
            r#"{"messageId":"m","recipients":[{"value":"t"}]}"#,
            r#"{"messageId":"m","quoted":{"text":"t"}}"#,
            r#"{"messageId":"m","originalMessageData":{"text":"t"}}"#,
            r#"{"messageId":"m","originalMessageData":{"previousText":"t"}}"#,
            r#"{"messageId":"m","callInfo":{"callStatus":"t"}}"#,
            r#"{"messageId":"m","callInfo":{"callType":"t"}}"#,
            r#"{"messageId":"m","event":{"emoji":"t"}}"#,
            r#"{"messageId":"m","event":{"members":[{"value":"t"}]}}"#,
            r#"{"messageId":"m","event":{"oldValue":"t"}}"#,
            r#"{"messageId":"m","event":{"newValue":"t"}}"#,
            r#"{"messageId":"m","location":{"name":"t"}}"#,
        ];
        let mut identities: Vec<String> = bodies.iter().map(|body| identity(body)).collect();
        let plain = item(r#"{"messageId":"m"}"#);
        identities.push(Identity::of(&plain, &[None]).to_string());
        identities.push(Identity::of(&plain, &[Some(Digest::of(b""))]).to_string());
        let distinct: std::collections::BTreeSet<&String> = identities.iter().collect();
        assert_eq!(distinct.len(), identities.len());
    }

    #[test]
    fn a_group_data_id_does_not_name_the_chat() {
        let thread = |data: &str| {
            let body = format!(
                r#"{{"messageId":"m","sender":{{"value":"2"}},"recipients":[{{"value":"1"}}],"groupData":{{"id":"{data}"}}}}"#
            );
            Thread::of(&item(&body)).root
        };
        assert_eq!(thread("a"), thread("b"));
        let answer = item(r#"{"messageId":"n","sender":{"value":"1"},"recipients":[{"value":"2"}]}"#);
        assert_eq!(thread("a"), Thread::of(&answer).root, "both directions of a chat are one thread");
    }

    #[test]
    fn edits_deletions_and_answers_name_their_original() {
        let own = Thread::of(&item(r#"{"messageId":"3EB0-x","sender":{"value":"1"}}"#)).own;
        for body in [
            r#"{"messageId":"EDIT-3EB0-x-3","sender":{"value":"1"}}"#,
            r#"{"messageId":"EDIT-3EB0-x-3","sender":{"value":"1"},"originalMessageData":{"sender":{"value":""}}}"#,
            r#"{"messageId":"EDIT-?-1","sender":{"value":"1"},"originalMessageData":{"messageId":"3EB0-x"}}"#,
            r#"{"messageId":"DELETE_FOR_ALL-3EB0-x","sender":{"value":"1"}}"#,
            r#"{"messageId":"DELETE_FOR_ME-3EB0-x","sender":{"value":"2"},"originalMessageData":{"sender":{"value":"1"}}}"#,
            r#"{"messageId":"z","sender":{"value":"2"},"quoted":{"messageId":"3EB0-x","sender":{"value":"1"}}}"#,
            r#"{"messageId":"z","messageType":"EVENT","event":{"type":"Reaction","targetMessageId":"3EB0-x","targetSender":{"value":"1"}}}"#,
        ] {
            assert_eq!(Thread::of(&item(body)).original.as_ref(), Some(&own), "{body}");
        }
        assert_eq!(Thread::of(&item(r#"{"messageId":"DELETE_ALL_MESSAGES-1"}"#)).original, None);
    }

    #[test]
    fn only_ids_of_ours_are_read() {
        let id = Identity(Digest::of(b"x")).message_id();
        assert_eq!(MessageId::parse(&id.to_string()), Some(id.clone()));
        assert_eq!(MessageId::parse(id.as_str()), Some(id));
        for other in ["", "<a@b>", "<0123@whatsapp-archiver.invalid>", "x".repeat(32).as_str()] {
            assert_eq!(MessageId::parse(other), None, "{other}");
        }
    }
}
