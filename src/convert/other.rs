//! What an item holds besides what the contract lists: fields that the archive doesn't know, and values that it can't read.
//!
//! What its name says to be a content (a poll, an order, a caption) stands above the details under that name, what belongs to
//! a call, an event or a place stands with it, and the rest below the details.

use super::attachment::MAX_ITEM_BYTES;
use super::people::{People, display_text};
use super::section::{Fact, Look, Passage, Section};
use crate::item::text::printable;
use crate::item::{Item, Kind, OtherField};
use crate::output_text::is_blank;

const MAX_VALUE_CHARACTERS: usize = 10_000;

/// Contents by the names of their fields, in lower case and without what stands between words, and what they are called.
const CONTENTS: [(&str, &str); 30] = [
    ("poll", "Poll"),
    ("pollcreation", "Poll"),
    ("pollcreationmessage", "Poll"),
    ("pollvote", "Poll vote"),
    ("pollupdate", "Poll vote"),
    ("order", "Order"),
    ("ordermessage", "Order"),
    ("product", "Product"),
    ("products", "Product"),
    ("productmessage", "Product"),
    ("payment", "Payment"),
    ("template", "Template"),
    ("templatemessage", "Template"),
    ("templatebuttonreply", "Template"),
    ("interactive", "Interactive message"),
    ("list", "Interactive message"),
    ("listmessage", "Interactive message"),
    ("listreply", "Interactive message"),
    ("listresponse", "Interactive message"),
    ("buttons", "Interactive message"),
    ("buttonreply", "Interactive message"),
    ("buttonsresponse", "Interactive message"),
    ("livelocation", "Live location"),
    ("livelocationmessage", "Live location"),
    ("contact", "Contact"),
    ("contacts", "Contact"),
    ("groupinvite", "Group invitation"),
    ("caption", CAPTION),
    ("transcript", TRANSCRIPT),
    ("transcription", TRANSCRIPT),
];
const CAPTION: &str = "Caption";
const TRANSCRIPT: &str = "Transcript";

/// The parts of an item that fields may belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Call,
    Event,
    Location,
}

/// Where a field is shown.
#[derive(PartialEq, Eq)]
enum Place {
    Content(&'static str),
    Part(Part),
    Rest,
}

/// What a message is by the name of its first content that the contract doesn't list: a poll, an order.
pub(super) fn content(item: &Item) -> Option<&'static str> {
    item.other.iter().find_map(|other| match place(item, other) {
        Place::Content(name) => Some(name).filter(|name| !matches!(*name, CAPTION | TRANSCRIPT)),
        Place::Part(_) | Place::Rest => None,
    })
}

/// Whether nothing at all is in a message, or in an edit.
pub(super) fn is_empty(item: &Item) -> bool {
    let is_said = |text: Option<&str>| text.is_some_and(|text| !is_blank(text));
    let original = item.original.as_ref();
    let was_said = original.is_some_and(|it| is_said(it.text.as_deref()) || is_said(it.previous_text.as_deref()));
    let is_empty_edit =
        matches!(item.kind, Kind::Edit(_)) && !was_said && is_blank(&item.text) && item.attachments.is_empty();
    let has_nothing = is_empty_edit || has_only_others(item);
    has_nothing && item.other.is_empty() && item.subject.is_none() && item.call.is_none()
}

/// The contents, each under its name; everything that isn't shown elsewhere where the item has nothing else.
pub(super) fn contents(item: &Item, people: &People<'_>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut room = MAX_ITEM_BYTES;
    for other in others(item) {
        let Place::Content(name) = place(item, other) else { continue };
        let section = if let Some(known) = sections.iter().position(|section| section.heading == name) {
            sections.get_mut(known)
        } else {
            sections.push(Section::new(name, Vec::new()));
            sections.last_mut()
        };
        let Some(section) = section else { continue };
        if matches!(name, CAPTION | TRANSCRIPT) && other.raw.starts_with('"') {
            let text = printable(&other.shown()).into_owned();
            section.passages.push(Passage { label: name.into(), text, look: Look::Bubble });
        } else {
            section.facts.extend(facts(other, people, &mut room));
        }
    }
    let rest = has_only_others(item).then(|| rest_section(item, people)).flatten();
    sections.into_iter().chain(rest).filter_map(Section::filled).collect()
}

/// What belongs to a part of the item.
pub(super) fn facts_of(item: &Item, people: &People<'_>, part: Part) -> Vec<Fact> {
    let mut room = MAX_ITEM_BYTES;
    let theirs = others(item).filter(|other| place(item, other) == Place::Part(part));
    theirs.flat_map(|other| facts(other, people, &mut room)).collect()
}

/// What has no other place, below the details.
pub(super) fn rest(item: &Item, people: &People<'_>) -> Option<Section> {
    if has_only_others(item) { None } else { rest_section(item, people) }
}

fn rest_section(item: &Item, people: &People<'_>) -> Option<Section> {
    let mut room = MAX_ITEM_BYTES;
    let rest = others(item).filter(|other| place(item, other) == Place::Rest);
    let mut facts: Vec<Fact> = rest.flat_map(|other| facts(other, people, &mut room)).collect();
    if item.whole.is_some() && !matches!(item.kind, Kind::Unknown(_)) {
        facts.push(Fact::new("All fields", "all of the item as it came is attached"));
    }
    Section::new("Other fields", facts).filled()
}

/// The fields; none of an item that is shown whole.
fn others(item: &Item) -> impl Iterator<Item = &OtherField> {
    item.other.iter().filter(|_| !matches!(item.kind, Kind::Unknown(_)))
}

/// Whether an item says nothing that the archive knows: no text, no file, and nothing that it is about.
fn has_only_others(item: &Item) -> bool {
    let is_message = matches!(item.kind, Kind::Message | Kind::StatusPost);
    let is_about = item.location.is_some() || item.quoted.is_some() || item.original.is_some() || item.event.is_some();
    is_message && is_blank(&item.text) && item.attachments.is_empty() && !is_about && !item.encrypted
}

fn place(item: &Item, other: &OtherField) -> Place {
    let called = |name: &str| {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        CONTENTS.iter().find(|(field, _)| *field == name).map(|(_, called)| *called)
    };
    let first = other.path.split(['.', '[']).next().unwrap_or_default();
    let last = other.path.rsplit(['.', ']']).next().unwrap_or_default();
    let part = match first {
        "callInfo" if item.call.is_some() => Some(Part::Call),
        "event" if item.event.is_some() => Some(Part::Event),
        "location" if item.location.is_some() => Some(Part::Location),
        _ => None,
    };
    match (part, called(first), called(last).filter(|name| matches!(*name, CAPTION | TRANSCRIPT))) {
        (Some(part), ..) => Place::Part(part),
        (None, Some(name), _) | (None, None, Some(name)) => Place::Content(name),
        (None, None, None) => Place::Rest,
    }
}

/// A field, value by value, as far as there is room for it; participants by name.
fn facts(other: &OtherField, people: &People<'_>, room: &mut usize) -> Vec<Fact> {
    let fact = |leaf: OtherField| {
        *room = room.checked_sub(leaf.path.len() + leaf.raw.len())?;
        let label = display_text(&leaf.path, 200);
        let label = if leaf.is_unreadable { format!("{label} (can't be read)") } else { label };
        let value = match leaf.participant() {
            Some(participant) => people.label(&participant),
            None => display_text(&leaf.shown(), MAX_VALUE_CHARACTERS),
        };
        Some(Fact::new(label, value))
    };
    other.leaves().into_iter().map_while(fact).collect()
}
