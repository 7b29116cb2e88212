//! The budgets against a server with its own counters, in simulated time: nothing waits, and every run is the same.

#![expect(clippy::cast_precision_loss, reason = "the figures are small")]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{FuturesUnordered, Stream as _};
use tokio::sync::oneshot;

use super::{Completion, Limits, Permit, Throttle};
use crate::clock::Clock;
use crate::resolution::MailboxId;

/// A clock that advances only when every task waits for it.
#[derive(Debug)]
struct SimulatedClock(Mutex<Sleepers>);

#[derive(Debug)]
struct Sleepers {
    now: DateTime<Utc>,
    waiting: BTreeMap<(DateTime<Utc>, u64), oneshot::Sender<()>>,
    next: u64,
}

impl SimulatedClock {
    fn new() -> Arc<Self> {
        let now = DateTime::from_timestamp(1_800_000_000, 123_000_000).unwrap();
        Arc::new(Self(Mutex::new(Sleepers { now, waiting: BTreeMap::new(), next: 0 })))
    }

    /// Moves to the next sleeper's time; `false` where nobody sleeps.
    fn step(&self) -> bool {
        let mut sleepers = self.0.lock().unwrap();
        let Some(((at, _), sleeper)) = sleepers.waiting.pop_first() else { return false };
        sleepers.now = sleepers.now.max(at);
        let _ = sleeper.send(());
        true
    }
}

#[async_trait]
impl Clock for SimulatedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.lock().unwrap().now
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().now.signed_duration_since(DateTime::UNIX_EPOCH).to_std().unwrap()
    }

    fn last_step(&self) -> Option<Duration> {
        None
    }

    async fn sleep(&self, pause: Duration) {
        let (sender, receiver) = oneshot::channel();
        {
            let mut sleepers = self.0.lock().unwrap();
            let key = (sleepers.now + pause, sleepers.next);
            sleepers.next += 1;
            sleepers.waiting.insert(key, sender);
        }
        receiver.await.unwrap();
    }
}

/// Runs futures to their end; time moves when all of them wait.
fn run(clock: &SimulatedClock, futures: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Arc::clone(&flag).into();
    let mut context = Context::from_waker(&waker);
    let mut all: FuturesUnordered<_> = futures.into_iter().collect();
    loop {
        flag.0.store(false, Ordering::SeqCst);
        match Pin::new(&mut all).poll_next(&mut context) {
            Poll::Ready(None) => return,
            Poll::Ready(Some(())) => {}
            Poll::Pending if flag.0.load(Ordering::SeqCst) => {}
            Poll::Pending => assert!(clock.step(), "everybody waits for nothing"),
        }
    }
}

/// A server that counts as the published limits say, at the moment a request arrives.
struct Server {
    limits: Limits,
    mailboxes: HashMap<String, Counted>,
    refused: usize,
}

#[derive(Default)]
struct Counted {
    requests: VecDeque<DateTime<Utc>>,
    upload: VecDeque<(DateTime<Utc>, u64)>,
    /// The same in windows that begin at fixed times, as other servers count.
    fixed: HashMap<(i64, i64), u64>,
    bytes: u64,
    in_flight: usize,
}

impl Server {
    fn new(limits: Limits) -> Mutex<Self> {
        Mutex::new(Self { limits, mailboxes: HashMap::new(), refused: 0 })
    }

    /// Whether the request is taken.
    fn arrive(&mut self, mailbox: &str, bytes: u64, now: DateTime<Utc>) -> bool {
        let counted = self.mailboxes.entry(mailbox.to_owned()).or_default();
        while counted
            .requests
            .front()
            .is_some_and(|at| now - at < TimeDelta::zero() || now - at > TimeDelta::minutes(10))
        {
            counted.requests.pop_front();
        }
        while counted.upload.front().is_some_and(|(at, _)| now - at > TimeDelta::minutes(5)) {
            let (_, gone) = counted.upload.pop_front().unwrap();
            counted.bytes -= gone;
        }
        counted.requests.push_back(now);
        counted.upload.push_back((now, bytes));
        counted.bytes += bytes;
        counted.in_flight += 1;
        let mut taken = counted.requests.len() as u64 <= self.limits.requests_per_10m
            && counted.bytes <= self.limits.upload_per_5m
            && counted.in_flight <= self.limits.per_mailbox;
        for offset in [0, 123, 299, 541] {
            let window = (offset, (now.timestamp() + offset).div_euclid(600));
            let requests = counted.fixed.entry(window).or_default();
            *requests += 1;
            taken &= *requests <= self.limits.requests_per_10m;
        }
        self.refused += usize::from(!taken);
        taken
    }

