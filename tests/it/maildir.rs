//! The Maildir destination: the contract of every destination, and what is particular to files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use whatsapp_archiver::convert::Message;
use whatsapp_archiver::identity::MessageId;
use whatsapp_archiver::mailbox::maildir::Maildirs;
use whatsapp_archiver::mailbox::self_test::{Finding, SelfTest as _};
use whatsapp_archiver::mailbox::{Destination, ImportError, SendPermit, Verdict};
use whatsapp_archiver::resolution::{Mailbox, MailboxId};

use crate::mailbox_contract::{
    Archived, Content, Harness, Trouble, assert_archived, contract_tests, import_all, import_one, manifest, message,
    messages,
};

contract_tests!(start);

#[allow(clippy::unused_async, reason = "the contract's tests start servers, too")]
async fn start() -> MaildirHarness {
    MaildirHarness::new()
}

/// Maildirs in a directory of their own.
struct MaildirHarness {
    root: TempDir,
    destination: Arc<Maildirs>,
}

impl MaildirHarness {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let destination = Arc::new(Maildirs::new(root.path().join("mailboxes"), "WhatsApp Archiver").unwrap());
        Self { root, destination }
    }

    fn directory(&self, mailbox: &Mailbox) -> PathBuf {
        self.root.path().join("mailboxes").join(mailbox.address.to_lowercase())
    }

    fn archive(&self, mailbox: &Mailbox) -> PathBuf {
        self.directory(mailbox).join(".WhatsApp Archiver")
    }

    /// The one file of a message in the archive folder.
    fn file(&self, mailbox: &Mailbox, message_id: &MessageId) -> PathBuf {
        let mut files = files(&self.archive(mailbox).join("cur"));
        files.retain(|file| file.to_str().unwrap().contains(message_id.local_part()));
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }
}

fn mailbox(address: &str) -> Mailbox {
    Mailbox { id: MailboxId(address.to_lowercase()), address: address.to_owned() }
}

/// The files of a directory, sorted; none where there is no directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[async_trait::async_trait]
impl Harness for MaildirHarness {
    fn destination(&self) -> Arc<dyn Destination> {
        Arc::clone(&self.destination) as Arc<dyn Destination>
    }

    async fn make_mailbox(&self, name: &str) -> Mailbox {
        mailbox(&format!("{name}@contoso.example"))
    }

    async fn archived(&self, mailbox: &Mailbox) -> Vec<Archived> {
        let archive = self.archive(mailbox);
        assert!(files(&archive.join("tmp")).is_empty(), "something was left in tmp");
        let read = |path: PathBuf| Archived {
            content: Content::Mime(fs::read(&path).unwrap()),
            read: path.to_str().unwrap().ends_with(":2,S"),
            received: DateTime::<Utc>::from(fs::metadata(&path).unwrap().modified().unwrap()),
        };
        let paths = files(&archive.join("cur")).into_iter().chain(files(&archive.join("new")));
        paths.map(read).collect()
    }

    async fn delete_folder(&self, mailbox: &Mailbox) {
        fs::remove_dir_all(self.archive(mailbox)).unwrap();
    }

    /// As mutt does it: under a new name, which says nothing of the message.
    async fn move_elsewhere(&self, mailbox: &Mailbox, message_id: &MessageId) {
        let other = self.directory(mailbox).join(".Projects");
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(other.join(part)).unwrap();
        }
        fs::rename(self.file(mailbox, message_id), other.join("cur/1763700001.R42.host:2,FS")).unwrap();
    }

    async fn double(&self, mailbox: &Mailbox, message_id: &MessageId) {
        let file = self.file(mailbox, message_id);
        fs::copy(&file, file.with_file_name("1763700001.R43.host:2,S")).unwrap();
    }

    async fn alter(&self, mailbox: &Mailbox, message_id: &MessageId) {
        let file = self.file(mailbox, message_id);
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
    }

    async fn remove(&self, mailbox: &Mailbox, message_id: &MessageId) {
        fs::remove_file(self.file(mailbox, message_id)).unwrap();
    }

    async fn add_foreign(&self, mailbox: &Mailbox) {
        let content = "Message-ID: <abc@contoso.example>\n\nIn-Reply-To: nothing\n";
        fs::write(self.archive(mailbox).join("new/1763700002.R44.host"), content).unwrap();
        fs::write(self.archive(mailbox).join("cur/.dovecot-keywords"), "").unwrap();
    }

    /// A directory that is none stands for a file system that fails. A lost answer can't be brought about here, and
    /// neither can a missing right, where the tests may run as root.
    async fn trouble(&self, mailbox: &Mailbox, trouble: Trouble) -> bool {
        if trouble != Trouble::Unavailable {
            return false;
        }
        fs::create_dir_all(self.root.path().join("mailboxes")).unwrap();
        fs::write(self.directory(mailbox), "").unwrap();
        true
    }

    async fn heal(&self, mailbox: &Mailbox) {
        fs::remove_file(self.directory(mailbox)).unwrap();
    }
}

