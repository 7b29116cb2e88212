//! Raw JSON to [`Item`]: the one place that decides whether an item can be read at all.

use std::borrow::Cow;

use bytes::Bytes;
use chrono::{DateTime, Duration, TimeZone as _, Utc};
use serde::de::DeserializeOwned;

use super::raw::{
    GroupData, InlineContent, InlineContents, RawAttachment, RawBody, RawMessage, lenient_integer, lenient_text,
};
use super::text::mend_json;
use super::{
    AttachmentDeclaration, Chat, ChatName, DeletionScope, Direction, ImpossibleTime, Item, ItemId, Kind, MessageTime,
    Participant, Product,
};
use crate::digest::Digest;
use crate::json_fault::JsonFault;

/// Why an item can't be read. It is counted as `malformed`; its raw bytes stay staged.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or not of the contract's form.
    #[error("the item is not a RawMessage: {0}")]
    NotARawMessage(#[source] JsonFault),
    /// Neither the message's own time nor the receiving time is possible.
    #[error(
        "the item has no possible time: messageTime {message_time:?}, gatewayReceivedDate {received:?} (epoch milliseconds)"
    )]
    NoTime {
        /// `messageTime`, in epoch milliseconds.
        message_time: Option<i64>,
        /// `gatewayReceivedDate`, in epoch milliseconds.
        received: Option<i64>,
    },
}

impl Item {
    /// Reads an item from its raw bytes. `staged_at`, the time at which the item was first staged, tells which times lie
    /// in the future; it is recorded with the item, so that reading it again gives the same result.
    pub fn read(raw: &[u8], staged_at: DateTime<Utc>) -> Result<Self, Malformed> {
        let message: RawMessage = parse(raw).map_err(Malformed::NotARawMessage)?;
        let mut item = Self::from_raw(message, staged_at)?;
        if matches!(item.kind, Kind::Unknown(_)) {
            item.whole = whole(raw);
        }
        Ok(item)
    }

    fn from_raw(raw: RawMessage, staged_at: DateTime<Utc>) -> Result<Self, Malformed> {
        let RawMessage { id, gateway_received_date, network_type, source_type, security_content, body } = raw;
        let received = possible_time(gateway_received_date, staged_at);
        let time = match (possible_time(body.message_time, staged_at), received) {
            (Some(at), _) => MessageTime { at, substituted: None },
            (None, Some(at)) => MessageTime { at, substituted: Some(ImpossibleTime(body.message_time)) },
            (None, None) => {
                return Err(Malformed::NoTime { message_time: body.message_time, received: gateway_received_date });
            }
        };
        let kind = kind_of(&body);
        let chat = chat_of(&body);
        let people = people_of(&body);
        Ok(Self {
            id: ItemId(id),
            received,
            product: Product::from_source_type(source_type.as_deref().unwrap_or_default()),
            network_type,
            message_id: filled(body.message_id).unwrap_or_else(|| id.to_string()),
            message_type: body.message_type.unwrap_or_default(),
            kind,
            time,
            direction: match body.direction.as_deref() {
                Some("IN") => Some(Direction::In),
                Some("OUT") => Some(Direction::Out),
                _ => None,
            },
            owner: body.owner.filter(has_value),
            sender: body.sender.filter(has_value),
            recipients: body.recipients.into_iter().flatten().filter(has_value).collect(),
            people,
            subject: filled(body.subject),
            text: body.text.unwrap_or_default(),
            chat,
            thread_id: filled(body.thread_id),
            thread_name: filled(body.thread_name),
            call: body.call_info,
            original: body.original_message_data,
            event: body.event,
            location: body.location,
            quoted: body.quoted,
            view_once: body.view_once,
            forwarded: body.forwarded,
            message_status: filled(body.message_status),
            encrypted: security_content,
            attachments: body.attachment.into_iter().map(declaration).collect(),
            whole: None,
        })
    }
}

/// The item's number alone, for an item that can't be read otherwise.
pub fn peek_id(raw: &[u8]) -> Option<ItemId> {
    #[derive(serde::Deserialize)]
    struct Id {
        #[serde(default, deserialize_with = "lenient_integer")]
        id: Option<i64>,
    }
    parse::<Id>(raw).ok()?.id.map(ItemId)
}

/// The receiving time alone (`gatewayReceivedDate`), where it is possible for an item that was staged at `staged_at`.
pub fn peek_received(raw: &[u8], staged_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Received {
        #[serde(default, deserialize_with = "lenient_integer")]
        gateway_received_date: Option<i64>,
    }
    possible_time(parse::<Received>(raw).ok()?.gateway_received_date, staged_at)
}

/// The product alone (`sourceType`), where the item names one.
pub fn peek_product(raw: &[u8]) -> Option<Product> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Captured {
        #[serde(default, deserialize_with = "lenient_text")]
        source_type: Option<String>,
    }
    parse::<Captured>(raw).ok()?.source_type.map(|source_type| Product::from_source_type(&source_type))
}

/// The base64 text of each attachment's inline content, in order.
pub fn inline_contents(raw: &[u8]) -> Result<Vec<Option<String>>, Malformed> {
    let contents: InlineContents = parse(raw).map_err(Malformed::NotARawMessage)?;
    Ok(contents.into_base64().collect())
}

