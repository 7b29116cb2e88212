//! A whole installation on one machine: a folder as the source, local staging, a user list, Maildirs and a ledger of
//! SQLite, used through the real binary or in process.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use whatsapp_archiver::app::{App, LedgerUse, TablesUse};
use whatsapp_archiver::clock::{SharedClock, SystemClock};
use whatsapp_archiver::config::{Config, NeededSecrets};
use whatsapp_archiver::identity::MessageId;

pub(crate) const ANA: &str = "ana@contoso.example";
pub(crate) const BEN: &str = "ben@contoso.example";
pub(crate) const CARA: &str = "cara@contoso.example";

/// 2024-05-01T10:00:00Z, in epoch milliseconds: when the first message of a test was sent.
pub(crate) const MORNING: i64 = 1_714_557_600_000;

/// An installation, in a directory that goes with it.
pub(crate) struct Archive {
    pub(crate) root: TempDir,
}

impl Archive {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("export")).unwrap();
        let archive = Self { root };
        archive.set_users(&[ANA, BEN, CARA]);
        archive.set_ledger("sqlite://ledger.db");
        archive
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn set_users(&self, users: &[&str]) {
        fs::write(self.path("users.csv"), format!("address\n{}\n", users.join("\n"))).unwrap();
    }

    pub(crate) fn set_ledger(&self, url: &str) {
        let config = format!(
            "[source]\nkind = \"directory\"\npath = \"export\"\nattachment_wait = \"1ms\"\n\
             [staging]\nkind = \"local\"\npath = \"staging\"\n[mapping]\nautomatic = true\n\
             [users]\nkind = \"list\"\npath = \"users.csv\"\n[mailbox]\nkind = \"maildir\"\npath = \"mailboxes\"\n\
             [ledger]\nurl = \"{url}\"\nlease = \"10s\"\n[retry]\nattempts = 2\ninitial = \"1ms\"\nmax = \"2ms\"\n"
        );
        fs::write(self.path("config.toml"), config).unwrap();
    }

    /// Adds a file of items to the export.
    pub(crate) fn export(&self, name: &str, items: &[Value]) {
        fs::write(self.path("export").join(name), json!(items).to_string()).unwrap();
    }

    /// Adds the bytes of an attachment to the export.
    pub(crate) fn export_attachment(&self, item: i64, index: usize, bytes: &[u8]) {
        let directory = self.path("export/attachments").join(item.to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{index}-file.txt")), bytes).unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The program, about to run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whatsapp-archiver"));
        command.arg("--config").arg(self.path("config.toml")).args(["--log-format", "json"]).args(arguments);
        command.current_dir(self.root.path());
        command
    }

    /// Runs a command whose exit status is known; gives its standard output.
    pub(crate) fn run_to(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let reported = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, log) = (reported(&output.stdout), reported(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{out}\n{log}");
        out
    }

    /// Runs a command that fails; gives its standard error.
    pub(crate) fn fail(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let reported = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{reported}");
        reported
    }

    /// The account of the latest run.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.run_to(0, &["report", "--format", "json"])).unwrap()
    }

    pub(crate) fn verify(&self, status: i32, arguments: &[&str]) -> Value {
        let words = [&["verify", "--format", "json"], arguments].concat();
        serde_json::from_str(&self.run_to(status, &words)).unwrap()
    }

    /// The files of the messages in a mailbox, in all its folders, sorted.
    pub(crate) fn mails(&self, address: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut pending = vec![self.path("mailboxes").join(address)];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                let in_folder = path.parent().is_some_and(|parent| parent.ends_with("cur") || parent.ends_with("new"));
                if path.is_dir() {
                    pending.push(path);
                } else if in_folder {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// The Message-IDs in a mailbox, sorted, as often as they are there.
    pub(crate) fn message_ids(&self, address: &str) -> Vec<MessageId> {
        let mut ids: Vec<MessageId> = self.mails(address).iter().map(|path| message_id(path)).collect();
        ids.sort();
        ids
    }

    /// The one message in a mailbox whose text holds these words.
    pub(crate) fn mail(&self, address: &str, words: &str) -> PathBuf {
        let holds = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).contains(words);
        let mut found: Vec<PathBuf> = self.mails(address).into_iter().filter(holds).collect();
        assert_eq!(found.len(), 1, "{words} in {address}: {found:?}");
        found.remove(0)
    }

    /// Gives every message a name that says nothing of it, as some mail programs do: a copy that is sent again then becomes
    /// a second file.
    pub(crate) fn rename_mails(&self) {
        for address in [ANA, BEN, CARA] {
            for (number, path) in self.mails(address).into_iter().enumerate() {
                let id = message_id(&path);
                let name = format!("17145576{number:02}.R{}.host:2,S", id.local_part().len() + number);
                fs::rename(&path, path.with_file_name(name)).unwrap();
            }
        }
    }

    /// The ledger, its helpers and the locks beside it are gone.
    pub(crate) fn lose_ledger(&self) {
        for entry in fs::read_dir(self.root.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.starts_with("ledger.db") && path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else if name.starts_with("ledger.db") {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// The program in process.
    pub(crate) async fn app(&self) -> App {
        self.app_at(Arc::new(SystemClock)).await
    }

    /// The same with another clock.
    pub(crate) async fn app_at(&self, clock: SharedClock) -> App {
        let environment = BTreeMap::new();
        let config = Arc::new(Config::load(&self.path("config.toml"), &environment, NeededSecrets::All).unwrap());
        App::build(config, &environment, clock, LedgerUse::MadeIfMissing, TablesUse::Read).await.unwrap()
    }

    /// Copies the whole installation.
    pub(crate) fn duplicate(&self) -> Self {
        let root = TempDir::new().unwrap();
        copy_directory(self.root.path(), root.path());
        Self { root }
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The Message-ID in a file's header.
pub(crate) fn message_id(path: &Path) -> MessageId {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("a Message-ID");
    MessageId::parse(line).unwrap()
}

/// A message from Ana to Ben, as the archiver of `owner` captured it.
pub(crate) fn captured(id: i64, owner: &str, message: &str, text: &str) -> Value {
    let phone = |number: &str| json!({"value": number, "type": "PHONE"});
    let people = [("15550101", ANA), ("15550102", BEN), ("15550103", CARA)];
    let enrichments: serde_json::Map<String, Value> =
        people.iter().map(|(number, email)| (phone(number).to_string(), json!({"email": email}))).collect();
    let number = |address: &str| people.iter().find(|(_, email)| *email == address).unwrap().0;
    json!({
        "id": id, "gatewayReceivedDate": MORNING + 60_000 * id, "networkType": "WHATSAPP_ARCHIVER",
        "sourceType": "WHATSAPP_ARCHIVER",
        "body": {
            "messageId": message, "messageType": "APP_MESSAGE", "messageTime": MORNING, "owner": phone(number(owner)),
            "direction": if owner == ANA { "OUT" } else { "IN" }, "sender": phone(number(ANA)),
            "recipients": [phone(number(BEN))], "participantEnrichments": enrichments, "text": text, "attachment": []
        }
    })
}

/// A message from Ana to Ben.
pub(crate) fn item(id: i64, text: &str) -> Value {
    captured(id, ANA, &format!("3EB0{id}"), text)
}

/// A message from Ana to Ben with one attachment.
pub(crate) fn item_with_file(id: i64, text: &str) -> Value {
    let mut item = item(id, text);
    item["body"]["attachment"] = json!([{"name": "file.txt", "contentType": "text/plain"}]);
    item
}
