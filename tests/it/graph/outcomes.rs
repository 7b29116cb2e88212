//! Lost answers, half-finished messages, refusals: what is certain and what is not.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::convert::Message;
use whatsapp_archiver::mailbox::{Destination as _, ImportError, SendPermit, Verdict};
use whatsapp_archiver::resolution::Mailbox;

use super::create_message::with_files;
use crate::mailbox_contract::{manifest, message};
use crate::servers::graph::client::Connection;
use crate::servers::graph::{Act, Fault, RetryAfter};

/// After whatever happened to a large message, recovery leaves one whole copy.
async fn assert_completed(connection: &Connection, mailbox: &Mailbox, sent: &Arc<Message>) {
    let destination = connection.destination();
    assert!(destination.recover(mailbox, sent, &SendPermit::always()).await.unwrap().is_some());
    assert_eq!(destination.verify(mailbox, &[manifest(sent)]).await.unwrap(), [Verdict::Intact]);
    let log = connection.server.log().len();
    assert!(destination.recover(mailbox, sent, &SendPermit::always()).await.unwrap().is_some());
    let again = connection.server.log().split_off(log);
    assert!(again.iter().all(|line| line.starts_with("GET") || line.contains("/oauth2/")), "{again:#?}");
}

#[tokio::test]
async fn a_half_finished_message_is_completed_whatever_broke_it() {
    let broken = [
        // The session is not made, or its making is not answered.
        Fault::once("POST", "createUploadSession", Act::Drop),
        Fault::once("POST", "createUploadSession", Act::CommitThen(Box::new(Act::Drop))),
        Fault::once("POST", "createUploadSession", Act::reply(500, "generalException")),
        // The first piece is lost, before and after it arrived.
        Fault::once("PUT", "upload/", Act::Drop),
        Fault::once("PUT", "upload/", Act::CommitThen(Box::new(Act::Drop))),
        Fault::once("PUT", "upload/", Act::CommitThen(Box::new(Act::reply(504, "")))),
        Fault::once("PUT", "upload/", Act::reply(404, "ErrorItemNotFound")),
        // The file that is posted is lost, before and after it arrived.
        Fault::once("POST", "/attachments", Act::Drop),
        Fault::once("POST", "/attachments", Act::CommitThen(Box::new(Act::Drop))),
    ];
    let sent = with_files(1, &[2_700_000, 4_000_000]);
    for fault in broken {
        let connection = Connection::new();
        let mailbox = connection.mailbox("ana");
        let destination = connection.destination();
        destination.import(&mailbox, &[message(9)], &SendPermit::always()).await.remove(0).unwrap();
        let shown = format!("{fault:?}");
        connection.server.fail(fault);
        let error =
            destination.import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap_err();
        assert!(matches!(error, ImportError::OutcomeUnknown(_)), "{shown}: {error}");
        let verdict = destination.verify(&mailbox, &[manifest(&sent)]).await.unwrap().remove(0);
        assert!(matches!(verdict, Verdict::LacksFiles { there: 0 | 1, sent: 2 }), "{shown}: {verdict:?}");
        assert_completed(&connection, &mailbox, &sent).await;
    }
}

#[tokio::test]
async fn a_lost_answer_to_the_last_piece_adds_no_second_file() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    let sent = with_files(1, &[3_100_000]);
    connection.server.fail(Fault::once("PUT", "upload/", Act::CommitThen(Box::new(Act::Drop))));
    let error = destination.import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(error, ImportError::OutcomeUnknown(_)), "{error}");
    connection.server.clear_log();
    assert_completed(&connection, &mailbox, &sent).await;
    assert!(connection.server.log().iter().all(|line| !line.starts_with("PUT")));
}

#[tokio::test]
async fn an_upload_that_is_throttled_waits_and_goes_on() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    connection.server.fail(Fault::once("PUT", "upload/", Act::throttle(RetryAfter::Seconds(30))).times(2));
    connection.server.fail(Fault::once("POST", "createUploadSession", Act::throttle(RetryAfter::None)));
    let sent = with_files(1, &[4_500_000]);
    connection.destination().import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap();
    assert_eq!(connection.destination().verify(&mailbox, &[manifest(&sent)]).await.unwrap(), [Verdict::Intact]);
}

#[tokio::test]
async fn a_change_that_needs_another_permission_names_it_and_stays_unknown() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    connection.server.with(|world| world.changes_need_advanced = true);
    let destination = connection.destination();
    let sent = with_files(1, &[3_100_000]);
    let error = destination.import(&mailbox, &[Arc::clone(&sent)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(&error, ImportError::OutcomeUnknown(text) if text.contains("Mail-Advanced")), "{error}");
    let error = destination.recover(&mailbox, &sent, &SendPermit::always()).await.unwrap_err();
    assert!(matches!(&error, ImportError::Forbidden(text) if text.contains("Mail-Advanced.ReadWrite.All")), "{error}");

    connection.server.with(|world| world.login.roles.push("Mail-Advanced.ReadWrite.All"));
    connection.server.with(|world| world.login.revoke());
    assert_completed(&connection, &mailbox, &sent).await;
}

#[tokio::test]
async fn every_server_error_after_a_post_is_an_unknown_outcome() {
    for status in [500, 502, 503, 504] {
        for commits in [false, true] {
            let connection = Connection::new();
            let mailbox = connection.mailbox("ana");
            let destination = connection.destination();
            destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
            let act = Act::reply(status, "generalException");
            let act = if commits { Act::CommitThen(Box::new(act)) } else { act };
            connection.server.fail(Fault::once("POST", "/messages", act));
            let error = destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap_err();
            assert!(matches!(error, ImportError::OutcomeUnknown(_)), "{status}: {error}");
            assert_eq!(
                destination.recover(&mailbox, &message(2), &SendPermit::always()).await.unwrap().is_some(),
                commits
            );
        }
    }
}

