//! What version 1 of the identity was computed from, where that is something else than what is read today.
//!
//! Its readers took times and durations for whole numbers alone, texts for texts and numbers, and names of lists in their own
//! case. Frozen, as that identity is: mailboxes hold copies whose Message-IDs were made of it.

use chrono::{DateTime, Utc};

use super::json::{self, Fields};
use super::kind::{Kind, Signs, is_status_post};
use super::raw::{CallInfo, Event, Location, OriginalMessageData, Quoted};
use super::reading;
use super::time::StatedTime;
use super::{AttachmentDeclaration, Item, Participant};

/// The raw values of an item that were read otherwise.
pub(super) struct Raws<'a> {
    message_type: Option<&'a str>,
    text: Option<&'a str>,
    structures: [Option<&'a str>; 5],
}

/// The names of [`Raws::structures`], in their order.
const STRUCTURES: [&str; 5] = ["quoted", "originalMessageData", "callInfo", "event", "location"];

impl<'a> Raws<'a> {
    pub(super) fn of(body: &Fields<'a>) -> Self {
        let last = |name: &str| {
            let found = body.0.iter().rev().find(|(key, _)| key == name).map(|(_, raw)| *raw);
            found.filter(|raw| *raw != "null")
        };
        Self { message_type: last("messageType"), text: last("text"), structures: STRUCTURES.map(last) }
    }

    /// The item as it was read then; `None` where it was read as it is today. `attachments` is how many were declared, empty
    /// ones at the end among them.
    pub(super) fn item(&self, item: &Item, attachments: usize, staged_at: DateTime<Utc>) -> Option<Box<Item>> {
        let message_type = self.message_type.and_then(text).unwrap_or_default();
        let is_same_text = self.text.is_none_or(|raw| raw.starts_with('"'));
        let is_same = message_type == item.message_type && is_same_text && attachments == item.attachments.len();
        if is_same && self.structures.iter().all(Option::is_none) {
            return None;
        }
        let mut earlier = item.clone();
        earlier.message_type = message_type;
        if !is_same_text {
            earlier.text = self.text.and_then(text).unwrap_or_default();
        }
        let [quoted, original, call, event, location] = self.structures.map(|raw| raw.and_then(Fields::read));
        earlier.quoted = quoted.map(self::quoted);
        earlier.original = original.map(|fields| self::original(fields, staged_at));
        earlier.call = call.map(|fields| self::call(fields, staged_at));
        earlier.event = event.map(self::event);
        earlier.location = location.map(self::location);
        let group_id = item.chat.name().and_then(|name| name.id.as_deref());
        earlier.kind = Kind::of(&Signs {
            message_id: if item.message_id == item.id.to_string() { "" } else { &item.message_id },
            message_type: &earlier.message_type,
            event: earlier.event.as_ref(),
            is_status_post: is_status_post(item.subject.as_deref(), group_id, &item.recipients),
        });
        earlier.attachments.resize(attachments, AttachmentDeclaration::default());
        earlier.whole = None;
        let is_other = !is_same
            || (&earlier.quoted, &earlier.original, &earlier.call) != (&item.quoted, &item.original, &item.call)
            || (&earlier.event, &earlier.location) != (&item.event, &item.location);
        is_other.then(|| Box::new(earlier))
    }
}

fn quoted(mut fields: Fields<'_>) -> Quoted {
    Quoted {
        message_id: take_text(&mut fields, "messageId"),
        sender: participant(&mut fields, "sender"),
        text: take_text(&mut fields, "text"),
        message_time: None,
    }
}

fn original(mut fields: Fields<'_>, staged_at: DateTime<Utc>) -> OriginalMessageData {
    OriginalMessageData {
        message_id: take_text(&mut fields, "messageId"),
        sender: participant(&mut fields, "sender"),
        text: take_text(&mut fields, "text"),
        previous_text: take_text(&mut fields, "previousText"),
        message_time: time(&mut fields, "messageTime", staged_at),
        read_status: take_text(&mut fields, "readStatus"),
    }
}

