//! `RawMessage`: an item as TeleMessage sends it, field by field.
//!
//! Lenient where the contract is silent (a number as text, one object for a list of one), strict where a wrong guess would
//! misdate or misdirect an item. Whatever isn't read is collected as it came.

use chrono::{DateTime, Utc};

use super::json::{self, Fields};
use super::participant::{Participant, Person, read_participant};
use super::reading::{self, Object, OtherField, Reading, unreadable};
use super::time::{self, StatedTime};

/// The most participants, or attachments, of one item: ten times as many as the largest group has. Bounds the look-ups of one item.
pub(super) const MAX_ENTRIES: usize = 10_000;

/// `callInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallInfo {
    /// When the call began.
    pub start_time: Option<StatedTime>,
    /// When it ended.
    pub end_time: Option<StatedTime>,
    /// "1" answered, "2" missed, "3" failed, "4" voice mail, "5" rejected, "6" busy, "7" blocked, "8" answered elsewhere.
    pub call_status: Option<String>,
    /// How long it took, in milliseconds.
    pub call_duration_in_millis: Option<i64>,
    /// `VOICE` or `VIDEO`.
    pub call_type: Option<String>,
}

/// `originalMessageData`: the message that was deleted or edited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginalMessageData {
    /// WhatsApp's id of the original.
    pub message_id: Option<String>,
    /// Who sent the original.
    pub sender: Option<Participant>,
    /// Its text (after an edit: the new text).
    pub text: Option<String>,
    /// Its text before an edit.
    pub previous_text: Option<String>,
    /// When the original was sent.
    pub message_time: Option<StatedTime>,
    /// `READ`, `UNREAD` or `UNKNOWN`.
    pub read_status: Option<String>,
}

/// `event`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// `DeleteChat`, `ClearChat`, `Reaction`, `Join`, `Leave`, `Remove`, `Create`, `Rename` or `ChangeProfileImage`.
    pub kind: Option<String>,
    /// Who did it.
    pub actor: Option<Participant>,
    /// To whom.
    pub members: Vec<Participant>,
    /// The emoji of a reaction; empty where one was taken back.
    pub emoji: Option<String>,
    /// WhatsApp's id of the message reacted to.
    pub target_message_id: Option<String>,
    /// Who sent the message reacted to.
    pub target_sender: Option<Participant>,
    /// The value before a change.
    pub old_value: Option<String>,
    /// The value after it.
    pub new_value: Option<String>,
}

/// `location`. Coordinates are kept as the text they came in, so that no digit is lost or made up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Location {
    /// Degrees north.
    pub latitude: Option<String>,
    /// Degrees east.
    pub longitude: Option<String>,
    /// The place's name.
    pub name: Option<String>,
    /// The place's address.
    pub address: Option<String>,
}

/// `quoted`: the message a reply answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quoted {
    /// WhatsApp's id of that message.
    pub message_id: Option<String>,
    /// Who sent it.
    pub sender: Option<Participant>,
    pub text: Option<String>,
    /// When it was sent.
    pub message_time: Option<StatedTime>,
}

/// `groupData`.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupData {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) is_broadcast: bool,
}

/// One of `attachment`.
#[derive(Debug, Clone, Default)]
pub(super) struct RawAttachment {
    pub(super) name: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) attachment_size: Option<i64>,
    pub(super) digest: Option<String>,
    pub(super) content: InlineContent,
}

/// What `content` is, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum InlineContent {
    /// Null or missing: the bytes are fetched.
    #[default]
    Absent,
    /// Text without anything in it: the bytes of an empty file, or a way of saying that there are none.
    Blank,
    /// Anything else.
    Present,
}

impl RawAttachment {
    /// Whether nothing is declared.
    pub(super) fn is_nothing(&self) -> bool {
        let Self { name, content_type, attachment_size, digest, content } = self;
        let texts = [name, content_type, digest];
        texts.into_iter().flatten().all(|text| text.trim().is_empty())
            && attachment_size.is_none()
            && *content != InlineContent::Present
    }
}

