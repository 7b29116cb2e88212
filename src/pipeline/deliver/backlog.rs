//! A mailbox's copies that are not in memory: read back from the ledger and staging when their turn comes.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::outcomes::settled;
use super::{Deliverer, LOST, Next, Visit};
use crate::convert::{CONVERTER_VERSION, Message, StagedAttachment, convert};
use crate::fault::Fault;
use crate::ledger::{Delivery, DeliveryState, ItemNo, QueueOf};
use crate::mailbox::ImportError;
use crate::pipeline::candidate::{Candidate, Content};
use crate::pipeline::dispatch::Job;
use crate::pipeline::{RunError, rows};
use crate::resolve::Mailbox;

/// Most copies that are read back at a time.
pub(super) const COPIES: u32 = 50;

/// Duplicates that are settled at a time.
const DUPLICATES: u32 = 500;

/// What looking a copy up told.
enum LookedUp {
    /// It is there.
    Found,
    /// It certainly isn't.
    Absent(Job),
    /// Nothing.
    NoAnswer(ImportError),
}

impl Deliverer {
    /// Sends the copies that are ready in the ledger.
    pub(super) async fn send_backlog(&self, visit: &mut Visit<'_>) -> Result<Next, RunError> {
        let mailbox = visit.mailbox;
        // What is told and not recorded yet would be read as it was before.
        self.settler.flush().await?;
        let ledger = &self.pipeline.parts.ledger;
        let seen = self.dispatch.backlogs(mailbox);
        let ready = ledger.queue(&self.sender.run, &mailbox.id, QueueOf::Ready, ItemNo(0), visit.at_a_time).await?;
        if ready.is_empty() {
            self.dispatch.backlog_done(mailbox, seen);
            return Ok(Next::GoOn);
        }
        let (_, jobs) = self.read_back(visit, ready).await?;
        self.intend_and_send(visit, jobs).await
    }

    /// Looks up copies of unknown outcome, once the mailbox has settled. What is absent is sent again.
    pub(super) async fn look_up(&self, visit: &mut Visit<'_>) -> Result<Next, RunError> {
        self.settler.flush().await?;
        let mailbox = visit.mailbox;
        let pipeline = &self.pipeline;
        let mut after = ItemNo(0);
        loop {
            let ledger = &pipeline.parts.ledger;
            let unknown = ledger.queue(&self.sender.run, &mailbox.id, QueueOf::Unknown, after, visit.at_a_time).await?;
            let Some(settled) = unknown.iter().map(|delivery| delivery.settle_at).max() else { return Ok(Next::GoOn) };
            self.wait_until_settled(visit, settled).await?;
            if pipeline.stop.is_cancelled() {
                // An "absent" would be believed too early.
                return Ok(Next::GoOn);
            }
            let (last, jobs) = self.read_back(visit, unknown).await?;
            after = last;
            let ids: Vec<_> = jobs.iter().map(|job| job.message.mail.message_id.clone()).collect();
            let not_there = match pipeline.parts.door.absent(mailbox, &ids).await {
                Ok(not_there) => not_there,
                Err(error) => return Ok(self.look_up_later(mailbox, error)),
            };
            let (mut absent, jobs): (Vec<_>, Vec<_>) =
                jobs.into_iter().partition(|job| not_there.contains(&job.message.mail.message_id));
            let mut trouble = None;
            for job in jobs {
                if pipeline.stop.is_cancelled() {
                    return Ok(Next::GoOn);
                }
                match self.look_up_one(visit, job).await {
                    LookedUp::Absent(job) => absent.push(job),
                    // One copy's own trouble: it stays unknown, and is no obstacle to the others.
                    LookedUp::Found | LookedUp::NoAnswer(ImportError::Unexpected(_) | ImportError::Rejected(_)) => {}
                    LookedUp::NoAnswer(error) => {
                        trouble = Some(error);
                        break;
                    }
                }
            }
            let absent = self.without_lost(visit, absent).await;
            match self.intend_and_send(visit, absent).await? {
                Next::GoOn => {}
                next => {
                    self.dispatch.add_look_ups(mailbox);
                    return Ok(next);
                }
            }
            if let Some(error) = trouble {
                return Ok(self.look_up_later(mailbox, error));
            }
        }
    }