/// Parses JSON that may hold invalid UTF-8, lone surrogates, bare control characters or the same key twice (the last one counts). The strict
/// parser goes first: it is right nearly always, and several times as fast.
fn parse<T: DeserializeOwned>(raw: &[u8]) -> Result<T, JsonFault> {
    let strict = match serde_json::from_slice(raw) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    let text: Cow<'_, str> = String::from_utf8_lossy(raw);
    let mended = mend_json(&text);
    if let Ok(parsed) = serde_json::from_str(&mended) {
        return Ok(parsed);
    }
    let value: serde_json::Value = serde_json::from_str(&mended)?;
    serde_json::from_value(value).map_err(|error| {
        let (mended, strict) = (JsonFault::from(error), JsonFault::from(strict));
        // The strict parser knows the place, where it stumbled over the same.
        if strict.says_the_same_as(&mended) { strict } else { mended }
    })
}

/// An instant that a WhatsApp message can have: from 2009, when WhatsApp began, to two days after it was staged.
fn possible_time(millis: Option<i64>, staged_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let instant = Utc.timestamp_millis_opt(millis?).single()?;
    let first = Utc.with_ymd_and_hms(2009, 1, 1, 0, 0, 0).single()?;
    (first..=staged_at + Duration::days(2)).contains(&instant).then_some(instant)
}

fn has_value(participant: &Participant) -> bool {
    !participant.value.trim().is_empty()
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

fn kind_of(body: &RawBody) -> Kind {
    let message_id = body.message_id.as_deref().unwrap_or_default();
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
    match body.message_type.as_deref().unwrap_or_default() {
        "EVENT" => event_kind(body.event.as_ref().and_then(|event| event.kind.as_deref()).unwrap_or_default()),
        "CALL_LOG" | "VOICE_CALL" | "VIDEO_CALL" => Kind::Call,
        "APP_MESSAGE" | "MULTIMEDIA_MESSAGE" if is_status_post(body) => Kind::StatusPost,
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

fn is_status_post(body: &RawBody) -> bool {
    const STATUS_CHAT: &str = "status@broadcast";
    body.subject.as_deref().is_some_and(|subject| subject.starts_with("STATUS - "))
        || body.group_id.as_deref() == Some(STATUS_CHAT)
        || body.recipients.iter().flatten().any(|recipient| recipient.value == STATUS_CHAT)
}

/// Any of `groupName`, `groupId` and `groupData` makes a group of it, whatever `groupMessage` says.
fn chat_of(body: &RawBody) -> Chat {
    let GroupData { id: data_id, name: data_name, kind } = body.group_data.clone().unwrap_or_default();
    let name = ChatName {
        id: filled(body.group_id.clone()),
        data_id: filled(data_id),
        name: filled(body.group_name.clone()).or_else(|| filled(data_name)),
    };
    if kind.as_deref() == Some("BROADCAST") {
        Chat::Broadcast(name)
    } else if body.group_message || name != ChatName::default() {
        Chat::Group(name)
    } else {
        Chat::Direct
    }
}

/// Keys are participants as JSON text; one that isn't is taken for the bare value.
fn people_of(body: &RawBody) -> Vec<(Participant, super::Person)> {
    let people = body.participant_enrichments.iter();
    people
        .filter_map(|(key, person)| {
            let participant = serde_json::from_str(key).unwrap_or_else(|_| Participant::phone(key.as_str()));
            Some((participant, person.clone()?))
        })
        .collect()
}

/// All of an item for a reader, but for the bytes of its attachments.
fn whole(raw: &[u8]) -> Option<Bytes> {
    let mut whole: serde_json::Value = parse(raw).ok()?;
    let attachments = whole.pointer_mut("/body/attachment").and_then(serde_json::Value::as_array_mut);
    for attachment in attachments.into_iter().flatten() {
        if let Some(content) = attachment.get_mut("content").filter(|content| !content.is_null()) {
            *content = "(left out here; it is an attachment)".into();
        }
    }
    serde_json::to_vec_pretty(&whole).ok().map(Bytes::from)
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
            let item =
                read(&format!(r#"{{"id":7,"body":{{"messageTime":1763700000123,"attachment":[{{{fields}}}]}}}}"#));
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
            read(&format!(r#"{{"id":7,"body":{body}}}"#)).unwrap().location.unwrap().latitude
        };
        // The second text has to be mended before it can be read.
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
            ("attachment", "{}"),
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
        assert!(matches!(with_times("0", "-1"), Err(Malformed::NoTime { message_time: Some(0), received: Some(-1) })));
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
    fn why_an_item_is_malformed_is_told_without_a_word_of_it() {
        for json in [
            r#"{"id":1,"body":"Secret text"}"#,
            r#"{"id":1,"body":{"sender":"+15550101"}}"#,
            r#"{"id":1,"body":{"recipients":["+15550101"]}}"#,
            r#"{"id":1,"body":{"participantEnrichments":{"+15550101":"Secret text"}}}"#,
            r#"{"id":1,"body":{"viewOnce":"Secret text","text":"\ud800"}}"#,
            r#"{"id":"Secret text","body":{}}"#,
        ] {
            let told = format!("{:?}", read(json).unwrap_err());
            assert!(!told.contains("Secret") && !told.contains("15550101"), "{told}");
        }
        assert_eq!(
            read(r#"{"id":1,"body":"Secret text"}"#).unwrap_err().to_string(),
            "the item is not a RawMessage: expected the item's `body`, which is an object, at line 1 column 28"
        );
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