#[tokio::test]
async fn files_lie_and_are_named_as_documented() {
    let harness = MaildirHarness::new();
    let ana = mailbox("Ana.Berg@Contoso.Example");
    import_all(&harness, &ana, &[message(1)]).await;
    let root = harness.root.path().join("mailboxes/ana.berg@contoso.example");
    for directory in ["cur", "new", "tmp", ".WhatsApp Archiver/cur", ".WhatsApp Archiver/new", ".WhatsApp Archiver/tmp"]
    {
        assert!(root.join(directory).is_dir(), "{directory}");
    }
    assert!(root.join(".WhatsApp Archiver/maildirfolder").is_file());
    let mail = &message(1).mail;
    let size = message(1).mime().len();
    let name = format!("{}.{}.whatsapp-archiver,S={size}:2,S", mail.date.timestamp(), mail.message_id.local_part());
    assert_eq!(files(&root.join(".WhatsApp Archiver/cur")), [root.join(".WhatsApp Archiver/cur").join(name)]);
}

#[tokio::test]
async fn a_message_delivered_again_meets_its_own_file() {
    let harness = MaildirHarness::new();
    let ana = mailbox("ana@contoso.example");
    let sent = message(1);
    let first = import_one(&harness, &ana, &sent).await.unwrap();
    let again = harness.destination.import(&ana, &[Arc::clone(&sent), Arc::clone(&sent)], &SendPermit::always()).await;
    assert!(again.iter().all(|result| result.as_ref().unwrap() == &first));
    assert_archived(&harness, &ana, &[sent]).await;
}

#[tokio::test]
async fn a_message_twice_in_one_batch_is_one_file() {
    let harness = MaildirHarness::new();
    let ana = mailbox("ana@contoso.example");
    import_all(&harness, &ana, &[message(1), message(2), message(1)]).await;
    assert_archived(&harness, &ana, &messages(2)).await;
}

#[tokio::test]
async fn what_is_there_is_never_overwritten() {
    let harness = MaildirHarness::new();
    let ana = mailbox("ana@contoso.example");
    import_all(&harness, &ana, &[message(1)]).await;
    let file = harness.file(&ana, &message(1).mail.message_id);
    fs::write(&file, "cut short").unwrap();
    let result = import_one(&harness, &ana, &message(1)).await;
    assert!(matches!(result, Err(ImportError::Unexpected(_))), "{result:?}");
    assert_eq!(fs::read(&file).unwrap(), b"cut short");
    let verdicts = harness.destination.verify(&ana, &[manifest(&message(1))]).await.unwrap();
    assert!(matches!(verdicts.as_slice(), [Verdict::Altered { .. }]), "{verdicts:?}");
}

#[tokio::test]
async fn flags_do_not_hide_a_message() {
    let harness = MaildirHarness::new();
    let ana = mailbox("ana@contoso.example");
    let first = import_one(&harness, &ana, &message(1)).await.unwrap();
    let file = harness.file(&ana, &message(1).mail.message_id);
    let flagged = file.to_str().unwrap().replace(":2,S", ",W=999:2,FRS");
    fs::rename(&file, flagged).unwrap();
    let found = harness.destination.recover(&ana, &message(1), &SendPermit::always()).await.unwrap().unwrap();
    assert!(found.0.starts_with(&first.0));
    assert_eq!(harness.destination.verify(&ana, &[manifest(&message(1))]).await.unwrap(), [Verdict::Intact]);
}

