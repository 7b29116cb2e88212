//! Raw JSON to [`Item`]: the one place that decides whether an item can be read at all.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::alias;
use super::json::{self, Fields};
use super::kind::{Kind, Signs, is_status_post};
use super::raw::{self, GroupData, InlineContent, MAX_ENTRIES, Parts, RawAttachment, listed};
use super::reading::{self, Object, OtherField, Reading, unreadable};
use super::version_1::Raws;
use super::{
    AttachmentDeclaration, Chat, ChatName, Direction, ImpossibleTime, Item, ItemId, MessageTime, Participant, Product,
    time,
};
use crate::digest::Digest;
use crate::json_fault::JsonFault;

/// How many bytes of other fields an item may have before all of it is kept for the reader.
const MAX_OTHER_BYTES: usize = 8 * 1024;

/// Why an item can't be read. It is counted as `malformed`; its raw bytes stay staged.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or not of the contract's form.
    #[error("the item is not a RawMessage: {0}")]
    NotARawMessage(#[source] JsonFault),
    /// More entries than an item may have.
    #[error("the item has {entries} {what}; at most {MAX_ENTRIES} participants or attachments are read of one item")]
    TooMany {
        /// Entries of what.
        what: &'static str,
        /// How many there are.
        entries: usize,
    },
    /// Participants are given, and none of them can be read.
    #[error("the item has no known owner: none of its participants can be read")]
    NoParticipant,
    /// Neither the message's own time nor the receiving time is possible.
    #[error(
        "the item has no possible time: messageTime {}, gatewayReceivedDate {}",
        InWords(message_time),
        InWords(received)
    )]
    NoTime {
        /// Why `messageTime` is none.
        message_time: ImpossibleTime,
        /// Why `gatewayReceivedDate` is none.
        received: ImpossibleTime,
    },
}

/// Why a time is none, without a word of what can't be read.
struct InWords<'a>(&'a ImpossibleTime);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ImpossibleTime::Missing => f.write_str("is missing"),
            ImpossibleTime::Impossible(millis) => write!(f, "is {millis} (epoch milliseconds), which is impossible"),
            ImpossibleTime::Unreadable(_) => f.write_str("can't be read"),
        }
    }
}

impl Item {
    /// Reads an item from its raw bytes. `staged_at`, the time at which the item was first staged, says which times lie
    /// in the future; it is recorded with the item, so that reading it again gives the same result.
    pub fn read(raw: &[u8], staged_at: DateTime<Utc>) -> Result<Self, Malformed> {
        Self::read_text(&cleaned(raw)?, staged_at)
    }

    fn read_text(text: &str, staged_at: DateTime<Utc>) -> Result<Self, Malformed> {
        let mut envelope = Object::new(String::new(), expected(text, "an item, which is an object")?);
        let Reading::Read(id) = envelope.reading("id", reading::integer) else {
            return Err(not_a_raw_message("the item's `id`, which is an integer of 64 bits"));
        };
        let body_text = envelope.take("body").unwrap_or_default();
        if let Some(unpacked) = unpacked(text, body_text) {
            return Self::read_text(&unpacked, staged_at);
        }
        let body = expected(body_text, "the item's `body`, which is an object")?;
        let raws = Raws::of(&body);
        let mut parts = Parts::new(body, staged_at);
        let (received, time) = times(&mut envelope, &mut parts)?;
        parts.message_millis = Some(time.at.timestamp_millis());
        envelope.is_one_of("typ", &["RawMessage"]);
        let others = &mut parts.others;
        let (network_type, source_type) = (envelope.text("networkType", others), envelope.text("sourceType", others));
        let encrypted = envelope.raw("securityContent").is_some_and(|raw| !reading::is_unset(raw));
        let mut item = from_body(ItemId(id), time, &mut parts)?;
        item.lids = alias::lids(body_text);
        refuse_too_many(&item, parts.declared_attachments)?;
        item.received = received;
        item.product = Product::from_source_type(source_type.as_deref().unwrap_or_default());
        item.encrypted = encrypted;
        let is_unknown = matches!(item.kind, Kind::Unknown(_));
        if let Some(network) = network_type.as_deref().filter(|_| !is_unknown && network_type != source_type) {
            parts.others.push(said("networkType", network));
        }
        item.network_type = network_type;
        envelope.finish(&mut parts.others);
        parts.body.finish(&mut parts.others);
        item.other = parts.others;
        // As they are shown: each value with its path.
        let shown =
            |other: &OtherField| other.leaves().iter().map(|leaf| leaf.path.len() + leaf.raw.len()).sum::<usize>();
        let other_bytes: usize = item.other.iter().map(shown).sum();
        if is_unknown || other_bytes > MAX_OTHER_BYTES {
            item.whole = Some(whole(text));
        }
        item.version_1 = raws.item(&item, parts.declared_attachments, staged_at);
        Ok(item)
    }
}

