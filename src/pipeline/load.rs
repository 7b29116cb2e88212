//! An item read back from staging: when its turn comes later than its page, in another run, or for an export.

use std::sync::Arc;

use bytes::Bytes;

use super::attachments::inline_record;
use super::candidate::{Candidate, Content, History};
use super::message_cache::{Converted, Room};
use super::{Pipeline, RunError};
use crate::convert::{StagedAttachment, convert_as};
use crate::digest::Digest;
use crate::fault::Fault;
use crate::inline_content;
use crate::item::Item;
use crate::item::read::{Malformed, inline_contents};
use crate::ledger::{AttachmentRecord, AttachmentState, ItemNo, ItemRecord, LedgerError};
use crate::staging::{BlobName, Staging, StagingError};

/// Reads items back.
#[derive(Clone)]
pub struct Loader {
    staging: Arc<dyn Staging>,
}

impl Loader {
    /// A loader from this staging area.
    pub fn new(staging: Arc<dyn Staging>) -> Self {
        Self { staging }
    }

    /// The item's JSON, byte for byte as it was sent: from its page, else from its held copy.
    pub async fn raw(&self, record: &ItemRecord) -> Result<Bytes, StagingError> {
        let page = self.name(&record.page)?;
        let range = record.offset..record.offset + record.length;
        let raw = match self.staging.get_range(&page, range).await {
            Err(StagingError::NotFound { .. }) => {
                self.staging.get(&BlobName::held_item(record.key), record.length).await?
            }
            other => other?,
        };
        if Digest::of(&raw) != record.key.0 {
            return Err(StagingError::Damaged { name: page, detail: "the item's SHA-256 is another".to_owned() });
        }
        Ok(raw)
    }

    /// The item, read as it was read first.
    pub async fn item(&self, record: &ItemRecord) -> Result<(Bytes, Result<Item, Malformed>), StagingError> {
        let raw = self.raw(record).await?;
        let item = Item::read(&raw, record.staged_at);
        Ok((raw, item))
    }

    /// The attachments' bytes.
    pub async fn attachments(
        &self,
        record: &ItemRecord,
        raw: &[u8],
        attachments: &[AttachmentRecord],
    ) -> Result<Vec<StagedAttachment>, StagingError> {
        let is_inline = |attachment: &&AttachmentRecord| attachment.state == AttachmentState::Inline;
        let decoded = |index, base64: &str| {
            let attachment = attachments.get(index).filter(is_inline)?;
            inline_content::decode(base64, attachment.digest).ok()
        };
        let has_inline = attachments.iter().any(|attachment| is_inline(&attachment));
        let mut inline = if has_inline { inline_contents(raw, decoded).unwrap_or_default() } else { Vec::new() };
        let mut read = Vec::with_capacity(attachments.len());
        for (index, attachment) in attachments.iter().enumerate() {
            let inline = inline.get_mut(index).and_then(Option::take).flatten();
            read.push(self.attachment(record, index, attachment, inline).await?);
        }
        Ok(read)
    }

    async fn attachment(
        &self,
        record: &ItemRecord,
        index: usize,
        attachment: &AttachmentRecord,
        inline: Option<Vec<u8>>,
    ) -> Result<StagedAttachment, StagingError> {
        let (bytes, name) = match &attachment.state {
            AttachmentState::Inline => (Bytes::from(inline.unwrap_or_default()), self.name(&record.page)?),
            AttachmentState::Staged { blob } => {
                let name = self.name(blob)?;
                let bytes = match self.staging.get(&name, attachment.size).await {
                    Err(StagingError::NotFound { .. }) => {
                        self.staging.get(&BlobName::held_attachment(record.key, index), attachment.size).await?
                    }
                    other => other?,
                };
                (bytes, name)
            }
            other => return Ok(absent(other)),
        };
        let digest = Digest::of(&bytes);
        if attachment.digest != Some(digest) {
            return Err(StagingError::Damaged { name, detail: "the attachment's SHA-256 is another".to_owned() });
        }
        Ok(StagedAttachment::Present { bytes, digest })
    }

    fn name(&self, name: &str) -> Result<BlobName, StagingError> {
        let parsed = BlobName::parse(name);
        parsed.ok_or_else(|| {
            StagingError::Unavailable(format!("{name:?} is not the name of a blob in {}", self.staging.name()))
        })
    }
}

/// An attachment that has no bytes to import.
pub(super) fn absent(state: &AttachmentState) -> StagedAttachment {
    match state {
        AttachmentState::Corrupt { detail, .. } => StagedAttachment::Corrupt { detail: detail.clone() },
        AttachmentState::Awaited { detail } | AttachmentState::Missing { detail } => {
            StagedAttachment::Missing { detail: detail.clone() }
        }
        AttachmentState::TooLarge => {
            StagedAttachment::Missing { detail: "it is larger than source.max_attachment_size".to_owned() }
        }
        AttachmentState::Inline | AttachmentState::Staged { .. } => {
            StagedAttachment::Missing { detail: "its bytes are not in memory".to_owned() }
        }
    }
}

