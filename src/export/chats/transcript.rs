//! A chat and day as a page to read and to print: complete in itself, with links to the attachments beside it. No script,
//! and nothing that is fetched from elsewhere; text of a message is only ever text.

use askama::Template;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::event::MESSAGE_ID;
use super::manifest::{Attachment, Event, Manifest};
use crate::digest::Digest;

/// What stands in a link as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

#[derive(Template)]
#[template(path = "transcript.html")]
struct Page<'a> {
    title: &'a str,
    day: String,
    zone: String,
    people: Vec<&'a str>,
    custodian: Option<&'a str>,
    group_id: Option<&'a str>,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    id: &'a str,
    class: String,
    who: &'a str,
    time: String,
    instant: String,
    parent: Option<&'a str>,
    quotes: Vec<&'a str>,
    /// What a person wrote.
    text: &'a str,
    /// What the archive says of it instead.
    told: &'a str,
    files: Vec<File<'a>>,
    edits: Vec<Edited<'a>>,
    marks: Vec<Mark<'a>>,
    reactions: Vec<Reacted<'a>>,
    message_ids: Vec<Mark<'a>>,
}

/// A label of the archive's, and what it is of.
struct Mark<'a> {
    label: String,
    value: &'a str,
}

struct File<'a> {
    link: String,
    name: &'a str,
    size: u64,
    is_picture: bool,
}

struct Edited<'a> {
    when: String,
    who: &'a str,
    previous: Option<&'a str>,
}

struct Reacted<'a> {
    value: &'a str,
    who: Vec<&'a str>,
}

/// One page of the list of all.
pub(super) struct Listed {
    pub(super) day: String,
    pub(super) chat: String,
    pub(super) file: String,
    pub(super) entries: usize,
}

#[derive(Template)]
#[template(path = "transcript_index.html")]
struct Index<'a> {
    zone: String,
    rows: &'a [Listed],
}

/// The page of a chat and day.
pub(super) fn page(manifest: &Manifest, day: &str, time_zone: Tz) -> Result<String, askama::Error> {
    let names = Names { manifest, time_zone };
    let page = Page {
        title: manifest.title(),
        day: long_day(day),
        zone: time_zone.to_string(),
        people: manifest.participants.iter().map(|person| person.display.as_str()).collect(),
        custodian: manifest.custodian().map(|custodian| custodian.display.as_str()),
        group_id: manifest.group_id(),
        entries: shown(&manifest.events).map(|event| names.entry(event)).collect(),
    };
    page.render()
}

/// The events, without those that the one before says too: who joins or leaves is an event for each of them.
fn shown(events: &[Event]) -> impl Iterator<Item = &Event> {
    let id = |event: &Event| event.custom.iter().find(|note| note.name == MESSAGE_ID).map(|note| note.value.clone());
    let is_said = move |event: &Event, before: &Event| {
        matches!(event.kind, "join" | "leave") && event.kind == before.kind && id(event) == id(before)
    };
    let before = std::iter::once(None).chain(events.iter().map(Some));
    events
        .iter()
        .zip(before)
        .filter(move |(event, before)| !before.is_some_and(|before| is_said(event, before)))
        .map(|(event, _)| event)
}

/// The list of all pages.
pub(super) fn index(rows: &[Listed], time_zone: Tz) -> Result<String, askama::Error> {
    Index { zone: time_zone.to_string(), rows }.render()
}

/// The path of an attachment: its digest keeps files of one name apart.
pub(super) fn attachment_path(digest: Digest, name: &str) -> String {
    format!("attachments/{}/{name}", digest.short(16))
}

/// `Friday, 21 November 2025`.
fn long_day(day: &str) -> String {
    let date: Result<chrono::NaiveDate, _> = day.parse();
    date.map_or_else(|_| day.to_owned(), |date| date.format("%A, %-d %B %Y").to_string())
}

struct Names<'a> {
    manifest: &'a Manifest,
    time_zone: Tz,
}

impl<'a> Names<'a> {
    fn of(&self, id: &str) -> &'a str {
        let found = self.manifest.participants.iter().find(|person| person.id == id);
        found.map_or("", |person| person.display.as_str())
    }

    fn time(&self, timestamp: &str) -> String {
        let instant: Result<DateTime<Utc>, _> = timestamp.parse();
        // With the zone's abbreviation: on one day a year an hour comes twice.
        let shown = |instant: DateTime<Utc>| instant.with_timezone(&self.time_zone).format("%H:%M:%S %Z").to_string();
        instant.map_or_else(|_| timestamp.to_owned(), shown)
    }

    fn entry(&self, event: &'a Event) -> Entry<'a> {
        let custodian = self.manifest.custodian().map(|custodian| custodian.id.as_str());
        let mut class = Vec::new();
        class.extend((event.kind != "message").then_some("act"));
        class.extend((event.kind == "message" && custodian == Some(event.participant.as_str())).then_some("out"));
        class.extend(event.deleted.then_some("deleted"));
        let notes = |name: &'static str| event.custom.iter().filter(move |note| note.name == name);
        let marks = ["Deleted", "Missing attachment", "Text before the edit, as archived"];
        let marks = marks
            .into_iter()
            .flat_map(|name| notes(name).map(move |note| Mark { label: name.to_owned(), value: &note.value }));
        Entry {
            id: &event.id,
            class: class.join(" "),
            // A sentence names them itself, and who did it.
            who: if matches!(event.kind, "join" | "leave") { "" } else { self.of(&event.participant) },
            time: self.time(&event.timestamp),
            instant: event.timestamp.clone(),
            parent: event.parent.as_deref(),
            quotes: notes("Quoted text").map(|note| note.value.as_str()).collect(),
            text: if event.told.is_some() { "" } else { &event.body },
            told: event.told.as_deref().unwrap_or_default(),
            files: event.attachments.iter().map(file).collect(),
            edits: event
                .edits
                .iter()
                .map(|edit| Edited {
                    when: self.time(&edit.timestamp),
                    who: self.of(&edit.participant),
                    previous: edit.previous.as_deref(),
                })
                .collect(),
            marks: marks.collect(),
            reactions: event
                .reactions
                .iter()
                .map(|reaction| {
                    let who = reaction.participants.iter().map(|id| self.of(id)).collect();
                    Reacted { value: &reaction.value, who }
                })
                .collect(),
            message_ids: message_ids(event),
        }
    }
}

/// The Message-IDs of an event and of what joined it, each with what it is the id of. Edits are numbered.
fn message_ids(event: &Event) -> Vec<Mark<'_>> {
    let mut edits = 0;
    let ids = event.custom.iter().filter_map(|note| {
        let label = match note.name.strip_suffix(MESSAGE_ID)?.strip_suffix(": ") {
            None if note.name == MESSAGE_ID => "Message".to_owned(),
            Some("Edit") => {
                edits += 1;
                format!("Edit {edits}")
            }
            Some(what) => what.to_owned(),
            None => return None,
        };
        Some(Mark { label, value: &note.value })
    });
    ids.collect()
}

fn file(file: &Attachment) -> File<'_> {
    File {
        link: utf8_percent_encode(&attachment_path(file.digest, &file.display), PATH).to_string(),
        name: &file.display,
        size: file.size,
        is_picture: file.is_picture,
    }
}
