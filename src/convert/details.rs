//! What an item holds besides what was said in it: call, event, original, quote, location, contact cards, raw fields.
//!
//! Each part is shown wherever the item has it, whatever its kind, so that nothing the item holds is lost on a reader.

use super::attachment::{Content, File, MAX_ITEM_BYTES};
use super::direction::isolated;
use super::kind;
use super::other::{self, Part};
use super::people::{People, display_text};
use super::section::{Fact, Look, Passage, PeopleList, Section, duration, utc_of_stated};
use crate::item::raw::{CallInfo, Event, Location, OriginalMessageData, Quoted};
use crate::item::{Item, Kind, Participant};

const MAX_VALUE_CHARACTERS: usize = 10_000;

/// What an item is about, in reading order: it stands above the details. Long lists of people go to `lists`.
pub(super) fn contents(
    item: &Item,
    people: &People<'_>,
    files: &[File<'_>],
    lists: &mut Vec<PeopleList>,
) -> Vec<Section> {
    let parts = [
        item.call.as_ref().and_then(|call| call_section(call, people, item)),
        item.event.as_ref().and_then(|event| event_section(event, people, item, lists)),
        item.location.as_ref().and_then(|location| location_section(location, people, item)),
    ];
    parts.into_iter().flatten().chain(other::contents(item, people)).chain(files.iter().filter_map(contact)).collect()
}

/// What it refers to, and what of it is shown as it came: below the details.
pub(super) fn references(item: &Item, people: &People<'_>) -> Vec<Section> {
    let parts = [
        item.quoted.as_ref().and_then(|quoted| quote(quoted, people)),
        item.original.as_ref().and_then(|original| original_section(original, people, item)),
        raw_fields(item),
        other::rest(item, people),
    ];
    parts.into_iter().flatten().collect()
}

fn quote(quoted: &Quoted, people: &People<'_>) -> Option<Section> {
    Section::new(
        "In reply to",
        facts([
            ("From", participant(quoted.sender.as_ref(), people)),
            ("Sent", quoted.message_time.map(utc_of_stated)),
            ("WhatsApp message id", line(quoted.message_id.as_deref())),
        ]),
    )
    .filled()
}

fn call_section(call: &CallInfo, people: &People<'_>, item: &Item) -> Option<Section> {
    let status = call.call_status.as_deref().map(kind::call_status);
    section_with(
        "Call",
        other::facts_of(item, people, Part::Call),
        facts([
            ("Status", status),
            ("Type", line(call.call_type.as_deref()).map(|call_type| call_type.to_lowercase())),
            ("Started", call.start_time.map(utc_of_stated)),
            ("Ended", call.end_time.map(utc_of_stated)),
            ("Duration", call.call_duration_in_millis.map(duration)),
        ]),
    )
}

fn event_section(event: &Event, people: &People<'_>, item: &Item, lists: &mut Vec<PeopleList>) -> Option<Section> {
    let members: Vec<String> = event.members.iter().map(|member| people.label(member)).collect();
    let emoji = match item.kind {
        Kind::Reaction if kind::reaction_is_taken_back(item) => Some("taken back".to_owned()),
        _ => line(event.emoji.as_deref()),
    };
    section_with(
        "Event",
        other::facts_of(item, people, Part::Event),
        facts([
            ("Event", line(event.kind.as_deref())),
            ("Reaction", emoji),
            ("By", participant(event.actor.as_ref(), people)),
            ("Members", PeopleList::fold("Members", members, lists)),
            ("To the message", line(event.target_message_id.as_deref())),
            ("Sent by", participant(event.target_sender.as_ref(), people)),
            ("Before", line(event.old_value.as_deref())),
            ("After", line(event.new_value.as_deref())),
        ]),
    )
}

fn original_section(original: &OriginalMessageData, people: &People<'_>, item: &Item) -> Option<Section> {
    let number = match item.kind {
        Kind::Edit(Some(number)) => Some(number.to_string()),
        _ => None,
    };
    Section::new(
        "Original message",
        facts([
            ("Edit", number),
            ("Read state", line(original.read_status.as_deref())),
            ("From", participant(original.sender.as_ref(), people)),
            ("Sent", original.message_time.map(utc_of_stated)),
            ("WhatsApp message id", line(original.message_id.as_deref())),
        ]),
    )
    .filled()
}

fn location_section(location: &Location, people: &People<'_>, item: &Item) -> Option<Section> {
    let mut section = Section::new(
        "Location",
        facts([
            ("Name", line(location.name.as_deref())),
            ("Address", line(location.address.as_deref())),
            ("Latitude", line(location.latitude.as_deref())),
            ("Longitude", line(location.longitude.as_deref())),
        ]),
    );
    section.facts.extend(other::facts_of(item, people, Part::Location));
    section.link = geo_uri(location);
    section.filled()
}

/// `geo:` with the coordinates as they came (RFC 5870), where they are degrees of the globe.
fn geo_uri(location: &Location) -> Option<String> {
    let degrees = |text: Option<&str>, most: f64| {
        let text = text?.trim();
        let is_plain = text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte));
        let value: f64 = text.parse().ok()?;
        (is_plain && value.abs() <= most).then(|| text.to_owned())
    };
    let latitude = degrees(location.latitude.as_deref(), 90.0)?;
    let longitude = degrees(location.longitude.as_deref(), 180.0)?;
    Some(format!("geo:{latitude},{longitude}"))
}