/// Reads the parts of an item's body and collects what isn't read.
pub(super) struct Parts<'a> {
    pub(super) body: Object<'a>,
    pub(super) others: Vec<OtherField>,
    pub(super) staged_at: DateTime<Utc>,
    /// The message's time, in epoch milliseconds.
    pub(super) message_millis: Option<i64>,
    /// How many attachments are declared, empty ones at the end of the list among them.
    pub(super) declared_attachments: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn new(body: Fields<'a>, staged_at: DateTime<Utc>) -> Self {
        let body = Object::new(String::new(), body);
        Self { body, others: Vec::new(), staged_at, message_millis: None, declared_attachments: 0 }
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.body.text(name, &mut self.others)
    }

    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        self.body.flag(name, &mut self.others)
    }

    /// The text of the message: also lines, and the text of an object that has one.
    pub(super) fn message_text(&mut self) -> String {
        if let Some(text) = self.body.text_alone("text") {
            return text;
        }
        let path = self.body.path_of("text");
        match self.body.reading("text", |raw| reading::lines(raw).map(|text| (text, None)).or_else(|| text_within(raw)))
        {
            Reading::Read((text, rest)) => {
                if let Some(rest) = rest {
                    Object::new(path, rest).finish(&mut self.others);
                }
                text
            }
            Reading::Absent => String::new(),
            Reading::Unreadable(raw) => {
                unreadable(&mut self.others, path, raw);
                String::new()
            }
        }
    }

    pub(super) fn participant(&mut self, name: &'static str) -> Option<Participant> {
        participant_of(&mut self.body, name, &mut self.others)
    }

    pub(super) fn participants(&mut self, name: &'static str) -> Vec<Participant> {
        participants_of(&mut self.body, name, &mut self.others)
    }

    /// `participantEnrichments`. Keys are participants as JSON text; one that isn't is taken for the bare value.
    /// The third of each is the raw value.
    pub(super) fn people(&mut self) -> Vec<(Participant, Person, &'a str)> {
        const NAME: &str = "participantEnrichments";
        let Some(people) = self.body.object(NAME, &mut self.others) else { return Vec::new() };
        let mut read = Vec::new();
        for (key, raw) in people.into_fields() {
            let path = format!("{NAME}.{key}");
            let participant = match Fields::read(key.trim()) {
                Some(fields) => read_participant(Object::new(path.clone(), fields), &mut self.others),
                None => Some(Participant::phone(key)),
            };
            if json::is_hollow(raw) {
                continue;
            }
            match (participant, Fields::read(reading::only(raw))) {
                (Some(participant), Some(fields)) => {
                    let mut person = Object::new(path, fields);
                    let others = &mut self.others;
                    let known = Person {
                        first_name: person.text("firstName", others),
                        last_name: person.text("lastName", others),
                        email: person.text("email", others),
                    };
                    person.finish(others);
                    read.push((participant, known, raw));
                }
                _ => unreadable(&mut self.others, path, raw),
            }
        }
        read
    }

    /// `groupData`. What of it differs from `groupId` and `groupName` is shown by itself.
    pub(super) fn group_data(&mut self, group_id: Option<&str>, group_name: Option<&str>) -> GroupData {
        let others = &mut self.others;
        let Some(mut data) = self.body.object("groupData", others) else { return GroupData::default() };
        let read = GroupData {
            id: data.text_beside("id", group_id, others),
            name: data.text_beside("name", group_name, others),
            is_broadcast: data.is_one_of("type", &["BROADCAST"]),
        };
        if !read.is_broadcast {
            data.is_one_of("type", &["GROUP"]);
        }
        data.finish(others);
        read
    }

    pub(super) fn call(&mut self) -> Option<CallInfo> {
        let (others, staged_at) = (&mut self.others, self.staged_at);
        let mut call = self.body.object("callInfo", others)?;
        let read = CallInfo {
            start_time: stated_time(&mut call, "startTime", others, staged_at),
            end_time: stated_time(&mut call, "endTime", others, staged_at),
            call_status: call.text("callStatus", others),
            call_duration_in_millis: call.read("callDurationInMillis", others, reading::integer),
            call_type: call.text("callType", others),
        };
        call.finish(others);
        Some(read)
    }

    pub(super) fn original(&mut self) -> Option<OriginalMessageData> {
        let (others, staged_at) = (&mut self.others, self.staged_at);
        let mut original = self.body.object("originalMessageData", others)?;
        let read = OriginalMessageData {
            message_id: original.text("messageId", others),
            sender: participant_of(&mut original, "sender", others),
            text: original.text("text", others),
            previous_text: original.text("previousText", others),
            message_time: stated_time(&mut original, "messageTime", others, staged_at),
            read_status: original
                .text("readStatus", others)
                .map(|status| listed(&status, &["READ", "UNREAD", "UNKNOWN"])),
        };
        original.finish(others);
        Some(read)
    }

    pub(super) fn event(&mut self) -> Option<Event> {
        const TYPES: [&str; 9] = [
            "DeleteChat",
            "ClearChat",
            "Reaction",
            "Join",
            "Leave",
            "Remove",
            "Create",
            "Rename",
            "ChangeProfileImage",
        ];
        let others = &mut self.others;
        let mut event = self.body.object("event", others)?;
        let read = Event {
            kind: event.text("type", others).map(|kind| listed(&kind, &TYPES)),
            actor: participant_of(&mut event, "actor", others),
            members: participants_of(&mut event, "members", others),
            emoji: event.text("emoji", others),
            target_message_id: event.text("targetMessageId", others),
            target_sender: participant_of(&mut event, "targetSender", others),
            old_value: event.text("oldValue", others),
            new_value: event.text("newValue", others),
        };
        event.finish(others);
        Some(read)
    }

    pub(super) fn location(&mut self) -> Option<Location> {
        let others = &mut self.others;
        let mut location = self.body.object("location", others)?;
        let read = Location {
            latitude: location.text("latitude", others),
            longitude: location.text("longitude", others),
            name: location.text("name", others),
            address: location.text("address", others),
        };
        location.finish(others);
        Some(read)
    }

    pub(super) fn quoted(&mut self) -> Option<Quoted> {
        let (others, staged_at) = (&mut self.others, self.staged_at);
        let mut quoted = self.body.object("quoted", others)?;
        let read = Quoted {
            message_id: quoted.text("messageId", others),
            sender: participant_of(&mut quoted, "sender", others),
            text: quoted.text("text", others),
            message_time: stated_time(&mut quoted, "messageTime", others, staged_at),
        };
        quoted.finish(others);
        Some(read)
    }

    /// `attachment`. Places are kept, because bytes are fetched by them; a bare value is the name of a file. Nothing where there are more
    /// of them than an item may have.
    pub(super) fn attachments(&mut self) -> Vec<RawAttachment> {
        let Some(raw) = self.body.take("attachment") else { return Vec::new() };
        if json::is_hollow(raw) {
            self.declared_attachments = json::elements(raw).map_or(0, |elements| elements.len());
            return Vec::new();
        }
        let path = self.body.path_of("attachment");
        let (others, sent) = (&mut self.others, self.message_millis);
        let attachment = |(index, raw): (usize, &str)| match (Fields::read(raw), reading::scalar(raw)) {
            (Some(fields), _) => attachment(Object::new(format!("{path}[{index}]"), fields), sent, others),
            (None, name @ Some(_)) if raw != "null" => RawAttachment { name, ..RawAttachment::default() },
            _ => {
                if !json::is_hollow(raw) {
                    unreadable(others, format!("{path}[{index}]"), raw);
                }
                RawAttachment::default()
            }
        };
        let declared = reading::list(raw);
        self.declared_attachments = declared.len();
        if declared.len() > MAX_ENTRIES {
            return Vec::new();
        }
        declared.into_iter().enumerate().map(attachment).collect()
    }
}

