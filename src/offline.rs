//! Items of a file, converted without any network: for a look at what a mailbox would get.

use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::convert::{Message, StagedAttachment, convert};
use crate::digest::Digest;
use crate::item::Item;
use crate::item::read::inline_contents;
use crate::resolve::Resolution;
use crate::source::page::split_export;

/// What became of one item of the file.
pub enum Converted {
    /// A message, and a name for its file.
    Message {
        /// `<item id>.eml`, or `<item id>-<n>.eml` for the n-th item of that id.
        name: String,
        /// The message.
        message: Box<Message>,
    },
    /// Why there is none.
    Refused(String),
}

/// Largest attachment that is read from beside the file, in bytes.
const LARGEST_ATTACHMENT: u64 = 64 * 1024 * 1024;

/// The file is none of the forms that are known.
#[derive(Debug, thiserror::Error)]
#[error("the file is neither a RawMessage, nor an array of them, nor a list response, nor JSON lines: {0}")]
pub struct UnknownForm(String);

/// Converts the items of a file, each when it is asked for, so that one message at a time is in memory. Attachments that
/// are not inline are looked for under `attachments/<id>/<index>-<name>` beside it.
pub fn convert_file(
    bytes: &Bytes,
    attachments: &Path,
    now: DateTime<Utc>,
) -> Result<impl Iterator<Item = Converted>, UnknownForm> {
    let raw_items: Vec<Bytes> = match split_export(bytes) {
        Ok((_, ranges)) => ranges.into_iter().map(|range| bytes.slice(range)).collect(),
        Err(error) => json_lines(bytes).ok_or_else(|| UnknownForm(error.to_string()))?,
    };
    let mut seen = std::collections::HashMap::new();
    Ok(raw_items.into_iter().map(move |raw| match Item::read(&raw, now) {
        Err(error) => Converted::Refused(error.to_string()),
        Ok(item) if item.encrypted => {
            Converted::Refused("its content is encrypted (securityContent is set)".to_owned())
        }
        Ok(item) => {
            let attachments = read_attachments(&item, &raw, attachments);
            let message = convert(&item, &attachments, &Resolution::default(), "whatsapp.invalid");
            let count = seen.entry(item.id).and_modify(|count| *count += 1).or_insert(1);
            let name = if *count == 1 { format!("{}.eml", item.id) } else { format!("{}-{count}.eml", item.id) };
            Converted::Message { name, message: Box::new(message) }
        }
    }))
}

/// The lines of a file of JSON lines; nothing where its first line is no JSON object.
fn json_lines(bytes: &Bytes) -> Option<Vec<Bytes>> {
    let lines: Vec<Bytes> = bytes
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| bytes.slice_ref(line))
        .collect();
    lines.first()?.starts_with(b"{").then_some(lines)
}

fn read_attachments(item: &Item, raw: &[u8], directory: &Path) -> Vec<StagedAttachment> {
    use base64::Engine as _;
    let mut inline = inline_contents(raw).unwrap_or_default();
    let directory = directory.join(item.id.to_string());
    let mut read = |index: usize| -> Result<Vec<u8>, String> {
        if let Some(base64) = inline.get_mut(index).and_then(Option::take) {
            let packed: String = base64.split_ascii_whitespace().collect();
            return base64::engine::general_purpose::STANDARD.decode(packed).map_err(|error| error.to_string());
        }
        find_file(&directory, index)
    };
    let mut attachments = Vec::with_capacity(item.attachments.len());
    for (index, declared) in item.attachments.iter().enumerate() {
        attachments.push(match read(index) {
            Err(detail) => StagedAttachment::Missing { detail },
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

/// The file `<index>-…` of a directory.
fn find_file(directory: &Path, index: usize) -> Result<Vec<u8>, String> {
    let missing = || format!("there is no file {}/{index}-…", directory.display());
    let prefix = format!("{index}-");
    let entries = std::fs::read_dir(directory).map_err(|_| missing())?;
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let file = files.first().ok_or_else(missing)?;
    let size = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > LARGEST_ATTACHMENT {
        return Err(format!("{} has {size} bytes, over {LARGEST_ATTACHMENT}", file.display()));
    }
    std::fs::read(file).map_err(|error| format!("{} can't be read: {error}", file.display()))
}
