//! What happened to a group, in a sentence: who did what to whom.

use super::direction::isolated;
use super::people::{People, display_text, listed, sender_of};
use crate::item::{Chat, Item, Kind, Participant};

/// How many of those who were added, removed or left are named in a first line.
const NAMED: usize = 3;

/// How people are named in a sentence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// By name, a few of them.
    Names,
    /// By name and number, all of them.
    InFull,
}

/// The sentence; nothing where the item is no such event, or names nobody who did it.
pub(super) fn sentence(item: &Item, people: &People<'_>, naming: Naming) -> Option<String> {
    let event = item.event.as_ref().filter(|_| item.kind == Kind::GroupEvent)?;
    let actor = event.actor.as_ref().filter(|actor| actor.has_value()).or(sender_of(item));
    let members: Vec<&Participant> = event.members.iter().filter(|member| member.has_value()).collect();
    let named = |participant: &Participant| match naming {
        Naming::Names => isolated(&people.name(participant)).into_owned(),
        Naming::InFull => people.label(participant),
    };
    let who = actor.map(named);
    let whom = listed(members.iter().copied(), named, if naming == Naming::InFull { members.len() } else { NAMED });
    let is_alone =
        members.is_empty() || members.iter().all(|member| Some(item.key_of(member)) == actor.map(|it| item.key_of(it)));
    let group = if matches!(item.chat, Chat::Broadcast(_)) { "list" } else { "group" };
    let length = if naming == Naming::InFull { 10_000 } else { 200 };
    let value = |value: Option<&str>| value.map(|value| display_text(value, length)).filter(|value| !value.is_empty());
    Some(match event.kind.as_deref()? {
        "Create" if naming == Naming::InFull && !members.is_empty() => {
            format!("{} created the {group}; members: {whom}", who?)
        }
        "Create" => format!("{} created the {group}", who?),
        "Join" if is_alone => format!("{} joined the {group}", who?),
        "Join" => format!("{} added {whom} to the {group}", who?),
        "Leave" if is_alone => format!("{} left the {group}", who?),
        "Leave" => format!("{whom} left the {group}"),
        "Remove" if is_alone => return None,
        "Remove" => format!("{} removed {whom} from the {group}", who?),
        "Rename" => match (value(event.old_value.as_deref()), value(event.new_value.as_deref())) {
            (Some(old), Some(new)) => {
                format!("{} renamed the {group} from \"{}\" to \"{}\"", who?, isolated(&old), isolated(&new))
            }
            (None, Some(new)) => format!("{} renamed the {group} to \"{}\"", who?, isolated(&new)),
            _ => format!("{} renamed the {group}", who?),
        },
        "ChangeProfileImage" => format!("{} changed the picture of the {group}", who?),
        _ => return None,
    })
}

/// The labels of the event's particulars that the sentence says in full.
pub(super) fn said(item: &Item) -> &'static [&'static str] {
    let Some(event) = &item.event else { return &[] };
    match event.kind.as_deref() {
        // Who let somebody leave isn't in it.
        Some("Leave") if event.actor.as_ref().is_some_and(|by| is_another(item, by, &event.members)) => {
            &["Event", "Members"]
        }
        Some("Rename") if event.new_value.as_deref().is_some_and(|new| !display_text(new, 1).is_empty()) => {
            &["Event", "By", "Before", "After"]
        }
        Some("Rename" | "ChangeProfileImage") => &["Event", "By"],
        _ => &["Event", "By", "Members"],
    }
}

/// Whether somebody is none of the members, where there are any.
fn is_another(item: &Item, by: &Participant, members: &[Participant]) -> bool {
    let mut members = members.iter().filter(|member| member.has_value()).peekable();
    members.peek().is_some() && members.all(|member| item.key_of(member) != item.key_of(by))
}
