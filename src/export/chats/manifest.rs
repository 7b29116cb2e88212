//! `rsmf_manifest.json`, version 2.0.0: participants, one conversation, and its events.
//!
//! Reactions, edits and deletions join the event that they are about where it is in the same file; else they are events
//! of their own, so that nothing is left out. Either way they say who and when.

use std::collections::HashMap;

use chrono::SecondsFormat;
use serde::Serialize;

use super::event::{Act, Captured, CapturedPerson};
use super::roster::Roster;
use crate::digest::Digest;

#[derive(Debug, Serialize)]
pub(super) struct Manifest {
    version: &'static str,
    pub(super) participants: Vec<Participant>,
    pub(super) conversations: Vec<Conversation>,
    pub(super) events: Vec<Event>,
    #[serde(rename = "eventcollectionid")]
    pub(super) event_collection_id: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Participant {
    pub(super) id: String,
    pub(super) display: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) email: String,
    #[serde(skip)]
    has_recorded_email: bool,
    account_id: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Conversation {
    id: &'static str,
    pub(super) display: String,
    platform: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    participants: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custodian: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    custom: Vec<Custom>,
}

#[derive(Debug, Serialize)]
pub(super) struct Event {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    pub(super) body: String,
    #[serde(skip)]
    pub(super) told: Option<String>,
    pub(super) participant: String,
    conversation: &'static str,
    pub(super) timestamp: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reactions: Vec<Reaction>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<Attachment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) edits: Vec<Edit>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) custom: Vec<Custom>,
}

