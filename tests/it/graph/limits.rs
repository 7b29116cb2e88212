//! The published limits: kept, and obeyed where the server is stricter; one mailbox's wait is its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::convert::Message;
use whatsapp_archiver::mailbox::graph::GraphMailboxes;
use whatsapp_archiver::mailbox::{Destination as _, ImportError, SendPermit};
use whatsapp_archiver::resolution::Mailbox;
use whatsapp_archiver::throttle::Limits;

use super::create_message::with_files;
use crate::mailbox_contract::{message, messages};
use crate::servers::graph::client::{Connection, start_time};
use crate::servers::graph::{Act, Fault, RetryAfter};

#[tokio::test]
async fn never_more_than_four_at_once_for_one_mailbox() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    connection.server.hold();
    let sent: Vec<_> = (2..40).map(message).collect();
    let release = async {
        connection.server.wait_for_in_flight(4).await;
        connection.server.release();
    };
    let (results, ()) = join(destination.import(&mailbox, &sent, &SendPermit::always()), release).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let id = &mailbox.id.0;
    assert_eq!(connection.server.with(|world| world.limits.most_in_flight(id)), 4);
    assert_eq!(connection.server.with(|world| world.limits.refused(id)), 0);
}

/// Imports everything, as the pipeline does: what is certainly not sent is sent again after the pause that was asked for.
async fn drain(connection: &Connection, destination: &GraphMailboxes, mailbox: &Mailbox, messages: &[Arc<Message>]) {
    let mut left: Vec<Arc<Message>> = messages.to_vec();
    while !left.is_empty() {
        let batch: Vec<_> = left.drain(..left.len().min(60)).collect();
        let mut pause = Duration::ZERO;
        for (message, result) in batch.iter().zip(destination.import(mailbox, &batch, &SendPermit::always()).await) {
            match result {
                Ok(_) => {}
                Err(ImportError::Throttled { after, .. }) => {
                    pause = pause.max(after.expect("how long"));
                    left.push(Arc::clone(message));
                }
                Err(error) => panic!("{error}"),
            }
        }
        connection.clock.sleep(pause).await;
    }
}

#[tokio::test]
async fn the_window_of_requests_is_used_up_and_waited_for() {
    let connection = Connection { limits: Limits { requests_per_10m: 50, ..Limits::default() }, ..Connection::new() };
    connection.server.with(|world| world.limits.requests_per_10m = 50);
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    drain(&connection, &destination, &mailbox, &messages(180)).await;
    let id = &mailbox.id.0;
    assert_eq!(connection.server.with(|world| world.limits.refused(id)), 0, "an avoidable refusal");
    assert_eq!(connection.server.with(|world| world.messages_in(id, "WhatsApp Archiver")).len(), 180);
    // 185 requests, 50 in each window (the folder is looked for now and then): at best three windows' wait.
    let took = connection.clock.now() - start_time();
    assert!(took.num_seconds() <= 1_800 * 105 / 100, "{took}");
}

#[tokio::test]
async fn the_window_of_bytes_is_used_up_and_waited_for() {
    let limits = Limits { upload_per_5m: 10_000_000, ..Limits::default() };
    let connection = Connection { limits, ..Connection::new() };
    connection.server.with(|world| world.limits.upload_per_5m = 10_000_000);
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    // One after the other: this clock moves on as soon as anybody waits, even while others are still sending.
    for number in 0..4 {
        drain(&connection, &destination, &mailbox, &[with_files(number, &[4_000_000])]).await;
    }
    assert_eq!(connection.server.with(|world| world.limits.refused(&mailbox.id.0)), 0, "an avoidable refusal");
    let took = connection.clock.now() - start_time();
    assert!(took.num_seconds() <= 300 * 105 / 100, "{took}");
}

#[tokio::test]
async fn a_refusal_says_how_long_the_mailbox_rests() {
    for (retry_after, expected) in [(RetryAfter::Seconds(17), 17), (RetryAfter::Date(23), 23), (RetryAfter::None, 1)] {
        let connection = Connection::standing();
        let mailbox = connection.mailbox("ana");
        let destination = connection.destination();
        destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
        assert_eq!(destination.closed_until(&mailbox), None);
        connection.server.fail(Fault::once("POST", "/messages", Act::throttle(retry_after)));
        let error = destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap_err();
        let ImportError::Throttled { after, .. } = error else { panic!("{error}") };
        assert_eq!(after, Some(Duration::from_secs(expected)));
        let until = start_time() + Duration::from_secs(expected);
        assert_eq!(destination.closed_until(&mailbox), Some(until));
    }
}

#[tokio::test]
async fn a_throttled_mailbox_waits_alone() {
    let connection = Connection::standing();
    let (ana, bo) = (connection.mailbox("ana"), connection.mailbox("bo"));
    let destination = connection.destination();
    destination.import(&ana, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    let throttled = Fault::once("POST", format!("users/{}/", ana.id.0), Act::throttle(RetryAfter::Seconds(600)));
    connection.server.fail(throttled);
    let error = destination.import(&ana, &[message(2)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(error, ImportError::Throttled { .. }), "{error}");

    // Its long wait holds nobody's memory: it is told at once. The other is served while the clock stands still.
    let error = destination.import(&ana, &[message(2)], &SendPermit::always()).await.remove(0).unwrap_err();
    let ImportError::Throttled { after, .. } = error else { panic!("{error}") };
    assert_eq!(after, Some(Duration::from_mins(10)));
    for result in destination.import(&bo, &messages(30), &SendPermit::always()).await {
        result.unwrap();
    }
    connection.clock.advance(Duration::from_mins(10));
    destination.import(&ana, &[message(2)], &SendPermit::always()).await.remove(0).unwrap();
    assert_eq!(connection.server.with(|world| world.messages_in(&ana.id.0, "WhatsApp Archiver")).len(), 2);
}

#[tokio::test]
async fn a_short_wait_is_waited_for() {
    let connection = Connection::standing();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    connection.server.fail(Fault::once("POST", "/messages", Act::throttle(RetryAfter::Seconds(4))));
    destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap_err();
    let sent = [message(2)];
    let permit = SendPermit::always();
    let mut waiting = Box::pin(destination.import(&mailbox, &sent, &permit));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    connection.clock.advance(Duration::from_secs(4));
    waiting.await.remove(0).unwrap();
}

#[tokio::test]
async fn all_mailboxes_together_keep_the_total() {
    let connection = Connection { limits: Limits { concurrency: 6, ..Limits::default() }, ..Connection::new() };
    let mailboxes: Vec<_> = ["a", "b", "c", "d"].map(|name| connection.mailbox(name)).to_vec();
    let destination = connection.destination();
    for mailbox in &mailboxes {
        destination.import(mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    }
    connection.server.hold();
    let sent: Vec<_> = (2..10).map(message).collect();
    let permit = SendPermit::always();
    let all =
        futures_util::future::join_all(mailboxes.iter().map(|mailbox| destination.import(mailbox, &sent, &permit)));
    let release = async {
        connection.server.wait_for_in_flight(6).await;
        // Everybody else had time to come: each try yields to all others.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        let most: usize = connection.server.in_flight();
        connection.server.release();
        most
    };
    let (results, most) = join(all, release).await;
    assert!(results.iter().flatten().all(Result::is_ok));
    assert_eq!(most, 6);
}
