//! A ledger with a past: runs, items and deliveries as a daemon leaves them, recorded through the ledger's own calls.

use chrono::{DateTime, Duration, Utc};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::identity::Identity;
use whatsapp_archiver::item::{ItemId, ItemKey};
use whatsapp_archiver::ledger::{
    DeliveryState, FailureKind, Holder, ItemState, Lease, Ledger, NewDelivery, NewItem, PageRecord, Prepared,
    RunFailure, RunId, RunKind, RunRecord, RunStatus, Target,
};
use whatsapp_archiver::reason::Reason;
use whatsapp_archiver::report::{Report, failed_share};
use whatsapp_archiver::resolution::{Mailbox, MailboxId, ResolvedBy};
use whatsapp_archiver::source::Cursor;
use whatsapp_archiver::staging::BlobName;
use whatsapp_archiver::window::Window;

/// So many percent of a run's deliveries may fail by a rule.
const MAX_FAILED_PERCENT: u8 = 20;

/// What became of an item.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    Imported,
    Failed(Reason, String),
    Pending(String),
}

/// An item with one delivery.
#[derive(Debug, Clone)]
pub(crate) struct SeedItem {
    pub(crate) owner: String,
    pub(crate) mailbox: String,
    pub(crate) fate: Fate,
}

impl SeedItem {
    pub(crate) fn new(fate: Fate) -> Self {
        Self { owner: "15550100101".to_owned(), mailbox: "ana@contoso.example".to_owned(), fate }
    }
}

/// Writes a past into a ledger.
pub(crate) struct Seed {
    pub(crate) ledger: Ledger,
    items: i64,
    runs: u32,
}

impl Seed {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, items: 0, runs: 0 }
    }

    /// A run that is under way.
    pub(crate) async fn begin(&mut self, started: DateTime<Utc>, items: &[SeedItem]) -> RunId {
        self.begin_as(RunKind::Regular, started, items).await
    }

    /// The same of any kind.
    pub(crate) async fn begin_as(&mut self, kind: RunKind, started: DateTime<Utc>, items: &[SeedItem]) -> RunId {
        self.runs += 1;
        let id = RunId(format!("0193a0a0-0000-7000-8000-{:012}", self.runs));
        let holder = Holder("seed".to_owned());
        let window = Window { from: started - Duration::hours(24), to: started };
        let until = started + Duration::hours(1);
        self.ledger.lease(&holder, &[Lease::Run(id.clone())], started, until).await.unwrap();
        self.ledger.begin_run(&id, kind, &holder, r#"{"converter":"1"}"#, started).await.unwrap();
        self.ledger.set_run_window(&id, window).await.unwrap();
        for chunk in items.chunks(500) {
            self.record(&id, window, &holder, started, chunk).await;
        }
        id
    }

    /// A run that has ended as `status`.
    pub(crate) async fn run(&mut self, started: DateTime<Utc>, status: RunStatus, items: &[SeedItem]) -> RunId {
        self.run_with_error(started, status, None, items).await
    }

    pub(crate) async fn run_with_error(
        &mut self,
        started: DateTime<Utc>,
        status: RunStatus,
        error: Option<&str>,
        items: &[SeedItem],
    ) -> RunId {
        let failure =
            error.map(|error| RunFailure { kind: FailureKind::Other, error: error.to_owned(), not_before: None });
        let id = self.begin(started, items).await;
        self.finish(&id, started, status, failure).await;
        id
    }

    /// A run that the program was asked to stop.
    pub(crate) async fn stopped_run(&mut self, started: DateTime<Utc>) {
        let failure =
            RunFailure { kind: FailureKind::Stopped, error: "the run was stopped".to_owned(), not_before: None };
        let id = self.begin(started, &[]).await;
        self.finish(&id, started, RunStatus::Failed, Some(failure)).await;
    }

    /// A replay that has ended well.
    pub(crate) async fn replay(&mut self, started: DateTime<Utc>, items: &[SeedItem]) -> RunId {
        let id = self.begin_as(RunKind::Retry, started, items).await;
        self.finish(&id, started, RunStatus::Complete, None).await;
        id
    }

    async fn finish(&self, id: &RunId, started: DateTime<Utc>, status: RunStatus, failure: Option<RunFailure>) {
        self.ledger.freeze_account(id).await.unwrap();
        let run = self.ledger.run(id).await.unwrap().unwrap();
        let finished = started + Duration::seconds(754);
        let run = RunRecord { finished: Some(finished), status, failure, ..run };
        let mut report = Report::draw_up(&self.ledger, &run).await.unwrap();
        report.many_failed = failed_share::warning(&self.ledger, &report, MAX_FAILED_PERCENT).await.unwrap();
        let frozen = serde_json::to_string(&report).unwrap();
        self.ledger.finish_run(id, status, finished, run.failure.as_ref(), &frozen).await.unwrap();
        if status != RunStatus::Failed && run.kind == RunKind::Regular {
            let window = run.window.unwrap();
            self.ledger.finish_window(window).await.unwrap();
        }
    }

    async fn record(&mut self, run: &RunId, window: Window, holder: &Holder, now: DateTime<Utc>, items: &[SeedItem]) {
        let new: Vec<NewItem> = items.iter().map(|item| self.new_item(item)).collect();
        let page = BlobName::page(window, Cursor(self.items), Digest::of(&self.items.to_be_bytes()));
        let record = PageRecord {
            run,
            window,
            page: Some(&page),
            next: Cursor(self.items),
            moves_cursor: false,
            items: &new,
            repeated: 0,
            late: 0,
            bytes: 4096,
            holder,
            claim_until: now,
            now,
        };
        let numbers = self.ledger.record_page(&record).await.unwrap();
        let prepared: Vec<Prepared> = numbers
            .into_iter()
            .zip(items)
            .map(|(no, item)| {
                let unmapped = matches!(item.fate, Fate::Failed(Reason::NoValidUser, _)).then(|| item.owner.clone());
                Prepared {
                    no,
                    state: ItemState::Prepared,
                    resolution: None,
                    identity: None,
                    message: None,
                    attachments: None,
                    deliveries: vec![delivery(no.0, item)],
                    replaced: Vec::new(),
                    unmapped: unmapped.into_iter().collect(),
                    capture: None,
                }
            })
            .collect();
        self.ledger.record_prepared(run, now, &prepared).await.unwrap();
    }

    fn new_item(&mut self, item: &SeedItem) -> NewItem {
        self.items += 1;
        NewItem {
            key: ItemKey(Digest::of(&self.items.to_be_bytes())),
            id: Some(ItemId(918_273_000 + self.items)),
            message_id: Some(format!("3EB0{:012X}", self.items)),
            owner: Some(item.owner.clone()),
            offset: 0,
            length: 100,
            attachments: Vec::new(),
        }
    }
}

fn delivery(no: i64, item: &SeedItem) -> NewDelivery {
    let mailbox = Mailbox { id: MailboxId(item.mailbox.clone()), address: item.mailbox.clone() };
    let (state, reason, detail) = match &item.fate {
        Fate::Imported => (DeliveryState::Imported, None, None),
        Fate::Failed(reason, detail) => (DeliveryState::Failed, Some(*reason), Some(detail.clone())),
        Fate::Pending(detail) => (DeliveryState::Pending, None, Some(detail.clone())),
    };
    NewDelivery {
        target: Target::Mailbox(mailbox.id.clone()),
        mailbox: Some((mailbox, ResolvedBy::Email)),
        identities: Some(Identity(Digest::of(&no.to_le_bytes())).into()),
        state,
        reason,
        detail,
        since: None,
    }
}
