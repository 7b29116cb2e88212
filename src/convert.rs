//! An item as an e-mail message. Pure: no I/O, no clock, no randomness; the same input gives the same bytes.
//!
//! Everything that the contract lists of an item is in its message, or the message says what is missing; an item of a type
//! that the contract doesn't list is shown as it came. No value of an item, however
//! hostile, can end a header, forge a part, or name a file outside a folder.

use chrono::SubsecRound as _;

use crate::identity::{Identities, Identity, Thread};
use crate::item::{Chat, Item, Participant};
use crate::output_text;
use crate::resolution::Resolution;
pub use attachment::{MissingAttachment, StagedAttachment};
pub use mail::{Address, Mail, MailAttachment};
pub use message::{Manifest, ManifestAttachment, Message};
pub(crate) use mime::unstructured;
pub(crate) use people::{display_name, is_usable as is_usable_address, sender_of};
pub(crate) use remark::{remarks, told};

use attachment::File;
use body::Body;
use people::People;

mod attachment;
mod body;
pub(crate) mod body_text;
mod details;
mod direction;
mod file_name;
mod group_event;
mod headers;
mod kind;
mod mail;
mod media_type;
mod message;
mod mime;
mod other;
mod people;
mod picture;
mod remark;
mod said;
mod section;
mod subject;
#[cfg(test)]
mod tests;
mod vcard;

/// The version of the converter: changed with every change of its output, recorded with each copy that is sent.
pub const CONVERTER_VERSION: &str = "4";

/// An item's message. `attachments` are its attachments as staged, in its own order; `resolution` is what was recorded
/// before the first copy was sent; who has no address gets one under `placeholder_domain`.
pub fn convert(
    item: &Item,
    attachments: &[StagedAttachment],
    resolution: &Resolution,
    placeholder_domain: &str,
) -> Message {
    convert_as(item, attachments, resolution, placeholder_domain, None)
}

/// The same of an item whose copies have had the identity `recorded` so far, and go on having it.
pub fn convert_as(
    item: &Item,
    attachments: &[StagedAttachment],
    resolution: &Resolution,
    placeholder_domain: &str,
    recorded: Option<Identity>,
) -> Message {
    let people = People::of(item, resolution, placeholder_domain);
    let identities = identities_of(item, attachments, recorded);
    let message_id = identities.sent_as.message_id();
    let thread = Thread::of(item);
    let files = attachment::files(item, attachments, &message_id);
    let missing: Vec<MissingAttachment> = files.iter().filter_map(File::to_missing).collect();
    let subject = subject::of(item, &people);
    let body = Body::of(item, &people, &files, &subject);
    let mail = Mail {
        message_id,
        references: thread.references().cloned().collect(),
        in_reply_to: thread.original,
        date: item.time.at.trunc_subsecs(0),
        from: from(item, &people),
        to: to(item, &people),
        thread_topic: subject::thread_topic(item, &people),
        extra_headers: headers::of(item, &missing),
        text: body.to_text(),
        html: body.to_html(),
        subject,
        attachments: files.iter().filter_map(File::to_mail).collect(),
    };
    Message::of_item(mail, identities, missing)
}

/// The identities of an item as staged: for each attachment the declared digest, else that of its bytes; nothing where it
/// is missing or corrupt.
fn identities_of(item: &Item, attachments: &[StagedAttachment], recorded: Option<Identity>) -> Identities {
    let digests = (0..item.attachments.len().max(attachments.len())).map(|index| match attachments.get(index)? {
        StagedAttachment::Present { digest, .. } => {
            Some(item.attachments.get(index).and_then(|declared| declared.digest).unwrap_or(*digest))
        }
        StagedAttachment::Missing { .. } | StagedAttachment::Corrupt { .. } => None,
    });
    Identities::of(item, &digests.collect::<Vec<_>>(), recorded)
}

fn from(item: &Item, people: &People<'_>) -> Address {
    sender_of(item).map_or_else(|| people.stand_in("Unknown sender", "unknown-sender"), |sender| people.address(sender))
}

/// All who took part but the sender, recipients first, so that a search for any of them finds the message. Without any, a
/// group stands for itself.
fn to(item: &Item, people: &People<'_>) -> Vec<Address> {
    let mut seen = std::collections::HashSet::new();
    let mut to: Vec<&Participant> =
        item.recipients.iter().filter(|recipient| seen.insert(item.key_of(recipient))).collect();
    seen.extend(sender_of(item).map(|sender| item.key_of(sender)));
    let others = item.participants().into_iter().filter(|participant| participant.has_value());
    to.extend(others.filter(|participant| seen.insert(item.key_of(participant))));
    let to: Vec<Address> = to.into_iter().map(|participant| people.address(participant)).collect();
    let chat = match &item.chat {
        Chat::Group(chat) | Chat::Broadcast(chat) if to.is_empty() => chat,
        _ => return to,
    };
    let id = chat.id.as_deref().or(chat.data_id.as_deref());
    let name = chat.name.as_deref().filter(|own| output_text::name(own, 1).is_some());
    match (name.or(id), id.or(name)) {
        (Some(name), Some(id)) => vec![people.stand_in(name, id)],
        _ => to,
    }
}
