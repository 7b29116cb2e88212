//! Following: this process sends copies of another one's run, while that one pulls and keeps the account.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::deliver::Deliverer;
use super::finder::Finder;
use super::leader::POLL_INTERVAL;
use super::leases::Leases;
use super::message_cache::MessageCache;
use super::recorder::recorder;
use super::run::span_of;
use super::scheduler::Scheduler;
use super::{Pipeline, RunError};
use crate::ledger::{Lease, LedgerError, RunId, Sender};
use crate::resolution::Mailbox;
use crate::whereabouts::Whereabouts;

/// For how many looks a mailbox is left alone that had nothing more for a follower: long enough for the leader to see it free.
const REST_POLLS: u32 = 4;

/// The mailboxes that a follower looks ahead at: what it takes later, another process may have taken by then.
const MAX_AHEAD: usize = 64;

impl Pipeline {
    /// Becomes the process that pulls. As long as another one is, sends copies of its run. The lease stays this process's for the run that
    /// it begins next.
    pub async fn follow_until_turn(&self) -> Result<(), RunError> {
        let (mut is_logged, mut followed) = (false, None);
        while !self.stop.is_cancelled() {
            let leases = Leases::new(self.settings.lease, &*self.deps.clock);
            if self.take_leases(&leases, &[Lease::Puller]).await?.contains(&true) {
                return Ok(());
            }
            match self.deps.ledger.run_to_follow(self.now()).await? {
                Some(run) if followed.as_ref() != Some(&run.id) => {
                    self.follow(run.id.clone()).await?;
                    followed = Some(run.id);
                }
                // Its run has just begun, nearly ended, or is one that nobody can follow.
                _ => self.wait_for_puller(&mut is_logged).await?,
            }
        }
        Err(RunError::Stopped)
    }

    /// Sends copies of another process's run until that run ends, or has no need of it any more.
    pub async fn follow(&self, run: RunId) -> Result<(), RunError> {
        let span = span_of(&run);
        self.follow_run(run).instrument(span).await
    }

    async fn follow_run(&self, run: RunId) -> Result<(), RunError> {
        let (ledger, holder) = (&self.deps.ledger, &self.deps.holder);
        self.compare_clocks().await?;
        let sender = Sender { run, holder: holder.clone(), is_follower: true };
        let leases = Arc::new(Leases::new(self.settings.lease, &*self.deps.clock));
        self.take_leases(&leases, &[sender.lease()]).await?;
        tracing::info!(event = "help_started", "another process's run is under way; this one sends some of its copies");
        let pipeline = self.for_one_run();
        let (kept, sent) = pipeline.with_leases(&leases, pipeline.send_for(&sender, &leases)).await;
        let result = kept.map_err(RunError::from).and(sent);
        ledger.release_leases(holder).await?;
        tracing::info!(event = "help_ended", "this process no longer sends for the other process's run");
        match result {
            // The run ended first. What was being sent then is looked up by the next one.
            Err(RunError::Ledger(LedgerError::LeaseLost(_)) | RunError::Stopped) => Ok(()),
            result => result,
        }
    }

    async fn send_for(&self, sender: &Sender, leases: &Arc<Leases>) -> Result<(), RunError> {
        self.retrier.run("preparing staging", || self.deps.staging.prepare()).await?;
        self.claim_staging().await?;
        let (recorder, notes) = recorder();
        let recording = self.spawn(self.clone().record_notes(sender.clone(), notes));
        let cache = Arc::new(MessageCache::new(self.settings.max_item_size));
        let deliverer = Deliverer::new(self, sender, leases, &cache, &recorder);
        drop(recorder);
        let scheduler = Arc::clone(&deliverer.scheduler);
        let fed = CancellationToken::new();
        let delivering = self.spawn(deliverer.deliver_all(fed.clone()));
        let supplied = self.find_mailboxes(sender, &scheduler).await;
        fed.cancel();
        let sent = super::run::ended(delivering).await;
        let record = super::run::ended(recording).await;
        record.and(sent).and(supplied)
    }

    /// The mailboxes with copies of earlier runs' items, which may not be where they were, and the others.
    async fn with_earlier_items(
        &self,
        sender: &Sender,
        mailboxes: Vec<Mailbox>,
    ) -> Result<(Vec<Mailbox>, Vec<Mailbox>), RunError> {
        if mailboxes.is_empty() || self.deps.destination.is_reached_by_id() {
            return Ok((Vec::new(), mailboxes));
        }
        let of_earlier = || self.deps.ledger.mailboxes_with_earlier_items(&sender.run);
        let of_earlier = self.retrier.run("asking for mailboxes of earlier runs", of_earlier).await?;
        Ok(mailboxes.into_iter().partition(|mailbox| of_earlier.contains(&mailbox.id)))
    }

    /// Looks for mailboxes that nobody is at, while the run is under way.
    async fn find_mailboxes(&self, sender: &Sender, scheduler: &Scheduler) -> Result<(), RunError> {
        let ledger = &self.deps.ledger;
        let mut rests: HashMap<_, u32> = HashMap::new();
        let finder = Finder::new(self);
        while !self.stop.is_cancelled() {
            let run = || ledger.run_to_follow(self.now());
            match self.retrier.run("asking for the run to follow", run).await? {
                Some(run) if run.id == sender.run => {}
                _ => break,
            }
            rests.retain(|_, looks| {
                *looks = looks.saturating_sub(1);
                *looks > 0
            });
            rests.extend(scheduler.take_idle().into_iter().map(|mailbox| (mailbox, REST_POLLS)));
            if !scheduler.has_waiting() {
                let waiting = || ledger.mailboxes_to_share(&sender.run);
                let mut waiting = self.retrier.run("asking for mailboxes", waiting).await?;
                waiting.retain(|mailbox| !rests.contains_key(&mailbox.id));
                let mut free = ledger.free_mailboxes(&sender.holder, waiting, self.now()).await?;
                free.truncate(MAX_AHEAD);
                let (earlier, fresh) = self.with_earlier_items(sender, free).await?;
                for mailbox in &fresh {
                    scheduler.found_at(mailbox);
                    scheduler.add_all(mailbox);
                }
                for (mailbox, found) in earlier.iter().zip(finder.find(&earlier).await) {
                    match found {
                        Whereabouts::At(now) => {
                            scheduler.found_at(&now);
                            scheduler.add_all(&now);
                        }
                        // The leader leaves open what there is for it, and says so.
                        Whereabouts::Lost(_) => drop(rests.insert(mailbox.id.clone(), REST_POLLS)),
                    }
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.deps.clock.sleep(POLL_INTERVAL) => {}
            }
        }
        Ok(())
    }
}
