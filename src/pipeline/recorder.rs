//! Claims and outcomes on their way into the ledger: those of all mailboxes together, many in one transaction.

use tokio::sync::{mpsc, oneshot};

use super::{Pipeline, RunError};
use crate::failpoint;
use crate::ledger::{Claim, LedgerError, Outcome, Sender};

/// The most notes that one transaction writes.
const MAX_NOTES: usize = 1000;

enum Note {
    Outcome(Outcome),
    /// Answered when it is recorded, and with it everything before.
    Claim(Claim, oneshot::Sender<()>),
    /// Answered when everything before it is recorded.
    Flush(oneshot::Sender<()>),
}

/// Where workers report their claims and outcomes.
#[derive(Clone)]
pub(super) struct Recorder(mpsc::Sender<Note>);

/// The other end, for [`Pipeline::record_notes`].
pub(super) struct Notes(mpsc::Receiver<Note>);

/// A recorder and its other end.
pub(super) fn recorder() -> (Recorder, Notes) {
    let (sender, receiver) = mpsc::channel(2 * MAX_NOTES);
    (Recorder(sender), Notes(receiver))
}

impl Recorder {
    /// Reports an outcome. Lost only where recording has failed, which ends the run.
    pub(super) async fn record(&self, outcome: Outcome) {
        // The receiver is gone only after a failure of the ledger, which is the run's error already.
        let _ = self.0.send(Note::Outcome(outcome)).await;
    }

    /// Returns when the claim is recorded: from then on its copies may be sent.
    pub(super) async fn claim(&self, claim: Claim) -> Result<(), RunError> {
        self.until_answered(|answer| Note::Claim(claim, answer)).await
    }

    /// Returns when everything that was reported before is recorded.
    pub(super) async fn flush(&self) -> Result<(), RunError> {
        self.until_answered(Note::Flush).await
    }

    async fn until_answered(&self, note: impl FnOnce(oneshot::Sender<()>) -> Note) -> Result<(), RunError> {
        let (sender, receiver) = oneshot::channel();
        // Why recording ended is the run's error; this one only ends the worker.
        let gone = || RunError::Stopped;
        self.0.send(note(sender)).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())
    }
}

impl Pipeline {
    /// Records claims and outcomes until all recorders are gone.
    pub(super) async fn record_notes(self, sender: Sender, mut received: Notes) -> Result<(), RunError> {
        let mut notes = Vec::with_capacity(MAX_NOTES);
        while received.0.recv_many(&mut notes, MAX_NOTES).await > 0 {
            let (mut outcomes, mut claims, mut answers) = (Vec::with_capacity(notes.len()), Vec::new(), Vec::new());
            for note in notes.drain(..) {
                match note {
                    Note::Outcome(outcome) => outcomes.push(outcome),
                    Note::Claim(claim, answer) => {
                        claims.push(claim);
                        answers.push(answer);
                    }
                    Note::Flush(answer) => answers.push(answer),
                }
            }
            self.record_together(&sender, &outcomes, &claims).await?;
            for answer in answers {
                // Whoever waited may have gone; then nobody needs to know.
                let _ = answer.send(());
            }
        }
        Ok(())
    }

    async fn record_together(&self, sender: &Sender, outcomes: &[Outcome], claims: &[Claim]) -> Result<(), RunError> {
        if outcomes.is_empty() && claims.is_empty() {
            return Ok(());
        }
        let ledger = &self.deps.ledger;
        let record = || ledger.record(sender, outcomes, claims);
        let recorded = self.retrier.run("recording claims and outcomes", record).await;
        if matches!(recorded, Err(LedgerError::LeaseLost(_))) && !claims.is_empty() && !outcomes.is_empty() {
            // A claim that isn't ours to make is no reason to forget what is known.
            ledger.record(sender, outcomes, &[]).await?;
        }
        recorded?;
        if !claims.is_empty() {
            failpoint::pass(failpoint::INTENT_RECORDED);
        }
        if !outcomes.is_empty() {
            failpoint::pass(failpoint::OUTCOMES_RECORDED);
            if let Some(metrics) = &self.metrics {
                metrics.deliveries_recorded(outcomes);
            }
            self.progress.add_finished(outcomes.iter().filter(|outcome| outcome.state.has_outcome()).count());
        }
        Ok(())
    }
}
