//! Raw JSON to [`Item`]: the one place that decides whether an item can be read at all.

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::alias;
use super::json::{self, Fields};
use super::raw::{self, Event, GroupData, InlineContent, Parts, RawAttachment, listed};
use super::reading::{self, Object, OtherField, Reading, unreadable};
use super::{
    AttachmentDeclaration, Chat, ChatName, DeletionScope, Direction, ImpossibleTime, Item, ItemId, Kind, MessageTime,
    Participant, Product, time,
};
use crate::digest::Digest;
use crate::json_fault::JsonFault;

/// How many bytes of other fields an item may have before all of it is kept for the reader.
const MAX_OTHER_BYTES: usize = 8 * 1024;

/// The most participants, or attachments, of one item: ten times as many as the largest group has. Bounds the look-ups of one item.
const MAX_ENTRIES: usize = 10_000;

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
        let text = json::cleaned(raw).map_err(|error| Malformed::NotARawMessage(error.into()))?;
        let mut envelope = Object::new(String::new(), expected(&text, "an item, which is an object")?);
        let Reading::Read(id) = envelope.reading("id", reading::integer) else {
            return Err(not_a_raw_message("the item's `id`, which is an integer of 64 bits"));
        };
        let body_text = envelope.take("body").unwrap_or_default();
        let body = expected(body_text, "the item's `body`, which is an object")?;
        let mut parts =
            Parts { body: Object::new(String::new(), body), others: Vec::new(), staged_at, message_millis: None };
        let (received, time) = times(&mut envelope, &mut parts)?;
        parts.message_millis = Some(time.at.timestamp_millis());
        envelope.is_one_of("typ", &["RawMessage"]);
        let others = &mut parts.others;
        let (network_type, source_type) = (envelope.text("networkType", others), envelope.text("sourceType", others));
        let encrypted = envelope.raw("securityContent").is_some_and(|raw| raw != "false");
        let mut item = from_body(ItemId(id), time, &mut parts)?;
        refuse_too_many(&item)?;
        item.lids = alias::lids(body_text);
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
        let other_bytes: usize = item.other.iter().map(|other| other.path.len() + other.raw.len()).sum();
        if is_unknown || other_bytes > MAX_OTHER_BYTES {
            item.whole = Some(whole(&text));
        }
        Ok(item)
    }
}

