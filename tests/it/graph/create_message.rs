//! What exactly is written, and what becomes of copies in the wrong form.

use std::sync::Arc;

use bytes::Bytes;
use whatsapp_archiver::convert::{Mail, MailAttachment, Message};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::mailbox::graph::Method;
use whatsapp_archiver::mailbox::{Destination as _, ImportError, SendPermit, Verdict};
use whatsapp_archiver::sign_in::Cloud;

use crate::mailbox_contract::{large_message, manifest, message, messages};
use crate::servers::graph::client::Connection;
use crate::servers::graph::client::settings;
use crate::servers::graph::{Act, Fault, StoredAttachment, StoredMessage};

const FOLDER: &str = "WhatsApp Archiver";

/// A message with files of these sizes, in bytes.
pub(super) fn with_files(number: u32, sizes: &[usize]) -> Arc<Message> {
    let mail = message(number).mail.clone();
    let files = sizes.iter().enumerate().map(|(index, size)| {
        let pattern = |place: usize| (place.wrapping_mul(31) >> 3).wrapping_add(index).to_le_bytes()[0];
        let bytes: Vec<u8> = (0..*size).map(pattern).collect();
        MailAttachment {
            name: format!("file {index}.bin"),
            content_type: "application/octet-stream".to_owned(),
            digest: Digest::of(&bytes),
            bytes: Bytes::from(bytes),
            content_id: None,
        }
    });
    Arc::new(Message::new(Mail { attachments: files.collect(), ..mail }))
}

