//! What a whole run into remote mailboxes takes: texts into one Dovecot mailbox, with `mbsync` pushing the same finished messages beside it;
//! texts into many mailboxes of a Graph server that takes its time; and the most memory with large files on their way through Graph.
//!
//! `cargo bench --bench remote -- imap|graph|memory [ITEMS [ROUNDS [PROGRAM…]]]`: each PROGRAM is another build of this one, measured in turns. In
//! `/dev/shm` where that is there. Needs Dovecot and, for `imap`, Debian's `isync`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement whose assumption is broken should end"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[path = "measure/corpus.rs"]
mod corpus;
#[path = "measure/process.rs"]
mod process;
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "../tests/it/servers"]
mod servers {
    pub(crate) mod dovecot;
    pub(crate) mod graph;
}

use process::{Cost, median, run};
use servers::dovecot::{Dovecot, DovecotOptions, PASSWORD};
use servers::graph::{CLIENT_ID, CLIENT_SECRET, GraphServer, TENANT, UserSpec};

/// How long Graph takes for each request.
const DELAY: Duration = Duration::from_millis(20);

/// Large files of the measurement of memory, and the size of each: an item with one just fits.
const LARGE: u32 = 40;
const LARGE_BYTES: usize = 9_900_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number =
        |place: usize, or| arguments.get(place).and_then(|argument| argument.parse::<u32>().ok()).unwrap_or(or);
    let (items, rounds) = (number(1, 20_000), number(2, 3));
    let mut programs = vec![env!("CARGO_BIN_EXE_whatsapp-archiver").to_owned()];
    programs.extend(arguments.iter().skip(3).cloned());
    let measure = match arguments.first().map(String::as_str) {
        Some("imap") => imap,
        Some("graph") => graph,
        Some("memory") => memory,
        other => panic!("imap, graph or memory, not {other:?}"),
    };
    let parent = process::memory_folder();
    let mut costs: Vec<(String, Vec<Cost>)> = Vec::new();
    for _ in 0..rounds {
        for program in &programs {
            let folder = tempfile::tempdir_in(parent).unwrap();
            for (name, cost) in measure(parent, folder.path(), program, items) {
                match costs.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, costs)) => costs.push(cost),
                    None => costs.push((name, vec![cost])),
                }
            }
        }
    }
    println!("{items} texts, {rounds} rounds in turns; median (least to most)");
    for (name, costs) in costs {
        let of = |value: fn(&Cost) -> f64| median(costs.iter().map(value), 1);
        println!(
            "  {name}: {} s elapsed, {} s of processor time, {} MiB at the most",
            of(|cost| cost.elapsed),
            of(|cost| cost.processor),
            of(|cost| cost.most_memory)
        );
    }
}

/// All into one mailbox; then `mbsync` pushes the messages that the archiver made into another one.
fn imap(parent: &'static Path, folder: &Path, program: &str, items: u32) -> Vec<(String, Cost)> {
    let server = Dovecot::start(&DovecotOptions { parent: Some(parent), ..DovecotOptions::default() });
    write_items(folder, items, 1, 0);
    fs::write(folder.join("password"), PASSWORD).unwrap();
    let port = server.port;
    let remote = format!(
        "[mailbox]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nauth = \"password\"\npassword = {{ file = \"password\" }}\n"
    );
    let ours = archive(folder, program, &remote);
    let local = folder.join("local");
    fs::create_dir(&local).unwrap();
    fs::copy(folder.join("users.csv"), local.join("users.csv")).unwrap();
    fs::copy(folder.join("mapping.csv"), local.join("mapping.csv")).unwrap();
    fs::rename(folder.join("items"), local.join("items")).unwrap();
    archive(&local, program, "[mailbox]\nkind = \"maildir\"\npath = \"mailboxes/\"\n");
    let finished = local.join("mailboxes/e0@contoso.example/.WhatsApp Archiver");
    let configuration = local.join("mbsyncrc");
    let near = finished.parent().unwrap().display();
    fs::write(
        &configuration,
        format!(
            "FSync no\n\nIMAPAccount peer\nHost 127.0.0.1\nPort {port}\nUser peer\nPass \"{PASSWORD}\"\nSSLType None\nAuthMechs PLAIN\n\n\
             IMAPStore far\nAccount peer\n\nMaildirStore near\nInbox {near}\nSubFolders Maildir++\n\n\
             Channel push\nFar :far:\nNear :near:\nPatterns \"WhatsApp Archiver\"\nSync Push\nCreate Far\nSyncState *\n"
        ),
    )
    .unwrap();
    let peer = run(Command::new("mbsync").arg("-c").arg(&configuration).arg("push").env("HOME", &local));
    vec![(program.to_owned(), ours), (format!("mbsync, messages of {program}"), peer)]
}

