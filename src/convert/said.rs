//! What was said, in the order in which it is read: what is answered, what stood before, what was said now.

use std::borrow::Cow;

use super::direction::isolated;
use super::kind;
use super::people::{People, display_text, sender_of};
use super::section::{Look, Passage};
use crate::item::raw::OriginalMessageData;
use crate::item::text::printable;
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
        passages.extend(match &item.kind {
            Kind::Edit(_) => edited(item),
            Kind::Deletion(_) => deleted(item),
            Kind::Reaction => reacted(item),
            _ => plain(item),
        });
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
    let sender = quoted.sender.as_ref().filter(|sender| !sender.value.trim().is_empty());
    let label = match sender {
        Some(sender) => format!("In reply to {}", isolated(&people.name(sender))).into(),
        None => "In reply to".into(),
    };
    passage(label, quoted.text.as_deref(), Look::Quote)
}

/// The old text before the new; the item's own where it is another.
fn edited(item: &Item) -> Vec<Passage> {
    let (text, previous) = originals(item.original.as_ref());
    let own = Some(item.text.as_str()).filter(|own| text.is_none_or(|text| text != *own));
    let (new, other) = if text.is_some() { (text, own) } else { (own, None) };
    [
        passage("Previous text".into(), previous, Look::Old),
        passage("New text".into(), new, Look::New),
        passage("Text of the item".into(), other, Look::Bubble),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn deleted(item: &Item) -> Vec<Passage> {
    let (text, previous) = originals(item.original.as_ref());
    let own = Some(item.text.as_str()).filter(|own| text.is_none_or(|text| text != *own));
    [
        passage("Deleted text".into(), text, Look::Quote),
        passage("Text".into(), own, Look::Bubble),
        passage("Text before an earlier edit".into(), previous, Look::Old),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The emoji, and what it was put to.
fn reacted(item: &Item) -> Vec<Passage> {
    let (text, previous) = originals(item.original.as_ref());
    let emoji = item.event.as_ref().and_then(|event| event.emoji.as_deref());
    let emoji = emoji.filter(|_| !kind::reaction_is_taken_back(item)).map(|emoji| display_text(emoji, 1000));
    let own = Some(item.text.as_str()).filter(|own| emoji.as_deref() != Some(*own));
    [
        passage("Reaction".into(), emoji.as_deref(), Look::Emoji),
        passage("To the text".into(), text, Look::Quote),
        passage("Text before an edit".into(), previous, Look::Old),
        passage("Text".into(), own, Look::Bubble),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn plain(item: &Item) -> Vec<Passage> {
    let (text, previous) = originals(item.original.as_ref());
    let label = if verb(item).is_some() { "" } else { "Text" };
    [
        passage(label.into(), Some(&item.text), Look::Bubble),
        passage("Original text".into(), text, Look::Quote),
        passage("Previous text".into(), previous, Look::Old),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn originals(original: Option<&OriginalMessageData>) -> (Option<&str>, Option<&str>) {
    let text = original.and_then(|original| original.text.as_deref());
    let previous = original.and_then(|original| original.previous_text.as_deref());
    (text.filter(|text| !text.is_empty()), previous.filter(|text| !text.is_empty()))
}

fn passage(label: Cow<'static, str>, text: Option<&str>, look: Look) -> Option<Passage> {
    let text = text.filter(|text| !text.is_empty())?;
    Some(Passage { label, text: printable(text).into_owned(), look })
}
