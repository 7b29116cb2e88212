//! Answers kept for a while, and who is asking at the moment.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use crate::clock::SharedClock;
use crate::resolution::MailboxId;
use crate::resolve::users::{Answer, DirectoryError};

/// The most answers that are kept: a tenant of any size fits, whatever addresses the items name.
const MAX_ANSWERS: usize = 200_000;

/// How long answers are kept.
#[derive(Debug, Clone, Copy)]
pub struct GraphUsersSettings {
    /// A valid user (`users.cache`).
    pub cache: Duration,
    /// Not a valid user (`users.negative_cache`).
    pub negative_cache: Duration,
}

type Landed = Option<Result<Answer, DirectoryError>>;

/// The answers, by address in lower case.
#[derive(Debug)]
pub(super) struct Cache {
    settings: GraphUsersSettings,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, (Answer, DateTime<Utc>)>,
    under_way: HashMap<String, watch::Receiver<Landed>>,
}

/// What is known of an address.
pub(super) enum Entry {
    /// The answer.
    Known(Answer),
    /// Somebody is asking: the answer comes here. The channel closes where that one gives up.
    UnderWay(watch::Receiver<Landed>),
    /// Nothing: the caller asks.
    Free(Flight),
}

/// The duty to ask for an address; dropped without an answer, it falls to the next who wants to know.
#[derive(Debug)]
pub(super) struct Flight {
    cache: Arc<Cache>,
    address: String,
    sender: watch::Sender<Landed>,
}

impl Cache {
    pub(super) fn new(settings: GraphUsersSettings, clock: SharedClock) -> Self {
        Self { settings, clock, state: Mutex::default() }
    }

    /// What is known of `address`.
    pub(super) fn entry(self: &Arc<Self>, address: &str) -> Entry {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((answer, obtained)) = state.known.get(address) {
            let age = now - *obtained;
            // A clock that was set back makes an answer look as if it came from the future: it is asked anew.
            if age >= TimeDelta::zero() && age < self.lifetime(answer) {
                return Entry::Known(answer.clone());
            }
        }
        if let Some(receiver) = state.under_way.get(address) {
            return Entry::UnderWay(receiver.clone());
        }
        let (sender, receiver) = watch::channel(None);
        state.under_way.insert(address.to_owned(), receiver);
        Entry::Free(Flight { cache: Arc::clone(self), address: address.to_owned(), sender })
    }

    fn lifetime(&self, answer: &Answer) -> TimeDelta {
        let lifetime = match answer {
            Answer::Valid(_) => self.settings.cache,
            Answer::NotValid { .. } => self.settings.negative_cache,
        };
        TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX)
    }

    /// Forgets what is known of these mailboxes, so that their addresses are asked for anew.
    pub(super) fn forget(&self, ids: &HashSet<&MailboxId>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |answer: &Answer| matches!(answer, Answer::Valid(mailbox) if ids.contains(&mailbox.id));
        state.known.retain(|_, (answer, _)| !is_of(answer));
    }

    fn remember(&self, address: &str, answer: &Answer) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.len() >= MAX_ANSWERS {
            state.known.retain(|_, (answer, obtained)| now - *obtained < self.lifetime(answer));
        }
        if state.known.len() < MAX_ANSWERS {
            state.known.insert(address.to_owned(), (answer.clone(), now));
        }
    }
}

impl Flight {
    /// The address to ask for.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Where the answer comes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Landed> {
        self.sender.subscribe()
    }

    /// Tells the answer to everybody who waits, and keeps it where it is one.
    pub(super) fn land(self, answer: Result<Answer, DirectoryError>) {
        if let Ok(answer) = &answer {
            self.cache.remember(&self.address, answer);
        }
        self.sender.send_replace(Some(answer));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.cache.state.lock().unwrap_or_else(PoisonError::into_inner).under_way.remove(&self.address);
    }
}
