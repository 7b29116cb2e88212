//! Items as TeleMessage would hold them: every kind of the contract, and what spoils one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};
use whatsapp_archiver::digest::Digest;

/// The `sourceType` of WhatsApp Phone Archiver.
pub(crate) const PHONE_ARCHIVER: &str = "WHATSAPP_ARCHIVER";
/// The `sourceType` of WhatsApp Cloud Archiver.
pub(crate) const CLOUD_ARCHIVER: &str = "WHATSAPP_CLOUD_ARCHIVER";

/// Someone who takes part in items.
#[derive(Debug, Clone, Default)]
pub(crate) struct Who {
    value: String,
    alphanumeric: bool,
    name: Option<(String, String)>,
    email: Option<String>,
}

/// Someone with a phone number, and without anything else.
pub(crate) fn who(number: &str) -> Who {
    Who { value: number.to_owned(), ..Who::default() }
}

impl Who {
    /// A business sender, whose value is a name.
    pub(crate) fn business(name: &str) -> Self {
        Self { value: name.to_owned(), alphanumeric: true, ..Self::default() }
    }

    pub(crate) fn named(self, first: &str, last: &str) -> Self {
        Self { name: Some((first.to_owned(), last.to_owned())), ..self }
    }

    pub(crate) fn with_email(self, email: &str) -> Self {
        Self { email: Some(email.to_owned()), ..self }
    }

    fn participant(&self) -> Value {
        json!({ "value": self.value, "type": if self.alphanumeric { "ALPHANUMERIC" } else { "PHONE" } })
    }

    fn enrichment(&self) -> Option<Value> {
        if self.name.is_none() && self.email.is_none() {
            return None;
        }
        let (first, last) = self.name.clone().unzip();
        Some(json!({ "firstName": first, "lastName": last, "email": self.email }))
    }
}

/// The bytes of an attachment that isn't inline.
#[derive(Debug, Clone)]
pub(crate) struct Media {
    pub(crate) content_type: String,
    pub(crate) bytes: Bytes,
}

/// One item, with what the archive knows of it besides its JSON.
#[derive(Debug, Clone)]
pub(crate) struct ArchivedItem {
    pub(crate) id: i64,
    pub(crate) received: DateTime<Utc>,
    /// When a list shows it for the first time; captures show up late.
    pub(crate) visible_from: DateTime<Utc>,
    pub(crate) source_type: String,
    pub(crate) media: Vec<Option<Media>>,
    envelope: Map<String, Value>,
    body: Map<String, Value>,
    people: Map<String, Value>,
    verbatim: Option<String>,
}

impl ArchivedItem {
    /// A message of the Cloud Archiver from +1 555 0101 to its owner, +1 555 0100, two seconds before it was received.
    pub(crate) fn message(id: i64, received: DateTime<Utc>) -> Self {
        let item = Self {
            id,
            received,
            visible_from: received,
            source_type: CLOUD_ARCHIVER.to_owned(),
            media: Vec::new(),
            envelope: Map::new(),
            body: Map::new(),
            people: Map::new(),
            verbatim: None,
        };
        let (ana, ben) = (who("15550100"), who("15550101"));
        item.envelope_field("typ", "RawMessage")
            .envelope_field("id", id)
            .envelope_field("gatewayReceivedDate", received.timestamp_millis())
            .envelope_field("securityContent", Value::Null)
            .product(CLOUD_ARCHIVER)
            .field("messageId", format!("3EB0{id:012X}"))
            .field("messageType", "APP_MESSAGE")
            .field("messageStatus", "NA")
            .field("threadID", "tm-1")
            .field("groupMessage", false)
            .field("attachment", json!([]))
            .sent_at(received - Duration::seconds(2))
            .between(&ana, &ben, std::slice::from_ref(&ana))
            .text("Hi")
    }

    /// A call; `status` and `call_type` as in `callInfo`.
    pub(crate) fn call(id: i64, received: DateTime<Utc>, call_type: &str, status: &str, duration: Duration) -> Self {
        let end = received - Duration::seconds(2);
        let call = json!({
            "startTime": (end - duration).timestamp_millis(),
            "endTime": end.timestamp_millis(),
            "callStatus": status,
            "callDurationInMillis": duration.num_milliseconds(),
            "callType": call_type,
        });
        Self::message(id, received).field("messageType", "CALL_LOG").field("text", "").field("callInfo", call)
    }

    /// A deletion; `prefix` is `DELETE_FOR_ME`, `DELETE_FOR_ALL` or `DELETE_ALL_MESSAGES`.
    pub(crate) fn deletion(id: i64, received: DateTime<Utc>, prefix: &str, original: &str, read_status: &str) -> Self {
        let data = json!({ "messageId": original, "text": "Hi", "readStatus": read_status });
        Self::message(id, received)
            .field("messageId", format!("{prefix}-{original}"))
            .field("originalMessageData", data)
            .text("")
    }

    /// The `n`-th edit of a message.
    pub(crate) fn edit(id: i64, received: DateTime<Utc>, original: &str, n: u32, text: &str) -> Self {
        let data = json!({ "messageId": original, "text": text, "previousText": "Hi", "readStatus": "READ" });
        Self::message(id, received)
            .field("messageId", format!("EDIT-{original}-{n}"))
            .field("originalMessageData", data)
            .text(text)
    }

