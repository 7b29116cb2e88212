//! The contract of every destination, by both methods.

use std::sync::Arc;

use chrono::Utc;
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::identity::MessageId;
use whatsapp_archiver::mailbox::Destination;
use whatsapp_archiver::mailbox::graph::Method;
use whatsapp_archiver::resolution::Mailbox;

use crate::mailbox_contract::{Archived, Content, Harness, Properties, Trouble, contract_tests};
use crate::servers::graph::client::Connection;
use crate::servers::graph::client::settings;
use crate::servers::graph::{Act, Fault, RetryAfter, StoredMessage};

const FOLDER: &str = "WhatsApp Archiver";

struct GraphHarness {
    connection: Connection,
    destination: Arc<dyn Destination>,
}

impl GraphHarness {
    fn by(method: Method) -> Self {
        let connection = Connection::new();
        if method == Method::ImportMime {
            connection.server.with(|world| world.login.roles.push("Mail-Advanced.ReadWrite.All"));
        }
        let destination = Arc::new(connection.destination_with(settings(method)));
        Self { connection, destination }
    }

    fn change(&self, mailbox: &Mailbox, message_id: &MessageId, work: impl FnOnce(&mut StoredMessage)) {
        self.connection.server.with(|world| {
            work(world.mailbox(&mailbox.id.0).by_message_id(message_id.as_str()).expect("the message"));
        });
    }
}

impl Drop for GraphHarness {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.connection.server.violations(), Vec::<String>::new());
        }
    }
}

#[async_trait::async_trait]
impl Harness for GraphHarness {
    fn destination(&self) -> Arc<dyn Destination> {
        Arc::clone(&self.destination)
    }

    async fn make_mailbox(&self, name: &str) -> Mailbox {
        self.connection.mailbox(name)
    }

    async fn archived(&self, mailbox: &Mailbox) -> Vec<Archived> {
        self.connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER)).iter().map(archived).collect()
    }

    async fn delete_folder(&self, mailbox: &Mailbox) {
        self.connection.server.with(|world| world.delete_folder(&mailbox.id.0, FOLDER));
    }

    async fn move_elsewhere(&self, mailbox: &Mailbox, message_id: &MessageId) {
        let archive = self
            .connection
            .server
            .with(|world| world.mailbox(&mailbox.id.0).top_folders("Archive").next().unwrap().id.clone());
        self.change(mailbox, message_id, |message| message.folder = archive);
    }

    async fn double(&self, mailbox: &Mailbox, message_id: &MessageId) {
        self.connection.server.with(|world| {
            let id = world.new_id("message");
            let mailbox = world.mailbox(&mailbox.id.0);
            let copy = StoredMessage { id, ..mailbox.by_message_id(message_id.as_str()).unwrap().clone() };
            mailbox.messages.push(copy);
        });
    }

    async fn alter(&self, mailbox: &Mailbox, message_id: &MessageId) {
        self.change(mailbox, message_id, |message| {
            if let Some(file) = message.attachments.last_mut() {
                file.bytes.push(b'!');
            } else if message.mime.is_some() {
                message.subject.push('!');
            } else {
                message.html = message.html.replace("Message", "Massage");
            }
        });
    }

    async fn remove(&self, mailbox: &Mailbox, message_id: &MessageId) {
        let wanted = message_id.to_string();
        self.connection.server.with(|world| {
            world.mailbox(&mailbox.id.0).messages.retain(|message| message.message_id != wanted);
        });
    }

    async fn add_foreign(&self, mailbox: &Mailbox) {
        self.connection.server.with(|world| {
            let id = world.new_id("message");
            let mailbox = world.mailbox(&mailbox.id.0);
            let message_id = "<somebody.else@contoso.example>".to_owned();
            let foreign = StoredMessage { id, message_id, ..mailbox.messages[0].clone() };
            mailbox.messages.push(foreign);
        });
    }

    async fn trouble(&self, mailbox: &Mailbox, trouble: Trouble) -> bool {
        let everything = format!("users/{}/", mailbox.id.0);
        let writing = format!("users/{}/mailFolders/", mailbox.id.0);
        let fault = match trouble {
            Trouble::AnswerLost => Fault::always(writing, Act::CommitThen(Box::new(Act::Drop))).of("POST"),
            Trouble::AttemptLost => Fault::always(writing, Act::Drop).of("POST"),
            Trouble::Throttled => Fault::always(everything, Act::throttle(RetryAfter::Seconds(3))),
            Trouble::Forbidden => Fault::always(everything, Act::reply(403, "ErrorAccessDenied")),
            // A server that can't be reached can't be reached for all mailboxes.
            Trouble::Unavailable => return false,
        };
        self.connection.server.fail(fault);
        true
    }

    async fn heal(&self, _mailbox: &Mailbox) {
        self.connection.server.heal();
    }
}

fn archived(message: &StoredMessage) -> Archived {
    assert!(!message.is_draft, "a draft in the archive folder");
    let content = message.mime.clone().map_or_else(|| Content::Properties(properties(message)), Content::Mime);
    Archived { content, read: message.is_read, received: message.received }
}

fn properties(message: &StoredMessage) -> Properties {
    let address = |value: &serde_json::Value| value["emailAddress"]["address"].as_str().unwrap_or_default().to_owned();
    let mut attachments: Vec<_> =
        message.attachments.iter().map(|file| (file.name.clone(), Digest::of(&file.bytes))).collect();
    attachments.sort();
    Properties {
        message_id: message.message_id.trim_matches(['<', '>']).to_owned(),
        subject: message.subject.clone(),
        sent: message.sent.with_timezone(&Utc),
        from: address(&message.from),
        to: message.to.iter().map(address).collect(),
        html: message.html.clone(),
        attachments,
    }
}

mod create_message {
    use super::*;

    #[expect(clippy::unused_async, reason = "harnesses are started asynchronously")]
    async fn start() -> GraphHarness {
        GraphHarness::by(Method::CreateMessage)
    }

    contract_tests!(start);
}

mod import_mime {
    use super::*;

    #[expect(clippy::unused_async, reason = "harnesses are started asynchronously")]
    async fn start() -> GraphHarness {
        GraphHarness::by(Method::ImportMime)
    }

    contract_tests!(start);
}