    /// An "absent" is believed from `settled` on. A time further away than the door ever needs was noted by a wrong clock.
    async fn wait_until_settled(&self, visit: &mut Visit<'_>, settled: Option<DateTime<Utc>>) -> Result<(), RunError> {
        let (parts, now) = (&self.pipeline.parts, self.pipeline.now());
        let longest = now + chrono::Duration::from_std(parts.door.settle()).unwrap_or_default();
        match settled.map(|settled| settled.min(longest)).filter(|settled| *settled > now) {
            Some(settled) => self.wait(visit, parts.clock.sleep_until(settled)).await,
            None => Ok(()),
        }
    }

    /// Looks one copy up. Without an answer it stays unknown, and is looked up again.
    async fn look_up_one(&self, visit: &mut Visit<'_>, job: Job) -> LookedUp {
        let mailbox = visit.mailbox;
        match self.pipeline.parts.door.recover(mailbox, &job.message, &self.permit()).await {
            Ok(Some(remote)) => {
                tracing::info!(event = "copy_found", run.id = %self.sender.run, mailbox = %mailbox.address, item.no = job.no.0, "a copy of unknown outcome is there");
                visit.succeeded();
                self.imported(mailbox, &job, remote, 0).await;
                LookedUp::Found
            }
            Ok(None) => LookedUp::Absent(job),
            Err(ImportError::Incomplete { remote, detail }) => {
                visit.succeeded();
                self.imported_without(mailbox, &job, remote, detail, 0).await;
                LookedUp::Found
            }
            Err(error) => {
                tracing::warn!(event = "look_up_failed", run.id = %self.sender.run, mailbox = %mailbox.address, item.no = job.no.0, error = %error, "a copy could not be looked up; it stays unknown");
                LookedUp::NoAnswer(error)
            }
        }
    }

    /// Leaves absent copies pending that were lost too often to be sent in this run again; returns the others.
    async fn without_lost(&self, visit: &mut Visit<'_>, absent: Vec<Job>) -> Vec<Job> {
        let is_lost = |job: &Job| visit.lost.get(&job.no).is_some_and(|times| *times >= LOST);
        let (lost, others) = absent.into_iter().partition(is_lost);
        let detail = "it was sent several times, and is not there; see the log";
        self.unsent(visit.mailbox, lost, DeliveryState::Pending, Some(detail)).await;
        others
    }

    /// A mailbox that doesn't answer is asked again after a pause; one that refuses to is left alone.
    fn look_up_later(&self, mailbox: &Mailbox, error: ImportError) -> Next {
        let after = match Fault::from(&error) {
            Fault::Retry { after } => after,
            Fault::LookUp => None,
            Fault::Hold | Fault::Reject(_) | Fault::Fatal => return Next::LeaveIt,
        };
        self.dispatch.add_look_ups(mailbox);
        Next::TryLater(after, error)
    }

    /// Settles the captures of messages that the mailbox has from another capture.
    pub(super) async fn settle_duplicates(&self, mailbox: &Mailbox) -> Result<(), RunError> {
        let ledger = &self.pipeline.parts.ledger;
        self.settler.flush().await?;
        let mut after = ItemNo(0);
        loop {
            let waiting = ledger.queue(&self.sender.run, &mailbox.id, QueueOf::Duplicates, after, DUPLICATES).await?;
            let Some(last) = waiting.last() else { return Ok(()) };
            after = last.no;
            let identities: Vec<_> = waiting.iter().map(|delivery| delivery.identity).collect();
            let mut first: HashMap<_, _> = ledger.first_copies(&mailbox.id, &identities).await?.into_iter().collect();
            for delivery in &waiting {
                match first.get(&delivery.identity) {
                    Some(DeliveryState::Imported | DeliveryState::PartiallyImported) => {
                        let skipped = settled(delivery.no, mailbox, DeliveryState::SkippedDuplicate, 0);
                        self.settler.tell(skipped, None).await;
                    }
                    // The first capture can't be delivered: this one takes its place, and those after it wait for this one.
                    Some(DeliveryState::Failed) | None => {
                        let state = ledger.promote(&mailbox.id, delivery.identity, delivery.no).await?;
                        first.insert(delivery.identity, state);
                        self.dispatch.add_backlog(mailbox);
                        self.dispatch.add_look_ups(mailbox);
                        self.dispatch.add_duplicates(mailbox);
                    }
                    // It waits with the first one.
                    Some(_) => {}
                }
            }
            self.settler.flush().await?;
        }
    }

