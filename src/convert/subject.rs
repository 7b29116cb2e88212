//! Subject and conversation topic, in TeleMessage's own conventions.

use super::kind;
use super::other;
use super::people::{People, display_text, sender_of};
use crate::item::{Chat, Item, Kind, Participant};
use crate::output_text::name;

/// The longest subject that Exchange shows whole, in characters.
const MAX_SUBJECT_CHARACTERS: usize = 255;

/// The item's own subject on one line, else one in the same form.
pub(super) fn of(item: &Item, people: &People<'_>) -> String {
    let own = item.subject.as_deref().and_then(|subject| name(subject, MAX_SUBJECT_CHARACTERS));
    if let Some(own) = own {
        return own;
    }
    let what = format!("{}{}", prefix(item), what(item));
    let from = sender_of(item).map_or_else(|| "an unknown sender".to_owned(), |sender| people.name(sender));
    let subject = match to(item, people) {
        Some(to) => format!("{what} from {from} to {to}"),
        None => format!("{what} from {from}"),
    };
    display_text(&subject, MAX_SUBJECT_CHARACTERS)
}

/// The same for all messages of a chat, as far as their items name it alike.
pub(super) fn thread_topic(item: &Item, people: &People<'_>) -> String {
    let chat_name = item.chat.name().and_then(|chat| chat.name.as_deref());
    let chat_name = chat_name.or((item.kind == Kind::StatusPost).then_some(kind::STATUS_CHAT_NAME));
    let shown = |text: &str| name(text, MAX_SUBJECT_CHARACTERS);
    let named = chat_name.and_then(shown).or_else(|| item.thread_name.as_deref().and_then(shown));
    let name = named.unwrap_or_else(|| {
        let mut sides: Vec<&Participant> = item.sender.iter().chain(&item.recipients).collect();
        sides.sort_by_key(|participant| participant.key());
        sides.dedup_by_key(|participant| participant.key());
        listed(&sides, people, 3)
    });
    display_text(&format!("WhatsApp chat {name}"), MAX_SUBJECT_CHARACTERS)
}

fn prefix(item: &Item) -> String {
    let read_status = || {
        let original = item.original.as_ref().and_then(|original| original.read_status.as_deref());
        match original {
            Some("READ") => "READ",
            Some("UNREAD") => "UNREAD",
            _ => "UNKNOWN",
        }
    };
    match &item.kind {
        Kind::Deletion(_) => format!("DELETED - {} - ", read_status()),
        Kind::Edit(_) => format!("EDIT {} ", read_status()),
        Kind::StatusPost => "STATUS - ".to_owned(),
        _ => String::new(),
    }
}

fn what(item: &Item) -> String {
    match &item.kind {
        Kind::Call => {
            let call = if kind::is_video_call(item) { "video call" } else { "voice call" };
            match kind::unanswered(item) {
                Some(status) => format!("WhatsApp {status} {call}"),
                None => format!("WhatsApp {call}"),
            }
        }
        Kind::Reaction => "WhatsApp reaction".to_owned(),
        Kind::GroupEvent => "WhatsApp group event".to_owned(),
        Kind::Unknown(name) => {
            kind::words_of_type(name).map_or_else(|| "WhatsApp message".to_owned(), |words| format!("WhatsApp {words}"))
        }
        Kind::Message => match other::content(item) {
            Some(content) => format!("WhatsApp {}", content.to_lowercase()),
            None => "WhatsApp message".to_owned(),
        },
        _ => "WhatsApp message".to_owned(),
    }
}

/// A status post goes to whoever looks.
fn to(item: &Item, people: &People<'_>) -> Option<String> {
    if item.kind == Kind::StatusPost {
        return None;
    }
    let shown = |text: &str| name(text, MAX_SUBJECT_CHARACTERS);
    let chat_name = item
        .chat
        .name()
        .and_then(|chat| chat.name.as_deref().and_then(shown).or_else(|| chat.id.as_deref().and_then(shown)));
    match (&item.chat, chat_name) {
        (Chat::Group(_), Some(name)) => Some(format!("{name} chat group")),
        (Chat::Broadcast(_), Some(name)) => Some(format!("{name} broadcast")),
        _ => {
            let recipients: Vec<&Participant> = item.recipients.iter().collect();
            (!recipients.is_empty()).then(|| listed(&recipients, people, 1))
        }
    }
}

/// The first names, and how many there are besides.
fn listed(participants: &[&Participant], people: &People<'_>, shown: usize) -> String {
    let names: Vec<String> = participants.iter().take(shown).map(|participant| people.name(participant)).collect();
    let names = names.join(", ");
    match participants.len().saturating_sub(shown) {
        0 => names,
        1 => format!("{names} and 1 other"),
        more => format!("{names} and {more} others"),
    }
}