#[tokio::test]
async fn an_interrupted_delivery_is_not_found_and_is_cleared_away() {
    let harness = MaildirHarness::new();
    let ana = mailbox("ana@contoso.example");
    import_all(&harness, &ana, &[message(1)]).await;
    let tmp = harness.archive(&ana).join("tmp");
    let id = message(2).mail.message_id.clone();
    fs::write(tmp.join(format!("1.{}.whatsapp-archiver,S=1.abc", id.local_part())), "half").unwrap();
    fs::write(tmp.join("1.R45.host"), "somebody else's").unwrap();
    assert_eq!(harness.destination.recover(&ana, &message(2), &SendPermit::always()).await.unwrap(), None);
    assert_eq!(files(&tmp), [tmp.join("1.R45.host")]);
}

#[tokio::test]
async fn hostile_addresses_stay_below_the_root() {
    let harness = MaildirHarness::new();
    for address in ["../../ana@contoso.example", "/etc/passwd", "..", "a\0b@contoso.example", ""] {
        import_all(&harness, &mailbox(address), &[message(1)]).await;
        let found = harness.destination.recover(&mailbox(address), &message(1), &SendPermit::always()).await.unwrap();
        assert!(found.is_some(), "{address:?}");
    }
    assert_eq!(files(harness.root.path()), [harness.root.path().join("mailboxes")]);
    assert_eq!(files(&harness.root.path().join("mailboxes")).len(), 5);
}

#[tokio::test]
async fn a_destination_started_anew_goes_on_in_the_same_folder() {
    let harness = MaildirHarness::new();
    let ana = mailbox("ana@contoso.example");
    import_all(&harness, &ana, &[message(1)]).await;
    let anew = Maildirs::new(harness.root.path().join("mailboxes"), "WhatsApp Archiver").unwrap();
    assert!(anew.import(&ana, &[message(2)], &SendPermit::always()).await.iter().all(Result::is_ok));
    assert_archived(&harness, &ana, &messages(2)).await;
}

#[tokio::test]
async fn parts_of_a_mailbox_that_are_gone_are_made_again() {
    let harness = MaildirHarness::new();
    let ana = mailbox("ana@contoso.example");
    import_all(&harness, &ana, &[message(1)]).await;
    fs::remove_dir_all(harness.archive(&ana).join("tmp")).unwrap();
    import_all(&harness, &ana, &[message(2)]).await;
    assert_archived(&harness, &ana, &messages(2)).await;
    fs::remove_dir_all(harness.archive(&ana).join("cur")).unwrap();
    // That `cur` alone is missing shows only when the message is to be put there: certain, and fixed by the next try.
    let result = import_one(&harness, &ana, &message(3)).await;
    assert!(matches!(result, Ok(_) | Err(ImportError::Unavailable(_))), "{result:?}");
    import_all(&harness, &ana, &[message(3)]).await;
    assert_archived(&harness, &ana, &[message(3)]).await;
}

/// Another implementation of Maildir reads what was written: folder, flags, time and content.
#[tokio::test]
async fn python_reads_the_mailbox() {
    const SCRIPT: &str = r#"
import mailbox, sys
box = mailbox.Maildir(sys.argv[1], create=False)
assert box.list_folders() == ["WhatsApp Archiver"], box.list_folders()
assert len(box) == 0
folder = box.get_folder("WhatsApp Archiver")
for key, message in folder.iteritems():
    print(message["Message-ID"], message.get_subdir(), message.get_flags(), int(message.get_date()), message["Subject"])
"#;
    let harness = MaildirHarness::new();
    let ana = mailbox("ana@contoso.example");
    import_all(&harness, &ana, &messages(3)).await;
    let output = Command::new("python3").args(["-c", SCRIPT]).arg(harness.directory(&ana)).output();
    let output = output.expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut seen: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    seen.sort();
    let line = |message: &Arc<Message>| {
        let mail = &message.mail;
        format!("{} cur S {} {}", mail.message_id, mail.date.timestamp(), mail.subject)
    };
    let mut expected: Vec<String> = messages(3).iter().map(line).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_mailbox_is_tried_out_and_left_clean() {
    let harness = start().await;
    let ana = harness.make_mailbox("ana").await;
    import_all(&harness, &ana, &messages(2)).await;
    let findings = harness.destination.self_test(&ana).await;
    assert_eq!(findings.len(), 4);
    assert!(findings.iter().all(Finding::is_good), "{findings:#?}");
    assert_archived(&harness, &ana, &messages(2)).await;
}
