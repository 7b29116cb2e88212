//! The IMAP door against a real Dovecot: the contract of all doors, with all that Dovecot offers and with as little as
//! IMAP allows; TLS, sign-in, quota.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use whatsapp_archiver::clock::SystemClock;
use whatsapp_archiver::identity::MessageId;
use whatsapp_archiver::mailbox::imap::{Imap, ImapAuth, ImapSettings, ImapTimeouts, TlsMode};
use whatsapp_archiver::mailbox::{ImportError, MailboxDoor, Verdict};
use whatsapp_archiver::resolve::{Mailbox, MailboxId};

use crate::mailbox_contract::{
    Archived, Content, Harness, Trouble, assert_archived, contract_tests, import_all, manifest, message, messages,
};
use crate::servers::dovecot::{Dovecot, DovecotOptions, PASSWORD, Storage};
use crate::servers::imap_client::ImapClient;
use crate::servers::imap_proxy::{ImapProxy, Network};

const FOLDER: &str = "WhatsApp Archiver";
/// As little as there is: no MULTIAPPEND, LITERAL+, UIDPLUS or NAMESPACE.
const BARE: &str = "IMAP4rev1 MOVE";

/// A door, the network, and Dovecot behind it.
struct DovecotHarness {
    dovecot: Dovecot,
    network: ImapProxy,
    door: Arc<Imap>,
    password: Arc<Mutex<String>>,
    prefix: &'static str,
}

impl DovecotHarness {
    async fn start(options: DovecotOptions) -> Self {
        let dovecot = Dovecot::start(&options);
        let network = ImapProxy::before(dovecot.port).await;
        let password = Arc::new(Mutex::new(PASSWORD.to_owned()));
        let door = Arc::new(door(settings("127.0.0.1", network.port, TlsMode::None, &password)));
        Self { dovecot, network, door, password, prefix: options.prefix }
    }

    fn person(&self, mailbox: &Mailbox) -> ImapClient {
        ImapClient::sign_in(self.dovecot.port, &mailbox.address, PASSWORD)
    }

    fn folder(&self) -> String {
        format!("{}{FOLDER}", self.prefix)
    }

    /// A person who has the archive folder open.
    fn reader(&self, mailbox: &Mailbox) -> ImapClient {
        let mut person = self.person(mailbox);
        person.command(&format!("SELECT \"{}\"", self.folder())).unwrap();
        person
    }
}

fn settings(host: &str, port: u16, tls: TlsMode, password: &Arc<Mutex<String>>) -> ImapSettings {
    let password = Arc::clone(password);
    ImapSettings {
        host: host.to_owned(),
        port,
        tls,
        auth: ImapAuth::Password(Arc::new(move || Ok(SecretString::from(password.lock().unwrap().clone())))),
        login: "{mailbox}".to_owned(),
        folder: FOLDER.to_owned(),
        connections: 3,
        extra_roots_pem: None,
        timeouts: ImapTimeouts::default(),
        settle: Duration::ZERO,
    }
}

fn door(settings: ImapSettings) -> Imap {
    Imap::new(settings, Arc::new(SystemClock)).unwrap()
}

fn mailbox(name: &str) -> Mailbox {
    Mailbox { id: MailboxId(format!("id-{name}")), address: format!("{name}@contoso.example") }
}

#[async_trait::async_trait]
impl Harness for DovecotHarness {
    fn door(&self) -> Arc<dyn MailboxDoor> {
        Arc::clone(&self.door) as Arc<dyn MailboxDoor>
    }

    async fn make_mailbox(&self, name: &str) -> Mailbox {
        mailbox(name)
    }

    async fn archived(&self, mailbox: &Mailbox) -> Vec<Archived> {
        let mut person = self.person(mailbox);
        if person.command(&format!("SELECT \"{}\"", self.folder())).is_err() {
            return Vec::new();
        }
        let uids = person.search("ALL");
        let mut archived = Vec::new();
        for uid in uids {
            let answer = person.command(&format!("UID FETCH {uid} (FLAGS INTERNALDATE BODY.PEEK[])")).unwrap();
            let line = answer.iter().position(|piece| piece.ends_with(b"}")).unwrap();
            let about = String::from_utf8(answer[line].clone()).unwrap();
            archived.push(Archived {
                content: Content::Mime(answer[line + 1].clone()),
                read: about.contains("\\Seen"),
                received: internal_date(&about),
            });
        }
        archived
    }

    async fn delete_folder(&self, mailbox: &Mailbox) {
        self.person(mailbox).command(&format!("DELETE \"{}\"", self.folder())).unwrap();
    }

    async fn move_elsewhere(&self, mailbox: &Mailbox, message_id: &MessageId) {
        let mut person = self.reader(mailbox);
        let elsewhere = format!("{}Elsewhere &- \\\"quoted\\\"", self.prefix);
        person.command(&format!("CREATE \"{elsewhere}\"")).unwrap();
        let [uid] = person.search(&by_id(message_id))[..] else { panic!("one copy") };
        person.command(&format!("UID MOVE {uid} \"{elsewhere}\"")).unwrap();
    }

