//! Where the mailboxes are that copies were recorded for: asked anew of the user directory, before anything is sent to, looked up
//! in, or verified in a mailbox that is reached by its address. Who had that address may have left, and somebody else may have it.
//!
//! Guarantees: a mailbox is at an address only where the directory says so now. "No answer" is neither "still there" nor "gone".
//! A destination that reaches mailboxes by their ids is believed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::ledger::{MAILBOX_GONE, MAILBOX_NOT_CONFIRMED};
use crate::mailbox::Destination;
use crate::resolution::Mailbox;
use crate::resolve::Resolver;
use crate::resolve::users::{Answer, DirectoryError};
use crate::retry::Retrier;

/// Mailboxes that are asked for at once.
pub(crate) const MAX_ASKED: usize = 200;

/// Where a mailbox is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// Here, under its present address.
    At(Mailbox),
    /// Nobody knows, or it has gone: nothing may be done at its address. Why, for the administrator.
    Lost(String),
}

/// The pauses that are left.
pub(crate) type Pauses = Box<dyn Iterator<Item = Duration> + Send>;

/// What it takes to ask.
pub(crate) struct Search<'a> {
    pub(crate) resolver: &'a Resolver,
    pub(crate) destination: &'a dyn Destination,
    pub(crate) retrier: &'a Retrier,
    /// Ends the wait for answers.
    pub(crate) stop: &'a CancellationToken,
    /// The longest pause that is made where the directory asks for one.
    pub(crate) longest_pause: Duration,
}

impl Search<'_> {
    /// Where the mailboxes are, in their order. Where the directory gives no answer for a passing reason, it is asked again after the
    /// next of `pauses`: one who asks again and again hands in the same, so that while nothing is answered all its waits together are
    /// those of `[retry]`.
    pub(crate) async fn find(&self, mailboxes: &[Mailbox], pauses: &mut Pauses) -> Vec<Whereabouts> {
        if self.destination.is_reached_by_id() {
            return mailboxes.iter().cloned().map(Whereabouts::At).collect();
        }
        let mut attempt = 1;
        let mut found = Vec::with_capacity(mailboxes.len());
        for batch in mailboxes.chunks(MAX_ASKED) {
            let mut answers = self.ask(batch).await;
            while let Some((after, error)) = self.worth_another_try(&answers)
                && let Some(pause) = pauses.next()
                && self.retrier.pause("asking the user directory", attempt, pause.max(after), error).await
            {
                attempt += 1;
                let open: Vec<usize> =
                    (0..batch.len()).filter(|place| matches!(answers.get(*place), Some(Err(_)))).collect();
                let again: Vec<Mailbox> = open.iter().filter_map(|place| batch.get(*place).cloned()).collect();
                for (place, answer) in open.into_iter().zip(self.ask(&again).await) {
                    if let Some(known) = answers.get_mut(place) {
                        *known = answer;
                    }
                }
            }
            if attempt > 1 && answers.iter().all(Result::is_ok) {
                *pauses = Box::new(self.retrier.policy().pauses());
                attempt = 1;
            }
            found.extend(batch.iter().zip(answers).map(|(mailbox, answer)| whereabouts(mailbox, answer)));
        }
        found
    }

    async fn ask(&self, mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>> {
        let asking = self.resolver.find_again(mailboxes);
        let stopped = || Err(DirectoryError::Unexpected("the program was asked to stop".to_owned()));
        let answers = self.stop.run_until_cancelled(asking).await;
        answers.unwrap_or_else(|| mailboxes.iter().map(|_| stopped()).collect())
    }

    /// The error that passes, and the pause that it asks for.
    fn worth_another_try<'a>(
        &self,
        answers: &'a [Result<Answer, DirectoryError>],
    ) -> Option<(Duration, &'a DirectoryError)> {
        answers.iter().filter_map(|answer| answer.as_ref().err()).find_map(|error| match Fault::from(error) {
            Fault::Retry { after } => {
                let after = after.unwrap_or_default();
                (after <= self.longest_pause).then_some((after, error))
            }
            _ => None,
        })
    }
}

fn whereabouts(known: &Mailbox, answer: Result<Answer, DirectoryError>) -> Whereabouts {
    match answer {
        Ok(Answer::Valid(now)) if now.id == known.id => Whereabouts::At(now),
        Ok(Answer::Valid(now)) => {
            Whereabouts::Lost(format!("{MAILBOX_GONE}: the directory has another one, {}", now.id))
        }
        Ok(Answer::NotValid { detail }) => Whereabouts::Lost(format!("{MAILBOX_GONE}: {detail}")),
        Err(error) => Whereabouts::Lost(format!("{MAILBOX_NOT_CONFIRMED}: {error}")),
    }
}
