//! Where the messages of an export go: into files, or, for a dry run, nowhere but into a count.

use std::collections::HashSet;

use super::super::context::CommandError;
use crate::convert::{StagedAttachment, convert_as};
use crate::export::{Exporter, Finished, Row, Summary};
use crate::identity::{Identities, MessageId};
use crate::item::Item;
use crate::ledger::ItemRecord;
use crate::panics;
use crate::resolution::Resolution;

/// What an export is written to.
pub(super) enum Sink {
    Files(Box<Exporter>),
    Counts(Counts),
}

/// What an export would write.
#[derive(Default)]
pub(super) struct Counts {
    messages: HashSet<MessageId>,
    duplicates: u64,
}

impl Counts {
    /// Counts an item as [`Exporter::add`] does.
    pub(super) fn add(&mut self, item: &Item, record: &ItemRecord) {
        let digests: Vec<_> = record.attachments.iter().map(|attachment| attachment.digest).collect();
        let key = Identities::of(item, &digests, record.identity).key;
        if !self.messages.insert(key.message_id()) {
            self.duplicates += 1;
        }
    }
}

impl Sink {
    /// Names an item that is not exported.
    pub(super) fn leave_out(&mut self, row: &Row) -> Result<(), CommandError> {
        match self {
            Self::Files(exporter) => Ok(exporter.leave_out(row)?),
            Self::Counts(_) => Ok(()),
        }
    }

    /// Ends the export: how much it has, and of what was written the rest.
    pub(super) async fn finish(self) -> Result<(Summary, Option<Finished>), CommandError> {
        match self {
            Self::Files(exporter) => {
                let finished = on_own_thread(move || exporter.finish()).await?;
                Ok((finished.summary, Some(finished)))
            }
            Self::Counts(Counts { messages, duplicates }) => {
                Ok((Summary { messages: messages.len() as u64, duplicates, files: 0 }, None))
            }
        }
    }
}

/// Converts an item and writes its message.
pub(super) async fn write(
    mut exporter: Box<Exporter>,
    item: Item,
    attachments: Vec<StagedAttachment>,
    record: &ItemRecord,
    resolution: Resolution,
    domain: String,
) -> Result<Box<Exporter>, CommandError> {
    let identity = record.identity;
    on_own_thread(move || {
        let message = convert_as(&item, &attachments, &resolution, &domain, identity);
        exporter.add(&item, &resolution, &message).map(|()| exporter)
    })
    .await
}

/// Runs work that blocks on files where nobody waits for it.
async fn on_own_thread<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, CommandError>
where
    T: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    Ok(panics::blocking(work).await??)
}