    fn reply(&mut self, mailbox: &str) {
        self.mailboxes.get_mut(mailbox).unwrap().in_flight -= 1;
    }
}

/// Delays that look like those of a network, the same in every run.
struct Delays(u64);

impl Delays {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(5 + (self.0 >> 33) % 30)
    }
}

const SLOWEST_EXCHANGE: f64 = 0.035 * 2.0;

/// Sends `load` (requests of so many bytes) to a mailbox through `throttle`, four at a time.
fn workers<'a>(
    mailbox: &'a str,
    load: &'a Mutex<VecDeque<u64>>,
    throttle: &'a Throttle,
    server: &'a Mutex<Server>,
    clock: &'a SimulatedClock,
    delays: &'a Mutex<Delays>,
    ended: &'a Mutex<HashMap<String, DateTime<Utc>>>,
) -> Vec<Pin<Box<dyn Future<Output = ()> + 'a>>> {
    let worker = move || {
        Box::pin(async move {
            let id = MailboxId(mailbox.to_owned());
            loop {
                let Some(bytes) = load.lock().unwrap().pop_front() else { return };
                let permit = admit(throttle, &id, bytes).await;
                let (there, back) = {
                    let mut delays = delays.lock().unwrap();
                    (delays.next(), delays.next())
                };
                clock.sleep(there).await;
                let taken = server.lock().unwrap().arrive(mailbox, bytes, clock.now());
                clock.sleep(back).await;
                server.lock().unwrap().reply(mailbox);
                if taken {
                    permit.finish(Completion::Served);
                    ended.lock().unwrap().insert(mailbox.to_owned(), clock.now());
                } else {
                    permit.finish(Completion::Throttled { after: Some(Duration::from_mins(1)) });
                    load.lock().unwrap().push_front(bytes);
                }
            }
        }) as Pin<Box<dyn Future<Output = ()> + 'a>>
    };
    (0..6).map(|_| worker()).collect()
}

/// The shortest time in which a server with these limits can take a load, in seconds.
fn optimum(load: &VecDeque<u64>, limits: &Limits) -> f64 {
    let requests = load.len() as u64;
    let by_requests = (requests.saturating_sub(1) / limits.requests_per_10m * 600) as f64;
    let bytes: u64 = load.iter().sum();
    let by_upload = (bytes.saturating_sub(1) / limits.upload_per_5m * 300) as f64;
    // The mean delay of an exchange is 39 ms.
    let by_places = requests as f64 * 0.039 / limits.per_mailbox as f64;
    by_requests.max(by_upload).max(by_places)
}

#[test]
fn a_skewed_day_drains_at_the_optimum_without_one_refusal() {
    // Scaled down from 10,000 and 64 so that the test is quick; the windows are the real ones.
    let limits = Limits { per_mailbox: 4, requests_per_10m: 1_000, upload_per_5m: 15_000_000, concurrency: 16 };
    let clock = SimulatedClock::new();
    let throttle = Throttle::new(limits, Arc::<SimulatedClock>::clone(&clock));
    let server = Server::new(limits);
    let delays = Mutex::new(Delays(7));
    let ended = Mutex::default();
    let began = clock.now();

    let mut loads: Vec<(String, VecDeque<u64>)> = (0..40)
        .map(|n| {
            let requests = if n < 3 { 6_500 - n * 1_000 } else { 2_000 / n };
            (format!("m{n}"), std::iter::repeat_n(1_000, requests).collect())
        })
        .collect();
    loads.push(("large".to_owned(), std::iter::repeat_n(3_000_000, 60).collect()));
    let optima: HashMap<String, f64> =
        loads.iter().map(|(name, load)| (name.clone(), optimum(load, &limits))).collect();
    let in_all: usize = loads.iter().map(|(_, load)| load.len()).sum();
    let by_total = in_all as f64 * SLOWEST_EXCHANGE / limits.concurrency as f64;

    let loads: Vec<(String, Mutex<VecDeque<u64>>)> =
        loads.into_iter().map(|(name, load)| (name, Mutex::new(load))).collect();
    let futures = loads
        .iter()
        .flat_map(|(name, load)| workers(name, load, &throttle, &server, &clock, &delays, &ended))
        .collect();
    run(&clock, futures);

    assert_eq!(server.lock().unwrap().refused, 0, "an avoidable refusal");
    let ended = ended.lock().unwrap();
    let mut slowest: f64 = 0.0;
    for (name, optimum) in &optima {
        let took = (ended[name] - began).num_milliseconds() as f64 / 1_000.0;
        slowest = slowest.max(took);
        // The first burst shares the places with all others; what the windows make one wait is within 5 %.
        assert!(took <= optimum * 1.05 + by_total, "{name}: {took} s, at best {optimum} s");
    }
    let optimum = optima.values().copied().fold(0.0, f64::max);
    assert!(slowest <= optimum * 1.05, "{slowest} s, at best {optimum} s");
}

