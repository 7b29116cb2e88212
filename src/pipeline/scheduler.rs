//! Which mailboxes have work, and which of them a worker is at. The copies themselves are in the ledger.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::resolution::{Mailbox, MailboxId};

/// A mailbox with fewer copies waits for more while items are being prepared: each visit of a worker costs a look at the queue, a claim and
/// a record, however few copies there are.
const MIN_VISIT: u64 = 16;

/// After so many batches of items, whoever has waited is visited, however few copies there are.
const MAX_WAIT_BATCHES: u32 = 8;

/// One mailbox.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each set and cleared on its own")]
struct Entry {
    mailbox: Mailbox,
    /// The ledger has open copies of earlier runs for it, which this run takes over.
    adopt: bool,
    /// The ledger has copies for it that are ready to be sent.
    ready: bool,
    /// How often that was reported.
    reports: u64,
    /// How many copies were reported since a worker was at it.
    copies: u64,
    /// The ledger has copies for it of unknown outcome.
    look_ups: bool,
    /// The ledger has duplicates for it that wait for their first copy.
    duplicates: bool,
    /// A worker is at it.
    working: bool,
    /// Another process leases it.
    elsewhere: bool,
    /// This run tries it no more.
    given_up: bool,
    /// Nothing may be done at its address, and why.
    lost: Option<String>,
    /// Its worker waits until then, because the mailbox asked for a pause or failed.
    paused_until: Option<DateTime<Utc>>,
    /// When it began to wait, as a number.
    turn: u64,
    /// Its position in the queue, while it waits for a worker.
    position: Option<QueuePosition>,
}

impl Entry {
    fn new(mailbox: Mailbox) -> Self {
        Self {
            mailbox,
            adopt: false,
            ready: false,
            reports: 0,
            copies: 0,
            look_ups: false,
            duplicates: false,
            working: false,
            elsewhere: false,
            given_up: false,
            lost: None,
            paused_until: None,
            turn: 0,
            position: None,
        }
    }

    fn has_work(&self) -> bool {
        !self.given_up && !self.elsewhere && (self.adopt || self.ready || self.look_ups || self.duplicates)
    }

    fn add_ready(&mut self, copies: u64) {
        self.ready = true;
        self.reports += 1;
        self.copies = self.copies.saturating_add(copies);
    }
}

/// A position in the queue of mailboxes that wait for a worker: those with the most copies go first, then those that came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct QueuePosition {
    copies: u64,
    first: Reverse<u64>,
}

/// What a worker does next for its mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    /// Adopt what earlier runs left open.
    Adopt,
    /// Leave open what there is for it.
    Keep {
        /// Before that, adopt what earlier runs left open.
        adopts: bool,
        why: String,
    },
    /// Claim copies, and send them.
    Send,
    /// Look up copies of unknown outcome.
    LookUps,
    /// Compare duplicates with their first copies.
    Duplicates,
    /// Nothing is left.
    Nothing,
}

#[derive(Debug, Default)]
struct Queue {
    by_mailbox: HashMap<MailboxId, Entry>,
    /// The mailboxes that have work and no worker.
    waiting: BTreeMap<QueuePosition, Mailbox>,
    turns: u64,
    /// Mailboxes with few copies wait for more.
    lingering: bool,
    /// Batches of items that were begun since no mailbox waited for a worker.
    batches: u32,
}

impl Queue {
    /// Whether a worker may begin on the mailbox with the most copies.
    fn is_due(&self) -> bool {
        let Some((position, _)) = self.waiting.last_key_value() else { return false };
        position.copies >= MIN_VISIT || !self.lingering || self.batches > MAX_WAIT_BATCHES
    }
}

/// All mailboxes of a run.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    queue: Mutex<Queue>,
    /// A mailbox began to wait for a worker, or a worker ended or released its slot.
    changed: Notify,
}

