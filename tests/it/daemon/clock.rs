//! Time that passes only when a test says so, and clocks that show it wrongly.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use whatsapp_archiver::clock::Clock;

/// The true time. Those who sleep are known, so that a test can wait until everybody does.
#[derive(Debug)]
pub(crate) struct TrueTime {
    state: watch::Sender<State>,
    /// Numbers for machines and sleepers.
    next: AtomicU64,
}

#[derive(Debug)]
struct State {
    now: DateTime<Utc>,
    sleepers: BTreeMap<u64, Sleeper>,
}

#[derive(Debug)]
struct Sleeper {
    machine: u64,
    until: DateTime<Utc>,
}

impl TrueTime {
    pub(crate) fn starting_at(now: DateTime<Utc>) -> Arc<Self> {
        let state = watch::Sender::new(State { now, sleepers: BTreeMap::new() });
        Arc::new(Self { state, next: AtomicU64::new(0) })
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.state.borrow().now
    }

    /// Lets time pass until `instant`. Those who wake are no sleepers any more when this returns.
    pub(crate) fn pass_until(&self, instant: DateTime<Utc>) {
        self.state.send_modify(|state| {
            assert!(instant >= state.now, "time passes in one direction");
            state.now = instant;
            state.sleepers.retain(|_, sleeper| sleeper.until > instant);
        });
    }

    /// Who sleeps, now and whenever that changes.
    pub(crate) fn watch(&self) -> Watch {
        Watch(self.state.subscribe())
    }

    async fn sleep(&self, machine: u64, pause: Duration) {
        let mut state = self.state.subscribe();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut until = DateTime::<Utc>::MIN_UTC;
        self.state.send_modify(|state| {
            until = state.now + pause;
            state.sleepers.insert(id, Sleeper { machine, until });
        });
        let _bed = Bed { of: &self.state, id };
        // The sender is `self`, so it can't have gone.
        let _ = state.wait_for(|state| state.now >= until).await;
    }
}

/// A view of who sleeps.
pub(crate) struct Watch(watch::Receiver<State>);

impl Watch {
    /// How many sleep on a machine.
    pub(crate) fn sleepers_on(&mut self, clock: &MachineClock) -> usize {
        self.0.borrow_and_update().sleepers.values().filter(|sleeper| sleeper.machine == clock.machine).count()
    }

    pub(crate) async fn changed(&mut self) {
        self.0.changed().await.unwrap();
    }
}

/// Where a sleeper lies. One who is called away leaves it.
struct Bed<'a> {
    of: &'a watch::Sender<State>,
    id: u64,
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        self.of.send_if_modified(|state| state.sleepers.remove(&self.id).is_some());
    }
}

/// A machine's clock: the true time, and how far this one is off. Setting it wakes nobody, as on a real machine.
#[derive(Debug)]
pub(crate) struct MachineClock {
    time: Arc<TrueTime>,
    machine: u64,
    ahead_by_seconds: AtomicI64,
    last_step: Mutex<Option<Duration>>,
}

impl MachineClock {
    /// The right clock of one more machine.
    pub(crate) fn right(time: &Arc<TrueTime>) -> Arc<Self> {
        let machine = time.next.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            time: Arc::clone(time),
            machine,
            ahead_by_seconds: AtomicI64::new(0),
            last_step: Mutex::default(),
        })
    }

    /// Sets it ahead of the true time, or behind it.
    pub(crate) fn set_ahead(&self, by: chrono::Duration) {
        self.ahead_by_seconds.store(by.num_seconds(), Ordering::Relaxed);
        *self.last_step.lock().unwrap() = Some(self.elapsed());
    }
}

#[async_trait]
impl Clock for MachineClock {
    fn now(&self) -> DateTime<Utc> {
        self.time.now() + chrono::Duration::seconds(self.ahead_by_seconds.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        (self.time.now() - DateTime::UNIX_EPOCH).to_std().unwrap()
    }

    fn last_step(&self) -> Option<Duration> {
        *self.last_step.lock().unwrap()
    }

    async fn sleep(&self, pause: Duration) {
        self.time.sleep(self.machine, pause).await;
    }
}
