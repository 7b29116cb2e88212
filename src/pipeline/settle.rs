//! Outcomes on their way into the ledger: those of all mailboxes together, many in one transaction.

use tokio::sync::{mpsc, oneshot};

use super::memory::Space;
use super::{Pipeline, RunError};
use crate::failpoint;
use crate::fault::Fault;
use crate::ledger::{LedgerError, Outcome, Sender};

/// Most outcomes of one transaction.
const MOST: usize = 1000;

enum Note {
    /// An outcome, and what its copy kept in memory until now.
    Outcome(Outcome, Option<std::sync::Arc<Space>>),
    /// Told when everything before it is recorded.
    Flush(oneshot::Sender<()>),
}

/// Where mailboxes tell their outcomes.
#[derive(Clone)]
pub(super) struct Settler(mpsc::Sender<Note>);

/// The other end, for [`Pipeline::settle_outcomes`].
pub(super) struct Outcomes(mpsc::Receiver<Note>);

/// A settler and its other end.
pub(super) fn settler() -> (Settler, Outcomes) {
    let (sender, receiver) = mpsc::channel(2 * MOST);
    (Settler(sender), Outcomes(receiver))
}

impl Settler {
    /// Tells an outcome. Lost only where recording has failed, which ends the run.
    pub(super) async fn tell(&self, outcome: Outcome, space: Option<std::sync::Arc<Space>>) {
        // The receiver is gone only after a failure of the ledger, which is the run's error already.
        let _ = self.0.send(Note::Outcome(outcome, space)).await;
    }

    /// Returns when everything told before is recorded.
    pub(super) async fn flush(&self) -> Result<(), RunError> {
        let (sender, receiver) = oneshot::channel();
        let gone = || RunError::Broken("outcomes are not recorded any more".to_owned());
        self.0.send(Note::Flush(sender)).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())
    }
}

/// What a failure of the ledger means: passing, as far as anybody can tell from here.
impl From<&LedgerError> for Fault {
    fn from(error: &LedgerError) -> Self {
        match error {
            LedgerError::Database(_) => Self::Retry { after: None },
            _ => Self::Fatal,
        }
    }
}

impl Pipeline {
    /// Records outcomes until all settlers are gone.
    pub(super) async fn settle_outcomes(self, sender: Sender, mut outcomes: Outcomes) -> Result<(), RunError> {
        let mut notes = Vec::with_capacity(MOST);
        while outcomes.0.recv_many(&mut notes, MOST).await > 0 {
            let mut settled = Vec::with_capacity(notes.len());
            let mut spaces = Vec::new();
            let mut waiting = Vec::new();
            for note in notes.drain(..) {
                match note {
                    Note::Outcome(outcome, space) => {
                        settled.push(outcome);
                        spaces.push(space);
                    }
                    Note::Flush(sender) => waiting.push(sender),
                }
            }
            if !settled.is_empty() {
                let record = || self.parts.ledger.settle(&sender, &settled);
                self.retrier.run("recording outcomes", record).await?;
                failpoint::pass(failpoint::OUTCOMES_RECORDED);
                if let Some(metrics) = &self.metrics {
                    metrics.settled(&settled);
                }
                self.progress.add_settled(settled.iter().filter(|outcome| outcome.state.is_settled()).count());
            }
            for sender in waiting {
                // Whoever waited may have gone; then nobody needs to know.
                let _ = sender.send(());
            }
        }
        Ok(())
    }
}