fn refuse_too_many(item: &Item, declared_attachments: usize) -> Result<(), Malformed> {
    let counts = [
        ("recipients", item.recipients.len()),
        ("enrichments", item.people.len()),
        ("members", item.event.as_ref().map_or(0, |event| event.members.len())),
        ("attachments", declared_attachments),
        ("LIDs", item.lids.len()),
    ];
    match counts.into_iter().find(|(_, entries)| *entries > MAX_ENTRIES) {
        Some((what, entries)) => Err(Malformed::TooMany { what, entries }),
        None => Ok(()),
    }
}

/// The item without what its envelope says.
fn from_body(id: ItemId, time: MessageTime, parts: &mut Parts<'_>) -> Result<Item, Malformed> {
    let (owner, sender) = (parts.participant("owner"), parts.participant("sender"));
    let recipients = parts.participants("recipients");
    let (message_id, message_type) = (parts.text("messageId"), parts.text("messageType").unwrap_or_default());
    let (subject, text) = (filled(parts.text("subject")), parts.message_text());
    let direction = direction(&mut parts.body);
    let event = parts.event();
    let is_group = parts.flag("groupMessage");
    let group_id = filled(parts.text("groupId"));
    let group_name = filled(parts.text("groupName"));
    let group_data = parts.group_data(group_id.as_deref(), group_name.as_deref());
    let message_type = listed(&message_type, &MESSAGE_TYPES);
    let kind = Kind::of(&Signs {
        message_id: message_id.as_deref().unwrap_or_default(),
        message_type: &message_type,
        event: event.as_ref(),
        is_status_post: is_status_post(subject.as_deref(), group_id.as_deref(), &recipients),
    });
    let item = Item {
        id,
        received: None,
        product: Product::from_source_type(""),
        network_type: None,
        message_id: filled(message_id).unwrap_or_else(|| id.to_string()),
        message_type,
        kind,
        time,
        direction,
        owner,
        sender,
        recipients,
        people: Vec::new(),
        lids: Vec::new(),
        subject,
        text,
        chat: chat_of(is_group, group_id, group_name, group_data),
        thread_id: filled(parts.text("threadID")),
        thread_name: filled(parts.text("threadName")),
        call: parts.call(),
        original: parts.original(),
        event,
        location: parts.location(),
        quoted: parts.quoted(),
        view_once: parts.flag("viewOnce"),
        forwarded: parts.flag("forwarded"),
        message_status: filled(parts.text("messageStatus")),
        encrypted: false,
        attachments: declarations(parts.attachments()),
        other: Vec::new(),
        whole: None,
        version_1: None,
    };
    let is_lost = |other: &OtherField| {
        other.is_unreadable && ["owner", "sender", "recipients"].iter().any(|name| other.path.starts_with(name))
    };
    if item.participants().is_empty() && parts.others.iter().any(is_lost) {
        return Err(Malformed::NoParticipant);
    }
    Ok(with_people(item, parts))
}

/// Puts in what is known of the participants. What is said of anybody else has no other place.
fn with_people(mut item: Item, parts: &mut Parts<'_>) -> Item {
    let people = parts.people();
    let named = [
        item.quoted.as_ref().and_then(|quoted| quoted.sender.as_ref()),
        item.original.as_ref().and_then(|original| original.sender.as_ref()),
        item.event.as_ref().and_then(|event| event.target_sender.as_ref()),
    ];
    let named = item.participants().into_iter().chain(named.into_iter().flatten());
    let named: std::collections::HashSet<_> = named.map(Participant::key).collect();
    for (participant, _, raw) in people.iter().filter(|(participant, ..)| !named.contains(&participant.key())) {
        let path = format!("participantEnrichments.{}", participant.value);
        parts.others.push(OtherField { path, raw: (*raw).to_owned(), is_unreadable: false });
    }
    drop(named);
    item.people = people.into_iter().map(|(participant, person, _)| (participant, person)).collect();
    item
}