#[tokio::test]
async fn a_copy_has_its_class_its_times_and_its_thread() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let mut mail = message(1).mail.clone();
    mail.in_reply_to = Some(message(7).mail.message_id.clone());
    mail.references = vec![message(8).mail.message_id.clone(), message(7).mail.message_id.clone()];
    let sent = Arc::new(Message::new(mail));
    connection.destination().import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap();

    let stored = connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER)).remove(0);
    assert!(!stored.is_draft && stored.is_read);
    assert_eq!((stored.sent, stored.received), (sent.mail.date, sent.mail.date));
    assert_eq!(stored.properties["String 0x1a"], "IPM.ExternalData.WhatsAppArchiver");
    assert_eq!(stored.properties["String 0x1035"], sent.mail.message_id.to_string());
    assert_eq!(stored.properties["String 0x1042"], message(7).mail.message_id.to_string());
    let references = format!("{} {}", message(8).mail.message_id, message(7).mail.message_id);
    assert_eq!(stored.properties["String 0x1039"], references);
    assert_eq!(stored.headers, [("X-WhatsApp-Archiver-Item".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn a_small_message_is_one_request() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    connection.server.clear_log();
    for result in destination.import(&mailbox, &messages(60), &SendPermit::always()).await {
        result.unwrap();
    }
    let log = connection.server.log();
    assert_eq!(log.len(), 60, "{log:#?}");
}

#[tokio::test]
async fn a_copy_in_the_wrong_form_is_a_failure_and_is_taken_back() {
    let changes: [fn(&mut serde_json::Value); 4] = [
        |reply| reply["isDraft"] = true.into(),
        |reply| reply["sentDateTime"] = "2026-11-22T02:00:00Z".into(),
        |reply| reply["receivedDateTime"] = "2026-11-22T02:00:00Z".into(),
        |reply| reply["internetMessageId"] = "<made.up@contoso.example>".into(),
    ];
    for method in [Method::CreateMessage, Method::ImportMime] {
        for change in changes {
            let connection = Connection::new();
            connection.server.with(|world| world.login.roles.push("Mail-Advanced.ReadWrite.All"));
            let mailbox = connection.mailbox("ana");
            let destination = connection.destination_with(settings(method));
            destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
            connection.server.fail(Fault::once("POST", "mailFolders/", Act::Alter(change)));
            let error = destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap_err();
            assert!(matches!(&error, ImportError::Unexpected(text) if text.contains("wrong form")), "{error}");
            let left = connection.server.with(|world| world.mailbox(&mailbox.id.0).messages.len());
            assert_eq!(left, 1, "the wrong copy is gone for good, the other is there");
            assert_eq!(destination.recover(&mailbox, &message(2), &SendPermit::always()).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn a_wrong_copy_that_can_not_be_taken_back_is_never_sent_again() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    // The copy really is a draft: the server lost the flags.
    connection.server.fail(Fault::once("POST", "permanentDelete", Act::reply(500, "generalException")));
    connection.server.fail(Fault::once("POST", "mailFolders/", Act::Alter(|reply| reply["isDraft"] = true.into())));
    let error = destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(error, ImportError::OutcomeUnknown(_)), "{error}");
    connection.server.with(|world| {
        let id = message(2).mail.message_id.clone();
        world.mailbox(&mailbox.id.0).by_message_id(id.as_str()).unwrap().is_draft = true;
    });
    let error = destination.recover(&mailbox, &message(2), &SendPermit::always()).await.unwrap_err();
    assert!(matches!(&error, ImportError::Unexpected(text) if text.contains("draft")), "{error}");
}

#[tokio::test]
async fn files_of_every_size_arrive_once() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    let sent = with_files(1, &[0, 10, 2_900_000, 2_000_000, 3_000_000, 4_200_000]);
    destination.import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap();
    assert_eq!(destination.verify(&mailbox, &[manifest(&sent)]).await.unwrap(), [Verdict::Intact]);
    let log = connection.server.log();
    let count = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("/createUploadSession 201"), 2, "{log:#?}");
    assert_eq!(count("PUT /upload"), 3, "{log:#?}");
    assert_eq!(count("/attachments 201"), 1, "{log:#?}");
    assert_eq!(connection.server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_is_refused_for_good_is_left_out_and_reported() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    let refuse = || {
        let act = Act::reply(400, "ErrorAttachmentSizeLimitExceeded");
        connection.server.fail(Fault::once("POST", "/createUploadSession", act));
    };
    let sent = with_files(1, &[3_000_000, 4_200_000]);
    refuse();
    let error = destination.import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap_err();
    let ImportError::Incomplete { detail, .. } = &error else { panic!("{error}") };
    assert!(detail.contains("file 0.bin") && !detail.contains("file 1.bin"), "{detail}");
    // It is refused again where the copy is looked up; where it is not, the copy is whole.
    refuse();
    let error = destination.recover(&mailbox, &sent, &SendPermit::always()).await.unwrap_err();
    assert!(matches!(error, ImportError::Incomplete { .. }), "{error}");
    assert!(destination.recover(&mailbox, &sent, &SendPermit::always()).await.unwrap().is_some());
    assert_eq!(destination.verify(&mailbox, &[manifest(&sent)]).await.unwrap(), [Verdict::Intact]);
}

#[tokio::test]
async fn a_file_below_the_servers_minimum_is_posted() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    connection.server.with(|world| world.smallest_session = 3_050_000);
    let sent = with_files(1, &[3_000_000]);
    connection.destination().import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap();
    assert_eq!(connection.destination().verify(&mailbox, &[manifest(&sent)]).await.unwrap(), [Verdict::Intact]);
}

#[tokio::test]
async fn where_there_are_no_upload_sessions_nothing_is_begun() {
    for cloud in [Cloud::UsGovHigh, Cloud::UsGovDod] {
        let connection = Connection { cloud, ..Connection::new() };
        let mailbox = connection.mailbox("ana");
        // The server stands for all clouds, so the token must be for the cloud's own Graph.
        connection.server.with(|world| world.login.graph_audience = None);
        let destination = connection.destination();
        let error =
            destination.import(&mailbox, &[large_message()], &SendPermit::always()).await.remove(0).unwrap_err();
        assert!(matches!(&error, ImportError::Rejected(text) if text.contains("imap")), "{error}");
        assert!(connection.server.with(|world| world.mailbox(&mailbox.id.0).messages.is_empty()));
        // A text of this length becomes a file.
        let error = destination.import(&mailbox, &[long_message()], &SendPermit::always()).await.remove(0).unwrap_err();
        assert!(matches!(&error, ImportError::Rejected(text) if text.contains("imap")), "{error}");
        assert!(connection.server.with(|world| world.mailbox(&mailbox.id.0).messages.is_empty()));
        destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    }
}

/// A message whose text alone is too large for one request.
fn long_message() -> Arc<Message> {
    let mut mail = message(1).mail.clone();
    mail.text = "much to say ".repeat(300_000);
    mail.html = format!("<html><body><pre>{}</pre></body></html>", mail.text);
    Arc::new(Message::new(mail))
}

/// What verification says after somebody changed the copy.
async fn verdict_after(method: Method, sent: Arc<Message>, change: impl FnOnce(&mut StoredMessage)) -> Verdict {
    let connection = Connection::new();
    connection.server.with(|world| world.login.roles.push("Mail-Advanced.ReadWrite.All"));
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination_with(settings(method));
    destination.import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap();
    assert_eq!(destination.verify(&mailbox, &[manifest(&sent)]).await.unwrap(), [Verdict::Intact]);
    connection.server.with(|world| change(&mut world.mailbox(&mailbox.id.0).messages[0]));
    destination.verify(&mailbox, &[manifest(&sent)]).await.unwrap().remove(0)
}

#[tokio::test]
async fn the_ledgers_word_on_the_text_counts_and_not_the_copys_own() {
    for method in [Method::CreateMessage, Method::ImportMime] {
        let verdict = verdict_after(method, message(1), |copy| {
            copy.html = copy.html.replace("Message", "Massage");
            // Whoever can change the body can change what the copy says of itself.
            copy.properties.clear();
        });
        assert!(matches!(verdict.await, Verdict::Altered { detail } if detail.contains("text")), "{method:?}");
    }
    let verdict = verdict_after(Method::CreateMessage, long_message(), |copy| {
        let file = &mut copy.attachments[0].bytes;
        let place = file.len() / 2;
        file[place] ^= 1;
    });
    assert!(matches!(verdict.await, Verdict::Altered { detail } if detail.contains("whole message")));
}

#[tokio::test]
async fn a_file_that_grew_or_came_is_an_alteration_and_no_error() {
    let verdict = verdict_after(Method::CreateMessage, with_files(1, &[1_000, 5_000]), |copy| {
        copy.attachments[0].bytes = vec![7; 6_000_000];
    });
    assert!(matches!(verdict.await, Verdict::Altered { detail } if detail.contains("other bytes")));
    let verdict = verdict_after(Method::CreateMessage, message(1), |copy| {
        copy.attachments.push(StoredAttachment {
            id: "added".to_owned(),
            name: "added.txt".to_owned(),
            content_type: "text/plain".to_owned(),
            bytes: b"x".to_vec(),
            is_inline: false,
        });
    });
    assert!(matches!(verdict.await, Verdict::Altered { detail } if detail.contains("attachments")));
}

#[tokio::test]
async fn files_are_listed_where_there_can_be_some() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    let sent = messages(5);
    for result in destination.import(&mailbox, &sent, &SendPermit::always()).await {
        result.unwrap();
    }
    connection.server.clear_log();
    let manifests: Vec<_> = sent.iter().map(|message| manifest(message)).collect();
    assert_eq!(destination.verify(&mailbox, &manifests).await.unwrap(), vec![Verdict::Intact; 5]);
    assert!(
        connection.server.log().iter().all(|line| !line.contains("/attachments")),
        "{:#?}",
        connection.server.log()
    );
    assert!(destination.verify_batch() <= 100);
}

#[tokio::test]
async fn the_permission_that_a_look_up_lacks_is_the_look_ups_own() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let settings = settings(Method::ImportMime);
    let destination = connection.destination_with(settings);
    connection.server.fail(Fault::always("/mailFolders", Act::reply(403, "ErrorAccessDenied")).of("GET"));
    connection.server.fail(Fault::always("/messages", Act::reply(403, "ErrorAccessDenied")).of("GET"));
    let refusals = [
        destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap_err(),
        destination.recover(&mailbox, &message(1), &SendPermit::always()).await.unwrap_err(),
        destination.verify(&mailbox, &[manifest(&message(1))]).await.unwrap_err(),
        destination.inventory(&mailbox).await.unwrap_err(),
    ];
    for error in refusals {
        let reported = error.to_string();
        assert!(reported.contains("grant the application Mail.ReadWrite,"), "{reported}");
    }
}

