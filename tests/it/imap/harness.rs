//! What the contract needs of a real IMAP server, done as a person would: through another IMAP client.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use whatsapp_archiver::clock::SystemClock;
use whatsapp_archiver::identity::MessageId;
use whatsapp_archiver::mailbox::Destination;
use whatsapp_archiver::mailbox::imap::{Imap, ImapAuth, ImapSettings, ImapTimeouts, TlsMode};
use whatsapp_archiver::resolution::{Mailbox, MailboxId};

use crate::mailbox_contract::{Archived, Content, Harness, Trouble};
#[cfg(feature = "test-cyrus")]
use crate::servers::cyrus::Cyrus;
use crate::servers::dovecot::{Dovecot, DovecotOptions, PASSWORD};
use crate::servers::imap_client::ImapClient;
use crate::servers::imap_proxy::{ImapProxy, Network};

/// The archive folder's name.
pub(super) const FOLDER: &str = "WhatsApp Archiver";

/// The server, which ends with its harness.
enum Server {
    Dovecot(Dovecot),
    #[cfg(feature = "test-cyrus")]
    Cyrus(Cyrus),
}

impl Server {
    fn port(&self) -> u16 {
        match self {
            Self::Dovecot(dovecot) => dovecot.port,
            #[cfg(feature = "test-cyrus")]
            Self::Cyrus(cyrus) => cyrus.port,
        }
    }
}

/// A destination, the network, and a server behind it.
pub(super) struct ImapHarness {
    server: Server,
    pub(super) network: ImapProxy,
    pub(super) destination: Arc<Imap>,
    password: Arc<Mutex<String>>,
    prefix: &'static str,
}

impl ImapHarness {
    /// A Dovecot of this sort.
    pub(super) async fn dovecot(options: DovecotOptions) -> Self {
        Self::before(Server::Dovecot(Dovecot::start(&options)), options.prefix).await
    }

    /// A Cyrus, whose folders lie below INBOX.
    #[cfg(feature = "test-cyrus")]
    pub(super) async fn cyrus() -> Self {
        Self::before(Server::Cyrus(Cyrus::start()), "INBOX.").await
    }

    async fn before(server: Server, prefix: &'static str) -> Self {
        let network = ImapProxy::before(server.port()).await;
        let password = Arc::new(Mutex::new(PASSWORD.to_owned()));
        let destination = Arc::new(destination(settings("127.0.0.1", network.port, TlsMode::None, &password)));
        Self { server, network, destination, password, prefix }
    }

    /// A person in front of their own mail program.
    pub(super) fn person(&self, mailbox: &Mailbox) -> ImapClient {
        ImapClient::sign_in(self.server.port(), &mailbox.address, PASSWORD)
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

/// A destination's settings, with a password that can be changed.
pub(super) fn settings(host: &str, port: u16, tls: TlsMode, password: &Arc<Mutex<String>>) -> ImapSettings {
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

/// A destination on the machine's clock.
pub(super) fn destination(settings: ImapSettings) -> Imap {
    Imap::new(settings, Arc::new(SystemClock)).unwrap()
}

/// A mailbox of this name.
pub(super) fn mailbox(name: &str) -> Mailbox {
    Mailbox { id: MailboxId(format!("id-{name}")), address: format!("{name}@contoso.example") }
}

#[async_trait::async_trait]
impl Harness for ImapHarness {
    fn destination(&self) -> Arc<dyn Destination> {
        Arc::clone(&self.destination) as Arc<dyn Destination>
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
        let elsewhere = format!("{}Elsewhere &- (2)", self.prefix);
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
            Trouble::Forbidden if matches!(self.server, Server::Dovecot(_)) => {
                "wrong".clone_into(&mut self.password.lock().unwrap());
                self.network.hang_up().await;
            }
            // The scripted server's part; and this Cyrus takes any password.
            Trouble::Throttled | Trouble::Forbidden => return false,
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