/// One attachment. Its date is shown by itself where it isn't the message's.
fn attachment(mut object: Object<'_>, sent: Option<i64>, others: &mut Vec<OtherField>) -> RawAttachment {
    if let Some(raw) = object.take("attachmentDate")
        && time::millis(raw).is_none_or(|date| Some(date) != sent)
    {
        object.put_back("attachmentDate", raw);
    }
    let content = match object.take("content") {
        None | Some("null") => InlineContent::Absent,
        Some(raw) if json::is_hollow(raw) => InlineContent::Blank,
        Some(_) => InlineContent::Present,
    };
    let read = RawAttachment {
        name: object.text("name", others),
        content_type: object.text("contentType", others),
        attachment_size: object.read("attachmentSize", others, reading::integer),
        digest: object.text("digest", others),
        content,
    };
    object.finish(others);
    read
}

/// What `of` makes of the base64 text of each of `attachment`, in order. It is given the place of each.
pub(super) fn inline_contents<T>(body: &str, of: impl Fn(usize, &str) -> T) -> Vec<Option<T>> {
    let attachments = Fields::read(body).and_then(|mut fields| fields.take("attachment"));
    let Some(attachments) = attachments.filter(|raw| !json::is_hollow(raw)) else { return Vec::new() };
    let content = |(index, raw)| {
        let raw = Fields::read(raw)?.take("content").filter(|raw| *raw != "null")?;
        reading::text_within(raw).map(|base64| of(index, &base64))
    };
    reading::list(attachments).into_iter().enumerate().map(content).collect()
}