fn refuse_too_many(item: &Item) -> Result<(), Malformed> {
    let counts = [
        ("recipients", item.recipients.len()),
        ("enrichments", item.people.len()),
        ("members", item.event.as_ref().map_or(0, |event| event.members.len())),
        ("attachments", item.attachments.len()),
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
    let kind = kind_of(&Signs {
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
    let staged_at = parts.staged_at;
    let stated = |reading: Reading<'_, i64>| match reading {
        Reading::Read(millis) => time::possible(millis, staged_at).ok_or(ImpossibleTime::Impossible(millis)),
        Reading::Absent => Err(ImpossibleTime::Missing),
        Reading::Unreadable(raw) => Err(ImpossibleTime::Unreadable(json::shown(raw))),
    };
    let own = stated(parts.body.reading("messageTime", time::millis));
    let received_raw = envelope.raw("gatewayReceivedDate");
    let received = stated(
        received_raw.map_or(Reading::Absent, |raw| time::millis(raw).map_or(Reading::Unreadable(raw), Reading::Read)),
    );
    if let (Err(_), Some(raw)) = (&received, received_raw) {
        unreadable(&mut parts.others, "gatewayReceivedDate".to_owned(), raw);
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

fn peek<T>(raw: &[u8], name: &str, reader: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let text = json::cleaned(raw).ok()?;
    let found = Fields::read(reading::only(text.trim()))?.take(name)?;
    reader(found).filter(|_| !json::is_hollow(found))
}

/// The base64 text of each attachment's inline content, in order.
pub fn inline_contents(raw: &[u8]) -> Result<Vec<Option<String>>, Malformed> {
    let text = json::cleaned(raw).map_err(|error| Malformed::NotARawMessage(error.into()))?;
    let mut fields = expected(&text, "an item, which is an object")?;
    Ok(raw::inline_contents(reading::only(fields.take("body").unwrap_or_default())))
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

/// What an item's kind is derived from.
struct Signs<'a> {
    message_id: &'a str,
    message_type: &'a str,
    event: Option<&'a Event>,
    is_status_post: bool,
}

fn kind_of(signs: &Signs<'_>) -> Kind {
    let message_id = signs.message_id;
    if message_id.starts_with("DELETE_FOR_ME-") {
        return Kind::Deletion(DeletionScope::ForMe);
    }
    if message_id.starts_with("DELETE_FOR_ALL-") {
        return Kind::Deletion(DeletionScope::ForAll);
    }
    if message_id.starts_with("DELETE_ALL_MESSAGES-") {
        return Kind::Deletion(DeletionScope::WholeChat);
    }
    if let Some(edited) = message_id.strip_prefix("EDIT-") {
        return Kind::Edit(edited.rsplit_once('-').and_then(|(_, number)| number.parse().ok()));
    }
    match signs.message_type {
        "EVENT" => event_kind(signs.event.and_then(|event| event.kind.as_deref()).unwrap_or_default()),
        "CALL_LOG" | "VOICE_CALL" | "VIDEO_CALL" => Kind::Call,
        "APP_MESSAGE" | "MULTIMEDIA_MESSAGE" if signs.is_status_post => Kind::StatusPost,
        "APP_MESSAGE" | "MULTIMEDIA_MESSAGE" => Kind::Message,
        other => Kind::Unknown(other.to_owned()),
    }
}

fn event_kind(event_type: &str) -> Kind {
    match event_type {
        "DeleteChat" | "ClearChat" => Kind::Deletion(DeletionScope::WholeChat),
        "Reaction" => Kind::Reaction,
        "Join" | "Leave" | "Remove" | "Create" | "Rename" | "ChangeProfileImage" => Kind::GroupEvent,
        other => Kind::Unknown(format!("EVENT {other}").trim_end().to_owned()),
    }
}

fn is_status_post(subject: Option<&str>, group_id: Option<&str>, recipients: &[Participant]) -> bool {
    const STATUS_CHAT: &str = "status@broadcast";
    subject.is_some_and(|subject| subject.starts_with("STATUS - "))
        || group_id == Some(STATUS_CHAT)
        || recipients.iter().any(|recipient| recipient.value == STATUS_CHAT)
}

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
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()
    }

    fn read(json: &str) -> Result<Item, Malformed> {
        Item::read(json.as_bytes(), now())
    }

    #[test]
    fn empty_content_is_the_bytes_of_an_empty_file_alone() {
        let inline = |fields: &str| {
            let item = read(&format!(
                r#"{{"id":7,"body":{{"messageTime":1763700000123,"attachment":[{{"name":"a",{fields}}}]}}}}"#
            ));
            item.unwrap().attachments[0].inline
        };
        assert!(inline(r#""content":"aGk=""#));
        assert!(inline(r#""content":"","attachmentSize":0"#));
        for fields in [
            r#""content":"""#,
            r#""content":" \n","attachmentSize":48211"#,
            r#""content":"","attachmentSize":"48211""#,
            r#""content":null,"attachmentSize":0"#,
            r#""attachmentSize":0"#,
        ] {
            assert!(!inline(fields), "{fields}");
        }
    }

    #[test]
    fn coordinates_are_kept_digit_by_digit() {
        let location = |latitude: &str, text: &str| {
            let body = format!(r#"{{"messageTime":1763700000123,"text":{text},"location":{{"latitude":{latitude}}}}}"#);
            read(&format!(r#"{{"id":7,"body":{body}}}"#)).unwrap().location.and_then(|location| location.latitude)
        };
        // The second text has to be repaired before it can be read.
        for text in [r#""hi""#, r#""\ud800""#] {
            for number in ["52.520006599999997", "-0.10", "13", "1e1", "48.12345678901234567890"] {
                assert_eq!(location(number, text).as_deref(), Some(number), "{text}");
            }
            assert_eq!(location(r#""52.5200""#, text).as_deref(), Some("52.5200"));
            assert_eq!(location("null", text), None);
            assert_eq!(location("[1]", text), None);
        }
    }

    #[test]
    fn a_peek_sees_what_the_reader_sees() {
        let received = |raw: &str| peek_received(raw.as_bytes(), now()).map(|at| at.timestamp_millis());
        assert_eq!(received(r#"{"gatewayReceivedDate":"1763700000123"}"#), Some(1_763_700_000_123));
        for impossible in ["9223372036854775807", "8210266876799999", "-1", "0", "null", "{}"] {
            assert_eq!(received(&format!(r#"{{"gatewayReceivedDate":{impossible}}}"#)), None, "{impossible}");
        }
        assert_eq!(peek_id(br#"{"id":"7"}"#), Some(ItemId(7)));
        assert_eq!(peek_id(br#"{"id":7.0}"#), Some(ItemId(7)));
        assert_eq!(peek_id(br#"{"id":null}"#), None);
        assert_eq!(peek_product(br#"{"sourceType":"WHATSAPP_ARCHIVER"}"#), Some(Product::PhoneArchiver));
        assert_eq!(peek_product(b"{}"), None);
    }

    #[test]
    fn participants_and_attachments_are_bounded() {
        let with = |field: &str, entry: &str, count: usize| {
            let (open, close) =
                if entry.contains("\":") && field == "participantEnrichments" { ('{', '}') } else { ('[', ']') };
            let entries: Vec<String> = (0..count).map(|number| entry.replace('#', &number.to_string())).collect();
            let list = entries.join(",");
            read(&format!(r#"{{"id":7,"body":{{"messageTime":1763700000123,"{field}":{open}{list}{close}}}}}"#))
        };
        for (field, entry) in [
            ("recipients", r#"{"value":"1555#"}"#),
            ("attachment", r#"{"name":"f#"}"#),
            ("participantEnrichments", r#""1555#":{"email":"a@contoso.example"}"#),
        ] {
            assert!(with(field, entry, 10_000).is_ok(), "{field}");
            let error = with(field, entry, 10_001).unwrap_err().to_string();
            assert!(error.contains("at most 10000 participants or attachments"), "{field}: {error}");
        }
        assert!(read(r#"{"id":7,"body":{"messageTime":1763700000123,"recipients":null,"attachment":null}}"#).is_ok());
    }

    fn with_times(message_time: &str, received: &str) -> Result<Item, Malformed> {
        read(&format!(r#"{{"id":7,"gatewayReceivedDate":{received},"body":{{"messageTime":{message_time}}}}}"#))
    }

    #[test]
    fn an_impossible_time_is_replaced_by_the_receiving_time() {
        let received = 1_763_700_000_123;
        for impossible in ["null", "0", "-5", "1230767999999", "9e18", "1795564800000", r#""soon""#] {
            let item = with_times(impossible, &received.to_string()).unwrap();
            assert_eq!(item.time.at.timestamp_millis(), received, "{impossible}");
            assert!(item.time.substituted.is_some(), "{impossible}");
        }
        let item = with_times("1230768000000", "null").unwrap();
        assert_eq!((item.time.at.timestamp_millis(), item.time.substituted), (1_230_768_000_000, None));
        for (message_time, received, told) in [
            (
                "0",
                "-1",
                "messageTime is 0 (epoch milliseconds), which is impossible, gatewayReceivedDate is -1 (epoch milliseconds), which is impossible",
            ),
            ("null", r#""Secret""#, "messageTime is missing, gatewayReceivedDate can't be read"),
        ] {
            let error = with_times(message_time, received).unwrap_err().to_string();
            assert_eq!(error, format!("the item has no possible time: {told}"));
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_is_not_called_missing() {
        let substituted = |time: &str| with_times(time, "1763700000123").unwrap().time.substituted;
        assert_eq!(substituted("{}"), Some(ImpossibleTime::Missing));
        assert_eq!(substituted("12"), Some(ImpossibleTime::Impossible(12)));
        assert_eq!(
            substituted(r#"{"$long": "1763700000000"}"#),
            Some(ImpossibleTime::Unreadable(r#"{"$long": "1763700000000"}"#.into()))
        );
        assert_eq!(substituted(r#""2025-11-21 04:40""#), Some(ImpossibleTime::Unreadable("2025-11-21 04:40".into())));
        assert_eq!(substituted(r#""2025-11-21T04:40:00Z""#), None);
    }

    #[test]
    fn hostile_text_is_read_and_the_last_key_counts() {
        let item = read(
            r#"{"id":7,"id":8,"gatewayReceivedDate":1763700000123,"body":{"text":"a\ud800b\u0000","text":"c\udfff"}}"#,
        )
        .unwrap();
        assert_eq!((item.id, item.text.as_str()), (ItemId(8), "c\u{fffd}"));
        let item =
            Item::read(b"{\"id\":7,\"gatewayReceivedDate\":1763700000123,\"body\":{\"text\":\"a\xffb\"}}", now());
        assert_eq!(item.unwrap().text, "a\u{fffd}b");
    }

    #[test]
    fn an_empty_message_id_is_replaced_by_the_id() {
        assert_eq!(with_times("1763700000000", "null").unwrap().message_id, "7");
    }

    #[test]
    fn enrichment_keys_are_compared_as_values() {
        let item = read(
            r#"{"id":1,"gatewayReceivedDate":1763700000123,"body":{"owner":{"value":"+15550100","type":"PHONE"},
                "participantEnrichments":{"{ \"type\" : \"PHONE\", \"value\":\"15550100\"}":{"email":"ana@contoso.example"}}}}"#,
        )
        .unwrap();
        let owner = item.owner.as_ref().unwrap();
        assert_eq!(item.person(owner).unwrap().email.as_deref(), Some("ana@contoso.example"));
    }

    #[test]
    fn what_is_not_a_raw_message_is_malformed() {
        for json in ["", "[]", "null", r#"{"id":1}"#, r#"{"body":{}}"#, r#"{"id":"x","body":{}}"#] {
            assert!(matches!(read(json), Err(Malformed::NotARawMessage(_))), "{json}");
        }
        assert_eq!(peek_id(br#"{"id":5,"body":[]}"#), Some(ItemId(5)));
    }

    #[test]
    fn why_an_item_is_malformed_is_reported_without_a_word_of_it() {
        for json in [
            r#"{"id":1,"body":"Secret text"}"#,
            r#"{"id":"Secret text","body":{}}"#,
            r#"{"id":1,"body":{"messageTime":1763700000123,"sender":[["Secret text"]]}}"#,
            r#"{"id":1,"body":{"messageTime":"Secret text"}}"#,
            r#"{"id":1,"body":"Secret text"#,
        ] {
            let error = read(json).unwrap_err();
            assert!(!error.to_string().contains("Secret"), "{error}");
        }
        assert_eq!(
            read(r#"{"id":1,"body":"Secret text"}"#).unwrap_err().to_string(),
            "the item is not a RawMessage: expected the item's `body`, which is an object"
        );
    }

    fn body(fields: &str) -> Item {
        read(&format!(
            r#"{{"id":1,"gatewayReceivedDate":1763700000123,"body":{{"messageTime":1763700000123,{fields}}}}}"#
        ))
        .unwrap_or_else(|error| panic!("{fields}: {error}"))
    }

    fn others(item: &Item) -> Vec<(&str, String)> {
        item.other.iter().map(|other| (other.path.as_str(), other.shown())).collect()
    }

    #[test]
    fn whatever_the_archive_does_not_know_is_kept_as_it_came() {
        let item = body(
            r#""messageType":"APP_MESSAGE","zeta":0.10,"poll":{"q":"\u00fc?","n":[1e400]},"empty":{},"none":null,"no":false,
               "sender":{"value":"15550101","type":"PHONE","pushName":"Bo"},"callInfo":{"members":["Ana"]},
               "attachment":[{"name":"a","caption":"See"}],"text":"a","text":"b""#,
        );
        let expected = [
            ("sender.pushName", "Bo"),
            ("callInfo.members", r#"["Ana"]"#),
            ("attachment[0].caption", "See"),
            ("zeta", "0.10"),
            ("poll", r#"{"q": "ü?", "n": [1e400]}"#),
            ("no", "false"),
            ("text", "a"),
        ];
        assert_eq!(others(&item), expected.map(|(path, value)| (path, value.to_owned())));
        assert_eq!((item.text.as_str(), item.whole), ("b", None));
    }

    #[test]
    fn one_unreadable_field_never_makes_an_item_malformed() {
        for fields in [
            r#""viewOnce":"perhaps""#,
            r#""forwarded":[1]"#,
            r#""participantEnrichments":["Ana"]"#,
            r#""participantEnrichments":{"15550100":"Ana"}"#,
            r#""groupData":7"#,
            r#""callInfo":"none""#,
            r#""location":[1,2]"#,
            r#""event":{"members":[[1]]}"#,
            r#""quoted":{"sender":[[]],"text":{"a":1}}"#,
            r#""attachment":[[1]]"#,
            r#""subject":{"a":1}"#,
            r#""owner":"15550100","sender":[[1]]"#,
            r#""callInfo":{"startTime":"noon"}"#,
        ] {
            let item = body(&format!(r#""messageType":"APP_MESSAGE",{fields}"#));
            assert_eq!(item.other.len(), 1, "{fields}: {:?}", item.other);
        }
    }

    #[test]
    fn participants_come_bare_single_or_listed() {
        let item = body(
            r#""owner":15550100,"sender":[{"value":"+1 555 0101"}],"recipients":"{\"value\":\"Contoso\",\"type\":\"alphanumeric\"}",
               "event":{"members":{"value":15550102,"type":"phone"},"actor":{"value":"15550103","type":"USERNAME"}}"#,
        );
        assert_eq!(item.owner, Some(Participant::phone("15550100")));
        assert_eq!(item.sender, Some(Participant::phone("+1 555 0101")));
        assert_eq!(item.recipients[0].key(), "Contoso");
        let event = item.event.as_ref().unwrap();
        assert_eq!(event.members, [Participant::phone("15550102")]);
        assert_eq!(event.actor.as_ref().unwrap().phone_number(), None);
        assert_eq!(others(&item), [("event.actor.type", "USERNAME".to_owned())]);
    }

    #[test]
    fn what_is_empty_is_absent() {
        let item = body(
            r#""groupData":[],"callInfo":{},"originalMessageData":[{}],"quoted":{"messageId":"","sender":{}},"attachment":[{},null],
               "location":{"latitude":null,"name":" "},"event":"","participantEnrichments":[],"recipients":[null,{}]"#,
        );
        assert_eq!((item.chat, item.call, item.original, item.quoted), (Chat::Direct, None, None, None));
        assert_eq!((item.location, item.event), (None, None));
        assert!(item.attachments.is_empty() && item.other.is_empty() && item.recipients.is_empty());
    }

    #[test]
    fn names_of_a_list_come_in_another_case() {
        let item = body(r#""messageType":"Voice_Call","direction":"out","groupData":{"id":"1","type":"Broadcast"}"#);
        assert_eq!((item.kind, item.direction), (Kind::Call, Some(Direction::Out)));
        assert!(matches!(item.chat, Chat::Broadcast(_)));
        assert_eq!(body(r#""messageType":"event","event":{"type":"reaction"}"#).kind, Kind::Reaction);
    }

    #[test]
    fn text_comes_in_other_forms() {
        for (text, read) in [
            (r#"{"body":"Pay now","preview":true}"#, "Pay now"),
            (r#"["one","two"]"#, "one\ntwo"),
            ("0.10", "0.10"),
            (r#"" x""#, " x"),
        ] {
            assert_eq!(body(&format!(r#""text":{text}"#)).text, read, "{text}");
        }
        let item = body(r#""text":{"parts":[{"t":"Pay"}]}"#);
        assert_eq!(
            (item.text.as_str(), others(&item)),
            ("", vec![("text", r#"{"parts": [{"t": "Pay"}]}"#.to_owned())])
        );
    }

    #[test]
    fn an_item_of_an_unknown_type_is_kept_whole_digit_by_digit() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let item = body(&format!(
            r#""messageType":"ORDER","z":{{"id":12345678901234567890123,"price":0.1000}},"a":1e400,"deep":{deep},
               "attachment":[{{"content":"U2VjcmV0","name":"a"}},{{"content":null}}]"#
        ));
        let whole = String::from_utf8(item.whole.unwrap().to_vec()).unwrap();
        assert!(
            whole.contains("12345678901234567890123") && whole.contains("0.1000") && whole.contains("1e400"),
            "{whole}"
        );
        assert!(whole.find("\"z\"") < whole.find("\"a\"") && whole.contains(&"[".repeat(400)));
        assert!(whole.contains("(left out here; it is an attachment)") && !whole.contains("U2VjcmV0"));
    }

    #[test]
    fn any_sign_of_a_group_makes_one() {
        let body = |fields: &str| {
            let json =
                format!(r#"{{"id":1,"gatewayReceivedDate":1763700000123,"body":{{"groupMessage":false,{fields}}}}}"#);
            read(&json).unwrap().chat
        };
        assert!(matches!(body(r#""groupName":"Desk""#), Chat::Group(_)));
        assert!(matches!(body(r#""groupId":"1@g.us""#), Chat::Group(_)));
        assert!(matches!(body(r#""groupData":{"id":"1","type":"BROADCAST"}"#), Chat::Broadcast(_)));
        assert_eq!(body(r#""groupName":"","groupId":null"#), Chat::Direct);
    }

    #[test]
    fn kinds_follow_the_message_id_first() {
        let kind = |fields: &str| {
            read(&format!(r#"{{"id":1,"gatewayReceivedDate":1763700000123,"body":{{{fields}}}}}"#)).unwrap().kind
        };
        assert_eq!(kind(r#""messageId":"EDIT-3EB0-x-2","messageType":"APP_MESSAGE""#), Kind::Edit(Some(2)));
        assert_eq!(kind(r#""messageId":"DELETE_FOR_ALL-3EB0""#), Kind::Deletion(DeletionScope::ForAll));
        assert_eq!(kind(r#""messageType":"EVENT","event":{"type":"Reaction"}"#), Kind::Reaction);
        assert_eq!(kind(r#""messageType":"EVENT","event":{"type":"Poll"}"#), Kind::Unknown("EVENT Poll".into()));
        assert_eq!(kind(r#""messageType":"POLL""#), Kind::Unknown("POLL".into()));
        assert_eq!(kind(r#""messageType":"APP_MESSAGE","subject":"STATUS - x""#), Kind::StatusPost);
    }
}
