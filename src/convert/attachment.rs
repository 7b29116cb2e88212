//! An item's attachments, in order: what goes into the message, under which name and type, and what is missing.

use bytes::Bytes;

use super::file_name::Names;
use super::mail::MailAttachment;
use super::media_type::{self, MediaType};
use super::people::display_text;
use crate::digest::Digest;
use crate::identity::MessageId;
use crate::item::{AttachmentDeclaration, Item, Kind};

/// The largest picture that the body shows itself, in bytes, and how many of them at most.
const MAX_INLINE_BYTES: usize = 1024 * 1024;
const MAX_INLINE_COUNT: usize = 10;

/// The most of an unknown item's JSON that the body shows, in bytes.
pub(super) const MAX_ITEM_BYTES: usize = 16 * 1024;

/// An attachment of an item, as it was staged.
#[derive(Debug, Clone)]
pub enum StagedAttachment {
    /// The right bytes.
    Present {
        bytes: Bytes,
        /// Their digest.
        digest: Digest,
    },
    /// The source doesn't have it (any more).
    Missing {
        /// Why, for the reader.
        detail: String,
    },
    /// The bytes came, but are not those that were declared; they stay in staging.
    Corrupt {
        /// What is wrong, for the reader.
        detail: String,
    },
}

/// An attachment that is not in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingAttachment {
    /// Its place among the item's attachments, from 0.
    pub index: usize,
    /// Its declared name, made safe.
    pub name: String,
    /// Whether its bytes came but were wrong, rather than not at all.
    pub corrupt: bool,
    /// Why, for the reader.
    pub detail: String,
}

/// An attachment as the message has it, or hasn't.
pub(super) struct File<'a> {
    /// Its place among the item's attachments, from 0.
    pub(super) index: usize,
    /// Its safe name.
    pub(super) name: String,
    /// Its name as declared, where that is another.
    pub(super) declared_name: Option<&'a str>,
    /// Its type without parameters.
    pub(super) content_type: String,
    /// What the reader should know of its type.
    pub(super) note: Option<String>,
    /// Its declared size, in bytes.
    pub(super) declared_size: Option<u64>,
    /// What there is of it.
    pub(super) content: Content<'a>,
}

/// The bytes of a file, or why there are none.
pub(super) enum Content<'a> {
    /// The right bytes.
    Present {
        bytes: &'a Bytes,
        digest: Digest,
        /// The value of `Content-Type`.
        header_value: String,
        /// The Content-ID by which the body shows it.
        content_id: Option<String>,
    },
    /// None, or wrong ones.
    Absent { detail: &'a str, corrupt: bool },
}

/// The item's files. An attachment that is declared but not among `staged` is missing.
pub(super) fn files<'a>(item: &'a Item, staged: &'a [StagedAttachment], message_id: &MessageId) -> Vec<File<'a>> {
    const UNDECLARED: &AttachmentDeclaration = &AttachmentDeclaration {
        name: None,
        content_type: None,
        size: None,
        digest: None,
        unreadable_digest: None,
        inline: false,
    };
    let mut names = Names::default();
    let mut inline_left = MAX_INLINE_COUNT;
    let mut files: Vec<File<'a>> = (0..item.attachments.len().max(staged.len()))
        .map(|index| {
            let declaration = item.attachments.get(index).unwrap_or(UNDECLARED);
            match staged.get(index) {
                Some(StagedAttachment::Present { bytes, digest }) => {
                    let mut file = present(declaration, index, bytes, *digest, &mut names);
                    if inline_left > 0 && is_shown(&file.content_type, bytes) {
                        inline_left -= 1;
                        file.show_as(format!("{index}.{}", message_id.as_str()));
                    }
                    file
                }
                Some(StagedAttachment::Missing { detail }) => absent(declaration, index, detail, false, &mut names),
                Some(StagedAttachment::Corrupt { detail }) => absent(declaration, index, detail, true, &mut names),
                None => absent(declaration, index, "it was not staged", false, &mut names),
            }
        })
        .collect();
    files.extend(item_file(item, files.len(), &mut names));
    files
}

