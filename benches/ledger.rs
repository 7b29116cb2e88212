//! How fast the embedded ledger takes items through their states, and whether it gets slower as it grows: a page recorded,
//! its items prepared with two copies each, and the copies' outcomes; then items of a process that is gone, claimed.
//!
//! `cargo bench --bench ledger [-- ITEMS]`. In the system's temporary directory, and in `/dev/shm` where that is there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement whose assumption is broken should end")]

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeZone as _, Utc};
use whatsapp_archiver::convert::Manifest;
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::identity::Identity;
use whatsapp_archiver::item::{ItemId, ItemKey};
use whatsapp_archiver::ledger::{
    DeliveryState, Holder, ItemNo, ItemState, Ledger, NewDelivery, NewItem, Outcome, PageRecord, Prepared, RunId,
    RunKind, Sender, Target,
};
use whatsapp_archiver::resolution::{Mailbox, MailboxId, ResolvedBy};
use whatsapp_archiver::source::Cursor;
use whatsapp_archiver::staging::BlobName;
use whatsapp_archiver::window::Window;

const PAGE: i64 = 500;
/// Items over which a rate is taken.
const SPAN: i64 = 10_000;
const MAILBOXES: i64 = 500;

#[tokio::main]
async fn main() {
    let items = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    println!("{items} items in pages of {PAGE}, two copies each; rates over the first and the last {SPAN} items");
    let temporary = std::env::temp_dir();
    for parent in [temporary.as_path(), Path::new("/dev/shm")].into_iter().filter(|parent| parent.is_dir()) {
        let folder = tempfile::tempdir_in(parent).unwrap();
        let ledger = Ledger::open(&format!("sqlite://{}", folder.path().join("ledger.db").display())).await.unwrap();
        ledger.begin_run(&run(), RunKind::Regular, &holder(), "{}", at(0)).await.unwrap();
        let mut first = Steps::default();
        let mut last = Steps::default();
        for start in (0..items).step_by(usize::try_from(PAGE).unwrap()) {
            let steps = take_through(&ledger, start).await;
            if start < SPAN {
                first.add(&steps);
            }
            if start >= items - SPAN {
                last.add(&steps);
            }
        }
        println!("  {:<10} first {first}", parent.display());
        println!("  {:<10} last  {last}", "");
        println!("  {:<10} claim of items of a process that is gone: {:>7.0} items/s", "", claim(&ledger, items).await);
        ledger.close().await;
    }
}

/// The time that each step took.
#[derive(Default)]
struct Steps {
    record: Duration,
    prepare: Duration,
    settle: Duration,
}

impl Steps {
    fn add(&mut self, other: &Self) {
        self.record += other.record;
        self.prepare += other.prepare;
        self.settle += other.settle;
    }
}

impl std::fmt::Display for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = |time: Duration| f64::from(i32::try_from(SPAN).unwrap()) / time.as_secs_f64();
        let all = rate(self.record + self.prepare + self.settle);
        let (record, prepare, settle) = (rate(self.record), rate(self.prepare), rate(self.settle));
        write!(f, "record {record:>7.0}, prepare {prepare:>7.0}, settle {settle:>7.0}, together {all:>7.0} items/s")
    }
}

async fn take_through(ledger: &Ledger, start: i64) -> Steps {
    let begun = Instant::now();
    let items: Vec<NewItem> = (start..start + PAGE).map(item).collect();
    let keys: Vec<ItemKey> = items.iter().map(|item| item.key).collect();
    assert!(ledger.known(&keys).await.unwrap().is_empty());
    let numbers = record_page(ledger, &items, at(60)).await;
    let record = begun.elapsed();

    let begun = Instant::now();
    let prepared: Vec<Prepared> = numbers.iter().map(|no| prepared(*no)).collect();
    assert_eq!(ledger.record_prepared(&run(), at(0), &prepared).await.unwrap().len(), 2 * numbers.len());
    let prepare = begun.elapsed();

    let begun = Instant::now();
    let outcomes: Vec<Outcome> = numbers.iter().flat_map(|no| mailboxes(*no).map(|to| imported(*no, to))).collect();
    let sender = Sender { run: run(), holder: Holder::new(), is_follower: false };
    ledger.record(&sender, &outcomes, &[]).await.unwrap();
    Steps { record, prepare, settle: begun.elapsed() }
}

