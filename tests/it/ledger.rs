//! The ledger, in both of its databases: one contract, against a simple model and case by case.

use chrono::{DateTime, TimeZone as _, Utc};
use tempfile::TempDir;
use whatsapp_archiver::convert::Manifest;
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::identity::Identity;
use whatsapp_archiver::item::{ItemId, ItemKey, Participant};
use whatsapp_archiver::ledger::{
    Claim, DeliveryState, Holder, ItemNo, ItemState, Ledger, LedgerError, NewDelivery, NewItem, Outcome, PageRecord,
    Prepared, RunId, RunKind, Sender, Target,
};
use whatsapp_archiver::resolution::{Mailbox, MailboxId, Resolution, Resolved, ResolvedBy, ResolvedTo};
use whatsapp_archiver::source::Cursor;
use whatsapp_archiver::staging::BlobName;
use whatsapp_archiver::window::Window;

use crate::servers::postgres::Postgres;

mod captures;
mod claims;
mod commits;
mod compaction;
mod contract;
mod damage;
mod followers;
mod model;
mod names;
mod presence;
mod shrinking;
mod verification;
mod windows;

use contract::ledger_contract;

/// A ledger's database, which goes with it.
struct Database {
    url: String,
    _directory: Option<TempDir>,
}

impl Database {
    fn sqlite() -> Self {
        let directory = TempDir::new().unwrap();
        let url = format!("sqlite://{}", directory.path().join("ledger.db").display());
        Self { url, _directory: Some(directory) }
    }

    fn postgres() -> Self {
        Self { url: Postgres::shared().new_database(), _directory: None }
    }

    async fn open(&self) -> Ledger {
        Ledger::open(&self.url).await.unwrap()
    }
}

ledger_contract!(sqlite, crate::ledger::Database::sqlite());
ledger_contract!(postgres, crate::ledger::Database::postgres());

fn at(seconds: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap() + chrono::Duration::seconds(seconds)
}

fn window() -> Window {
    Window { from: at(-86_400), to: at(0) }
}

fn run_id(number: usize) -> RunId {
    RunId(format!("run-{number}"))
}

/// The process of a run, on the run's own account.
fn sender(number: usize) -> Sender {
    Sender { run: run_id(number), holder: holder(number), is_follower: false }
}

fn holder(number: usize) -> Holder {
    Holder(format!("holder-{number}"))
}

fn mailbox(number: usize) -> Mailbox {
    Mailbox { id: MailboxId(format!("mailbox {number}")), address: format!("m{number}@contoso.example") }
}

fn identity(number: usize) -> Identity {
    Identity(Digest::of(format!("identity {number}").as_bytes()))
}

fn key(number: usize) -> ItemKey {
    ItemKey(Digest::of(format!("item {number}").as_bytes()))
}

fn manifest(number: usize) -> Manifest {
    let digest = Digest::of(format!("message {number}").as_bytes());
    let message_id = identity(number).message_id();
    Manifest { message_id, date: at(0), subject: digest, text: None, mime: digest, size: 1, attachments: Vec::new() }
}

fn new_item(number: usize) -> NewItem {
    NewItem {
        key: key(number),
        id: Some(ItemId(number as i64)),
        message_id: Some(format!("3EB0{number}")),
        owner: Some("15550100".to_owned()),
        offset: 1,
        length: 2,
        attachments: Vec::new(),
    }
}

/// A copy for a mailbox, of a message of this identity.
fn copy(to: usize, of: usize, state: DeliveryState) -> NewDelivery {
    NewDelivery {
        target: Target::Mailbox(mailbox(to).id),
        mailbox: Some((mailbox(to), ResolvedBy::Csv)),
        identities: Some(identity(of).into()),
        state,
        reason: None,
        detail: None,
        since: None,
    }
}

/// Whether no other process leases a mailbox.
async fn is_free_for(ledger: &Ledger, by: usize, to: usize, now: DateTime<Utc>) -> bool {
    !ledger.free_mailboxes(&holder(by), vec![mailbox(to)], now).await.unwrap().is_empty()
}

/// A claim of items' copies for a mailbox.
fn claim(to: usize, items: &[ItemNo]) -> Claim {
    let messages = items.iter().map(|no| (*no, manifest(0))).collect();
    Claim { mailbox: mailbox(to).id, items: items.to_vec(), messages }
}

fn prepared(no: ItemNo, deliveries: Vec<NewDelivery>) -> Prepared {
    Prepared {
        no,
        state: ItemState::Prepared,
        resolution: None,
        identity: None,
        message: Some(manifest(0)),
        attachments: None,
        deliveries,
        replaced: Vec::new(),
        unmapped: Vec::new(),
        capture: None,
    }
}

async fn begin(ledger: &Ledger, run: usize) {
    ledger.begin_run(&run_id(run), RunKind::Regular, &holder(run), "{}", at(run as i64)).await.unwrap();
}

/// Records a page of a run, whose items its process claims until `until`.
async fn page(ledger: &Ledger, run: usize, items: &[NewItem], until: DateTime<Utc>) -> Vec<ItemNo> {
    page_of(ledger, run, window(), items, until).await.unwrap()
}

async fn page_of(
    ledger: &Ledger,
    run: usize,
    window: Window,
    items: &[NewItem],
    until: DateTime<Utc>,
) -> Result<Vec<ItemNo>, LedgerError> {
    let name = BlobName::page(window, Cursor(0), Digest::of(b"page"));
    let record = PageRecord {
        run: &run_id(run),
        window,
        page: Some(&name),
        next: Cursor(10),
        moves_cursor: true,
        items,
        repeated: 0,
        late: 0,
        bytes: 7,
        holder: &holder(run),
        claim_until: until,
        now: at(0),
    };
    ledger.record_page(&record).await
}

/// A resolution in which a rule of the mapping file names a mailbox.
fn named_by(rule: &str, mailbox: Mailbox) -> Resolution {
    let outcome = ResolvedTo::Mailbox { mailbox, by: ResolvedBy::Csv };
    Resolution(vec![Resolved {
        participant: Participant::phone("15550100"),
        outcome,
        rule: Some(rule.to_owned()),
        late: false,
    }])
}

/// The outcome of an item's copy for a mailbox.
fn outcome(no: ItemNo, to: usize, state: DeliveryState) -> Outcome {
    Outcome {
        no,
        mailbox: mailbox(to).id,
        state,
        reason: None,
        detail: None,
        attempts: 1,
        settle_at: None,
        remote_id: None,
        found_as: None,
        bytes: 0,
    }
}
