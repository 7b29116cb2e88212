//! Where an item was said, and how it came into the archive: what stands below the message itself.

use crate::convert::direction::isolated;
use crate::convert::kind;
use crate::convert::people::{People, display_text};
use crate::convert::section::{Fact, PeopleList, utc};
use crate::item::{Chat, Direction, Item, Kind};
use crate::output_text::name;

/// Where an item was said, to whom in all, and what is known of it besides.
pub(super) fn of(item: &Item, people: &People<'_>, lists: &mut Vec<PeopleList>) -> Vec<Fact> {
    const NAMED_ABOVE: usize = 3;
    let mut facts = Vec::new();
    if item.chat != Chat::Direct || item.kind == Kind::StatusPost {
        facts.push(Fact::new("Chat", chat(item)));
    }
    if item.chat != Chat::Direct || item.kind == Kind::StatusPost || item.recipients.len() > NAMED_ABOVE {
        let recipients = item.recipients.iter().map(|recipient| people.label(recipient)).collect();
        facts.extend(PeopleList::fold("To", recipients, lists).map(|to| Fact::new("To", to)));
    }
    facts.extend(thread_name(item).map(|name| Fact::new("Thread name", name)));
    facts.extend(message_status(item).map(|status| Fact::new("Message status", status)));
    facts
}

fn thread_name(item: &Item) -> Option<String> {
    item.thread_name.as_deref().and_then(|own| name(own, 500))
}

/// `NA` is TeleMessage's word for none.
fn message_status(item: &Item) -> Option<String> {
    item.message_status.as_deref().filter(|status| *status != "NA").map(|status| display_text(status, 200))
}

/// A group or list by name, with its id.
pub(super) fn chat(item: &Item) -> String {
    if item.kind == Kind::StatusPost {
        return kind::STATUS_CHAT_NAME.to_owned();
    }
    let kind = kind::chat(&item.chat);
    let id = chat_id(item);
    match (own_chat_name(item), id) {
        (Some(name), Some(id)) => format!("{} ({kind}, {})", isolated(&name), isolated(&id)),
        (Some(one), None) | (None, Some(one)) => format!("{} ({kind})", isolated(&one)),
        (None, None) => kind.to_owned(),
    }
}

fn chat_id(item: &Item) -> Option<String> {
    let chat = item.chat.name()?;
    chat.id.as_deref().or(chat.data_id.as_deref()).and_then(|id| name(id, 500))
}

fn own_chat_name(item: &Item) -> Option<String> {
    item.chat.name()?.name.as_deref().and_then(|own| name(own, 500))
}

/// The same for the line that says to whom: `Desk (group)`.
pub(super) fn chat_name(item: &Item) -> String {
    let kind = kind::chat(&item.chat);
    let name = own_chat_name(item).or_else(|| chat_id(item));
    name.map_or_else(|| format!("a {kind}"), |name| format!("{}, a {kind}", isolated(&name)))
}

/// How an item came into the archive, and the ids that name it.
pub(super) fn provenance(item: &Item, people: &People<'_>) -> Vec<Fact> {
    let product = name(item.product.name(), 200);
    let archived = [item.received.map(utc), product.map(|product| format!("by {product}"))];
    let archived = archived.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let owner = item.owner.as_ref().map(|owner| match item.direction {
        Some(Direction::In) => format!("{}, who received it", people.label(owner)),
        Some(Direction::Out) => format!("{}, who sent it", people.label(owner)),
        None => people.label(owner),
    });
    let facts = [
        ("Archived", Some(archived).filter(|archived| !archived.is_empty())),
        ("Owner", owner),
        ("Message id", Some(display_text(&item.message_id, 1000))),
        ("Item", Some(item.id.to_string())),
        ("Thread", item.thread_id.as_deref().map(|thread| display_text(thread, 1000))),
    ];
    facts.into_iter().filter_map(|(label, value)| Some(Fact::new(label, value?))).collect()
}
