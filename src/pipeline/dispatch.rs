//! The mailboxes' queues: what is in memory for each, and which of them is being worked on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::memory::Space;
use crate::convert::Message;
use crate::ledger::{ItemNo, PartialReason};
use crate::resolve::{Mailbox, MailboxId};

/// Most copies that wait in memory for one mailbox.
const MOST_COPIES: usize = 256;

/// Most bytes of messages that wait in memory for one mailbox, unless a single one is larger.
const MOST_BYTES: u64 = 12 * 1024 * 1024;

/// A copy to be sent, in memory. Its intent is recorded.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) no: ItemNo,
    pub(super) message: Arc<Message>,
    pub(super) partial: Option<(PartialReason, String)>,
    pub(super) space: Arc<Space>,
}

/// One mailbox.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each set and cleared on its own")]
struct Queue {
    mailbox: Mailbox,
    jobs: VecDeque<Job>,
    bytes: u64,
    /// Places given out for copies that are not in the queue yet.
    reserved: usize,
    /// A worker is at it.
    working: bool,
    /// The ledger has copies for it that are not in memory.
    backlog: bool,
    /// How often that was told.
    backlogs: u64,
    /// The ledger has copies for it of which it isn't known whether they are there.
    look_ups: bool,
    /// The ledger has duplicates for it that wait for their first copy.
    duplicates: bool,
    /// This run tries it no more.
    given_up: bool,
    /// Nothing goes into memory while it waits.
    paused: bool,
    /// Its number among all queues.
    number: u64,
    /// Its place in the line, where it waits for a worker.
    place: Option<Place>,
}

impl Queue {
    fn new(mailbox: Mailbox, number: u64) -> Self {
        Self {
            mailbox,
            number,
            place: None,
            jobs: VecDeque::new(),
            bytes: 0,
            reserved: 0,
            working: false,
            backlog: false,
            backlogs: 0,
            look_ups: false,
            duplicates: false,
            given_up: false,
            paused: false,
        }
    }

    /// The place that it should have in the line.
    fn wanted_place(&self) -> Option<Place> {
        let waits = !self.working && self.has_work();
        waits.then_some(Place { backlog: self.backlog, jobs: self.jobs.len(), first: Reverse(self.number) })
    }

    fn add_backlog(&mut self) {
        self.backlog = true;
        self.backlogs += 1;
    }

    fn has_work(&self) -> bool {
        !self.given_up && (!self.jobs.is_empty() || self.backlog || self.look_ups || self.duplicates)
    }
}

/// What a worker does next for its mailbox.
#[derive(Debug)]
pub(super) enum Work {
    /// Send these.
    Send(Vec<Job>),
    /// Read copies back from the ledger.
    Backlog,
    /// Look up copies of unknown outcome.
    LookUps,
    /// Settle the duplicates.
    Duplicates,
    /// Nothing: the worker ends.
    Nothing,
}

/// How urgent a queue is, and which of those that are equally urgent: the place in the line of those that wait for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    backlog: bool,
    jobs: usize,
    /// Those that came first go first.
    first: Reverse<u64>,
}

#[derive(Debug, Default)]
struct Queues {
    by_mailbox: HashMap<MailboxId, Queue>,
    /// The mailboxes that have work and no worker.
    waiting: BTreeMap<Place, Mailbox>,
    opened: u64,
}

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    queues: Mutex<Queues>,
    /// No new work is begun.
    closed: AtomicBool,
    /// A mailbox began to wait for a worker, or a worker gave its place back.
    changed: Notify,
}