#[test]
fn a_stricter_server_is_obeyed_and_only_its_mailbox_waits() {
    let limits = Limits::default();
    let clock = SimulatedClock::new();
    let throttle = Throttle::new(limits, Arc::<SimulatedClock>::clone(&clock));
    // Another program uses the same mailboxes: the server has room for one at a time, and for 50 requests.
    let strict = Server::new(Limits { per_mailbox: 1, requests_per_10m: 50, ..limits });
    let lenient = Server::new(limits);
    let delays = Mutex::new(Delays(7));
    let ended = Mutex::default();
    let began = clock.now();

    let many: Mutex<VecDeque<u64>> = Mutex::new(std::iter::repeat_n(1, 70).collect());
    let others: Mutex<VecDeque<u64>> = Mutex::new(std::iter::repeat_n(1, 2_000).collect());
    let mut futures = workers("strict", &many, &throttle, &strict, &clock, &delays, &ended);
    futures.extend(workers("other", &others, &throttle, &lenient, &clock, &delays, &ended));
    run(&clock, futures);

    assert_eq!(lenient.lock().unwrap().refused, 0);
    let ended = ended.lock().unwrap();
    assert!(ended["other"] - began < TimeDelta::minutes(1), "the other mailbox waited too");
    let refused = strict.lock().unwrap().refused;
    // One refusal teaches; what was under way with it is refused too, and a try a minute follows.
    assert!((1..=40).contains(&refused), "{refused} refusals");
}

/// Waits for as long as it takes.
async fn admit(throttle: &Throttle, mailbox: &MailboxId, upload: u64) -> Permit {
    throttle.admit_within(mailbox, upload, Duration::MAX).await.unwrap()
}

#[test]
fn a_place_given_up_while_waiting_is_free_again() {
    let limits = Limits { per_mailbox: 1, concurrency: 1, ..Limits::default() };
    let clock = SimulatedClock::new();
    let throttle = Throttle::new(limits, Arc::<SimulatedClock>::clone(&clock));
    let [first, second] = ["first", "second"].map(|name| MailboxId(name.to_owned()));
    let work = async {
        let held = admit(&throttle, &first, 0).await;
        {
            let waiting = admit(&throttle, &second, 0);
            tokio::pin!(waiting);
            assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        }
        drop(held);
        drop(admit(&throttle, &second, 0).await);
        drop(admit(&throttle, &first, 0).await);
    };
    run(&clock, vec![Box::pin(work)]);
}

#[test]
fn idle_mailboxes_are_forgotten() {
    let clock = SimulatedClock::new();
    let throttle = Throttle::new(Limits::default(), Arc::<SimulatedClock>::clone(&clock));
    let work = async {
        for n in 0..5_000 {
            drop(admit(&throttle, &MailboxId(n.to_string()), 10).await);
            clock.sleep(Duration::from_secs(1)).await;
        }
    };
    run(&clock, vec![Box::pin(work)]);
    assert!(throttle.lanes.lock().unwrap().by_mailbox.len() <= 2 * super::MIN_SWEEP);
}