/// The text within an object, as another interface of WhatsApp gives it, and what else the object holds.
fn text_within(raw: &str) -> Option<(String, Option<Fields<'_>>)> {
    let mut fields = Fields::read(raw)?;
    let text = ["body", "text"].into_iter().find_map(|name| {
        let found = fields.take(name)?;
        reading::text(found).or_else(|| {
            fields.0.push((name.into(), found));
            None
        })
    })?;
    Some((text, Some(fields)))
}

/// The listed name that a value is in another case, else the value.
pub(super) fn listed(value: &str, names: &[&str]) -> String {
    let name = names.iter().find(|name| name.eq_ignore_ascii_case(value.trim()));
    name.map_or_else(|| value.to_owned(), |name| (*name).to_owned())
}

fn stated_time(
    object: &mut Object<'_>,
    name: &'static str,
    others: &mut Vec<OtherField>,
    staged_at: DateTime<Utc>,
) -> Option<StatedTime> {
    let raw = object.raw(name)?;
    let Some(millis) = time::millis(raw) else {
        unreadable(others, object.path_of(name), raw);
        return None;
    };
    let time = StatedTime::new(millis, staged_at);
    if !time.is_possible && !time::is_plain_number(raw) {
        object.put_back(name, raw);
    }
    Some(time)
}

/// One participant; the first of several, with all of them shown as they came.
fn participant_of(object: &mut Object<'_>, name: &'static str, others: &mut Vec<OtherField>) -> Option<Participant> {
    let path = object.path_of(name);
    let raw = object.raw(name)?;
    let list = reading::list(raw);
    if list.len() > 1 {
        object.put_back(name, raw);
    }
    list.first().and_then(|raw| participant(raw, path, others))
}

/// A list of participants; a single one is a list of one, and what is absent is passed over.
fn participants_of(object: &mut Object<'_>, name: &'static str, others: &mut Vec<OtherField>) -> Vec<Participant> {
    let path = object.path_of(name);
    let Some(raw) = object.raw(name) else { return Vec::new() };
    let places = reading::list(raw).into_iter().enumerate();
    places.filter_map(|(place, raw)| participant(raw, format!("{path}[{place}]"), others)).collect()
}

/// A participant as an object, or its bare value.
fn participant(raw: &str, path: String, others: &mut Vec<OtherField>) -> Option<Participant> {
    if json::is_hollow(raw) {
        return None;
    }
    if let Some(fields) = Fields::read(raw) {
        return read_participant(Object::new(path, fields), others);
    }
    let Some(text) = reading::scalar(raw) else {
        unreadable(others, path, raw);
        return None;
    };
    let inner = text.trim();
    if Fields::read(inner).is_some() { participant(inner, path, others) } else { Some(Participant::phone(text)) }
}