impl Dispatch {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, mailbox: &Mailbox, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queues = self.queues();
        let Queues { by_mailbox, waiting, opened } = &mut *queues;
        let queue = by_mailbox.entry(mailbox.id.clone()).or_insert_with(|| {
            *opened += 1;
            Queue::new(mailbox.clone(), *opened)
        });
        let result = change(queue);
        let place = queue.wanted_place();
        let begins_to_wait = place.is_some() && queue.place.is_none();
        if place != queue.place {
            if let Some(left) = std::mem::replace(&mut queue.place, place) {
                waiting.remove(&left);
            }
            if let Some(place) = place {
                waiting.insert(place, queue.mailbox.clone());
            }
        }
        drop(queues);
        if begins_to_wait {
            self.changed.notify_waiters();
        }
        result
    }

    /// Reserves a place for a copy of `size` bytes. False where it must go by way of the ledger.
    pub(super) fn reserve(&self, mailbox: &Mailbox, size: u64) -> bool {
        self.with(mailbox, |queue| {
            // A queue that continues in the ledger stays there until it is worked off, so that copies keep their order.
            let fits = queue.jobs.len() + queue.reserved < MOST_COPIES
                && (queue.bytes + size <= MOST_BYTES || queue.jobs.is_empty() && queue.reserved == 0);
            let open = !queue.given_up && !queue.paused && !queue.backlog && !self.is_closed();
            let admitted = fits && open;
            queue.reserved += usize::from(admitted);
            if queue.mailbox.address != mailbox.address {
                // It was renamed since it was recorded.
                queue.mailbox = mailbox.clone();
            }
            admitted
        })
    }

    /// Puts a copy into the place that was reserved for it; without one, the place is given back. Returns the copy where
    /// the mailbox takes nothing by now, so that it must go by way of the ledger after all.
    #[must_use = "a copy that is given back is not in the queue"]
    pub(super) fn fill(&self, mailbox: &Mailbox, job: Option<Job>) -> Option<Job> {
        self.with(mailbox, |queue| {
            queue.reserved = queue.reserved.saturating_sub(1);
            if queue.given_up || queue.paused || self.is_closed() {
                return job;
            }
            let job = job?;
            queue.bytes += job.message.size();
            queue.jobs.push_back(job);
            None
        })
    }

    /// The ledger has copies for the mailbox that are not in memory.
    pub(super) fn add_backlog(&self, mailbox: &Mailbox) {
        self.with(mailbox, Queue::add_backlog);
    }

    /// How often a backlog was told, to be given to [`Self::backlog_done`].
    pub(super) fn backlogs(&self, mailbox: &Mailbox) -> u64 {
        self.with(mailbox, |queue| queue.backlogs)
    }

    /// The ledger has copies of unknown outcome for the mailbox.
    pub(super) fn add_look_ups(&self, mailbox: &Mailbox) {
        self.with(mailbox, |queue| queue.look_ups = true);
    }

    /// The ledger has duplicates for the mailbox.
    pub(super) fn add_duplicates(&self, mailbox: &Mailbox) {
        self.with(mailbox, |queue| queue.duplicates = true);
    }

    /// The ledger may have anything for the mailbox.
    pub(super) fn add_all(&self, mailbox: &Mailbox) {
        self.with(mailbox, |queue| {
            queue.add_backlog();
            (queue.look_ups, queue.duplicates) = (true, true);
        });
    }

    /// The backlog was read to its end, where none was told of since `seen`.
    pub(super) fn backlog_done(&self, mailbox: &Mailbox, seen: u64) {
        self.with(mailbox, |queue| queue.backlog = queue.backlogs != seen);
    }

    /// While a mailbox waits, its copies go by way of the ledger.
    pub(super) fn set_paused(&self, mailbox: &Mailbox, paused: bool) {
        self.with(mailbox, |queue| queue.paused = paused);
        // Its worker has given its place back.
        self.changed.notify_waiters();
    }

    /// This run tries the mailbox no more.
    pub(super) fn give_up(&self, mailbox: &Mailbox) {
        self.with(mailbox, |queue| queue.given_up = true);
    }

    /// From now on nothing is begun. Returns the mailboxes that have something in memory, which must go back to the ledger.
    pub(super) fn close(&self) -> Vec<Mailbox> {
        let queues = self.queues();
        self.closed.store(true, Ordering::SeqCst);
        let in_memory = queues.by_mailbox.values().filter(|queue| !queue.jobs.is_empty());
        in_memory.map(|queue| queue.mailbox.clone()).collect()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Takes everything that waits in memory for the mailbox.
    pub(super) fn take_all(&self, mailbox: &Mailbox) -> Vec<Job> {
        self.with(mailbox, |queue| {
            queue.bytes = 0;
            queue.jobs.drain(..).collect()
        })
    }

    /// The next work for a mailbox, of at most so many messages and bytes. A worker that is told [`Work::Nothing`] has ended.
    pub(super) fn next(&self, mailbox: &Mailbox, messages: usize, bytes: u64) -> Work {
        self.with(mailbox, |queue| {
            if queue.given_up || self.is_closed() {
                queue.working = false;
                return Work::Nothing;
            }
            if !queue.jobs.is_empty() {
                return Work::Send(take_batch(queue, messages, bytes));
            }
            if queue.backlog {
                return Work::Backlog;
            }
            if std::mem::take(&mut queue.look_ups) {
                return Work::LookUps;
            }
            if std::mem::take(&mut queue.duplicates) {
                return Work::Duplicates;
            }
            queue.working = false;
            Work::Nothing
        })
    }

    /// A mailbox that has work and no worker; it is marked as worked on. The longest queue goes first.
    pub(super) fn claim(&self) -> Option<Mailbox> {
        let mut queues = self.queues();
        let (_, mailbox) = queues.waiting.pop_last()?;
        if let Some(queue) = queues.by_mailbox.get_mut(&mailbox.id) {
            (queue.working, queue.place) = (true, None);
        }
        Some(mailbox)
    }

    /// Whether no mailbox has work that may be begun, or anything in memory. Says nothing of places that are reserved: whoever
    /// fills them must have ended.
    pub(super) fn is_idle(&self) -> bool {
        let closed = self.is_closed();
        let is_idle = |queue: &Queue| queue.jobs.is_empty() && (closed || !queue.has_work());
        self.queues().by_mailbox.values().all(is_idle)
    }

    /// Takes out the mailboxes that have no work and no worker. Tells of each whether it was given up.
    pub(super) fn take_idle(&self) -> Vec<(MailboxId, bool)> {
        let is_idle =
            |queue: &Queue| !queue.working && queue.reserved == 0 && queue.jobs.is_empty() && !queue.has_work();
        let mut queues = self.queues();
        let idle = queues.by_mailbox.extract_if(|_, queue| is_idle(queue));
        idle.map(|(id, queue)| (id, queue.given_up)).collect()
    }

    /// Whether a mailbox has work.
    pub(super) fn has_work(&self, mailbox: &Mailbox) -> bool {
        self.queues().by_mailbox.get(&mailbox.id).is_some_and(Queue::has_work)
    }

    /// Returns when a mailbox begins to wait for a worker, or one gives its place back.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }
}

fn take_batch(queue: &mut Queue, messages: usize, bytes: u64) -> Vec<Job> {
    let mut batch = Vec::new();
    let mut taken = 0;
    while let Some(job) = queue.jobs.front() {
        let size = job.message.size();
        if !batch.is_empty() && (batch.len() >= messages || taken + size > bytes) {
            break;
        }
        taken += size;
        batch.extend(queue.jobs.pop_front());
    }
    queue.bytes = queue.bytes.saturating_sub(taken);
    batch
}
