//! Several processes send the copies of one run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::item::ItemId;
use whatsapp_archiver::ledger::{Holder, Ledger, RunId, RunStatus};
use whatsapp_archiver::mailbox::DestinationLimits;
use whatsapp_archiver::pipeline::{Pipeline, RunFinished, RunRequest};
use whatsapp_archiver::source::telemessage::TeleMessage;
use whatsapp_archiver::source::{AttachmentStream, Cursor, Page, Source, SourceError};
use whatsapp_archiver::window::Window;

use super::destination::{Act, ScriptedDestination};
use super::world::{
    ANA, BEN, CLEO, FEW, World, ana, ben, cleo, counts, message, stranger, to_ana, to_ben, whatsapp_ids,
};
use crate::oracle;
use crate::servers::telemessage::ArchivedItem;

/// TeleMessage, whose pages wait to be let through.
pub(super) struct Gate(pub(super) TeleMessage, pub(super) Arc<Semaphore>);

#[async_trait]
impl Source for Gate {
    fn name(&self) -> String {
        self.0.name()
    }
    async fn log_in(&self) -> Result<Option<DateTime<Utc>>, SourceError> {
        self.0.log_in().await
    }
    async fn page(&self, window: Window, cursor: Cursor, limit: usize) -> Result<Page, SourceError> {
        self.1.acquire().await.unwrap().forget();
        self.0.page(window, cursor, limit).await
    }
    async fn attachment(&self, item: ItemId, index: usize) -> Result<AttachmentStream, SourceError> {
        self.0.attachment(item, index).await
    }
    fn page_size(&self) -> usize {
        self.0.page_size()
    }
}

const ONE_PLACE: DestinationLimits = DestinationLimits { mailboxes: 1, ..FEW };

/// A world in which each of sixty messages goes to three mailboxes, in pages of twenty; the pages wait at the gate.
async fn gated_world() -> (World, Arc<Semaphore>) {
    // One place each, so that neither can be at all mailboxes.
    let mut world = World::with_limits(ONE_PLACE).await;
    world.page_size = 20;
    world.server.add((1..=60).map(|id| message(id).between(&ana(), &ben(), &[ben(), cleo()])));
    let gate = Arc::new(Semaphore::new(0));
    world.source = Some(Arc::new(Gate(world.telemessage(), Arc::clone(&gate))));
    (world, gate)
}

fn open(gate: &Semaphore) {
    gate.add_permits(100);
}

/// A follower's process, with mailboxes of its own; they stand for what it sent.
fn follower(world: &World) -> (Pipeline, Arc<ScriptedDestination>) {
    let destination = Arc::new(ScriptedDestination::new(&world.clock, ONE_PLACE));
    (
        world.pipeline_at(Arc::<ScriptedDestination>::clone(&destination), Holder::new(), CancellationToken::new()),
        destination,
    )
}

/// The run of the process that pulls, as soon as there is one.
async fn run_to_follow(ledger: &Ledger, world: &World) -> RunId {
    loop {
        if let Some(run) = ledger.run_to_follow(world.clock.now()).await.unwrap() {
            return run.id;
        }
        tokio::task::yield_now().await;
    }
}

async fn until_followed(world: &World, run: &RunId) {
    while world.ledger.followers(run, world.clock.now()).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}

/// Everything that both sent, by mailbox.
fn all_sent(doors: [&ScriptedDestination; 2]) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for destination in doors {
        for (mailbox, ids) in oracle::ids(&destination.mailboxes()) {
            all.entry(mailbox).or_default().extend(ids);
        }
    }
    for ids in all.values_mut() {
        ids.sort();
    }
    all
}

fn everything() -> BTreeMap<String, Vec<String>> {
    [ANA, BEN, CLEO].into_iter().map(|mailbox| (mailbox.to_owned(), whatsapp_ids(1..=60))).collect()
}

fn is_complete(finished: &RunFinished) {
    assert!(finished.error.is_none(), "{:?}", finished.error);
    assert_eq!((counts(&finished.report), finished.report.status), ([180, 0, 0, 0, 0], RunStatus::Complete));
}

#[tokio::test]
async fn a_follower_sends_its_share_on_the_account_of_the_run() {
    let (world, gate) = gated_world().await;
    let (follower, theirs) = follower(&world);
    world.destination.shut();
    theirs.shut();
    let leading = world.run_until(CancellationToken::new(), RunRequest::Regular);
    let help = async {
        let run = run_to_follow(&world.ledger, &world).await;
        let opening = async {
            until_followed(&world, &run).await;
            open(&gate);
            // Neither goes on before the other is at a mailbox too.
            tokio::join!(world.destination.until_asked(), theirs.until_asked());
            world.destination.reopen();
            theirs.reopen();
        };
        tokio::join!(follower.follow(run.clone()), opening).0
    };
    let (finished, result) = tokio::join!(leading, help);
    result.unwrap();
    let finished = finished.unwrap();
    is_complete(&finished);
    world.audit(&finished.report).await;
    assert_eq!(all_sent([&world.destination, &theirs]), everything());
    let shares = [&world.destination, &theirs].map(|destination| destination.mailboxes().len());
    assert!(shares.iter().all(|mailboxes| *mailboxes > 0), "{shares:?}");
}

