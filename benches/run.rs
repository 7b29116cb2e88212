//! What a whole run costs: a folder of texts into Maildirs, with one copy an item. Processor time, elapsed time, the most memory, and the
//! bytes of the ledger; in turns with Python's own classes, which only make messages of the same files and put them into Maildirs.
//!
//! `cargo bench --bench run [-- ITEMS [PEOPLE [ROUNDS [PROGRAM…]]]]`: each PROGRAM is another build of this one, to be compared with it. In
//! `/dev/shm` where that is there, else in the system's temporary directory. Needs `python3`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement whose assumption is broken should end"
)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

#[path = "measure/corpus.rs"]
mod corpus;
#[path = "measure/process.rs"]
mod process;

use process::{Cost, median};

/// Items of one file.
const FILE: usize = 5000;

const CONFIG: &str = r#"
[source]
kind = "directory"
path = "../items/"
page_size = 500
[staging]
kind = "local"
path = "staging/"
[mapping]
automatic = false
custom = "../mapping.csv"
[users]
kind = "list"
path = "../users.csv"
[mailbox]
kind = "maildir"
path = "mailboxes/"
[ledger]
url = "sqlite://ledger.db"
"#;

/// Reads the items, makes messages of them and puts them where the archiver would; nothing is staged, recorded or looked up.
const PYTHON: &str = r#"
import email.message, email.utils, json, mailbox, os, sys
boxes = {}
for name in sorted(os.listdir(sys.argv[1])):
    for line in open(os.path.join(sys.argv[1], name), encoding="utf-8"):
        body = json.loads(line)["body"]
        owner = body["owner"]["value"]
        message = email.message.EmailMessage()
        message["From"] = body["sender"]["value"] + "@whatsapp.invalid"
        message["To"] = ", ".join(to["value"] + "@whatsapp.invalid" for to in body["recipients"])
        message["Date"] = email.utils.formatdate(body["messageTime"] / 1000)
        message["Message-ID"] = "<" + body["messageId"] + "@whatsapp.invalid>"
        message["Subject"] = body["text"][:60].replace("\n", " ")
        message.set_content(body["text"])
        if owner not in boxes:
            boxes[owner] = mailbox.Maildir(os.path.join(sys.argv[2], owner))
        boxes[owner].add(message)
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |place: usize| arguments.get(place).and_then(|argument| argument.parse::<u32>().ok());
    let (items, people, rounds) = (number(0).unwrap_or(20_000), number(1).unwrap_or(50), number(2).unwrap_or(5));
    let folder = tempfile::tempdir_in(process::memory_folder()).unwrap();
    prepare(folder.path(), items, people);
    let mut programs = vec![env!("CARGO_BIN_EXE_whatsapp-archiver").to_owned()];
    programs.extend(arguments.iter().skip(3).cloned());
    println!(
        "{items} texts of {people} people, one copy each, {rounds} rounds in turns; median (least to most) of each item"
    );
    let mut costs: Vec<Vec<(Cost, u64)>> = vec![Vec::new(); programs.len() + 1];
    for _ in 0..rounds {
        for (program, costs) in programs.iter().zip(&mut costs) {
            costs.push(archive(folder.path(), program, items));
        }
        costs.last_mut().unwrap().push(python(folder.path()));
    }
    programs.push("python3".to_owned());
    for (program, costs) in programs.iter().zip(&costs) {
        let each = |value: fn(&Cost) -> f64| {
            median(costs.iter().map(|(cost, _)| value(cost) * 1_000_000.0 / f64::from(items)), 0)
        };
        let (processor, elapsed) = (each(|cost| cost.processor), each(|cost| cost.elapsed));
        let memory = median(costs.iter().map(|(cost, _)| cost.most_memory), 0);
        let bytes = costs.first().map_or(0, |(_, bytes)| bytes / u64::from(items));
        println!("  {program}");
        println!(
            "    {processor} µs of processor time, {elapsed} µs elapsed; {memory} MiB at the most; ledger: {bytes} bytes"
        );
    }
}

fn prepare(folder: &Path, items: u32, people: u32) {
    fs::create_dir(folder.join("items")).unwrap();
    for (number, samples) in corpus::texts(items).chunks(FILE).enumerate() {
        let mut file = fs::File::create(folder.join(format!("items/{number:06}.jsonl"))).unwrap();
        for sample in samples {
            file.write_all(&sample.raw).unwrap();
            file.write_all(b"\n").unwrap();
        }
    }
    corpus::write_people(folder, people);
}

fn archive(folder: &Path, program: &str, items: u32) -> (Cost, u64) {
    let run = folder.join("run");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("config.toml"), CONFIG).unwrap();
    let mut command = Command::new(program);
    let cost = process::run(command.arg("--config").arg(run.join("config.toml")).args(["run", "--once"]));
    let found: usize = fs::read_dir(run.join("mailboxes"))
        .unwrap()
        .map(|mailbox| fs::read_dir(mailbox.unwrap().path().join(".WhatsApp Archiver/cur")).unwrap().count())
        .sum();
    assert_eq!(found, usize::try_from(items).unwrap());
    let bytes = fs::metadata(run.join("ledger.db")).unwrap().len();
    fs::remove_dir_all(&run).unwrap();
    (cost, bytes)
}

fn python(folder: &Path) -> (Cost, u64) {
    let run = folder.join("run");
    fs::create_dir(&run).unwrap();
    let cost = process::run(Command::new("python3").arg("-c").arg(PYTHON).arg(folder.join("items")).arg(&run));
    fs::remove_dir_all(&run).unwrap();
    (cost, 0)
}