/// Items a second.
async fn claim(ledger: &Ledger, after: i64) -> f64 {
    for start in (after..after + SPAN).step_by(usize::try_from(PAGE).unwrap()) {
        let items: Vec<NewItem> = (start..start + PAGE).map(item).collect();
        record_page(ledger, &items, at(0)).await;
    }
    let begun = Instant::now();
    let mut claimed = 0;
    while claimed < SPAN {
        let found = ledger.claim_items(&holder(), &run(), at(1), at(60), u32::try_from(PAGE).unwrap()).await.unwrap();
        assert!(!found.is_empty());
        claimed += i64::try_from(found.len()).unwrap();
    }
    f64::from(i32::try_from(SPAN).unwrap()) / begun.elapsed().as_secs_f64()
}

async fn record_page(ledger: &Ledger, items: &[NewItem], until: DateTime<Utc>) -> Vec<ItemNo> {
    let window = Window { from: at(-86_400), to: at(0) };
    let first = items.first().unwrap();
    let cursor = first.id.unwrap().0;
    let name = BlobName::page(window, Cursor(cursor), first.key.0);
    let page = PageRecord {
        run: &run(),
        window,
        page: Some(&name),
        next: Cursor(cursor + PAGE),
        moves_cursor: true,
        items,
        repeated: 0,
        late: 0,
        bytes: 800_000,
        holder: &holder(),
        claim_until: until,
        now: at(0),
    };
    ledger.record_page(&page).await.unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_795_000_000 + seconds, 0).unwrap()
}

fn run() -> RunId {
    RunId("run".to_owned())
}

fn holder() -> Holder {
    Holder("holder".to_owned())
}

fn item(number: i64) -> NewItem {
    NewItem {
        key: ItemKey(Digest::of(&number.to_be_bytes())),
        id: Some(ItemId(number)),
        message_id: Some(format!("3EB0{number:016X}")),
        owner: Some(format!("1555{:07}", number % MAILBOXES)),
        offset: u64::try_from(number % PAGE).unwrap() * 1600,
        length: 1600,
        attachments: Vec::new(),
    }
}

fn identity(no: ItemNo) -> Identity {
    Identity(Digest::of(&no.0.to_le_bytes()))
}

/// Two of the mailboxes.
fn mailboxes(no: ItemNo) -> [Mailbox; 2] {
    [no.0 % MAILBOXES, (no.0 * 7 + 1) % MAILBOXES + MAILBOXES].map(|number| Mailbox {
        id: MailboxId(format!("00000000-0000-4000-8000-{number:012}")),
        address: format!("employee.{number}@contoso.example"),
    })
}

fn prepared(no: ItemNo) -> Prepared {
    let digest = identity(no).0;
    let message_id = identity(no).message_id();
    let manifest = Manifest {
        message_id,
        date: at(0),
        subject: digest,
        mime: digest,
        text: None,
        size: 8000,
        attachments: vec![],
    };
    let copy = |mailbox: Mailbox| NewDelivery {
        target: Target::Mailbox(mailbox.id.clone()),
        mailbox: Some((mailbox, ResolvedBy::Csv)),
        identities: Some(identity(no).into()),
        state: DeliveryState::Ready,
        reason: None,
        detail: None,
        since: None,
    };
    Prepared {
        no,
        state: ItemState::Prepared,
        resolution: None,
        identity: Some(identity(no)),
        message: Some(manifest),
        attachments: None,
        deliveries: mailboxes(no).map(copy).to_vec(),
        replaced: Vec::new(),
        unmapped: Vec::new(),
        capture: None,
    }
}

fn imported(no: ItemNo, mailbox: Mailbox) -> Outcome {
    Outcome {
        no,
        mailbox: mailbox.id,
        state: DeliveryState::Imported,
        reason: None,
        detail: None,
        attempts: 1,
        settle_at: None,
        remote_id: Some(format!("imap:1:{}", no.0)),
        found_as: None,
        bytes: 8000,
    }
}