    async fn double(&self, mailbox: &Mailbox, message_id: &MessageId) {
        let mut person = self.reader(mailbox);
        let [uid] = person.search(&by_id(message_id))[..] else { panic!("one copy") };
        person.command(&format!("UID COPY {uid} \"{}\"", self.folder())).unwrap();
    }

    async fn alter(&self, mailbox: &Mailbox, message_id: &MessageId) {
        let mut person = self.reader(mailbox);
        let [uid] = person.search(&by_id(message_id))[..] else { panic!("one copy") };
        let answer = person.command(&format!("UID FETCH {uid} BODY.PEEK[]")).unwrap();
        let line = answer.iter().position(|piece| piece.ends_with(b"}")).unwrap();
        let mut bytes = answer[line + 1].clone();
        let place = bytes.iter().rposition(u8::is_ascii_alphanumeric).unwrap();
        bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
        person.append(&self.folder(), &bytes);
        expunge(&mut person, uid);
    }

    async fn remove(&self, mailbox: &Mailbox, message_id: &MessageId) {
        let mut person = self.reader(mailbox);
        for uid in person.search(&by_id(message_id)) {
            expunge(&mut person, uid);
        }
    }

    async fn add_foreign(&self, mailbox: &Mailbox) {
        let foreign = b"Message-ID: <x@fabrikam.example>\r\nSubject: hello\r\n\r\nHello.\r\n";
        self.person(mailbox).append(&self.folder(), foreign);
        self.person(mailbox).append(&self.folder(), b"Subject: no id at all\r\n\r\nHello.\r\n");
    }

    async fn trouble(&self, _mailbox: &Mailbox, trouble: Trouble) -> bool {
        match trouble {
            Trouble::AnswerLost => self.network.set(Network::LosesAnswers).await,
            Trouble::AttemptLost => self.network.set(Network::LosesMessages).await,
            Trouble::Unavailable => self.network.set(Network::Down).await,
            Trouble::Forbidden => {
                "wrong".clone_into(&mut self.password.lock().unwrap());
                self.network.hang_up().await;
            }
            // The scripted server's part.
            Trouble::Throttled => return false,
        }
        true
    }

    async fn heal(&self, _mailbox: &Mailbox) {
        PASSWORD.clone_into(&mut self.password.lock().unwrap());
        self.network.set(Network::Works).await;
    }
}

fn by_id(message_id: &MessageId) -> String {
    format!("HEADER Message-ID \"{message_id}\"")
}

fn expunge(person: &mut ImapClient, uid: u32) {
    person.command(&format!("UID STORE {uid} +FLAGS (\\Deleted)")).unwrap();
    person.command("EXPUNGE").unwrap();
}

fn internal_date(about: &str) -> DateTime<Utc> {
    let (_, rest) = about.split_once("INTERNALDATE \"").unwrap();
    let (date, _) = rest.split_once('"').unwrap();
    DateTime::parse_from_str(date.trim(), "%d-%b-%Y %H:%M:%S %z").unwrap().to_utc()
}

mod with_all_that_dovecot_offers {
    use super::*;

    async fn start() -> DovecotHarness {
        DovecotHarness::start(DovecotOptions { prefix: "INBOX/", ..DovecotOptions::default() }).await
    }
    contract_tests!(start);
}

mod with_as_little_as_imap_allows {
    use super::*;

    async fn start() -> DovecotHarness {
        let options = DovecotOptions { storage: Storage::Mdbox, capabilities: Some(BARE), ..DovecotOptions::default() };
        DovecotHarness::start(options).await
    }
    contract_tests!(start);
}

mod with_literal_plus_alone {
    use super::*;

    async fn start() -> DovecotHarness {
        let capabilities = Some("IMAP4rev1 SASL-IR LITERAL+ UIDPLUS NAMESPACE MOVE");
        DovecotHarness::start(DovecotOptions { capabilities, ..DovecotOptions::default() }).await
    }
    contract_tests!(start);
}