impl Scheduler {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, mailbox: &Mailbox, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut queue = self.queue();
        let Queue { by_mailbox, waiting, turns, .. } = &mut *queue;
        let entry = by_mailbox.entry(mailbox.id.clone()).or_insert_with(|| Entry::new(mailbox.clone()));
        let (was_working, was_paused, had_position) =
            (entry.working, entry.paused_until.is_some(), entry.position.is_some());
        let result = change(entry);
        let waits = !entry.working && entry.has_work();
        if waits && !had_position {
            *turns += 1;
            entry.turn = *turns;
        }
        let position = waits.then_some(QueuePosition { copies: entry.copies, first: Reverse(entry.turn) });
        if position != entry.position {
            if let Some(left) = std::mem::replace(&mut entry.position, position) {
                waiting.remove(&left);
            }
            if let Some(position) = position {
                waiting.insert(position, entry.mailbox.clone());
            }
        }
        let has_paused = !was_paused && entry.paused_until.is_some();
        let has_changed = waits && !had_position || was_working && !entry.working || has_paused;
        drop(queue);
        if has_changed {
            self.changed.notify_waiters();
        }
        result
    }

    /// The mailbox is at this address now. For whoever asked the directory: a worker goes by the address that its mailbox had when the
    /// worker began.
    pub(super) fn found_at(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| entry.mailbox.address.clone_from(&mailbox.address));
    }

    /// The ledger has `copies` more copies for the mailbox that are ready to be sent.
    pub(super) fn add_ready(&self, mailbox: &Mailbox, copies: u64) {
        self.with(mailbox, |entry| entry.add_ready(copies));
    }

    /// The ledger has copies of unknown outcome for the mailbox.
    pub(super) fn add_look_ups(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| entry.look_ups = true);
    }

    /// The ledger has duplicates for the mailbox.
    pub(super) fn add_duplicates(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| entry.duplicates = true);
    }

    /// The ledger may have anything for the mailbox.
    pub(super) fn add_all(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| {
            entry.add_ready(0);
            (entry.look_ups, entry.duplicates) = (true, true);
        });
    }

    /// The ledger has open copies of earlier runs for the mailbox, to be taken over.
    pub(super) fn add_adoption(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| entry.adopt = true);
    }

    /// Nothing may be done at the mailbox, and why: what there is for it, now or later, is left open.
    pub(super) fn lose(&self, mailbox: &Mailbox, why: String) {
        self.with(mailbox, |entry| entry.lost = Some(why));
    }

    /// How often ready copies were reported, to be given to [`Self::none_ready`].
    pub(super) fn reports(&self, mailbox: &Mailbox) -> u64 {
        self.with(mailbox, |entry| entry.reports)
    }

    /// The ledger had no ready copies for the mailbox, and none were reported since `seen`.
    pub(super) fn none_ready(&self, mailbox: &Mailbox, seen: u64) {
        self.with(mailbox, |entry| {
            entry.ready = entry.reports != seen;
            entry.copies = if entry.ready { entry.copies } else { 0 };
        });
    }

    /// This run tries the mailbox no more.
    pub(super) fn give_up(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| entry.given_up = true);
    }

    /// Another process leases the mailbox: it has no work for this one until it is [brought back](Self::bring_back).
    pub(super) fn leave_to_others(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| (entry.working, entry.elsewhere) = (false, true));
    }

    /// The mailboxes that other processes lease.
    pub(super) fn elsewhere(&self) -> Vec<Mailbox> {
        let queue = self.queue();
        queue.by_mailbox.values().filter(|entry| entry.elsewhere).map(|entry| entry.mailbox.clone()).collect()
    }

    /// A mailbox that another process leased is free.
    pub(super) fn bring_back(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| entry.elsewhere = false);
        self.add_all(mailbox);
    }

    /// Items are prepared one batch after the other, until this is dropped.
    pub(super) fn lingering(&self) -> Lingering<'_> {
        Lingering(self)
    }

    /// Preparing waits for something: no mailbox waits for more copies until the next batch begins.
    pub(super) fn hurry(&self) {
        self.queue().lingering = false;
        self.changed.notify_waiters();
    }

    /// The mailbox that waits for a worker with the most copies; it is marked as worked on.
    pub(super) fn claim(&self) -> Option<Mailbox> {
        let mut queue = self.queue();
        if !queue.is_due() {
            return None;
        }
        let (_, mailbox) = queue.waiting.pop_last()?;
        if queue.waiting.is_empty() {
            queue.batches = 0;
        }
        let entry = queue.by_mailbox.get_mut(&mailbox.id)?;
        (entry.working, entry.position) = (true, None);
        Some(entry.mailbox.clone())
    }

    /// The next work for a mailbox.
    pub(super) fn next(&self, mailbox: &Mailbox) -> Work {
        self.with(mailbox, |entry| {
            if !entry.has_work() {
                Work::Nothing
            } else if let Some(why) = entry.lost.clone() {
                (entry.ready, entry.look_ups, entry.duplicates, entry.copies) = (false, false, false, 0);
                Work::Keep { adopts: std::mem::take(&mut entry.adopt), why }
            } else if std::mem::take(&mut entry.adopt) {
                Work::Adopt
            } else if entry.ready {
                Work::Send
            } else if std::mem::take(&mut entry.look_ups) {
                Work::LookUps
            } else {
                entry.duplicates = false;
                Work::Duplicates
            }
        })
    }

    /// A worker leaves its mailbox, which goes to the end of the queue where it has work.
    pub(super) fn end(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| entry.working = false);
    }

    /// The mailbox's worker waits until then.
    pub(super) fn pause(&self, mailbox: &Mailbox, until: DateTime<Utc>) {
        self.with(mailbox, |entry| entry.paused_until = Some(until));
    }

    /// The mailbox's worker waits no more.
    pub(super) fn resume(&self, mailbox: &Mailbox) {
        self.with(mailbox, |entry| entry.paused_until = None);
    }

    /// A worker released its slot, or took one.
    pub(super) fn slot_freed(&self) {
        self.changed.notify_waiters();
    }

    /// Whether a mailbox has work.
    pub(super) fn has_work(&self, mailbox: &Mailbox) -> bool {
        self.queue().by_mailbox.get(&mailbox.id).is_some_and(Entry::has_work)
    }

    /// Whether mailboxes wait for a worker, and not for more copies.
    pub(super) fn has_waiting(&self) -> bool {
        self.queue().is_due()
    }

    /// Whether no mailbox has work or a worker, apart from those that are paused beyond `horizon`.
    pub(super) fn is_idle(&self, horizon: DateTime<Utc>) -> bool {
        let is_paused = |entry: &Entry| entry.paused_until.is_some_and(|until| until > horizon);
        self.queue().by_mailbox.values().all(|entry| is_paused(entry) || !entry.working && !entry.has_work())
    }

    /// Takes out the mailboxes that have no work and no worker, except those that were given up.
    pub(super) fn take_idle(&self) -> Vec<MailboxId> {
        let mut queue = self.queue();
        let idle = queue.by_mailbox.extract_if(|_, entry| !entry.working && !entry.has_work() && !entry.given_up);
        idle.map(|(id, _)| id).collect()
    }

    /// Returns when a mailbox begins to wait for a worker, or one ends, pauses or releases its slot.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }
}