#[tokio::test]
async fn a_text_too_large_for_one_request_arrives_whole() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let sent = long_message();
    let destination = connection.destination();
    destination.import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap();
    let stored = connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER)).remove(0);
    assert_eq!(stored.attachments.len(), 1);
    assert_eq!(stored.attachments[0].bytes, sent.mail.html.as_bytes());
    assert!(stored.html.contains(&stored.attachments[0].name));
    assert_eq!(destination.verify(&mailbox, &[manifest(&sent)]).await.unwrap(), [Verdict::Intact]);
    assert!(destination.recover(&mailbox, &sent, &SendPermit::always()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_mailbox_that_refuses_another_sender_is_asked_once() {
    for status in [400, 403] {
        let connection = Connection::new();
        let mailbox = connection.mailbox("bo");
        connection.server.with(|world| world.foreign_from_refused = Some(status));
        let destination = connection.destination();
        destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
        connection.server.clear_log();
        destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap();
        assert_eq!(connection.server.log().len(), 1, "{:#?}", connection.server.log());
        let stored = connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER));
        assert_eq!(stored.len(), 2);
        for message in stored {
            assert!(message.from.is_null());
            assert!(message.properties["String 0x7d"].starts_with("From: \"ana\" <ana@contoso.example>\r\n"));
        }
    }
}

#[tokio::test]
async fn a_request_too_large_is_sent_again_without_its_files() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    destination.import(&mailbox, &[message(9)], &SendPermit::always()).await.remove(0).unwrap();
    connection.server.fail(Fault::once("POST", "/messages", Act::reply(413, "RequestEntityTooLarge")));
    let sent = with_files(1, &[1_000, 2_000]);
    destination.import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap();
    assert_eq!(destination.verify(&mailbox, &[manifest(&sent)]).await.unwrap(), [Verdict::Intact]);
    // Without files there is nothing to leave out.
    connection.server.fail(Fault::once("POST", "/messages", Act::reply(413, "RequestEntityTooLarge")));
    let error = destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(error, ImportError::Rejected(_)), "{error}");
}

#[tokio::test]
async fn mime_too_large_is_created_as_properties() {
    let connection = Connection::new();
    connection.server.with(|world| {
        world.login.roles.push("Mail-Advanced.ReadWrite.All");
        world.import_mime_limit = 1_000_000;
    });
    let mailbox = connection.mailbox("ana");
    let settings = settings(Method::ImportMime);
    let destination = connection.destination_with(settings);
    let large = with_files(1, &[3_500_000]);
    let results = destination.import(&mailbox, &[Arc::clone(&large), message(2)], &SendPermit::always()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let sent = [manifest(&large), manifest(&message(2))];
    assert_eq!(destination.verify(&mailbox, &sent).await.unwrap(), [Verdict::Intact, Verdict::Intact]);
    let by_mime = connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER));
    assert_eq!(by_mime.iter().filter(|message| message.mime.is_some()).count(), 1);
}
