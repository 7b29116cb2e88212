//! A mailbox's copies that are not in memory: read back from the ledger and staging when their turn comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::outcomes::settled;
use super::{Deliverer, Health, Next};
use crate::convert::{CONVERTER_VERSION, Message, StagedAttachment, convert};
use crate::ledger::{Delivery, DeliveryState, ItemNo, QueueOf};
use crate::pipeline::candidate::Candidate;
use crate::pipeline::dispatch::Job;
use crate::pipeline::{RunError, rows};
use crate::resolve::Mailbox;

/// Copies that are read back at a time.
const COPIES: u32 = 50;

/// Duplicates that are settled at a time.
const DUPLICATES: u32 = 500;

impl Deliverer {
    /// Sends the copies that are ready in the ledger.
    pub(super) async fn send_backlog(
        &self,
        mailbox: &Mailbox,
        health: &mut Health,
        pauses: &mut (impl Iterator<Item = Duration> + Send),
    ) -> Result<Next, RunError> {
        // What is told and not recorded yet would be read as it was before.
        self.settler.flush().await?;
        let ledger = &self.pipeline.parts.ledger;
        let ready = ledger.queue(&self.run, &mailbox.id, QueueOf::Ready, ItemNo(0), COPIES).await?;
        if ready.is_empty() {
            self.dispatch.backlog_done(mailbox);
            return Ok(Next::GoOn);
        }
        let jobs: Vec<Job> = self.read_back(ready).await?.into_iter().map(|(_, job)| job).collect();
        self.intend_and_send(mailbox, jobs, health, pauses).await
    }

    /// Looks up copies of unknown outcome, once the mailbox has settled. What is absent is sent again.
    pub(super) async fn look_up(
        &self,
        mailbox: &Mailbox,
        health: &mut Health,
        pauses: &mut (impl Iterator<Item = Duration> + Send),
    ) -> Result<Next, RunError> {
        self.settler.flush().await?;
        let pipeline = &self.pipeline;
        let mut after = ItemNo(0);
        loop {
            let unknown = pipeline.parts.ledger.queue(&self.run, &mailbox.id, QueueOf::Unknown, after, COPIES).await?;
            let Some(last) = unknown.last() else { return Ok(Next::GoOn) };
            after = last.no;
            let mut absent = Vec::new();
            for (delivery, job) in self.read_back(unknown).await? {
                if let Some(settle_at) = delivery.settle_at {
                    tokio::select! {
                        () = pipeline.stop.cancelled() => return Ok(Next::GoOn),
                        () = pipeline.parts.clock.sleep_until(settle_at) => {}
                    }
                }
                absent.extend(self.look_up_one(mailbox, job).await);
            }
            if self.intend_and_send(mailbox, absent, health, pauses).await? == Next::LeaveIt {
                return Ok(Next::LeaveIt);
            }
        }
    }

    /// Looks one copy up; gives it back where it is certainly absent. Without an answer it stays unknown, and a later run looks again.
    async fn look_up_one(&self, mailbox: &Mailbox, job: Job) -> Option<Job> {
        let door = &self.pipeline.parts.door;
        match self.pipeline.retrier.run("looking a copy up", || door.recover(mailbox, &job.message)).await {
            Ok(Some(remote)) => {
                tracing::info!(event = "copy_found", run.id = %self.run, mailbox = %mailbox.address, item.no = job.no.0, "a copy of unknown outcome is there");
                self.imported(mailbox, &job, remote, 0).await;
                None
            }
            Ok(None) => Some(job),
            Err(error) => {
                tracing::warn!(event = "look_up_failed", run.id = %self.run, mailbox = %mailbox.address, item.no = job.no.0, error = %error, "a copy could not be looked up; it stays unknown");
                None
            }
        }
    }

