//! Helping: this process sends a part of the copies of another one's run, while that one pulls and keeps the account.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::deliver::Deliverer;
use super::dispatch::Dispatch;
use super::leases::Leases;
use super::memory::Memory;
use super::settle::{Settler, settler};
use super::sharing::POLL;
use super::{Pipeline, RunError};
use crate::ledger::{LedgerError, RunId, Sender};
use crate::resolve::{Mailbox, MailboxId};

/// For how many looks a mailbox is left alone that was given back: long enough for the leading process to see it free.
const REST: u32 = 4;

/// A helper at its work.
struct Helper {
    pipeline: Pipeline,
    sender: Sender,
    leases: Arc<Leases>,
    dispatch: Arc<Dispatch>,
    settler: Settler,
}

impl Pipeline {
    /// Sends copies of another process's run until that run ends, or has no need of it any more.
    pub async fn help(&self, run: RunId) -> Result<(), RunError> {
        let (ledger, holder) = (&self.parts.ledger, &self.parts.holder);
        let sender = Sender { run, holder: holder.clone(), helps: true };
        let leases = Arc::new(Leases::new(self.settings.lease, self.now()));
        self.take_leases(&leases, &[sender.lease()]).await?;
        tracing::info!(event = "help_started", run.id = %sender.run, "another process's run is under way; this one sends a part of its copies");
        let pipeline = self.for_one_run();
        let (kept, sent) = pipeline.with_leases(&leases, pipeline.send_for(&sender, &leases)).await;
        let result = kept.map_err(RunError::from).and(sent);
        ledger.release_leases(holder).await?;
        tracing::info!(event = "help_ended", run.id = %sender.run, "this process no longer sends for the other one's run");
        match result {
            // The run ended first. What was being sent then is looked up by the next one.
            Err(RunError::Ledger(LedgerError::LeaseLost(_)) | RunError::Stopped) => Ok(()),
            result => result,
        }
    }

    async fn send_for(&self, sender: &Sender, leases: &Arc<Leases>) -> Result<(), RunError> {
        self.retrier.run("preparing staging", || self.parts.staging.prepare()).await?;
        self.claim_staging().await?;
        let dispatch = Arc::new(Dispatch::default());
        let (settler, outcomes) = settler();
        let recording = self.spawn(self.clone().settle_outcomes(sender.clone(), outcomes));
        let memory = Memory::new(self.settings.max_item_size);
        let deliverer = Deliverer::new(self, sender, leases, memory, &dispatch, &settler);
        let fed = CancellationToken::new();
        let delivering = self.spawn(deliverer.deliver_all(fed.clone()));
        let helper =
            Helper { pipeline: self.clone(), sender: sender.clone(), leases: Arc::clone(leases), dispatch, settler };
        let supplied = helper.feed().await;
        drop(helper);
        fed.cancel();
        let sent = super::run::ended(delivering).await;
        let recorded = super::run::ended(recording).await;
        recorded.and(sent).and(supplied)
    }
}

impl Helper {
    /// Looks for mailboxes that nobody is at, and gives back those that it is done with, while the run is under way.
    async fn feed(&self) -> Result<(), RunError> {
        let (pipeline, ledger) = (&self.pipeline, &self.pipeline.parts.ledger);
        let mut rests = HashMap::new();
        while !pipeline.stop.is_cancelled() {
            self.give_back(&mut rests).await?;
            let run = || ledger.run_to_help(pipeline.now());
            match pipeline.retrier.run("asking for the run to help", run).await? {
                Some(run) if run.id == self.sender.run => {}
                _ => break,
            }
            let waiting = || ledger.mailboxes_to_help(&self.sender.run);
            let mut waiting = pipeline.retrier.run("asking for mailboxes to help", waiting).await?;
            waiting.retain(|mailbox| !rests.contains_key(&mailbox.id));
            self.take(waiting).await?;
            tokio::select! {
                () = pipeline.stop.cancelled() => {}
                () = pipeline.parts.clock.sleep(POLL) => {}
            }
        }
        Ok(())
    }

    /// Takes the mailboxes that are free, and looks again into those that it has.
    async fn take(&self, waiting: Vec<Mailbox>) -> Result<(), RunError> {
        let ids: Vec<MailboxId> = waiting.iter().map(|mailbox| mailbox.id.clone()).collect();
        let ours = self.pipeline.take_mailboxes(&self.leases, &ids).await?;
        for (mailbox, _) in waiting.iter().zip(ours).filter(|(_, ours)| *ours) {
            self.dispatch.add_all(mailbox);
        }
        Ok(())
    }

    /// Gives back mailboxes that have nothing left, once their outcomes are recorded. For a few looks they are left to whoever
    /// leads, who settles what no helper can; those that were given up, for good.
    async fn give_back(&self, rests: &mut HashMap<MailboxId, u32>) -> Result<(), RunError> {
        rests.retain(|_, looks| {
            *looks = looks.saturating_sub(1);
            *looks > 0
        });
        let idle = self.dispatch.take_idle();
        if idle.is_empty() {
            return Ok(());
        }
        self.settler.flush().await?;
        rests.extend(idle.iter().map(|(mailbox, given_up)| (mailbox.clone(), if *given_up { u32::MAX } else { REST })));
        let idle: Vec<MailboxId> = idle.into_iter().map(|(mailbox, _)| mailbox).collect();
        Ok(self.pipeline.release_mailboxes(&self.leases, &idle).await?)
    }
}