/// The receiving time, and the message's time with what stands in its place.
fn times(envelope: &mut Object<'_>, parts: &mut Parts<'_>) -> Result<(Option<DateTime<Utc>>, MessageTime), Malformed> {
    let stated = |raw: Option<&str>, known| match raw.map(|raw| time::millis(raw).ok_or(raw)) {
        Some(Ok(millis)) => time::possible(millis, known).ok_or(ImpossibleTime::Impossible(millis)),
        Some(Err(raw)) => Err(ImpossibleTime::Unreadable(json::shown(raw))),
        None => Err(ImpossibleTime::Missing),
    };
    let received_raw = envelope.raw("gatewayReceivedDate");
    let received = stated(received_raw, parts.staged_at);
    if let (Err(_), Some(raw)) = (&received, received_raw) {
        unreadable(&mut parts.others, "gatewayReceivedDate".to_owned(), raw);
    }
    // A message can be received weeks before it is staged, but not before it is sent.
    let known = received.as_ref().map_or(parts.staged_at, |received| parts.staged_at.min(*received));
    let own_raw = parts.body.raw("messageTime");
    let own = stated(own_raw, known);
    if let (Err(ImpossibleTime::Impossible(_)), Some(raw)) = (&own, own_raw)
        && !time::is_plain_number(raw)
    {
        parts.body.put_back("messageTime", raw);
    }
    match (own, received) {
        (Ok(at), received) => Ok((received.ok(), MessageTime { at, substituted: None })),
        (Err(own), Ok(at)) => Ok((Some(at), MessageTime { at, substituted: Some(own) })),
        (Err(message_time), Err(received)) => Err(Malformed::NoTime { message_time, received }),
    }
}

/// The item's number alone, for an item that can't be read otherwise.
pub fn peek_id(raw: &[u8]) -> Option<ItemId> {
    peek(raw, "id", reading::integer).map(ItemId)
}

/// The receiving time alone (`gatewayReceivedDate`), where it is possible for an item that was staged at `staged_at`.
pub fn peek_received(raw: &[u8], staged_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    time::possible(peek(raw, "gatewayReceivedDate", time::millis)?, staged_at)
}

/// The product alone (`sourceType`), where the item names one.
pub fn peek_product(raw: &[u8]) -> Option<Product> {
    peek(raw, "sourceType", reading::text).map(|source_type| Product::from_source_type(&source_type))
}

fn peek<T>(raw: &[u8], name: &str, reader: impl Fn(&str) -> Option<T>) -> Option<T> {
    let read = |text: &str| {
        let found = Fields::read(reading::only(text.trim()))?.take(name)?;
        reader(found).filter(|_| !json::is_hollow(found))
    };
    // Most items need no cleaning.
    std::str::from_utf8(raw).ok().and_then(read).or_else(|| read(&json::cleaned(raw).ok()?))
}

/// What `of` makes of the base64 text of each attachment's inline content, in order. It is given the place of each; the texts, which can
/// have many megabytes, are not copied.
pub fn inline_contents<T>(raw: &[u8], of: impl Fn(usize, &str) -> T) -> Result<Vec<Option<T>>, Malformed> {
    let text = cleaned(raw)?;
    let body = body_of(&text)?;
    let Some(unpacked) = unpacked(&text, body) else { return Ok(raw::inline_contents(reading::only(body), of)) };
    let text = cleaned(unpacked.as_bytes())?;
    Ok(raw::inline_contents(reading::only(body_of(&text)?), of))
}

fn body_of(item: &str) -> Result<&str, Malformed> {
    Ok(expected(item, "an item, which is an object")?.take("body").unwrap_or_default())
}

fn cleaned(raw: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    json::cleaned(raw).map_err(|error| Malformed::NotARawMessage(error.into()))
}

