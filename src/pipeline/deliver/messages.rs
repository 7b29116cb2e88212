//! The messages of copies: from the cache, else from staging once more, the same bytes.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{Deliverer, Job};
use crate::convert::Manifest;
use crate::ledger::{Delivery, ItemNo, ItemRecord, LedgerError};
use crate::pipeline::RunError;
use crate::pipeline::message_cache::{Converted, Room};
use crate::resolution::Mailbox;

/// Items that are read back from staging at the same time for one mailbox.
const MAX_READS: usize = 8;

/// Copies whose messages are in memory.
pub(super) struct Taken {
    pub(super) jobs: Vec<Job>,
    /// What was converted once more.
    pub(super) manifests: Vec<(ItemNo, Manifest)>,
    /// The last copy that there was room for.
    pub(super) last: ItemNo,
    /// Some could not be read back, which is reported.
    pub(super) has_unreadable: bool,
}

/// Where a message comes from.
enum Origin {
    Cache(Arc<Converted>),
    Staging(Box<ItemRecord>, Room),
}

impl Deliverer {
    /// The messages of copies, as many as fit into one batch and into memory now, one at the least. What can't be read back is
    /// left pending.
    pub(super) async fn take_messages(&self, mailbox: &Mailbox, queue: Vec<Delivery>) -> Result<Taken, RunError> {
        let most = self.pipeline.deps.destination.limits().batch_bytes;
        let mut origins: Vec<(Delivery, Origin)> = Vec::with_capacity(queue.len());
        let mut records = None;
        let numbers: Vec<ItemNo> = queue.iter().map(|delivery| delivery.no).collect();
        let mut bytes = 0;
        for delivery in queue {
            if bytes >= most {
                break;
            }
            if let Some(converted) = self.cache.take(delivery.no) {
                bytes += converted.message.size();
                origins.push((delivery, Origin::Cache(converted)));
                continue;
            }
            let records = match &mut records {
                Some(records) => records,
                None => records.insert(self.pipeline.deps.ledger.items(&numbers).await?),
            };
            let missing = || LedgerError::Damaged(format!("item {} has a copy to be sent, and no row", delivery.no.0));
            let record = records.remove(&delivery.no).ok_or_else(missing)?;
            let size = record.content_size();
            let room = match self.cache.try_room(size) {
                Some(room) => room,
                // Whoever waits must not hold any.
                None if !origins.is_empty() => break,
                None => self.cache.room(size).await,
            };
            bytes += size + size.div_ceil(2);
            origins.push((delivery, Origin::Staging(Box::new(record), room)));
        }
        self.read(mailbox, origins).await
    }

    async fn read(&self, mailbox: &Mailbox, origins: Vec<(Delivery, Origin)>) -> Result<Taken, RunError> {
        let last = origins.last().map_or(ItemNo(0), |(delivery, _)| delivery.no);
        let mut taken =
            Taken { jobs: Vec::with_capacity(origins.len()), manifests: Vec::new(), last, has_unreadable: false };
        let read = |(delivery, origin): (Delivery, Origin)| async move {
            Ok::<_, RunError>(match origin {
                Origin::Cache(converted) => (delivery, Some(converted), false),
                Origin::Staging(record, room) => {
                    let converted = self.pipeline.convert_again(&record, room).await?;
                    (delivery, converted.map(Arc::new), true)
                }
            })
        };
        let mut read = futures_util::stream::iter(origins).map(read).buffered(MAX_READS);
        while let Some((delivery, converted, is_new)) = read.try_next().await? {
            let Some(converted) = converted else {
                self.unreadable(mailbox, &delivery).await;
                taken.has_unreadable = true;
                continue;
            };
            if is_new {
                taken.manifests.push((delivery.no, converted.message.manifest()));
            }
            taken.jobs.push(Job { no: delivery.no, converted });
        }
        Ok(taken)
    }
}
