//! The contract that every destination keeps, as tests that each destination runs against its own server.
//!
//! A destination's test file implements [`Harness`] and lists itself with [`contract_tests!`](crate::mailbox_contract::contract_tests).
//! Every harness starts with no mailbox at all, so that the tests don't see each other.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use whatsapp_archiver::convert::{Manifest, Message};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::identity::MessageId;
use whatsapp_archiver::mailbox::{Destination, ImportError, RemoteId, SendPermit};
use whatsapp_archiver::resolution::Mailbox;

mod sample;
pub(crate) mod tests;

pub(crate) use sample::{large_message, message, messages};

/// What a destination's next attempts meet, until [`Harness::heal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The message arrives, the answer is lost.
    AnswerLost,
    /// The attempt is lost before the message arrives, in a way that the destination can't tell from [`Trouble::AnswerLost`].
    AttemptLost,
    /// The mailbox asks for a pause.
    Throttled,
    /// The mailbox can't be reached.
    Unavailable,
    /// Access is refused.
    Forbidden,
}

/// A copy as it is read back from the archive folder.
#[derive(Debug)]
pub(crate) struct Archived {
    /// The message.
    pub(crate) content: Content,
    /// Whether the mailbox counts it as read.
    pub(crate) read: bool,
    /// When the mailbox says it was received.
    pub(crate) received: DateTime<Utc>,
}

/// What a mailbox keeps of a message.
#[derive(Debug)]
pub(crate) enum Content {
    /// Its bytes.
    Mime(Vec<u8>),
    /// Its fields.
    #[allow(dead_code, reason = "for doors that don't give the bytes back")]
    Properties(Properties),
}

/// A message as the fields that a mailbox gives back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Properties {
    /// `Message-ID`, without angle brackets.
    pub(crate) message_id: String,
    /// `Subject`.
    pub(crate) subject: String,
    /// `Date`.
    pub(crate) sent: DateTime<Utc>,
    /// The address of `From`.
    pub(crate) from: String,
    /// The addresses of `To`.
    pub(crate) to: Vec<String>,
    /// The body as HTML.
    pub(crate) html: String,
    /// Each attachment's name and the digest of its bytes, in order of names.
    pub(crate) attachments: Vec<(String, Digest)>,
}

/// What the contract needs to know and do on the other side of a destination.
#[async_trait::async_trait]
pub(crate) trait Harness: Send + Sync {
    /// The destination under test: always the same one.
    fn destination(&self) -> Arc<dyn Destination>;

    /// Makes an empty mailbox, with the local part `name`.
    async fn make_mailbox(&self, name: &str) -> Mailbox;

    /// Everything in the archive folder of a mailbox, in no particular order; nothing where there is no such folder.
    async fn archived(&self, mailbox: &Mailbox) -> Vec<Archived>;

    /// Deletes the archive folder and what is in it, as a person would.
    async fn delete_folder(&self, mailbox: &Mailbox);

    /// Moves a copy to another folder of the same mailbox, as a person would.
    async fn move_elsewhere(&self, mailbox: &Mailbox, message_id: &MessageId);

    /// Makes a second copy of a copy, in the archive folder.
    async fn double(&self, mailbox: &Mailbox, message_id: &MessageId);

    /// Changes the content of a copy.
    async fn alter(&self, mailbox: &Mailbox, message_id: &MessageId);

    /// Deletes a copy for good.
    async fn remove(&self, mailbox: &Mailbox, message_id: &MessageId);

    /// Puts a message of somebody else's into the archive folder.
    async fn add_foreign(&self, mailbox: &Mailbox);

    /// Brings trouble on a mailbox. `false` where this destination can't meet it.
    async fn trouble(&self, mailbox: &Mailbox, trouble: Trouble) -> bool;

    /// Ends all trouble of a mailbox.
    async fn heal(&self, mailbox: &Mailbox);
}

/// Imports one message.
pub(crate) async fn import_one(
    harness: &dyn Harness,
    mailbox: &Mailbox,
    message: &Arc<Message>,
) -> Result<RemoteId, ImportError> {
    let mut results = harness.destination().import(mailbox, std::slice::from_ref(message), &SendPermit::always()).await;
    assert_eq!(results.len(), 1, "one result for each message");
    results.remove(0)
}