/// While this exists, mailboxes with few copies wait for more, unless preparing itself waits.
pub(super) struct Lingering<'a>(&'a Scheduler);

impl Lingering<'_> {
    /// A batch of items is prepared now.
    pub(super) fn begin_batch(&self) {
        let mut queue = self.0.queue();
        queue.lingering = true;
        queue.batches = queue.batches.saturating_add(1);
        drop(queue);
        self.0.changed.notify_waiters();
    }
}

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        self.0.hurry();
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Duration, TimeZone as _};

    use super::*;

    fn mailbox(name: &str) -> Mailbox {
        Mailbox { id: MailboxId(name.to_owned()), address: format!("{name}@contoso.example") }
    }

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()
    }

    #[test]
    fn the_mailbox_with_the_most_copies_is_next_and_then_the_one_that_came_first() {
        let scheduler = Scheduler::default();
        let [few, early, late] = ["few", "early", "late"].map(mailbox);
        scheduler.add_ready(&few, 1);
        scheduler.add_ready(&early, 5);
        scheduler.add_ready(&late, 5);
        let claimed: Vec<_> = std::iter::from_fn(|| scheduler.claim()).map(|mailbox| mailbox.id.0).collect();
        assert_eq!(claimed, ["early", "late", "few"]);
        assert!(!scheduler.has_waiting() && !scheduler.is_idle(now()), "workers are at them");
    }

    #[test]
    fn while_items_are_prepared_a_mailbox_waits_for_more_copies_but_not_for_ever() {
        let scheduler = Scheduler::default();
        let [few, many] = ["few", "many"].map(mailbox);
        scheduler.add_ready(&few, 1);
        let lingering = scheduler.lingering();
        lingering.begin_batch();
        assert!(scheduler.claim().is_none() && !scheduler.has_waiting());
        scheduler.add_ready(&many, MIN_VISIT);
        assert_eq!(scheduler.claim().unwrap().id, many.id);
        assert!(scheduler.claim().is_none(), "the other one has still few");
        scheduler.hurry();
        assert!(scheduler.has_waiting(), "preparing waits");
        for _ in 0..MAX_WAIT_BATCHES {
            lingering.begin_batch();
        }
        assert_eq!(scheduler.claim().unwrap().id, few.id);
        scheduler.add_ready(&few, 1);
        scheduler.end(&few);
        assert!(scheduler.claim().is_none(), "it waits anew");
        drop(lingering);
        assert!(scheduler.has_waiting(), "nothing is being prepared");
    }

    #[test]
    fn a_mailbox_has_one_worker_and_goes_to_the_end_of_the_line_after_its_turn() {
        let scheduler = Scheduler::default();
        let [one, other] = ["one", "other"].map(mailbox);
        scheduler.add_ready(&one, 1);
        assert_eq!(scheduler.claim().unwrap().id, one.id);
        scheduler.add_ready(&one, 0);
        assert!(scheduler.claim().is_none());
        scheduler.add_ready(&other, 1);
        scheduler.end(&one);
        let claimed: Vec<_> = std::iter::from_fn(|| scheduler.claim()).map(|mailbox| mailbox.id.0).collect();
        assert_eq!(claimed, ["other", "one"]);
    }

    #[test]
    fn copies_that_are_reported_while_the_queue_is_read_are_not_forgotten() {
        let scheduler = Scheduler::default();
        let one = mailbox("one");
        scheduler.add_ready(&one, 1);
        let seen = scheduler.reports(&one);
        scheduler.add_ready(&one, 1);
        scheduler.none_ready(&one, seen);
        assert_eq!(scheduler.next(&one), Work::Send);
        scheduler.none_ready(&one, scheduler.reports(&one));
        assert_eq!(scheduler.next(&one), Work::Nothing);
    }

    #[test]
    fn work_comes_in_its_order() {
        let scheduler = Scheduler::default();
        let one = mailbox("one");
        scheduler.add_adoption(&one);
        scheduler.add_all(&one);
        let next = || {
            let work = scheduler.next(&one);
            if work == Work::Send {
                scheduler.none_ready(&one, scheduler.reports(&one));
            }
            work
        };
        let order = [(); 5].map(|()| next());
        assert_eq!(order, [Work::Adopt, Work::Send, Work::LookUps, Work::Duplicates, Work::Nothing]);
    }

    #[test]
    fn what_there_is_for_a_lost_mailbox_is_left_whenever_it_comes() {
        let scheduler = Scheduler::default();
        let one = mailbox("one");
        scheduler.lose(&one, "gone".to_owned());
        scheduler.add_adoption(&one);
        for adopts in [true, false] {
            scheduler.add_all(&one);
            let next = [(); 2].map(|()| scheduler.next(&one));
            assert_eq!(next, [Work::Keep { adopts, why: "gone".to_owned() }, Work::Nothing]);
        }
    }

    #[test]
    fn a_mailbox_elsewhere_has_no_work_until_it_is_brought_back() {
        let scheduler = Scheduler::default();
        let one = mailbox("one");
        scheduler.add_ready(&one, 1);
        scheduler.claim().unwrap();
        scheduler.leave_to_others(&one);
        assert!(scheduler.is_idle(now()) && scheduler.claim().is_none());
        assert_eq!(scheduler.elsewhere().len(), 1);
        scheduler.bring_back(&one);
        assert!(scheduler.claim().is_some() && scheduler.elsewhere().is_empty());
    }

    #[test]
    fn only_pauses_beyond_the_horizon_leave_a_run_idle() {
        let scheduler = Scheduler::default();
        let one = mailbox("one");
        scheduler.add_ready(&one, 1);
        scheduler.claim().unwrap();
        scheduler.pause(&one, now() + Duration::hours(1));
        assert!(scheduler.is_idle(now() + Duration::minutes(2)));
        assert!(!scheduler.is_idle(now() + Duration::hours(1)));
        scheduler.resume(&one);
        assert!(!scheduler.is_idle(now() + Duration::minutes(2)));
        scheduler.give_up(&one);
        scheduler.end(&one);
        assert!(scheduler.is_idle(now()) && scheduler.take_idle().is_empty(), "it is remembered that it was given up");
    }
}