/// The whole item as a file, where it is shown and is too long for the body.
fn item_file<'a>(item: &'a Item, index: usize, names: &mut Names) -> Option<File<'a>> {
    const JSON: &str = "application/json";
    let bytes = attached_item(item)?;
    let header_value = JSON.to_owned();
    Some(File {
        index,
        name: names.safe(Some("item.json"), index, None),
        declared_name: None,
        content_type: JSON.to_owned(),
        note: Some("the whole item as it came, without the bytes of its attachments".to_owned()),
        declared_size: None,
        content: Content::Present { bytes, digest: Digest::of(bytes), header_value, content_id: None },
    })
}

/// The whole item, where it is attached.
pub(super) fn attached_item(item: &Item) -> Option<&Bytes> {
    let is_shown_whole = |whole: &&Bytes| matches!(item.kind, Kind::Unknown(_)) && whole.len() <= MAX_ITEM_BYTES;
    item.whole.as_ref().filter(|whole| !is_shown_whole(whole))
}

impl File<'_> {
    fn show_as(&mut self, id: String) {
        if let Content::Present { content_id, .. } = &mut self.content {
            *content_id = Some(id);
        }
    }

    /// The file as a part of the message; `None` where there are no bytes.
    pub(super) fn to_mail(&self) -> Option<MailAttachment> {
        match &self.content {
            Content::Present { bytes, digest, header_value, content_id } => Some(MailAttachment {
                name: self.name.clone(),
                content_type: header_value.clone(),
                bytes: Bytes::clone(bytes),
                digest: *digest,
                content_id: content_id.clone(),
            }),
            Content::Absent { .. } => None,
        }
    }

    /// The note about a file that the message hasn't.
    pub(super) fn to_missing(&self) -> Option<MissingAttachment> {
        match self.content {
            Content::Present { .. } => None,
            Content::Absent { detail, corrupt } => Some(MissingAttachment {
                index: self.index,
                name: self.name.clone(),
                corrupt,
                detail: detail.to_owned(),
            }),
        }
    }
}

/// Pictures that mail readers show, small enough to load with every look at the message.
fn is_shown(content_type: &str, bytes: &Bytes) -> bool {
    matches!(content_type, "image/jpeg" | "image/png" | "image/gif") && bytes.len() <= MAX_INLINE_BYTES
}

fn present<'a>(
    declaration: &'a AttachmentDeclaration,
    index: usize,
    bytes: &'a Bytes,
    digest: Digest,
    names: &mut Names,
) -> File<'a> {
    let declared_name = declaration.name.as_deref();
    let extension = declared_name.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    let media_type = media_type::check(declaration.content_type.as_deref(), extension, bytes);
    let header_value = media_type.header_value();
    let content = Content::Present { bytes, digest, header_value, content_id: None };
    file(declaration, index, media_type, content, names)
}

fn absent<'a>(
    declaration: &'a AttachmentDeclaration,
    index: usize,
    detail: &'a str,
    corrupt: bool,
    names: &mut Names,
) -> File<'a> {
    let essence = media_type::declared_essence(declaration.content_type.as_deref());
    let media_type = MediaType { essence, charset: None, note: None };
    file(declaration, index, media_type, Content::Absent { detail, corrupt }, names)
}

/// What the reader should know of a file: of its type, and of a digest that nothing could be checked against.
fn note(of_type: Option<String>, unreadable_digest: Option<&str>) -> Option<String> {
    let of_digest = unreadable_digest.map(|declared| {
        let declared = display_text(declared, 200);
        format!("its declared digest can't be read, and its bytes were not checked against it: {declared}")
    });
    let notes: Vec<String> = of_type.into_iter().chain(of_digest).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

fn file<'a>(
    declaration: &'a AttachmentDeclaration,
    index: usize,
    media_type: MediaType,
    content: Content<'a>,
    names: &mut Names,
) -> File<'a> {
    let name = names.safe(declaration.name.as_deref(), index, media_type::extension(&media_type.essence));
    File {
        index,
        declared_name: declaration.name.as_deref().filter(|declared| *declared != name),
        name,
        content_type: media_type.essence,
        note: note(media_type.note, declaration.unreadable_digest.as_deref()),
        declared_size: declaration.size,
        content,
    }
}