#[tokio::test]
async fn what_a_follower_leaves_behind_is_sent_by_the_one_that_leads() {
    let (world, gate) = gated_world().await;
    world.destination.shut();
    let leading = world.run_until(CancellationToken::new(), RunRequest::Regular);
    let following = async {
        let run = run_to_follow(&world.ledger, &world).await;
        let (url, clock) = (world.ledger_url(), Arc::clone(&world.clock));
        let (ready, dying) = tokio::sync::oneshot::channel();
        let (_, theirs) = follower(&world);
        theirs.shut();
        let process = {
            let (theirs, deps) = (Arc::clone(&theirs), world.pipeline_deps(Arc::<ScriptedDestination>::clone(&theirs)));
            async move {
                let ledger = Ledger::open(&url).await.unwrap();
                let presence = ledger.join(clock.now()).await.unwrap();
                let pipeline = deps(ledger, presence.holder.clone());
                tokio::select! {
                    followed = pipeline.follow(run) => panic!("the run ended: {followed:?}"),
                    () = theirs.until_asked() => {}
                }
            }
        };
        let gone = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(process);
            // Everything that the process had under way goes with it.
            drop(runtime);
            ready.send(()).unwrap();
        });
        let run = run_to_follow(&world.ledger, &world).await;
        until_followed(&world, &run).await;
        gate.add_permits(1);
        dying.await.unwrap();
        gone.await.unwrap();
        world.destination.reopen();
        open(&gate);
    };
    let (finished, ()) = tokio::join!(leading, following);
    let finished = finished.unwrap();
    is_complete(&finished);
    world.audit(&finished.report).await;
    assert_eq!(all_sent([&world.destination, &world.destination]).values().map(Vec::len).sum::<usize>(), 2 * 180);
    assert_eq!(oracle::ids(&world.destination.mailboxes()), everything());
    assert!(world.destination.look_ups() > 0, "what the helper may have sent was looked up");
}

/// A run adopted what was pending for Ana, sent a part of it, and left her mailbox to others. Meanwhile somebody else has her address.
#[tokio::test]
async fn a_follower_sends_nothing_of_earlier_runs_to_whoever_has_the_address_now() {
    let (mut world, gate) = (World::with_limits(ONE_PLACE).await, Arc::new(Semaphore::new(0)));
    world.server.add((1..=40).map(to_ana).chain([to_ben(41)]));
    for mailbox in [ANA, BEN] {
        world.destination.always(mailbox, Some(Act::Forbid));
    }
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 41]);
    for mailbox in [ANA, BEN] {
        world.destination.always(mailbox, None);
    }
    world.clock.advance(Duration::from_hours(24));
    let received = world.clock.now() - chrono::Duration::hours(12);
    world.server.add([ArchivedItem::message(42, received).between(&cleo(), &stranger(), &[cleo()])]);
    world.source = Some(Arc::new(Gate(world.telemessage(), Arc::clone(&gate))));
    let (follower, theirs) = follower(&world);
    world.destination.shut();
    theirs.shut();
    let leading = world.run_until(CancellationToken::new(), RunRequest::Regular);
    let help = async {
        let run = run_to_follow(&world.ledger, &world).await;
        let opening = async {
            until_followed(&world, &run).await;
            open(&gate);
            // What is new is the follower's, because the leader is at Ana's mailbox.
            world.destination.until_asked().await;
            theirs.until_asked().await;
            assert_eq!((last_asked(&theirs), last_asked(&world.destination)), (CLEO.to_owned(), ANA.to_owned()));
            world.users.give_to_somebody_else(ANA);
            let asked = world.users.looked_for();
            // The leader leaves her mailbox when it has found that others help, and stays at Ben's.
            while last_asked(&world.destination) == ANA {
                until_followed(&world, &run).await;
                world.destination.admit_one();
                world.destination.until_asked().await;
            }
            theirs.admit_one();
            tokio::select! {
                () = theirs.until_asked() => {}
                () = async { while world.users.looked_for() == asked { tokio::task::yield_now().await } } => {}
            }
            assert_eq!(last_asked(&world.destination), BEN);
            world.destination.reopen();
            theirs.reopen();
        };
        tokio::join!(follower.follow(run.clone()), opening).0
    };
    let both = Box::pin(async { tokio::join!(leading, help) });
    let (finished, result) = tokio::time::timeout(Duration::from_mins(1), both).await.unwrap();
    result.unwrap();
    finished.unwrap();
    assert_eq!((theirs.sent_to(CLEO), theirs.sent_to(ANA)), (1, 0), "{:?}", theirs.calls());
}

fn last_asked(destination: &ScriptedDestination) -> String {
    destination.calls().last().unwrap().mailbox.clone()
}