fn graph(_: &'static Path, folder: &Path, program: &str, items: u32) -> Vec<(String, Cost)> {
    write_items(folder, items, 60, 0);
    vec![(program.to_owned(), through_graph(folder, program, 60, DELAY))]
}

/// Large files among small items, into a server that keeps nobody waiting.
fn memory(_: &'static Path, folder: &Path, program: &str, items: u32) -> Vec<(String, Cost)> {
    write_items(folder, items, 60, LARGE);
    vec![(program.to_owned(), through_graph(folder, program, 60, Duration::ZERO))]
}

fn through_graph(folder: &Path, program: &str, people: u32, delay: Duration) -> Cost {
    let server = GraphServer::start();
    server.delay(delay);
    server.with(|world| {
        world.login.roles.push("Mail-Advanced.ReadWrite.All");
        for person in 0..people {
            world.add_user(UserSpec::named(&format!("e{person}")));
        }
    });
    fs::write(folder.join("secret"), CLIENT_SECRET).unwrap();
    let origin = server.origin();
    archive(
        folder,
        program,
        &format!(
            "[microsoft]\ntenant_id = \"{TENANT}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = {{ file = \"secret\" }}\n\
             login_url = \"{origin}\"\ngraph_url = \"{origin}\"\n[mailbox]\nkind = \"graph\"\nmethod = \"create-message\"\n"
        ),
    )
}

/// Texts of `people` in turn, and large files evenly among them.
fn write_items(folder: &Path, items: u32, people: u32, large: u32) {
    fs::create_dir(folder.join("items")).unwrap();
    let mut file = fs::File::create(folder.join("items/000000.jsonl")).unwrap();
    let every = items.checked_div(large).unwrap_or(u32::MAX);
    for (number, sample) in (0..).zip(corpus::texts(items)) {
        let mut item: serde_json::Value = serde_json::from_slice(&sample.raw).unwrap();
        let owner = serde_json::json!({"value": format!("1555{:07}", number % people), "type": "PHONE"});
        item["body"]["recipients"] = serde_json::json!([owner]);
        item["body"]["owner"] = owner;
        if number % every == every - 1 {
            use base64::Engine as _;
            let content =
                base64::engine::general_purpose::STANDARD.encode(number.to_be_bytes().repeat(LARGE_BYTES / 4));
            item["body"]["attachment"] = serde_json::json!([{"name": "large.bin", "content": content}]);
        }
        serde_json::to_writer(&mut file, &item).unwrap();
        file.write_all(b"\n").unwrap();
    }
    corpus::write_people(folder, people);
}

/// One run; all items must be imported.
fn archive(folder: &Path, program: &str, remote: &str) -> Cost {
    let configuration: PathBuf = folder.join("config.toml");
    let rest = "[source]\nkind = \"directory\"\npath = \"items/\"\npage_size = 500\n[staging]\nkind = \"local\"\npath = \"staging/\"\n\
                [mapping]\nautomatic = false\ncustom = \"mapping.csv\"\n[users]\nkind = \"list\"\npath = \"users.csv\"\n\
                [ledger]\nurl = \"sqlite://ledger.db\"\n";
    fs::write(&configuration, format!("{rest}{remote}")).unwrap();
    run(Command::new(program).arg("--config").arg(configuration).args(["run", "--once"]))
}
