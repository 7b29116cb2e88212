//! The process dies at every place in turn: before and after each thing that it does to staging and the mailboxes.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whatsapp_archiver::convert::{Manifest, Message};
use whatsapp_archiver::identity::MessageId;
use whatsapp_archiver::mailbox::{Destination, DestinationLimits, ImportError, RemoteId, SendPermit, Verdict};
use whatsapp_archiver::pipeline::{RunError, RunRequest};
use whatsapp_archiver::resolution::Mailbox;
use whatsapp_archiver::staging::{BlobName, StagingError};

use super::balanced;
use crate::hooked_staging::{Hook, Hooked, Touch};
use crate::installation::{ANA, Archive, BEN, captured, item, item_with_file};

/// Counts down; at its end the process is as good as dead.
#[derive(Clone)]
struct Death {
    left: Arc<AtomicU32>,
    dead: CancellationToken,
}

impl Death {
    fn after(points: u32) -> Self {
        Self { left: Arc::new(AtomicU32::new(points)), dead: CancellationToken::new() }
    }

    /// Passes a point; nothing comes after the last one.
    async fn point(&self) {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() {
            self.dead.cancel();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait::async_trait]
impl Hook for Death {
    async fn before(&self, touch: Touch, _name: &BlobName) -> Result<(), StagingError> {
        if matches!(touch, Touch::Put | Touch::Get) {
            self.point().await;
        }
        Ok(())
    }

    async fn after(&self, touch: Touch) {
        if touch == Touch::Put {
            self.point().await;
        }
    }
}

/// What was imported, how often: Maildirs alone would hide a copy that is sent twice behind its name.
type Imports = Arc<Mutex<HashMap<(String, MessageId), u32>>>;

struct MortalDestination {
    inner: Arc<dyn Destination>,
    death: Death,
    imports: Imports,
}

#[async_trait::async_trait]
impl Destination for MortalDestination {
    fn name(&self) -> String {
        self.inner.name()
    }
    fn limits(&self) -> DestinationLimits {
        // One mailbox after the other, so that every point is passed in the same order.
        DestinationLimits { mailboxes: 1, batch_messages: 2, ..self.inner.limits() }
    }
    fn settle(&self) -> Duration {
        self.inner.settle()
    }
    async fn import(
        &self,
        mailbox: &Mailbox,
        messages: &[Arc<Message>],
        permit: &SendPermit,
    ) -> Vec<Result<RemoteId, ImportError>> {
        self.death.point().await;
        let results = self.inner.import(mailbox, messages, permit).await;
        for message in messages {
            let key = (mailbox.address.clone(), message.mail.message_id.clone());
            *self.imports.lock().unwrap().entry(key).or_default() += 1;
        }
        self.death.point().await;
        results
    }
    async fn recover(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Option<RemoteId>, ImportError> {
        self.death.point().await;
        self.inner.recover(mailbox, message, permit).await
    }
    async fn verify(&self, mailbox: &Mailbox, sent: &[Manifest]) -> Result<Vec<Verdict>, ImportError> {
        self.inner.verify(mailbox, sent).await
    }
    async fn count(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<Vec<usize>, ImportError> {
        self.inner.count(mailbox, ids).await
    }
    async fn inventory(&self, mailbox: &Mailbox) -> Result<Vec<MessageId>, ImportError> {
        self.inner.inventory(mailbox).await
    }
}

/// Runs an order in a process that dies after so many points; false where it ended before.
fn run_until_death(archive: &Archive, request: RunRequest, points: u32, imports: &Imports) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let death = Death::after(points);
    let (died, holder) = runtime.block_on(async {
        let mut app = archive.app().await;
        let holder = app.presence.holder.0.clone();
        let staging = Arc::clone(&app.remotes.staging);
        staging.prepare().await.unwrap();
        app.remotes.staging = Arc::new(Hooked::around(staging, death.clone()));
        let inner = Arc::clone(&app.remotes.destination);
        app.remotes.destination =
            Arc::new(MortalDestination { inner, death: death.clone(), imports: Arc::clone(imports) });
        let pipeline = app.pipeline(CancellationToken::new());
        let died = tokio::select! {
            () = death.dead.cancelled() => true,
            finished = pipeline.run(request) => {
                match finished {
                    Ok(finished) => assert!(finished.error.is_none(), "{:?}", finished.error),
                    // It died after the end of its work, writing its report.
                    Err(error) => assert!(matches!(error, RunError::NotRebuildable), "{error}"),
                }
                false
            }
        };
        (died, holder)
    });
    runtime.shutdown_background();
    if died {
        // What a process that is killed leaves behind: a lock that nobody holds.
        fs::write(archive.path("ledger.db-processes").join(holder), "").unwrap();
    }
    died
}

/// Two captures, a file, an item that is held; the first run dies in the middle of its deliveries, and the ledger is lost with it. How many
/// points that is after depends on what was at the same time.
fn half_a_run(imports: &Imports) -> Archive {
    for points in 12..30 {
        imports.lock().unwrap().clear();
        let archive = Archive::new();
        let mut unknown = item(5, "message 5");
        unknown["body"]["participantEnrichments"] = serde_json::json!({});
        archive.export("1.json", &[item(1, "message 1"), item_with_file(2, "message 2"), item(3, "message 3")]);
        archive.export("2.json", &[captured(4, BEN, "3EB01", "message 1"), unknown, item(6, "message 6")]);
        archive.export_attachment(2, 0, b"attached");
        let died = run_until_death(&archive, RunRequest::Regular, points, imports);
        let sent: u32 = imports.lock().unwrap().values().sum();
        if died && (1..8).contains(&sent) {
            archive.lose_ledger();
            return archive;
        }
    }
    panic!("no run died in its deliveries");
}

#[test]
fn a_rebuild_that_dies_anywhere_is_begun_again() {
    let first = Imports::default();
    let begun = half_a_run(&first);
    let mut deaths = 0;
    for points in 0.. {
        let archive = begun.duplicate();
        let imports: Imports = Arc::new(Mutex::new(first.lock().unwrap().clone()));
        let died = run_until_death(&archive, RunRequest::Rebuild, points, &imports);
        if died {
            deaths += 1;
            assert!(!run_until_death(&archive, RunRequest::Rebuild, u32::MAX, &imports));
            run_until_death(&archive, RunRequest::Regular, u32::MAX, &imports);
        }
        let what = format!("after {points} points");
        assert!(imports.lock().unwrap().values().all(|times| *times == 1), "{what}: {imports:?}");
        assert_eq!((archive.message_ids(ANA).len(), archive.message_ids(BEN).len()), (4, 4), "{what}");
        if points % 8 == 0 || !died {
            balanced(&archive.report());
            assert_eq!(archive.verify(0, &[])["checked"], 8, "{what}");
        }
        if !died {
            break;
        }
    }
    assert!(deaths > 15, "{deaths}");
}
