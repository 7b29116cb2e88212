//! What a message says besides its text, value by value, for exports whose form has a place for each.

use super::attachment::{self, attached_item};
use super::body::Body;
use super::group_event::{self, Naming};
use super::people::People;
use super::{Message, StagedAttachment};
use crate::item::Item;
use crate::resolution::Resolution;

/// Label and value of all that an item's message says besides its text and its header's fields. Nobody's address is among
/// them, so that the recorded resolution isn't needed.
pub(crate) fn remarks(item: &Item, message: &Message) -> Vec<(String, String)> {
    let marks = [(item.forwarded, "Forwarded"), (item.view_once, "View once")];
    let marks = marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| (mark.to_owned(), "yes".to_owned()));
    let subject = ("Subject".to_owned(), message.mail.subject.clone());
    with_body(item, message, |body, _| std::iter::once(subject).chain(marks).chain(body.remarks()).collect())
}

/// What an item's message says, in a few lines for a page that has its time and its files already. Values stand between marks
/// of direction, which pages understand.
pub(crate) fn told(item: &Item, message: &Message) -> String {
    with_body(item, message, |body, people| {
        let sentence = group_event::sentence(item, people, Naming::InFull);
        let said = if sentence.is_some() { group_event::said(item) } else { &[] };
        body.told(sentence, said)
    })
}

/// The body as the message has it, of nobody's address.
fn with_body<T>(item: &Item, message: &Message, of: impl FnOnce(Body, &People<'_>) -> T) -> T {
    let (staged, nobody) = (staged(item, message), Resolution::default());
    let people = People::of(item, &nobody, "");
    let files = attachment::files(item, &staged, &message.mail.message_id);
    of(Body::of(item, &people, &files, &message.mail.subject), &people)
}

/// The item's attachments as they were staged.
fn staged(item: &Item, message: &Message) -> Vec<StagedAttachment> {
    let mut files = message.mail.attachments.iter();
    let attachments = files.len() + message.missing().len() - usize::from(attached_item(item).is_some());
    let mut missing = message.missing().iter().peekable();
    let one = |index| match missing.next_if(|missing| missing.index == index) {
        Some(missing) if missing.corrupt => Some(StagedAttachment::Corrupt { detail: missing.detail.clone() }),
        Some(missing) => Some(StagedAttachment::Missing { detail: missing.detail.clone() }),
        None => {
            let file = files.next()?;
            Some(StagedAttachment::Present { bytes: file.bytes.clone(), digest: file.digest })
        }
    };
    (0..attachments).map_while(one).collect()
}