/// An item of a type that the contract doesn't list: what the header table leaves out, and all of it as it came.
fn raw_fields(item: &Item) -> Option<Section> {
    if !matches!(item.kind, Kind::Unknown(_)) {
        return None;
    }
    let mut section = Section::new(
        "Fields",
        facts([
            ("messageType", line(Some(&item.message_type))),
            ("networkType", line(item.network_type.as_deref())),
            ("groupData.id", item.chat.name().and_then(|chat| line(chat.data_id.as_deref()))),
        ]),
    );
    let whole = item.whole.as_ref().map(|whole| String::from_utf8_lossy(whole));
    let cut = whole.as_deref().map(|whole| beginning(whole, MAX_ITEM_BYTES));
    let label = if cut.map(str::len) == item.whole.as_ref().map(bytes::Bytes::len) {
        "The item as it came"
    } else {
        "The item as it came; this is its beginning, all of it is attached"
    };
    section.passages.extend(Passage::of(label, cut, Look::Quote));
    section.filled()
}

/// The first `bytes` of a text, or a few less, so that no character is cut.
fn beginning(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

fn contact(file: &File<'_>) -> Option<Section> {
    let Content::Present { bytes, header_value, .. } = &file.content else { return None };
    if file.content_type != "text/vcard" {
        return None;
    }
    let charset = header_value.split_once("charset=").map(|(_, charset)| charset);
    let fields = super::vcard::fields(bytes, charset).into_iter().map(|(label, value)| Fact { label, value });
    Section::new(format!("Contact card {}", isolated(&file.name)), fields.collect()).filled()
}

/// A section of facts and what the item holds besides of the same thing.
fn section_with(heading: &'static str, others: Vec<Fact>, facts: Vec<Fact>) -> Option<Section> {
    Section::new(heading, facts.into_iter().chain(others).collect()).filled()
}

fn facts<const N: usize>(values: [(&'static str, Option<String>); N]) -> Vec<Fact> {
    values.into_iter().filter_map(|(label, value)| Some(Fact::new(label, value?))).collect()
}

fn participant(participant: Option<&Participant>, people: &People<'_>) -> Option<String> {
    participant.filter(|participant| participant.has_value()).map(|participant| people.label(participant))
}

fn line(text: Option<&str>) -> Option<String> {
    text.map(|text| display_text(text, MAX_VALUE_CHARACTERS)).filter(|text| !text.is_empty())
}