/// Imports messages in batches that the destination takes, all of which must arrive.
pub(crate) async fn import_all(harness: &dyn Harness, mailbox: &Mailbox, messages: &[Arc<Message>]) {
    let destination = harness.destination();
    for batch in batches(&*destination, messages) {
        let results = destination.import(mailbox, batch, &SendPermit::always()).await;
        assert_eq!(results.len(), batch.len(), "one result for each message");
        for (result, message) in results.iter().zip(batch) {
            let remote = result.as_ref().unwrap_or_else(|error| panic!("{}: {error}", message.mail.message_id));
            assert!(!remote.0.is_empty());
        }
    }
}

/// The messages in order, cut as the destination's limits demand.
fn batches<'a>(destination: &dyn Destination, mut messages: &'a [Arc<Message>]) -> Vec<&'a [Arc<Message>]> {
    let limits = destination.limits();
    let mut batches = Vec::new();
    while !messages.is_empty() {
        let mut bytes = 0;
        let fitting = messages.iter().take(limits.batch_messages).take_while(|message| {
            bytes += message.mime().len() as u64;
            bytes <= limits.batch_bytes
        });
        let (batch, rest) = messages.split_at(fitting.count().max(1));
        batches.push(batch);
        messages = rest;
    }
    batches
}

/// What the ledger records of a message that was sent.
pub(crate) fn manifest(message: &Message) -> Manifest {
    message.manifest()
}

/// The archive folder holds exactly these messages, unaltered, read, and received at their own time.
pub(crate) async fn assert_archived(harness: &dyn Harness, mailbox: &Mailbox, messages: &[Arc<Message>]) {
    let mut archived = harness.archived(mailbox).await;
    for message in messages {
        let place = archived
            .iter()
            .position(|copy| is_copy_of(copy, message))
            .unwrap_or_else(|| panic!("{} is not in {}: {archived:#?}", message.mail.message_id, mailbox.address));
        let copy = archived.swap_remove(place);
        assert!(copy.read, "an archived message doesn't count as unread");
        assert_eq!(copy.received.timestamp(), message.mail.date.timestamp(), "received at the message's own time");
    }
    assert!(archived.is_empty(), "more than was imported: {archived:#?}");
}

fn is_copy_of(copy: &Archived, message: &Message) -> bool {
    match &copy.content {
        Content::Mime(bytes) => {
            let sent: &[u8] = message.mime();
            bytes == sent
        }
        Content::Properties(properties) => *properties == properties_of(message),
    }
}

fn properties_of(message: &Message) -> Properties {
    let mail = &message.mail;
    let files = mail.attachments.iter();
    let mut attachments: Vec<_> = files.map(|file| (file.name.clone(), Digest::of(&file.bytes))).collect();
    attachments.sort();
    Properties {
        message_id: mail.message_id.as_str().to_owned(),
        subject: mail.subject.clone(),
        sent: mail.date,
        from: mail.from.address.clone(),
        to: mail.to.iter().map(|to| to.address.clone()).collect(),
        html: mail.html.clone(),
        attachments,
    }
}

/// One test for each clause of the contract, against the harness that `$start` (an `async fn() -> impl Harness`) makes.
macro_rules! contract_tests {
    ($start:path) => {
        crate::mailbox_contract::contract_tests! { $start:
            a_message_arrives_unaltered_in_a_folder_that_is_made
            every_kind_of_message_is_read_back_as_it_was_sent
            several_messages_have_a_result_each_in_order
            the_largest_message_arrives
            a_folder_that_was_deleted_is_made_again
            mailboxes_do_not_see_each_other
            many_mailboxes_at_once
            nothing_is_found_where_nothing_was_sent
            what_arrived_is_found_wherever_it_was_moved
            a_lost_answer_ends_in_one_copy
            a_lost_attempt_ends_in_one_copy
            what_is_there_is_never_called_absent
            what_is_not_permitted_is_certainly_not_sent
            a_refusal_is_certain_and_leaves_nothing
            verify_reports_what_became_of_each_message
            inventory_counts_each_copy_of_ours
        }
    };
    ($start:path: $($clause:ident)+) => {
        $(
            #[tokio::test]
            async fn $clause() {
                let harness = $start().await;
                crate::mailbox_contract::tests::$clause(&harness).await;
            }
        )+
    };
}
pub(crate) use contract_tests;