    async fn intend_and_send(&self, visit: &mut Visit<'_>, jobs: Vec<Job>) -> Result<Next, RunError> {
        if jobs.is_empty() {
            return Ok(Next::GoOn);
        }
        let mailbox = visit.mailbox;
        let parts = &self.pipeline.parts;
        let items: Vec<_> = jobs.iter().map(|job| (job.no, job.message.manifest())).collect();
        let intend = || parts.ledger.intend(&self.sender, &mailbox.id, &items, CONVERTER_VERSION);
        self.pipeline.retrier.run("recording intents", intend).await?;
        let mut batches = self.batches(jobs).into_iter();
        let mut next = Next::GoOn;
        while matches!(next, Next::GoOn)
            && !self.pipeline.stop.is_cancelled()
            && let Some(batch) = batches.next()
        {
            next = self.send(visit, batch).await?;
        }
        // Nothing of the rest was sent.
        for batch in batches {
            self.unsent(mailbox, batch, DeliveryState::Ready, None).await;
        }
        Ok(next)
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

    /// Reads deliveries' items back from staging and converts them again: as many as there is memory for now, one at the
    /// least. Tells the last of them. What can't be read back is left pending.
    async fn read_back(&self, visit: &mut Visit<'_>, queue: Vec<Delivery>) -> Result<(ItemNo, Vec<Job>), RunError> {
        let pipeline = &self.pipeline;
        let (asked, mut read) = (queue.len(), 0_u32);
        let numbers: Vec<ItemNo> = queue.iter().map(|delivery| delivery.no).collect();
        let mut records = pipeline.parts.ledger.items(&numbers).await?;
        let records: Vec<_> = numbers.iter().filter_map(|no| records.remove(no)).collect();
        if records.len() != queue.len() {
            return Err(RunError::Broken("a delivery has no item in the ledger".to_owned()));
        }
        let mut candidates: HashMap<ItemNo, Candidate> =
            pipeline.read_back(records).await?.into_iter().map(|candidate| (candidate.no, candidate)).collect();
        let mut last = ItemNo(0);
        let mut jobs: Vec<Job> = Vec::with_capacity(queue.len());
        for delivery in queue {
            let job = match candidates.remove(&delivery.no) {
                None => None,
                Some(mut candidate) => {
                    let size = candidate.content_size();
                    let space = match self.memory.try_read_back(size) {
                        // Whoever waits must not hold any.
                        None if !jobs.is_empty() => break,
                        None => self.memory.read_back(size).await,
                        space => space,
                    };
                    let space = space.ok_or_else(|| RunError::Broken("the memory budget was closed".to_owned()))?;
                    let content = pipeline.read_content(&mut candidate, space).await?;
                    content.map(|content| self.job(&candidate, content)).transpose()?
                }
            };
            last = delivery.no;
            read += 1;
            match job {
                Some(job) => jobs.push(job),
                None => self.unreadable(visit.mailbox, &delivery).await,
            }
        }
        // What there is no memory for now would be read in vain again.
        visit.at_a_time = if read as usize == asked { (2 * visit.at_a_time).min(COPIES) } else { read.max(1) };
        Ok((last, jobs))
    }

    /// A copy once more, from what is recorded and staged.
    fn job(&self, candidate: &Candidate, content: Content) -> Result<Job, RunError> {
        let message = self.convert_again(candidate, &content.attachments)?;
        Ok(Job {
            no: candidate.no,
            message: Arc::new(message),
            partial: rows::partial(candidate),
            space: Arc::new(content.space),
        })
    }

    fn convert_again(&self, candidate: &Candidate, attachments: &[StagedAttachment]) -> Result<Message, RunError> {
        let (Ok(item), Some(resolution)) = (&candidate.item, &candidate.history.resolution) else {
            return Err(RunError::Broken(format!("item {} has a copy to be sent, but no resolution", candidate.no.0)));
        };
        Ok(convert(item, attachments, resolution, &self.pipeline.settings.placeholder_address_domain))
    }
}