#[derive(Debug, Serialize)]
pub(super) struct Reaction {
    pub(super) value: String,
    count: usize,
    pub(super) participants: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Attachment {
    pub(super) id: String,
    pub(super) display: String,
    pub(super) size: u64,
    #[serde(skip)]
    pub(super) digest: Digest,
    #[serde(skip)]
    pub(super) is_picture: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Edit {
    pub(super) participant: String,
    pub(super) timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<String>,
    new: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Custom {
    pub(super) name: String,
    pub(super) value: String,
}

const CONVERSATION: &str = "C1";

impl Participant {
    /// The address, else one that stands for whom it is.
    pub(super) fn address(&self) -> String {
        if !self.email.is_empty() {
            return self.email.clone();
        }
        let is_number = !self.account_id.is_empty()
            && self.account_id.len() <= 32
            && self.account_id.bytes().all(|byte| byte.is_ascii_digit());
        let local = if is_number { self.account_id.clone() } else { Digest::of(self.account_id.as_bytes()).short(12) };
        format!("{local}@whatsapp.invalid")
    }
}

impl Manifest {
    /// The manifest of events of one chat, in their order.
    pub(super) fn of(captured: &[Captured], roster: &Roster) -> Self {
        let mut building = Building::default();
        for person in roster.people() {
            building.participant(person);
        }
        for event in captured {
            building.add(event);
        }
        building.finish(captured, roster)
    }

    /// What the chat is called.
    pub(super) fn title(&self) -> &str {
        self.conversations.first().map(|chat| chat.display.as_str()).unwrap_or_default()
    }

    /// The id of the group, where it is one and has one.
    pub(super) fn group_id(&self) -> Option<&str> {
        self.conversations.first()?.custom.first().map(|custom| custom.value.as_str())
    }

    /// The one person whose archive all events come from; `None` where there are several.
    pub(super) fn custodian(&self) -> Option<&Participant> {
        let id = self.conversations.first()?.custodian.as_ref()?;
        self.participants.iter().find(|participant| participant.id == *id)
    }

    /// The one participant whom the file is from: the custodian, else whom its first event is of.
    pub(super) fn author(&self) -> Option<&Participant> {
        let first = self.events.first().map(|event| &event.participant);
        let first = || self.participants.iter().find(|participant| Some(&participant.id) == first);
        self.custodian().or_else(first)
    }
}

#[derive(Default)]
struct Building {
    participants: Vec<Participant>,
    /// Places among the participants by key.
    people: HashMap<String, usize>,
    events: Vec<Event>,
    /// Events by reference.
    places: HashMap<String, usize>,
    attachments: usize,
}

impl Building {
    fn add(&mut self, captured: &Captured) {
        let actor = self.participant(&captured.actor);
        let place = captured.original.as_ref().and_then(|original| self.places.get(original).copied());
        match (&captured.act, place) {
            (Act::Edits { previous, new }, place) => self.edit(captured, place, previous.as_ref(), new, &actor),
            (Act::Deletes { for_all, texts }, place) => {
                if let Some(place) = place {
                    self.delete(captured, place, *for_all, &actor);
                }
                if place.is_none_or(|place| self.has_more(captured, texts, place)) {
                    self.event_about("message", captured, &actor, place).deleted = *for_all;
                }
            }
            (Act::Reacts { emoji, texts }, place) => {
                if let Some(place) = place {
                    self.react(captured, place, emoji, &actor);
                }
                // One that can't be shown as a reaction, such as one that is taken back, hangs on its original.
                let shown = place.filter(|_| is_shown(emoji));
                if shown.is_none_or(|place| self.has_more(captured, texts, place)) {
                    self.event_about("message", captured, &actor, place);
                }
            }
            (Act::Joins { members }, _) => self.come_or_go("join", captured, members, &actor),
            (Act::Leaves { members }, _) => self.come_or_go("leave", captured, members, &actor),
            (Act::Says, place) => {
                self.event_about("message", captured, &actor, place);
                self.places.entry(captured.own.clone()).or_insert(self.events.len() - 1);
            }
            (Act::Else, _) => {
                self.event("unknown", captured, &actor);
            }
        }
    }

    /// Whether an item that joined another's event holds a file, or a text that isn't there.
    fn has_more(&self, captured: &Captured, texts: &[String], place: usize) -> bool {
        let joined = self.events.get(place).map(|event| event.body.as_str());
        !captured.files.is_empty() || texts.iter().any(|text| joined != Some(text))
    }

    fn edit(&mut self, captured: &Captured, place: Option<usize>, previous: Option<&String>, new: &str, actor: &str) {
        let timestamp = timestamp(captured);
        let in_file = place.is_some();
        if !in_file {
            self.event("message", captured, actor);
        }
        let place = place.unwrap_or(self.events.len().saturating_sub(1));
        let files = if in_file { self.files(captured) } else { Vec::new() };
        let Some(event) = self.events.get_mut(place) else { return };
        let before = event.body.clone();
        if in_file && previous.is_some_and(|previous| *previous != before) {
            event.custom.extend(custom_text("Text before the edit, as archived", &before));
        }
        let previous = previous.cloned().or(in_file.then_some(before));
        event.edits.push(Edit { participant: actor.to_owned(), timestamp, previous, new: new.to_owned() });
        new.clone_into(&mut event.body);
        event.told = None;
        event.attachments.extend(files);
        if in_file {
            event.custom.extend(custom("Edit", captured));
        }
    }

    fn delete(&mut self, captured: &Captured, place: usize, for_all: bool, actor: &str) {
        let who = if for_all { "for everyone" } else { "for themselves" };
        let Some(event) = self.events.get_mut(place) else { return };
        event.deleted |= for_all;
        let value = format!("{who} by {} ({actor}), {}", captured.actor.name, timestamp(captured));
        event.custom.push(Custom { name: "Deleted".to_owned(), value });
        event.custom.extend(custom("Deletion", captured));
    }

    /// Keeps the last reaction of each person, as WhatsApp shows them; all of them are listed beside.
    fn react(&mut self, captured: &Captured, place: usize, emoji: &str, actor: &str) {
        let Some(event) = self.events.get_mut(place) else { return };
        for reaction in &mut event.reactions {
            reaction.participants.retain(|other| other != actor);
        }
        event.reactions.retain(|reaction| !reaction.participants.is_empty());
        if is_shown(emoji) {
            match event.reactions.iter_mut().find(|reaction| reaction.value == emoji) {
                Some(reaction) => reaction.participants.push(actor.to_owned()),
                None => event.reactions.push(Reaction {
                    value: emoji.to_owned(),
                    count: 1,
                    participants: vec![actor.to_owned()],
                }),
            }
        }
        for reaction in &mut event.reactions {
            reaction.count = reaction.participants.len();
        }
        let what = if emoji.is_empty() { "taken back" } else { emoji };
        let value = format!("{what} by {} ({actor}), {}", captured.actor.name, timestamp(captured));
        event.custom.push(Custom { name: "Reaction".to_owned(), value });
        event.custom.extend(custom("Reaction", captured));
    }

    /// One event for each member, or for who did it. The first has all that came; with ten thousand members the file would be the
    /// square of it.
    fn come_or_go(&mut self, kind: &'static str, captured: &Captured, members: &[CapturedPerson], actor: &str) {
        let [first, others @ ..] = members else {
            self.event(kind, captured, actor);
            return;
        };
        let first = self.participant(first);
        self.event(kind, captured, &first);
        let brief = captured.in_brief();
        for member in others {
            let member = self.participant(member);
            self.event(kind, &brief, &member);
        }
    }

    /// An event about another one, where that is in the file.
    fn event_about(
        &mut self,
        kind: &'static str,
        captured: &Captured,
        participant: &str,
        original: Option<usize>,
    ) -> &mut Event {
        let parent = original.and_then(|place| self.events.get(place)).map(|original| original.id.clone());
        let event = self.event(kind, captured, participant);
        event.parent = parent;
        event
    }

    fn event(&mut self, kind: &'static str, captured: &Captured, participant: &str) -> &mut Event {
        let attachments = self.files(captured);
        self.events.push(Event {
            id: format!("E{}", self.events.len() + 1),
            kind,
            parent: None,
            body: captured.body.clone(),
            told: captured.told.clone(),
            participant: participant.to_owned(),
            conversation: CONVERSATION,
            timestamp: timestamp(captured),
            deleted: false,
            direction: captured.incoming.map(|incoming| if incoming { "incoming" } else { "outgoing" }),
            reactions: Vec::new(),
            attachments,
            edits: Vec::new(),
            custom: captured
                .notes
                .iter()
                .map(|(name, value)| Custom { name: name.clone(), value: value.clone() })
                .collect(),
        });
        let last = self.events.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "just pushed")]
        &mut self.events[last]
    }

    /// The files of an event, each under a name of its own in the archive.
    fn files(&mut self, captured: &Captured) -> Vec<Attachment> {
        let files = captured.files.iter().map(|file| {
            self.attachments += 1;
            Attachment {
                id: format!("{}-{}", self.attachments, file.name),
                display: file.name.clone(),
                size: file.size,
                digest: file.digest,
                is_picture: file.is_picture,
            }
        });
        files.collect()
    }

    /// The id of a participant, who is listed with the first name given, and with the first address that was recorded,
    /// else the first that an item has.
    fn participant(&mut self, person: &CapturedPerson) -> String {
        let id = |place: usize| format!("P{}", place + 1);
        let place = *self.people.entry(person.key.clone()).or_insert_with(|| {
            self.participants.push(Participant {
                id: id(self.participants.len()),
                display: person.name.clone(),
                email: String::new(),
                has_recorded_email: false,
                account_id: person.key.clone(),
            });
            self.participants.len() - 1
        });
        if let Some(participant) = self.participants.get_mut(place)
            && (participant.email.is_empty() || person.is_recorded && !participant.has_recorded_email)
        {
            participant.email.clone_from(&person.email);
            participant.has_recorded_email = person.is_recorded;
        }
        id(place)
    }

    /// Those who are in the conversation at its earliest event: all but who joins it first.
    fn present(&self, captured: &[Captured], roster: &Roster) -> Vec<String> {
        let start = captured.first().map(Captured::place).unwrap_or_default();
        let there = self.participants.iter().filter(|person| !roster.comes_after(&person.account_id, start));
        there.map(|person| person.id.clone()).collect()
    }

    fn finish(self, captured: &[Captured], roster: &Roster) -> Manifest {
        let chat = captured.first().map(|event| &event.chat);
        let mut owners: Vec<&str> = captured.iter().filter_map(|event| event.owner.as_deref()).collect();
        owners.sort_unstable();
        owners.dedup();
        let custodian = if let [owner] = owners.as_slice() { self.people.get(*owner) } else { None };
        let custodian = custodian.and_then(|place| self.participants.get(*place)).map(|owner| owner.id.clone());
        let mut participants = self.present(captured, roster);
        // Review tools look for the custodian there, also when they joined later that day.
        participants.extend(custodian.clone().filter(|custodian| !participants.contains(custodian)));
        let group_id = chat.and_then(|chat| chat.group_id.clone()).filter(|id| !id.is_empty());
        let conversation = Conversation {
            id: CONVERSATION,
            display: chat.map(|chat| chat.name.clone()).unwrap_or_default(),
            platform: "WhatsApp",
            kind: if chat.is_some_and(|chat| chat.is_direct) { "direct" } else { "channel" },
            participants,
            custodian,
            custom: group_id.map(|value| Custom { name: "Group id".to_owned(), value }).into_iter().collect(),
        };
        Manifest {
            version: "2.0.0",
            participants: self.participants,
            conversations: vec![conversation],
            events: self.events,
            event_collection_id: chat.map(|chat| chat.id.clone()).unwrap_or_default(),
        }
    }
}

/// RSMF takes no empty value.
fn custom_text(name: &str, value: &str) -> Option<Custom> {
    (!value.is_empty()).then(|| Custom { name: name.to_owned(), value: value.to_owned() })
}

/// RSMF takes reactions of 1 to 30 characters.
fn is_shown(emoji: &str) -> bool {
    (1..=30).contains(&emoji.chars().count())
}

fn timestamp(captured: &Captured) -> String {
    captured.time().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What is said of an item that joined another's event.
fn custom<'a>(name: &'a str, captured: &'a Captured) -> impl Iterator<Item = Custom> + 'a {
    captured.notes.iter().map(move |(note, value)| Custom { name: format!("{name}: {note}"), value: value.clone() })
}
