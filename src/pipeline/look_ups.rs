//! Asking the user directory whose mailboxes a batch's items belong in. Who isn't answered for now has no copy yet; nobody else waits
//! for that for long.
//!
//! - An address that fails in passing is asked for again after the pauses of `[retry]`, and everything waits for it, once in a run.
//!   After that it is left unanswered: asked for again beside others when it has rested, and waited for no more.
//! - All of these waits of a run together are no longer than those for one address may be.
//! - Who asks for a long pause is never waited for, nor who had no answer in an earlier run.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Pipeline, RunError};
use crate::fault::Fault;
use crate::item::Item;
use crate::resolution::Resolution;
use crate::resolve::users::DirectoryError;

/// The most addresses that are remembered: where more have no answer, the directory as a whole has none, and asking it costs one request.
const MAX_RESTING: usize = 10_000;

/// Whether a batch waits for the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// As `[retry]` says.
    WithPauses,
    /// It is asked once: newer items come next, and the next run asks again.
    Once,
}

/// What a run knows of the addresses that the directory gave no answer for.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    resting: HashMap<String, Rest>,
    /// How long everything waited for the directory.
    waited: Duration,
}

#[derive(Debug)]
struct Rest {
    error: DirectoryError,
    /// It isn't asked for before.
    until: DateTime<Utc>,
    /// Everything waited for it already.
    was_waited_for: bool,
}

impl Unanswered {
    /// Asks the directory for all items of a batch at once. An item may name thousands of addresses, so a run that is stopped doesn't wait
    /// for the answers.
    pub(super) async fn resolve(
        &mut self,
        pipeline: &Pipeline,
        items: &[&Item],
        asking: Asking,
    ) -> Result<Vec<Resolution>, RunError> {
        let mut pauses = pipeline.settings.retry.pauses();
        let mut attempt = 1;
        loop {
            let left = self.at(pipeline.now());
            let resolving = pipeline.deps.resolver.resolve_but(items, &left);
            let resolved = pipeline.stop.run_until_cancelled(resolving).await;
            let (answers, errors) = resolved.ok_or(RunError::Stopped)?;
            let passing: Vec<Passing> = errors.into_iter().filter_map(passing).collect();
            let waits_for = match asking {
                Asking::WithPauses => self.worth_a_wait(pipeline, &passing),
                Asking::Once => None,
            };
            if let Some(Passing { after, error, .. }) = waits_for
                && let Some(pause) = pauses.next()
            {
                let pause = pause.max(*after);
                if pipeline.retrier.pause("asking the user directory", attempt, pause, error).await {
                    self.waited = self.waited.saturating_add(pause);
                    attempt += 1;
                    continue;
                }
            }
            self.leave_unanswered(pipeline, passing, asking);
            return Ok(answers);
        }
    }

    /// The address that everything waits for, where there is one: of several, the one with the longest pause.
    fn worth_a_wait<'a>(&self, pipeline: &Pipeline, passing: &'a [Passing]) -> Option<&'a Passing> {
        let longest = pipeline.longest_pause();
        let pauses = pipeline.settings.retry.attempts.saturating_sub(1);
        if self.waited >= longest.saturating_mul(pauses) {
            return None;
        }
        let waited_for = passing.iter().filter(|one| one.after <= longest && !self.was_waited_for(&one.address));
        waited_for.max_by_key(|one| one.after)
    }

    fn leave_unanswered(&mut self, pipeline: &Pipeline, passing: Vec<Passing>, asking: Asking) {
        let (longest, usual) = (pipeline.longest_pause(), pipeline.settings.retry.max);
        if let Some(Passing { after, error, .. }) = passing.iter().find(|one| one.after > longest) {
            tracing::warn!(event = "throttled", remote = "directory", pause_seconds = after.as_secs(), error = %error, "the user directory asks for a pause that is too long to wait out; participants without an answer get no copy yet, and later runs ask again");
        }
        for Passing { address, error, after } in passing {
            let was_waited_for = asking == Asking::WithPauses;
            let pause = if was_waited_for { after.max(usual) } else { after };
            self.leave(address, error, pipeline.after(pause), was_waited_for);
        }
    }

    /// The addresses that are not asked for at `now`.
    fn at(&self, now: DateTime<Utc>) -> HashMap<String, DirectoryError> {
        let resting = self.resting.iter().filter(|(_, rest)| rest.until > now);
        resting.map(|(address, rest)| (address.clone(), rest.error.clone())).collect()
    }

    fn was_waited_for(&self, address: &str) -> bool {
        self.resting.get(address).is_some_and(|rest| rest.was_waited_for)
    }

    fn leave(&mut self, address: String, error: DirectoryError, until: DateTime<Utc>, was_waited_for: bool) {
        let was_waited_for = was_waited_for || self.was_waited_for(&address);
        if self.resting.len() < MAX_RESTING || self.resting.contains_key(&address) {
            self.resting.insert(address, Rest { error, until, was_waited_for });
        }
    }
}

/// An address without an answer for a passing reason, and the pause that the directory asks for.
struct Passing {
    address: String,
    error: DirectoryError,
    after: Duration,
}

fn passing((address, error): (String, DirectoryError)) -> Option<Passing> {
    match Fault::from(&error) {
        Fault::Retry { after } => Some(Passing { address, error, after: after.unwrap_or_default() }),
        _ => None,
    }
}