/// The item's JSON with its body as an object, where that came as text. `body` is a part of `text`.
fn unpacked(text: &str, body: &str) -> Option<String> {
    let inner = json::string(body)?;
    let inner = json::cleaned(inner.trim().as_bytes()).ok()?;
    Fields::read(&inner)?;
    let start = (body.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let (before, from) = text.split_at_checked(start)?;
    Some(format!("{before}{inner}{}", from.get(body.len()..)?))
}

/// The fields of an object, or of the only one of a list.
fn expected<'a>(json: &'a str, what: &'static str) -> Result<Fields<'a>, Malformed> {
    let json = json.trim();
    Fields::read(reading::only(json)).ok_or_else(|| not_a_raw_message(what))
}

fn not_a_raw_message(expected: &'static str) -> Malformed {
    Malformed::NotARawMessage(JsonFault::expected(expected))
}

/// A text of the item that has no other place.
fn said(name: &str, text: &str) -> OtherField {
    let raw = serde_json::Value::from(text).to_string();
    OtherField { path: name.to_owned(), raw, is_unreadable: false }
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

fn direction(body: &mut Object<'_>) -> Option<Direction> {
    if body.is_one_of("direction", &["IN"]) {
        return Some(Direction::In);
    }
    body.is_one_of("direction", &["OUT"]).then_some(Direction::Out)
}

const MESSAGE_TYPES: [&str; 6] = ["APP_MESSAGE", "MULTIMEDIA_MESSAGE", "EVENT", "CALL_LOG", "VOICE_CALL", "VIDEO_CALL"];

/// Any of `groupName`, `groupId` and `groupData` makes a group of it, whatever `groupMessage` says.
fn chat_of(is_group: bool, group_id: Option<String>, group_name: Option<String>, data: GroupData) -> Chat {
    let name = ChatName { id: group_id, data_id: filled(data.id), name: group_name.or_else(|| filled(data.name)) };
    if data.is_broadcast {
        Chat::Broadcast(name)
    } else if is_group || name != ChatName::default() {
        Chat::Group(name)
    } else {
        Chat::Direct
    }
}

/// All of an item for a reader, but for the bytes of its attachments.
fn whole(text: &str) -> Bytes {
    const LEFT_OUT: &str = "\"(left out here; it is an attachment)\"";
    let mut shortened = String::with_capacity(text.len());
    let mut rest = text;
    for content in contents_of(text).into_iter().flatten() {
        // `content` is a part of `text`.
        let start = (content.as_ptr() as usize).saturating_sub(rest.as_ptr() as usize);
        let Some((before, from)) = rest.split_at_checked(start) else { break };
        shortened.push_str(before);
        shortened.push_str(LEFT_OUT);
        rest = from.get(content.len()..).unwrap_or_default();
    }
    shortened.push_str(rest);
    Bytes::from(json::indented(&shortened))
}

/// The contents of all attachments that have one, as raw JSON, in order.
fn contents_of(text: &str) -> Option<Vec<&str>> {
    let body = Fields::read(reading::only(text.trim()))?.take("body")?;
    let attachments = Fields::read(reading::only(body))?.take("attachment")?;
    let contents = reading::list(attachments).into_iter().filter_map(|raw| Fields::read(raw)?.take("content"));
    Some(contents.filter(|raw| *raw != "null").collect())
}

/// What is declared of each attachment. Nothing at the end of the list is no attachment.
fn declarations(mut attachments: Vec<RawAttachment>) -> Vec<AttachmentDeclaration> {
    while attachments.last().is_some_and(RawAttachment::is_nothing) {
        attachments.pop();
    }
    attachments.into_iter().map(declaration).collect()
}

fn declaration(raw: RawAttachment) -> AttachmentDeclaration {
    let inline = match raw.content {
        InlineContent::Present => true,
        // Taken for the bytes, it would make an empty file of an attachment that is still to be fetched.
        InlineContent::Blank => raw.attachment_size == Some(0),
        InlineContent::Absent => false,
    };
    let declared = filled(raw.digest);
    let digest = declared.as_deref().and_then(Digest::read);
    AttachmentDeclaration {
        name: filled(raw.name),
        content_type: filled(raw.content_type),
        size: raw.attachment_size.and_then(|size| u64::try_from(size).ok()),
        digest,
        unreadable_digest: declared.filter(|_| digest.is_none()),
        inline,
    }
}

#[cfg(test)]
mod tests;