#[tokio::test]
async fn server_errors_before_anything_is_made_are_certain() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    connection.server.fail(Fault::once("GET", "mailFolders", Act::reply(500, "generalException")));
    let error =
        connection.destination().import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(error, ImportError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_new_message_can_stay_invisible_until_it_has_settled() {
    let connection = Connection::standing();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    connection.server.with(|world| world.settle = TimeDelta::seconds(90));
    connection.server.fail(Fault::once("POST", "/messages", Act::CommitThen(Box::new(Act::Drop))));
    let error = destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(error, ImportError::OutcomeUnknown(_)), "{error}");
    assert_eq!(destination.recover(&mailbox, &message(1), &SendPermit::always()).await.unwrap(), None);
    assert_eq!(destination.settle(), Duration::from_mins(2));
    connection.clock.advance(destination.settle());
    assert!(destination.recover(&mailbox, &message(1), &SendPermit::always()).await.unwrap().is_some());
}

#[tokio::test]
async fn an_expired_token_is_replaced_once() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    connection.server.with(|world| world.login.revoke());
    destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap();
    assert_eq!(connection.server.with(|world| world.login.issued()), 1, "one new token after all were taken back");

    let refuse = Act::reply(401, "InvalidAuthenticationToken");
    connection.server.fail(Fault::always("/messages", refuse));
    connection.server.clear_log();
    let error = destination.import(&mailbox, &[message(3)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(error, ImportError::Forbidden(_)), "{error}");
    let posts = connection.server.log().iter().filter(|line| line.ends_with("/messages 401")).count();
    assert_eq!(posts, 2, "sent twice, not more");
}

#[tokio::test]
async fn a_missing_permission_is_named_and_rbac_is_enough() {
    let connection = Connection::new();
    connection.server.with(|world| world.login.roles = vec!["User.Read.All"]);
    let (ana, bo) = (connection.mailbox("ana"), connection.mailbox("bo"));
    connection.server.with(|world| world.rbac_scope.insert(bo.id.0.clone()));
    let destination = connection.destination();
    let error = destination.import(&ana, &[message(1)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(&error, ImportError::Forbidden(text) if text.contains("Mail.ReadWrite")), "{error}");
    destination.import(&bo, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
}

#[tokio::test]
async fn a_mailbox_without_a_licence_is_pending_and_not_rejected() {
    let connection = Connection::new();
    let ana = connection.mailbox("ana");
    connection.server.with(|world| {
        world.users.iter_mut().for_each(|user| user.spec.no_mailbox = Some("MailboxNotEnabledForRESTAPI"));
    });
    let error =
        connection.destination().import(&ana, &[message(1)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(&error, ImportError::Forbidden(text) if text.contains("licence")), "{error}");
}

#[tokio::test]
async fn a_sign_in_that_fails_leaves_no_doubt() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    connection.server.with(|world| world.login.secrets.clear());
    let error =
        connection.destination().import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(&error, ImportError::Forbidden(text) if text.contains("AADSTS7000215")), "{error}");
}

#[tokio::test]
async fn an_answer_that_can_not_be_read_is_an_unknown_outcome() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    connection.server.fail(Fault::once("POST", "/messages", Act::Alter(|reply| *reply = serde_json::json!([1]))));
    let error = destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(error, ImportError::OutcomeUnknown(_)), "{error}");
    assert!(destination.recover(&mailbox, &message(1), &SendPermit::always()).await.unwrap().is_some());
}

#[tokio::test]
async fn what_waits_to_be_finished_is_left_when_the_program_stops() {
    let connection = Connection::standing();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    destination.import(&mailbox, &[message(9)], &SendPermit::always()).await.remove(0).unwrap();
    connection.server.fail(Fault::once("PUT", "upload/", Act::throttle(RetryAfter::Seconds(300))));
    let sent = [with_files(1, &[4_500_000])];
    let stop = CancellationToken::new();
    let permit = SendPermit::always().until(stop.clone());
    let import = async {
        let error = destination.import(&mailbox, &sent, &permit).await.remove(0).unwrap_err();
        assert!(matches!(error, ImportError::OutcomeUnknown(_)), "{error}");
    };
    let others = async {
        while destination.closed_until(&mailbox).is_none() {
            tokio::task::yield_now().await;
        }
        // Whoever comes meanwhile is told at once, and waits behind nobody.
        let error = destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap_err();
        assert!(matches!(error, ImportError::Throttled { after: Some(_), .. }), "{error}");
        stop.cancel();
    };
    tokio::join!(import, others);
    connection.clock.advance(Duration::from_mins(5));
    assert_completed(&connection, &mailbox, &sent[0]).await;
}

#[tokio::test]
async fn an_endless_pause_is_not_waited_for() {
    let connection = Connection::standing();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    connection.server.fail(Fault::once("PUT", "upload/", Act::throttle(RetryAfter::Seconds(3_000))));
    let error = destination
        .import(&mailbox, &[with_files(1, &[4_500_000])], &SendPermit::always())
        .await
        .remove(0)
        .unwrap_err();
    assert!(matches!(error, ImportError::OutcomeUnknown(_)), "{error}");
}