    /// Settles the captures of messages that the mailbox has from another capture.
    pub(super) async fn settle_duplicates(&self, mailbox: &Mailbox) -> Result<(), RunError> {
        let ledger = &self.pipeline.parts.ledger;
        self.settler.flush().await?;
        let mut after = ItemNo(0);
        loop {
            let waiting = ledger.queue(&self.run, &mailbox.id, QueueOf::Duplicates, after, DUPLICATES).await?;
            let Some(last) = waiting.last() else { return Ok(()) };
            after = last.no;
            let identities: Vec<_> = waiting.iter().map(|delivery| delivery.identity).collect();
            let first: HashMap<_, _> = ledger.first_copies(&mailbox.id, &identities).await?.into_iter().collect();
            for delivery in &waiting {
                match first.get(&delivery.identity) {
                    Some(DeliveryState::Imported | DeliveryState::PartiallyImported) => {
                        let skipped = settled(delivery.no, mailbox, DeliveryState::SkippedDuplicate, 0);
                        self.settler.tell(skipped, None).await;
                    }
                    // The first capture can't be delivered: this one takes its place.
                    Some(DeliveryState::Failed) | None => {
                        ledger.promote(&mailbox.id, delivery.identity, delivery.no).await?;
                        self.dispatch.add_backlog(mailbox);
                    }
                    // It waits with the first one.
                    Some(_) => {}
                }
            }
            self.settler.flush().await?;
        }
    }

    async fn intend_and_send(
        &self,
        mailbox: &Mailbox,
        jobs: Vec<Job>,
        health: &mut Health,
        pauses: &mut (impl Iterator<Item = Duration> + Send),
    ) -> Result<Next, RunError> {
        if jobs.is_empty() {
            return Ok(Next::GoOn);
        }
        let parts = &self.pipeline.parts;
        let items: Vec<_> = jobs.iter().map(|job| (job.no, job.message.manifest())).collect();
        let intend = || parts.ledger.intend(&parts.holder, &mailbox.id, &items, CONVERTER_VERSION);
        self.pipeline.retrier.run("recording intents", intend).await?;
        let mut batches = self.batches(jobs).into_iter();
        while let Some(batch) = batches.next() {
            let stopping = self.pipeline.stop.is_cancelled();
            if stopping || self.send(mailbox, batch.clone(), health, pauses).await? == Next::LeaveIt {
                // Nothing of the rest was sent.
                let rest = if stopping {
                    std::iter::once(batch).chain(batches).collect()
                } else {
                    batches.collect::<Vec<_>>()
                };
                for jobs in rest {
                    self.unsent(mailbox, jobs, DeliveryState::Ready, None).await;
                }
                return Ok(if stopping { Next::GoOn } else { Next::LeaveIt });
            }
        }
        Ok(Next::GoOn)
    }

    fn batches(&self, jobs: Vec<Job>) -> Vec<Vec<Job>> {
        let limits = self.pipeline.parts.door.limits();
        let mut batches: Vec<Vec<Job>> = Vec::new();
        let mut bytes = 0;
        for job in jobs {
            let size = job.message.size();
            match batches.last_mut() {
                Some(batch) if batch.len() < limits.batch_messages && bytes + size <= limits.batch_bytes => {
                    bytes += size;
                    batch.push(job);
                }
                _ => {
                    bytes = size;
                    batches.push(vec![job]);
                }
            }
        }
        batches
    }

    /// Reads deliveries' items back from staging and converts them again.
    async fn read_back(&self, queue: Vec<Delivery>) -> Result<Vec<(Delivery, Job)>, RunError> {
        let pipeline = &self.pipeline;
        let numbers: Vec<ItemNo> = queue.iter().map(|delivery| delivery.no).collect();
        let mut records = pipeline.parts.ledger.items(&numbers).await?;
        let records: Vec<_> = numbers.iter().filter_map(|no| records.remove(no)).collect();
        if records.len() != queue.len() {
            return Err(RunError::Broken("a delivery has no item in the ledger".to_owned()));
        }
        let candidates = pipeline.read_back(records).await?;
        let mut read = Vec::with_capacity(queue.len());
        for (delivery, mut candidate) in queue.into_iter().zip(candidates) {
            let content = pipeline.content_of(&mut candidate, &self.memory).await?;
            let message = self.convert_again(&candidate, &content.attachments)?;
            let job = Job {
                no: delivery.no,
                message: Arc::new(message),
                partial: rows::partial(&candidate),
                space: Arc::new(content.space),
            };
            read.push((delivery, job));
        }
        Ok(read)
    }

    fn convert_again(&self, candidate: &Candidate, attachments: &[StagedAttachment]) -> Result<Message, RunError> {
        let (Ok(item), Some(resolution)) = (&candidate.item, &candidate.history.resolution) else {
            return Err(RunError::Broken(format!("item {} has a copy to be sent, but no resolution", candidate.no.0)));
        };
        Ok(convert(item, attachments, resolution, &self.pipeline.settings.placeholder_address_domain))
    }
}
