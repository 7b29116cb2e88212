//! Items of a file, converted without any network: for a look at what a mailbox would get.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::convert::{Message, StagedAttachment, convert};
use crate::digest::Digest;
use crate::inline_content;
use crate::item::Item;
use crate::item::read::inline_contents;
use crate::resolution::Resolution;
use crate::source::directory::attachment;
use crate::source::{SourceError, export_file};

/// What became of one item of the file.
pub enum Converted {
    /// A message, and a name for its file.
    Message {
        /// `<item id>.eml`, or `<item id>-<n>.eml` for the n-th item of that id.
        name: String,
        message: Box<Message>,
    },
    /// Why there is none.
    Refused(String),
}

/// Largest attachment that is read from beside the file, in bytes.
const MAX_ATTACHMENT: u64 = 64 * 1024 * 1024;

/// The file is none of the forms that are known.
#[derive(Debug, thiserror::Error)]
#[error("the file is neither a RawMessage, nor an array of them, nor a list response, nor lines of these: {0}")]
pub struct UnknownForm(String);

/// Converts the items of a file, each when it is asked for, so that one message at a time is in memory. Attachments that
/// are not inline are looked for under `attachments/<id>/<index>-<name>` in `folder`, the one that the file is in.
pub fn convert_file(
    bytes: &Bytes,
    folder: &Path,
    now: DateTime<Utc>,
) -> Result<impl Iterator<Item = Converted>, UnknownForm> {
    let items = export_file::split(bytes).map_err(UnknownForm)?;
    let raw_items: Vec<Bytes> = items.into_iter().map(|range| bytes.slice(range)).collect();
    let mut seen = std::collections::HashMap::new();
    Ok(raw_items.into_iter().map(move |raw| match Item::read(&raw, now) {
        Err(error) => Converted::Refused(error.to_string()),
        Ok(item) if item.encrypted => {
            Converted::Refused("its content is encrypted (securityContent is set)".to_owned())
        }
        Ok(item) => {
            let attachments = read_attachments(&item, &raw, folder);
            let message = convert(&item, &attachments, &Resolution::default(), "whatsapp.invalid");
            let count = seen.entry(item.id).and_modify(|count| *count += 1).or_insert(1);
            let name = if *count == 1 { format!("{}.eml", item.id) } else { format!("{}-{count}.eml", item.id) };
            Converted::Message { name, message: Box::new(message) }
        }
    }))
}

fn read_attachments(item: &Item, raw: &[u8], folder: &Path) -> Vec<StagedAttachment> {
    let decoded = |index: usize, base64: &str| {
        let declared = item.attachments.get(index).filter(|declared| declared.inline)?;
        Some(inline_content::decode(base64, declared.digest))
    };
    let mut inline = inline_contents(raw, decoded).unwrap_or_default();
    let mut attachments = Vec::with_capacity(item.attachments.len());
    for (index, declared) in item.attachments.iter().enumerate() {
        let read = match inline.get_mut(index).and_then(Option::take).flatten() {
            Some(decoded) => decoded.map_err(|why| StagedAttachment::Corrupt { detail: why.to_owned() }),
            None => read_file(item, index, folder).map_err(|detail| StagedAttachment::Missing { detail }),
        };
        attachments.push(match read {
            Err(absent) => absent,
            Ok(bytes) => {
                let digest = Digest::of(&bytes);
                match declared.digest.filter(|expected| *expected != digest) {
                    Some(expected) => {
                        let detail = format!("its SHA-256 is {digest}, declared was {expected}");
                        StagedAttachment::Corrupt { detail }
                    }
                    None => StagedAttachment::Present { bytes: bytes.into(), digest },
                }
            }
        });
    }
    attachments
}

/// The file of an attachment, as the folder as a source finds it.
fn read_file(item: &Item, index: usize, folder: &Path) -> Result<Vec<u8>, String> {
    let name = format!("attachments/{}/{index}-…", item.id);
    let (file, size) = attachment::open(folder, item.id, index).map_err(|error| match error {
        SourceError::AttachmentGone(detail) => detail,
        _ => format!("{name} can't be read"),
    })?;
    if size > MAX_ATTACHMENT {
        return Err(format!("{name} has {size} bytes, over {MAX_ATTACHMENT}"));
    }
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes).map_err(|error| format!("{name} can't be read: {}", error.kind()))?;
    Ok(bytes)
}
