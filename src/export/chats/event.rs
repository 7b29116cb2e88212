//! One item as an export puts it aside: what a manifest needs of it, and nothing else.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::convert::{self, Message, is_usable_address};
use crate::digest::Digest;
use crate::identity::{MessageId, Thread};
use crate::item::text::printable;
use crate::item::{Chat, DeletionScope, Direction, Item, Kind, Participant, Person};
use crate::resolution::{Resolution, ResolvedTo};

/// Media types of pictures that every browser shows and that hold no script.
const PICTURES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The position of an event in a chat: its time, then its item.
pub(super) type EventPosition = (i64, i64);

/// The name of the note with an item's Message-ID.
pub(super) const MESSAGE_ID: &str = "Message-ID";

/// An item, ready to become an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Captured {
    pub(super) millis: i64,
    pub(super) item: i64,
    pub(super) message_id: String,
    /// The reference of the message, which answers, edits, deletions and reactions name as their original.
    pub(super) own: String,
    pub(super) original: Option<String>,
    pub(super) chat: CapturedChat,
    pub(super) actor: CapturedPerson,
    /// All who take part; moved to the [`Roster`](super::roster::Roster) when the event is read back.
    pub(super) others: Vec<CapturedPerson>,
    pub(super) owner: Option<String>,
    pub(super) act: Act,
    pub(super) body: String,
    /// What a transcript says in place of a body that is no text of a person: what happened, in a few lines.
    pub(super) told: Option<String>,
    pub(super) incoming: Option<bool>,
    pub(super) files: Vec<CapturedFile>,
    /// What a reviewer should see besides: name and value.
    pub(super) notes: Vec<(String, String)>,
    /// Its length as it was put aside, in bytes.
    #[serde(skip)]
    pub(super) length: u64,
}

/// What an item does in its chat.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Act {
    Says,
    Edits { previous: Option<String>, new: String },
    Deletes { for_all: bool, texts: Vec<String> },
    Reacts { emoji: String, texts: Vec<String> },
    Joins { members: Vec<CapturedPerson> },
    Leaves { members: Vec<CapturedPerson> },
    Else,
}

/// A chat as the file names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CapturedChat {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_direct: bool,
    pub(super) group_id: Option<String>,
}

/// A participant as the file names them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CapturedPerson {
    pub(super) key: String,
    pub(super) name: String,
    /// Whether that is a name, rather than the number or value that stands for one.
    pub(super) is_named: bool,
    /// Empty where none is known.
    pub(super) email: String,
    /// Whether the ledger recorded that address, rather than the item.
    pub(super) is_recorded: bool,
}

/// An attachment that is there; one that is missing is a note.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CapturedFile {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) digest: Digest,
    /// Whether every browser shows it.
    pub(super) is_picture: bool,
}

impl Captured {
    pub(super) fn of(item: &Item, resolution: &Resolution, message: &Message) -> Self {
        let mail = &message.mail;
        let thread = Thread::of(item);
        let people = People::of(item, resolution, message);
        let act = act(item, &people);
        let local = |id: &MessageId| id.local_part().to_owned();
        let files = mail.attachments.iter().map(|file| CapturedFile {
            name: file.name.clone(),
            size: file.bytes.len() as u64,
            digest: file.digest,
            is_picture: PICTURES.contains(&file.content_type.as_str()),
        });
        Self {
            millis: item.time.at.timestamp_millis(),
            item: item.id.0,
            message_id: mail.message_id.to_string(),
            own: local(&thread.own),
            original: thread.original.as_ref().map(local),
            chat: CapturedChat {
                id: local(&thread.root),
                name: mail.thread_topic.clone(),
                is_direct: item.chat == Chat::Direct,
                group_id: item.chat.name().and_then(|chat| chat.id.clone().or(chat.data_id.clone())),
            },
            actor: people.sender(),
            others: item.participants().into_iter().map(|participant| people.person(participant)).collect(),
            owner: item.owner.as_ref().map(|owner| item.key_of(owner).into_owned()),
            told: None,
            body: body(item, message, &act),
            incoming: item.direction.map(|direction| direction == Direction::In),
            files: files.collect(),
            notes: notes(item, message, &act),
            length: 0,
            act,
        }
    }

    /// Notes what the message says, for a page that shows no mail.
    pub(super) fn tell(&mut self, item: &Item, message: &Message) {
        self.told = (!is_plain(item, &self.act)).then(|| convert::told(item, message));
    }

    /// What each further event of an item has: nothing but the Message-ID of what came.
    pub(super) fn in_brief(&self) -> Self {
        let notes = self.notes.iter().filter(|(name, _)| name == MESSAGE_ID).cloned().collect();
        Self {
            act: Act::Else,
            others: Vec::new(),
            body: String::new(),
            told: None,
            files: Vec::new(),
            notes,
            ..self.clone()
        }
    }

    /// How many events it becomes at the most.
    pub(super) fn events(&self) -> usize {
        match &self.act {
            Act::Joins { members } | Act::Leaves { members } => members.len().max(1),
            _ => 1,
        }
    }

    pub(super) fn day(&self, time_zone: Tz) -> String {
        self.time().with_timezone(&time_zone).format("%Y-%m-%d").to_string()
    }

    pub(super) fn place(&self) -> EventPosition {
        (self.millis, self.item)
    }

    pub(super) fn time(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.millis).unwrap_or_default()
    }
}