fn call(mut fields: Fields<'_>, staged_at: DateTime<Utc>) -> CallInfo {
    CallInfo {
        start_time: time(&mut fields, "startTime", staged_at),
        end_time: time(&mut fields, "endTime", staged_at),
        call_status: take_text(&mut fields, "callStatus"),
        call_duration_in_millis: fields.take("callDurationInMillis").and_then(integer),
        call_type: take_text(&mut fields, "callType"),
    }
}

fn event(mut fields: Fields<'_>) -> Event {
    let members = fields.take("members").and_then(json::elements).unwrap_or_default();
    Event {
        kind: take_text(&mut fields, "type"),
        actor: participant(&mut fields, "actor"),
        members: members.into_iter().filter_map(Fields::read).map(participant_of).collect(),
        emoji: take_text(&mut fields, "emoji"),
        target_message_id: take_text(&mut fields, "targetMessageId"),
        target_sender: participant(&mut fields, "targetSender"),
        old_value: take_text(&mut fields, "oldValue"),
        new_value: take_text(&mut fields, "newValue"),
    }
}

/// Coordinates digit by digit, as they are still.
fn location(mut fields: Fields<'_>) -> Location {
    let mut verbatim = |name| fields.take(name).filter(|raw| *raw != "null").and_then(reading::scalar);
    let (latitude, longitude) = (verbatim("latitude"), verbatim("longitude"));
    Location { latitude, longitude, name: take_text(&mut fields, "name"), address: take_text(&mut fields, "address") }
}

fn participant(fields: &mut Fields<'_>, name: &str) -> Option<Participant> {
    fields.take(name).and_then(Fields::read).map(participant_of)
}

/// Of a participant only the value is in an identity of version 1.
fn participant_of(mut fields: Fields<'_>) -> Participant {
    Participant::phone(take_text(&mut fields, "value").unwrap_or_default())
}

fn take_text(fields: &mut Fields<'_>, name: &str) -> Option<String> {
    fields.take(name).and_then(text)
}

fn time(fields: &mut Fields<'_>, name: &str, staged_at: DateTime<Utc>) -> Option<StatedTime> {
    fields.take(name).and_then(integer).map(|millis| StatedTime::new(millis, staged_at))
}

/// Text; a flag as its word, a number as a program writes it, anything else as missing.
fn text(raw: &str) -> Option<String> {
    match raw.bytes().next()? {
        b'"' => json::string(raw),
        b'{' | b'[' | b'n' => None,
        b't' | b'f' => Some(raw.to_owned()),
        _ => {
            let whole = raw.parse::<i64>().map(|number| number.to_string());
            let whole = whole.or_else(|_| raw.parse::<u64>().map(|number| number.to_string()));
            whole.ok().or_else(|| raw.parse::<f64>().ok().map(|number| number.to_string()))
        }
    }
}

/// A whole number, as a number or as text.
fn integer(raw: &str) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(said) = json::string(raw) {
        return said.trim().parse().ok();
    }
    if let Ok(number) = raw.parse() {
        return Some(number);
    }
    let number: f64 = raw.parse().ok()?;
    let is_written_whole = raw.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    #[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range")]
    (!is_written_whole && number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were() {
        for (raw, read) in
            [("0.10", Some("0.1")), ("1e3", Some("1000")), ("-7", Some("-7")), ("null", None), ("[1]", None)]
        {
            assert_eq!(text(raw).as_deref(), read, "{raw}");
        }
        assert_eq!(text(r#""0.10""#).as_deref(), Some("0.10"));
        let read = [
            ("7.0", Some(7)),
            (r#""7""#, Some(7)),
            (r#""7.0""#, None),
            ("7.5", None),
            ("true", None),
            ("7e2", Some(700)),
        ];
        for (raw, number) in read {
            assert_eq!(integer(raw), number, "{raw}");
        }
    }
}
