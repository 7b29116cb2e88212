//! What was said, in the order in which it is read: what is answered, what stood before, what was said now.

use std::borrow::Cow;

use super::direction::isolated;
use super::kind;
use super::people::{People, display_text, sender_of};
use super::section::{Look, Passage};
use crate::item::raw::OriginalMessageData;
use crate::item::{Item, Kind};

/// The texts of an item, and which of them the first line of the plain text begins with.
pub(super) struct Said {
    pub(super) passages: Vec<Passage>,
    pub(super) opening: Option<Opening>,
}

/// What the first line says: who did what, and the text that was said.
pub(super) struct Opening {
    /// The archive's own words: `Ana Berg wrote:`.
    pub(super) words: String,
    /// The place of the text among the passages.
    pub(super) passage: usize,
}

impl Said {
    /// What was said in an item.
    pub(super) fn of(item: &Item, people: &People<'_>) -> Self {
        let mut passages: Vec<Passage> = quoted(item, people).into_iter().collect();
        let before = passages.len();
        let own = match &item.kind {
            Kind::Edit(_) => edited(item),
            Kind::Deletion(_) => deleted(item),
            Kind::Reaction => reacted(item),
            _ => plain(item),
        };
        passages.extend(own.into_iter().flatten());
        let verb = verb(item);
        let is_main = |passage: &Passage| match item.kind {
            Kind::Edit(_) => passage.look == Look::New,
            Kind::Reaction => passage.look == Look::Emoji,
            Kind::Deletion(_) => true,
            _ => passage.look == Look::Bubble,
        };
        let main = passages.iter().enumerate().skip(before).find(|(_, passage)| is_main(passage));
        let opening = main.zip(verb).map(|((passage, _), verb)| {
            let who = sender_of(item);
            let who = who.map_or_else(|| "An unknown sender".to_owned(), |sender| people.name(sender));
            Opening { words: format!("{who} {verb}:"), passage }
        });
        Self { passages, opening }
    }
}

/// What a sender did with the text; nothing where the item is no act of saying.
fn verb(item: &Item) -> Option<&'static str> {
    match item.kind {
        Kind::Message | Kind::StatusPost | Kind::Unknown(_) => Some("wrote"),
        Kind::Edit(_) => Some("edited"),
        Kind::Deletion(_) => Some("deleted"),
        Kind::Reaction => Some("reacted"),
        Kind::Call | Kind::GroupEvent => None,
    }
}

fn quoted(item: &Item, people: &People<'_>) -> Option<Passage> {
    let quoted = item.quoted.as_ref()?;
    let sender = quoted.sender.as_ref().filter(|sender| sender.has_value());
    let label: Cow<'static, str> = match sender {
        Some(sender) => format!("In reply to {}", isolated(&people.name(sender))).into(),
        None => "In reply to".into(),
    };
    Passage::of(label, quoted.text.as_deref(), Look::Quote)
}

/// The old text before the new; the item's own where it is another.
fn edited(item: &Item) -> Vec<Option<Passage>> {
    let (text, previous) = originals(item.original.as_ref());
    let own = Some(item.text.as_str()).filter(|own| text.is_none_or(|text| text != *own));
    let (new, other) = if text.is_some() { (text, own) } else { (own, None) };
    vec![
        Passage::of("Previous text", previous, Look::Old),
        Passage::of("New text", new, Look::New),
        Passage::of("Text of the item", other, Look::Bubble),
    ]
}

fn deleted(item: &Item) -> Vec<Option<Passage>> {
    let (text, previous) = originals(item.original.as_ref());
    let own = Some(item.text.as_str()).filter(|own| text.is_none_or(|text| text != *own));
    vec![
        Passage::of("Deleted text", text, Look::Quote),
        Passage::of("Text", own, Look::Bubble),
        Passage::of("Text before an earlier edit", previous, Look::Old),
    ]
}

/// The emoji, and what it was put to.
fn reacted(item: &Item) -> Vec<Option<Passage>> {
    let (text, previous) = originals(item.original.as_ref());
    let emoji = item.event.as_ref().and_then(|event| event.emoji.as_deref());
    let emoji = emoji.filter(|_| !kind::reaction_is_taken_back(item)).map(|emoji| display_text(emoji, 1000));
    let own = Some(item.text.as_str()).filter(|own| emoji.as_deref() != Some(*own));
    vec![
        Passage::of("Reaction", emoji.as_deref(), Look::Emoji),
        Passage::of("To the text", text, Look::Quote),
        Passage::of("Text before an edit", previous, Look::Old),
        Passage::of("Text", own, Look::Bubble),
    ]
}

fn plain(item: &Item) -> Vec<Option<Passage>> {
    let (text, previous) = originals(item.original.as_ref());
    let label = if verb(item).is_some() { "" } else { "Text" };
    vec![
        Passage::of(label, Some(&item.text), Look::Bubble),
        Passage::of("Original text", text, Look::Quote),
        Passage::of("Previous text", previous, Look::Old),
    ]
}

fn originals(original: Option<&OriginalMessageData>) -> (Option<&str>, Option<&str>) {
    let text = original.and_then(|original| original.text.as_deref());
    let previous = original.and_then(|original| original.previous_text.as_deref());
    (text.filter(|text| !text.is_empty()), previous.filter(|text| !text.is_empty()))
}