/// Participants with the names that the message gave them, and the addresses that are known of them.
struct People<'a> {
    item: &'a Item,
    message: &'a Message,
    enrichments: HashMap<String, &'a Person>,
    /// The mailboxes that were recorded, also where they were found late.
    recorded: HashMap<String, &'a str>,
}

impl<'a> People<'a> {
    fn of(item: &'a Item, resolution: &'a Resolution, message: &'a Message) -> Self {
        // Backwards, so that the first entry of a participant counts.
        let people = item.people.iter().rev();
        let enrichments = people.map(|(participant, person)| (item.key_of(participant).into_owned(), person)).collect();
        let mailbox = |outcome: &'a ResolvedTo| match outcome {
            ResolvedTo::Mailbox { mailbox, .. } => Some(mailbox.address.as_str()).filter(|it| is_usable_address(it)),
            ResolvedTo::NoValidUser { .. } | ResolvedTo::Unanswered { .. } => None,
        };
        let resolved = resolution.0.iter();
        let recorded =
            resolved.filter_map(|one| Some((item.key_of(&one.participant).into_owned(), mailbox(&one.outcome)?)));
        Self { item, message, enrichments, recorded: recorded.collect() }
    }

    fn sender(&self) -> CapturedPerson {
        if let Some(sender) = convert::sender_of(self.item) {
            return self.person(sender);
        }
        let from = &self.message.mail.from;
        let name = from.name.clone().unwrap_or_default();
        CapturedPerson { key: from.address.clone(), name, is_named: false, email: String::new(), is_recorded: false }
    }

    fn person(&self, participant: &Participant) -> CapturedPerson {
        let key = self.item.key_of(participant).into_owned();
        let person = self.enrichments.get(&key).copied();
        let named = person.and_then(Person::display_name);
        let name = convert::display_name(named.as_deref(), participant);
        let recorded = self.recorded.get(&key).copied();
        let own = person.and_then(|person| person.email.as_deref()).map(str::trim);
        let email = recorded.or(own.filter(|email| is_usable_address(email))).unwrap_or_default().to_owned();
        CapturedPerson { key, name, is_named: named.is_some(), email, is_recorded: recorded.is_some() }
    }
}

fn act(item: &Item, people: &People<'_>) -> Act {
    let event = item.event.as_ref();
    let members = || event.into_iter().flat_map(|event| &event.members).map(|member| people.person(member)).collect();
    let original = item.original.as_ref();
    match &item.kind {
        Kind::Edit(_) => {
            let new = original.and_then(|original| original.text.clone()).filter(|text| !text.is_empty());
            let new = new.unwrap_or_else(|| item.text.clone());
            let previous = original.and_then(|original| original.previous_text.clone());
            Act::Edits {
                previous: previous.map(|text| printable(&text).into_owned()),
                new: printable(&new).into_owned(),
            }
        }
        Kind::Deletion(DeletionScope::ForAll) => Act::Deletes { for_all: true, texts: texts(item) },
        Kind::Deletion(DeletionScope::ForMe) => Act::Deletes { for_all: false, texts: texts(item) },
        Kind::Deletion(DeletionScope::WholeChat) | Kind::Unknown(_) => Act::Else,
        Kind::Reaction => {
            let emoji = event.and_then(|event| event.emoji.clone()).unwrap_or_default();
            Act::Reacts { emoji: printable(&emoji).into_owned(), texts: texts(item) }
        }
        Kind::GroupEvent => match event.and_then(|event| event.kind.as_deref()) {
            Some("Join") => Act::Joins { members: members() },
            Some("Leave" | "Remove") => Act::Leaves { members: members() },
            _ => Act::Else,
        },
        Kind::Message | Kind::StatusPost | Kind::Call => Act::Says,
    }
}

/// What a deletion or a reaction holds of text: its own, and its original's.
fn texts(item: &Item) -> Vec<String> {
    let original = item.original.as_ref();
    let original = original.into_iter().flat_map(|original| [&original.text, &original.previous_text]).flatten();
    let texts = std::iter::once(&item.text).chain(original).filter(|text| !text.trim().is_empty());
    texts.map(|text| printable(text).into_owned()).collect()
}

/// The text; where an item has more to it than its text, the body of its message, which says all of it.
fn body(item: &Item, message: &Message, act: &Act) -> String {
    if is_plain(item, act) { printable(&item.text).into_owned() } else { message.mail.text.clone() }
}

/// Whether there is nothing to an item but what was said.
fn is_plain(item: &Item, act: &Act) -> bool {
    matches!(act, Act::Says) && matches!(item.kind, Kind::Message | Kind::StatusPost) && item.location.is_none()
}

fn notes(item: &Item, message: &Message, act: &Act) -> Vec<(String, String)> {
    let mut notes = vec![(MESSAGE_ID.to_owned(), message.mail.message_id.to_string())];
    notes.extend(message.mail.extra_headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let quoted = item.quoted.as_ref().and_then(|quoted| quoted.text.as_deref()).filter(|text| !text.is_empty());
    if let Act::Edits { new, .. } = act {
        let other = Some(printable(&item.text).into_owned()).filter(|text| text != new);
        notes.extend(other.map(|text| ("Text of the item".to_owned(), text)));
    }
    notes.extend(quoted.map(|text| ("Quoted text".to_owned(), printable(text).into_owned())));
    notes.extend(convert::remarks(item, message));
    notes.extend(message.missing().iter().map(|missing| {
        let value = format!("{} ({})", missing.name, missing.detail);
        ("Missing attachment".to_owned(), printable(&value).into_owned())
    }));
    notes.retain(|(_, value)| !value.is_empty());
    notes
}
