//! The names that this process has seen, with their numbers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::LedgerError;

/// So many names are remembered at the most; then half of them are forgotten, and those that recur are soon back.
const MAX_REMEMBERED: usize = 200_000;

/// A longer name (in bytes) is asked for each time.
const MAX_REMEMBERED_LENGTH: usize = 256;

/// A name's number, and the mark of the transaction that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) number: i64,
    pub(super) mark: i64,
}

/// Names that this process has seen.
#[derive(Debug, Clone, Default)]
pub(in crate::ledger) struct Names(Arc<Mutex<Remembered>>);

#[derive(Debug, Default)]
pub(super) struct Remembered {
    pub(super) numbers: HashMap<Arc<str>, i64>,
    pub(super) names: HashMap<i64, Arc<str>>,
    /// The name of the highest number that was seen: all that are remembered were in the database together with it.
    pub(super) newest: Option<Given>,
}

impl Names {
    pub(super) fn remembered(&self) -> MutexGuard<'_, Remembered> {
        // What is remembered is right, whoever panicked while it was there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers names that were found beside `before`, the newest one of then.
    pub(super) fn remember(&self, found: &[(Arc<str>, Given)], before: Option<Given>) {
        let mut remembered = self.remembered();
        // Others came in between; whether from the same database is not known.
        if remembered.newest != before {
            return;
        }
        for (name, given) in found {
            remembered.newest = newest(remembered.newest, *given);
            if name.len() <= MAX_REMEMBERED_LENGTH {
                remembered.numbers.insert(Arc::clone(name), given.number);
                remembered.names.insert(given.number, Arc::clone(name));
            }
        }
        if remembered.names.len() > MAX_REMEMBERED {
            remembered.forget_half();
        }
    }

    /// Forgets everything: the database holds another ledger now.
    pub(in crate::ledger) fn forget(&self) {
        *self.remembered() = Remembered::default();
    }
}

impl Remembered {
    fn forget_half(&mut self) {
        let mut stays = false;
        self.names.retain(|_, _| {
            stays = !stays;
            stays
        });
        let Self { numbers, names, .. } = self;
        numbers.retain(|_, number| names.contains_key(number));
    }
}

pub(super) fn newest(before: Option<Given>, given: Given) -> Option<Given> {
    before.filter(|before| before.number >= given.number).or(Some(given))
}

/// The numbers of names.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Numbers {
    pub(super) of: HashMap<Arc<str>, i64>,
    /// What must still be there where these are written.
    pub(super) newest: Option<Given>,
}

impl Numbers {
    /// Numbers that were found in the transaction that writes them.
    pub(in crate::ledger) fn found(names: impl IntoIterator<Item = (Arc<str>, i64)>) -> Self {
        Self { of: names.into_iter().collect(), newest: None }
    }

    /// The number of a name that was among those asked for.
    pub(in crate::ledger) fn of(&self, name: &str) -> Result<i64, LedgerError> {
        self.of.get(name).copied().ok_or_else(|| LedgerError::Damaged(format!("the name {name:?} has no number")))
    }

    pub(super) fn add(&mut self, found: &[(Arc<str>, Given)]) {
        for (name, given) in found {
            self.newest = newest(self.newest, *given);
            self.of.insert(Arc::clone(name), given.number);
        }
    }
}