#[tokio::test]
async fn tls_from_the_start_and_by_starttls() {
    let dovecot = Dovecot::start(&DovecotOptions::default());
    let password = Arc::new(Mutex::new(PASSWORD.to_owned()));
    for (tls, port) in [(TlsMode::Implicit, dovecot.tls_port), (TlsMode::StartTls, dovecot.port)] {
        let ana = mailbox(&format!("{tls:?}").to_lowercase());
        let trusting = ImapSettings {
            extra_roots_pem: Some(dovecot.ca_pem.clone().into_bytes()),
            ..settings("localhost", port, tls, &password)
        };
        let results = door(trusting.clone()).import(&ana, &messages(60)).await;
        assert!(results.iter().all(Result::is_ok), "{tls:?}: {results:?}");

        // The certificate is for another name.
        let elsewhere = ImapSettings { host: "127.0.0.1".to_owned(), ..trusting };
        let results = door(elsewhere).import(&ana, &messages(1)).await;
        assert!(
            matches!(&results[..], [Err(ImportError::Unavailable(detail))] if detail.contains("TLS")),
            "{results:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let dovecot = Dovecot::start(&DovecotOptions::default());
    let other = Dovecot::start(&DovecotOptions::default());
    let password = Arc::new(Mutex::new(PASSWORD.to_owned()));
    let settings = ImapSettings {
        extra_roots_pem: Some(other.ca_pem.clone().into_bytes()),
        ..settings("localhost", dovecot.tls_port, TlsMode::Implicit, &password)
    };
    let results = door(settings).import(&mailbox("ana"), &messages(1)).await;
    assert!(matches!(results[..], [Err(ImportError::Unavailable(_))]), "{results:?}");
}

#[tokio::test]
async fn a_wrong_password_is_a_matter_of_configuration() {
    let dovecot = Dovecot::start(&DovecotOptions::default());
    let password = Arc::new(Mutex::new("wrong".to_owned()));
    let results =
        door(settings("127.0.0.1", dovecot.port, TlsMode::None, &password)).import(&mailbox("ana"), &messages(2)).await;
    let [Err(ImportError::Forbidden(detail)), Err(ImportError::Forbidden(_))] = &results[..] else {
        panic!("{results:?}")
    };
    assert!(detail.contains("ana@contoso.example") && !detail.contains("wrong"), "{detail}");
}

#[tokio::test]
async fn what_fits_into_a_full_mailbox_arrives() {
    let quota = Some(100_000);
    let harness = DovecotHarness::start(DovecotOptions { quota, ..DovecotOptions::default() }).await;
    let ana = mailbox("ana");
    let sent = [message(1), crate::mailbox_contract::large_message(), message(2)];
    let results = harness.door.import(&ana, &sent).await;
    assert!(matches!(results[..], [Ok(_), Err(ImportError::Unavailable(_)), Ok(_)]), "{results:?}");
    assert_archived(&harness, &ana, &[message(1), message(2)]).await;

    // Together they don't fit; one by one some do, and each has its own outcome.
    let results = harness.door.import(&ana, &crate::mailbox_contract::messages(200)[2..]).await;
    let arrived = results.iter().filter(|result| result.is_ok()).count();
    assert!((1..198).contains(&arrived), "{arrived}");
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(ImportError::Unavailable(_)))), "{results:?}");
    assert_eq!(harness.archived(&ana).await.len(), arrived + 2);
}

#[tokio::test]
async fn a_session_that_the_server_ended_is_replaced_unnoticed() {
    let harness = DovecotHarness::start(DovecotOptions::default()).await;
    let ana = mailbox("ana");
    import_all(&harness, &ana, &[message(1)]).await;
    harness.network.hang_up().await;
    import_all(&harness, &ana, &[message(2)]).await;
    assert_archived(&harness, &ana, &messages(2)).await;
}

#[tokio::test]
async fn more_mailboxes_than_connections() {
    let harness = DovecotHarness::start(DovecotOptions::default()).await;
    let mailboxes: Vec<Mailbox> = (0..20).map(|number| mailbox(&format!("person{number}"))).collect();
    for _ in 0..2 {
        let all = mailboxes.iter().map(|mailbox| harness.door.import(mailbox, &[]));
        futures_util::future::join_all(all).await;
    }
    let sent = messages(3);
    let all = mailboxes.iter().map(|mailbox| import_all(&harness, mailbox, &sent));
    futures_util::future::join_all(all).await;
    for mailbox in &mailboxes {
        assert_archived(&harness, mailbox, &sent).await;
    }
}

#[tokio::test]
async fn the_folder_is_subscribed_to() {
    let harness = DovecotHarness::start(DovecotOptions::default()).await;
    let ana = mailbox("ana");
    import_all(&harness, &ana, &[message(1)]).await;
    let subscribed = harness.person(&ana).command("LSUB \"\" \"*\"").unwrap();
    assert!(subscribed.iter().any(|line| String::from_utf8_lossy(line).contains(FOLDER)), "{subscribed:?}");
}

#[tokio::test]
async fn a_folder_that_is_there_already_is_used() {
    let harness = DovecotHarness::start(DovecotOptions::default()).await;
    let ana = mailbox("ana");
    harness.person(&ana).command(&format!("CREATE \"{FOLDER}\"")).unwrap();
    harness.add_foreign(&ana).await;
    import_all(&harness, &ana, &messages(2)).await;
    let manifests: Vec<_> = messages(2).iter().map(|message| manifest(message)).collect();
    assert_eq!(harness.door.verify(&ana, &manifests).await.unwrap(), [Verdict::Intact, Verdict::Intact]);
    assert_eq!(harness.door.inventory(&ana).await.unwrap().len(), 2);
}