impl Pipeline {
    /// Reads items back as candidates, with what earlier runs made of them. Their attachments' bytes are read when they are
    /// needed. An item that staging gives back damaged, or not at all, is left out: its rows stay as they are.
    pub(super) async fn read_back(&self, records: Vec<ItemRecord>) -> Result<Vec<Candidate>, RunError> {
        let numbers: Vec<_> = records.iter().map(|record| record.no).collect();
        let rows = self.deps.ledger.rows_of(&numbers).await?;
        let loader = Loader::new(Arc::clone(&self.deps.staging));
        let mut candidates = Vec::with_capacity(records.len());
        for record in records {
            let item = match self.retrier.run("reading a staged item", || loader.item(&record)).await {
                Ok((_, item)) => item,
                Err(error) => {
                    unless_held(record.no, error)?;
                    continue;
                }
            };
            let rows = rows.iter().filter(|row| row.no == record.no).cloned();
            candidates.push(Candidate {
                no: record.no,
                key: record.key,
                window: record.window,
                staged_at: record.staged_at,
                item,
                attachments: record.attachments.clone(),
                content: None,
                history: History {
                    resolution: record.resolution.clone(),
                    rows: rows.collect(),
                    attachments_changed: false,
                },
                record: Some(record),
            });
        }
        Ok(candidates)
    }

    /// Reads an importable item's attachments back from staging; nothing where staging gives them back damaged, or not at all.
    pub(super) async fn read_content(
        &self,
        candidate: &Candidate<Item>,
        room: Room,
    ) -> Result<Option<Content>, RunError> {
        if !candidate.attachments.iter().any(is_staged) {
            let attachments = candidate.attachments.iter().map(|attachment| absent(&attachment.state)).collect();
            return Ok(Some(Content { attachments, room }));
        }
        let found = if let Some(record) = &candidate.record {
            record.clone()
        } else {
            let found = self.deps.ledger.items(&[candidate.no]).await?.remove(&candidate.no);
            found.ok_or_else(|| LedgerError::Damaged(format!("item {} is not in it", candidate.no.0)))?
        };
        let loader = Loader::new(Arc::clone(&self.deps.staging));
        let (record, attachments) = (&found, &candidate.attachments);
        let read = || async {
            let raw = loader.raw(record).await?;
            loader.attachments(record, &raw, attachments).await
        };
        match self.retrier.run("reading a staged item", read).await {
            Ok(attachments) => Ok(Some(Content { attachments, room })),
            Err(error) => unless_held(candidate.no, error).map(|()| None),
        }
    }

    /// The message of an item that has copies, once more from what is recorded and staged; nothing where staging gives the item
    /// back damaged, or not at all.
    pub(super) async fn convert_again(&self, record: &ItemRecord, room: Room) -> Result<Option<Converted>, RunError> {
        let loader = Loader::new(Arc::clone(&self.deps.staging));
        let read = || async {
            let (raw, item) = loader.item(record).await?;
            let attachments = loader.attachments(record, &raw, &record.attachments).await?;
            Ok::<_, StagingError>((item, attachments))
        };
        let (item, attachments) = match self.retrier.run("reading a staged item", read).await {
            Ok(read) => read,
            Err(error) => return unless_held(record.no, error).map(|()| None),
        };
        let (Ok(item), Some(resolution)) = (item, &record.resolution) else {
            let detail = format!("item {} has a copy to be sent, and can't be read or was never resolved", record.no.0);
            return Err(LedgerError::Damaged(detail).into());
        };
        let domain = &self.settings.placeholder_address_domain;
        let message = convert_as(&item, &attachments, resolution, domain, record.identity);
        Ok(Some(Converted::new(message, super::rows::partial(&record.attachments), room)))
    }
}

/// Whether an attachment has bytes in staging that are imported.
pub(super) fn is_staged(attachment: &AttachmentRecord) -> bool {
    matches!(attachment.state, AttachmentState::Inline | AttachmentState::Staged { .. })
}

/// What staging can't give back holds its item, and no other.
fn unless_held(no: ItemNo, error: StagingError) -> Result<(), RunError> {
    if Fault::from(&error) != Fault::Defer {
        return Err(error.into());
    }
    tracing::error!(event = "item_unreadable", item.no = no.0, error = %error, "a staged item can't be read back; it stays pending until staging has it again: look in the staging area's own audit log");
    Ok(())
}

/// The record and the bytes of an item's inline attachments, by their index.
pub(super) fn inline_attachments(item: &Item, raw: &[u8]) -> Vec<Option<super::attachments::Fetched>> {
    if !item.attachments.iter().any(|declared| declared.inline) {
        return item.attachments.iter().map(|_| None).collect();
    }
    let read = |index, base64: &str| item.attachments.get(index).map(|declared| inline_record(declared, Some(base64)));
    let mut contents = inline_contents(raw, read).unwrap_or_default();
    let mut each = Vec::with_capacity(item.attachments.len());
    for (index, declared) in item.attachments.iter().enumerate() {
        let content = contents.get_mut(index).and_then(Option::take).flatten();
        each.push(declared.inline.then(|| content.unwrap_or_else(|| inline_record(declared, None))));
    }
    each
}
