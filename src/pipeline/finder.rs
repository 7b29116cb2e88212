//! Where the mailboxes are that earlier runs recorded copies for: each is asked for once in a run.

use std::collections::{HashMap, HashSet};

use tokio::sync::Mutex;

use super::Pipeline;
use crate::resolution::{Mailbox, MailboxId};
use crate::whereabouts::{Pauses, Search, Whereabouts};

/// What a run knows of where mailboxes are.
pub(super) struct Finder {
    pipeline: Pipeline,
    found: Mutex<Found>,
}

struct Found {
    by_id: HashMap<MailboxId, Whereabouts>,
    /// The pauses that the run has left for the directory.
    pauses: Pauses,
}

impl Finder {
    pub(super) fn new(pipeline: &Pipeline) -> Self {
        let pauses = Box::new(pipeline.settings.retry.pauses());
        Self { pipeline: pipeline.clone(), found: Mutex::new(Found { by_id: HashMap::new(), pauses }) }
    }

    /// Where mailboxes are, in their order.
    pub(super) async fn find(&self, mailboxes: &[Mailbox]) -> Vec<Whereabouts> {
        let Found { by_id: found, pauses } = &mut *self.found.lock().await;
        let mut seen = HashSet::new();
        let is_new = |mailbox: &&Mailbox| !found.contains_key(&mailbox.id) && seen.insert(mailbox.id.clone());
        let new: Vec<Mailbox> = mailboxes.iter().filter(is_new).cloned().collect();
        if !new.is_empty() {
            let answers = self.search().find(&new, pauses).await;
            found.extend(new.into_iter().map(|mailbox| mailbox.id).zip(answers));
        }
        let of = |mailbox: &Mailbox| found.get(&mailbox.id).cloned();
        mailboxes.iter().filter_map(of).collect()
    }

    /// Where a mailbox is.
    pub(super) async fn find_one(&self, mailbox: &Mailbox) -> Whereabouts {
        let found = self.find(std::slice::from_ref(mailbox)).await.pop();
        found.unwrap_or_else(|| Whereabouts::Lost("nobody was asked where the mailbox is".to_owned()))
    }

    fn search(&self) -> Search<'_> {
        let Pipeline { deps, retrier, stop, .. } = &self.pipeline;
        Search {
            resolver: &deps.resolver,
            destination: &*deps.destination,
            retrier,
            stop,
            longest_pause: self.pipeline.longest_pause(),
        }
    }
}