    /// An event in a chat, with its actor and whom it concerns.
    pub(crate) fn event(id: i64, received: DateTime<Utc>, event_type: &str, actor: &Who, members: &[Who]) -> Self {
        let members: Vec<Value> = members.iter().map(Who::participant).collect();
        let event = json!({ "type": event_type, "actor": actor.participant(), "members": members });
        Self::message(id, received).field("messageType", "EVENT").field("event", event).text("")
    }

    /// A reaction to a message; an empty emoji takes one back.
    pub(crate) fn reaction(id: i64, received: DateTime<Utc>, target: &str, emoji: &str) -> Self {
        let (ana, ben) = (who("15550100"), who("15550101"));
        let event = json!({
            "type": "Reaction", "actor": ben.participant(), "emoji": emoji,
            "targetMessageId": target, "targetSender": ana.participant(),
        });
        Self::message(id, received).field("messageType", "EVENT").field("event", event).text("")
    }

    /// Something that stands in the place of an item, byte for byte: for items that can't be read.
    pub(crate) fn verbatim(id: i64, received: DateTime<Utc>, json: &str) -> Self {
        Self { verbatim: Some(json.to_owned()), ..Self::message(id, received) }
    }

    /// Who owns, sends and receives it. The direction follows; so do the enrichments of those with a name or an address.
    pub(crate) fn between(mut self, owner: &Who, sender: &Who, recipients: &[Who]) -> Self {
        for person in recipients.iter().chain([owner, sender]) {
            if let Some(enrichment) = person.enrichment() {
                self.people.insert(person.participant().to_string(), enrichment);
            }
        }
        let everyone: Vec<Value> = recipients.iter().map(Who::participant).collect();
        self.field("owner", owner.participant())
            .field("sender", sender.participant())
            .field("recipients", everyone)
            .field("direction", if owner.value == sender.value { "OUT" } else { "IN" })
    }

    pub(crate) fn product(self, source_type: &str) -> Self {
        let named = Self { source_type: source_type.to_owned(), ..self };
        named.envelope_field("sourceType", source_type).envelope_field("networkType", source_type)
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.field("text", text)
    }

    pub(crate) fn sent_at(self, instant: DateTime<Utc>) -> Self {
        self.field("messageTime", instant.timestamp_millis())
    }

    pub(crate) fn visible_from(self, visible_from: DateTime<Utc>) -> Self {
        Self { visible_from, ..self }
    }

    pub(crate) fn group(self, id: &str, name: &str) -> Self {
        self.field("groupMessage", true).field("groupId", id).field("groupName", name)
    }

    pub(crate) fn broadcast(self, id: &str, name: &str) -> Self {
        self.field("groupData", json!({ "id": id, "name": name, "type": "BROADCAST" }))
    }

    /// Content that can't be read.
    pub(crate) fn encrypted(self) -> Self {
        self.envelope_field("securityContent", json!({ "keyId": "k1", "cipher": "AES" })).field("text", Value::Null)
    }

    /// An attachment with the right size and digest, to be fetched.
    pub(crate) fn attachment(self, name: &str, content_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes).to_string();
        self.declared(name, Media { content_type: content_type.to_owned(), bytes }, Some(&digest))
    }

    /// An attachment to be fetched, whose declaration has no digest.
    pub(crate) fn attachment_without_digest(self, name: &str, content_type: &str, bytes: impl Into<Bytes>) -> Self {
        self.declared(name, Media { content_type: content_type.to_owned(), bytes: bytes.into() }, None)
    }

    /// An attachment whose bytes are in the item.
    pub(crate) fn inline_attachment(mut self, name: &str, content_type: &str, bytes: &[u8]) -> Self {
        self.media.push(None);
        self.declare(json!({
            "name": name, "contentType": content_type, "attachmentSize": bytes.len(),
            "digest": Digest::of(bytes).to_string(), "content": STANDARD.encode(bytes),
        }))
    }

    fn declared(mut self, name: &str, media: Media, digest: Option<&str>) -> Self {
        let declaration = json!({
            "name": name, "contentType": media.content_type, "attachmentSize": media.bytes.len(),
            "digest": digest, "content": null,
        });
        self.media.push(Some(media));
        self.declare(declaration)
    }

    fn declare(mut self, declaration: Value) -> Self {
        let attachments = self.body.get_mut("attachment").and_then(Value::as_array_mut);
        attachments.expect("the item has a list of attachments").push(declaration);
        self
    }

    /// Sets a field of `body`, whatever it was.
    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a field beside `body`, whatever it was.
    pub(crate) fn envelope_field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.envelope.insert(name.to_owned(), value.into());
        self
    }

    /// The item as the list shows it.
    pub(crate) fn json(&self) -> String {
        if let Some(verbatim) = &self.verbatim {
            return verbatim.clone();
        }
        let mut body = self.body.clone();
        body.insert("participantEnrichments".to_owned(), Value::Object(self.people.clone()));
        let mut item = self.envelope.clone();
        item.insert("body".to_owned(), Value::Object(body));
        Value::Object(item).to_string()
    }
}
