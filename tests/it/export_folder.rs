//! A made-up export, and what each mailbox must hold of it. The same seed gives the same export.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use chrono::{DateTime, Duration, TimeZone as _, Utc};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::servers::telemessage::{ArchivedItem, PHONE_ARCHIVER, Who, who};

/// How many employees have a mailbox.
const EMPLOYEES: usize = 8;

/// What must be in each mailbox: the WhatsApp ids by address, sorted, each once.
pub(crate) type Expected = BTreeMap<String, Vec<String>>;

/// An export in a folder.
pub(crate) struct ExportFolder {
    pub(crate) expected: Expected,
    /// Distinct items in it, those that can't be imported included.
    pub(crate) items: u64,
}

struct Dice(TestRng);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0.next_u32() as usize % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }
}

fn address(employee: usize) -> String {
    format!("employee{employee}@contoso.example")
}

fn person(number: usize) -> Who {
    who(&format!("1555010{number:04}"))
}

fn whatsapp_id(message: i64) -> String {
    format!("3EB0{message:012X}")
}

fn received(id: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 20, 8, 0, 0).unwrap() + Duration::seconds(id)
}

/// The lines of the mapping file.
fn mapping() -> String {
    let line = |employee| format!("1555010{employee:04},{}", address(employee));
    let lines: Vec<String> = (0..EMPLOYEES).map(line).collect();
    format!("External User ID,Microsoft 365 User Mailbox\n{}\n", lines.join("\n"))
}

fn users() -> String {
    let lines: Vec<String> = (0..EMPLOYEES).map(address).collect();
    format!("address\n{}\n", lines.join("\n"))
}

impl ExportFolder {
    /// Writes an export of `messages` messages, with its mapping and users, and the configuration that reads it.
    pub(crate) fn write(directory: &Path, messages: i64, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut dice = Dice(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut items: Vec<ArchivedItem> = Vec::new();
        for message in 0..messages {
            let (captures, mailboxes) = message_of(&mut dice, message);
            for mailbox in mailboxes {
                expected.entry(mailbox).or_default().insert(whatsapp_id(message));
            }
            items.extend(captures);
        }
        let count = items.len() as u64 + 1;
        fs::create_dir_all(directory.join("export")).unwrap();
        write_attachments(directory, &items);
        write_files(directory, &items);
        fs::write(directory.join("mapping.csv"), mapping()).unwrap();
        fs::write(directory.join("users.csv"), users()).unwrap();
        fs::write(directory.join("config.toml"), CONFIGURATION).unwrap();
        let expected = expected.into_iter().map(|(address, ids)| (address, ids.into_iter().collect())).collect();
        Self { expected, items: count }
    }
}

/// The captures of one message, and the mailboxes that it belongs in.
fn message_of(dice: &mut Dice, message: i64) -> (Vec<ArchivedItem>, BTreeSet<String>) {
    let in_group = dice.one_in(3);
    let count = if in_group { 3 + dice.below(3) } else { 2 };
    // Some of those who take part have no mailbox.
    let mut people = BTreeSet::new();
    while people.len() < count {
        people.insert(dice.below(EMPLOYEES + 4));
    }
    let people: Vec<usize> = people.into_iter().collect();
    let sender = people[dice.below(count)];
    let recipients: Vec<Who> = people.iter().filter(|other| **other != sender).map(|other| person(*other)).collect();
    let is_encrypted = dice.one_in(40);
    let files = if dice.one_in(6) { 1 + dice.below(2) } else { 0 };
    let file = whatsapp_id(message).repeat(1 + dice.below(2000));

    let owners = 1 + usize::from(dice.one_in(4));
    let text = format!("message {message}: {}", "text ".repeat(dice.below(40)));
    let captures = people.iter().take(owners).zip(1..).map(|(owner, capture)| {
        let id = message * 10 + capture;
        let mut item = ArchivedItem::message(id, received(id))
            .product(PHONE_ARCHIVER)
            .field("messageId", whatsapp_id(message))
            .sent_at(received(message * 10))
            .between(&person(*owner), &person(sender), &recipients)
            .text(&text);
        if in_group {
            item = item.group("group-1", "Trading desk");
        }
        for place in 0..files {
            item = item.attachment(&format!("file{place}.bin"), "application/octet-stream", file.clone());
        }
        if is_encrypted { item.encrypted() } else { item }
    });
    let mailboxes = people.iter().filter(|person| **person < EMPLOYEES && !is_encrypted).map(|person| address(*person));
    (captures.collect(), mailboxes.collect())
}

fn write_attachments(directory: &Path, items: &[ArchivedItem]) {
    for item in items {
        for (index, media) in item.media.iter().enumerate() {
            let folder = directory.join(format!("export/attachments/{}", item.id));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{index}-file")), &media.as_ref().unwrap().bytes).unwrap();
        }
    }
}

/// Half of the items go into files of a page each, the others into one of lines, which ends in the middle of an item.
fn write_files(directory: &Path, items: &[ArchivedItem]) {
    let (pages, lines) = items.split_at(items.len() / 2);
    for (number, page) in pages.chunks(16).enumerate() {
        let page: Vec<String> = page.iter().map(ArchivedItem::json).collect();
        fs::write(directory.join(format!("export/{number:03}.json")), format!("[{}]", page.join(","))).unwrap();
    }
    let lines: Vec<String> = lines.iter().map(ArchivedItem::json).collect();
    let cut = &lines[0][..lines[0].len() / 2];
    fs::write(directory.join("export/lines.jsonl"), format!("{}\n{cut}", lines.join("\n"))).unwrap();
}

const CONFIGURATION: &str = r#"
[source]
kind = "directory"
path = "export/"
page_size = 16

[staging]
kind = "local"
path = "staging/"

[mapping]
custom = "mapping.csv"

[users]
kind = "list"
path = "users.csv"

[mailbox]
kind = "maildir"
path = "mailboxes/"

[ledger]
url = "sqlite://ledger.db"

[retry]
attempts = 2
initial = "10ms"
max = "20ms"

[log]
level = "debug"
"#;
