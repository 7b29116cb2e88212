//! The archive folder: hidden, deleted, renamed, made by two at once.

use futures_util::future::join;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::mailbox::{Destination as _, ImportError, SendPermit};

use crate::mailbox_contract::message;
use crate::servers::graph::client::Connection;
use crate::servers::graph::{Act, Fault};

const FOLDER: &str = "WhatsApp Archiver";

#[tokio::test]
async fn two_workers_make_one_folder() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let (one, other) = (connection.destination(), connection.destination());
    // Both see that there is none before either makes it.
    connection.server.hold();
    let release = async {
        connection.server.wait_for_in_flight(2).await;
        connection.server.release();
    };
    let (first, second) = ([message(1)], [message(2)]);
    let permit = SendPermit::always();
    let both = join(one.import(&mailbox, &first, &permit), other.import(&mailbox, &second, &permit));
    // The sign-ins are held first; both workers are past them when the folder is asked for.
    let ((first, second), ()) = join(both, release).await;
    assert!(first[0].is_ok() && second[0].is_ok(), "{first:?} {second:?}");
    let folders = connection.server.with(|world| world.mailbox(&mailbox.id.0).top_folders(FOLDER).count());
    assert_eq!(folders, 1);
    assert_eq!(connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER)).len(), 2);
}

#[tokio::test]
async fn a_folder_that_another_worker_has_just_made_is_used() {
    for status in [400, 409] {
        let connection = Connection::new();
        let mailbox = connection.mailbox("ana");
        connection.server.with(|world| world.add_folder(&mailbox.id.0, FOLDER, false));
        // The list was read before the other worker made it.
        let empty: fn(&mut serde_json::Value) = |reply| reply["value"] = serde_json::json!([]);
        connection.server.fail(Fault::once("GET", "mailFolders", Act::Alter(empty)));
        connection.server.fail(Fault::once("POST", "mailFolders", Act::reply(status, "ErrorFolderExists")));
        connection.destination().import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
        assert_eq!(connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER)).len(), 1);
    }
}

#[tokio::test]
async fn a_hidden_folder_is_found_on_a_later_page() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    connection.server.with(|world| {
        for number in 0..250 {
            world.add_folder(&mailbox.id.0, &format!("Hidden {number}"), true);
        }
        world.add_folder(&mailbox.id.0, "WHATSAPP archiver", true)
    });
    connection.destination().import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    let mailbox = connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER));
    assert_eq!(mailbox.len(), 1);
}

#[tokio::test]
async fn a_folder_that_exists_but_is_not_listed_yet_is_waited_for() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    connection.server.fail(Fault::once("POST", "mailFolders", Act::reply(409, "ErrorFolderExists")));
    let error =
        connection.destination().import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(error, ImportError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_folder_in_the_deleted_items_is_not_used_for_long() {
    let connection = Connection::standing();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    connection.server.with(|world| world.move_to_deleted_items(&mailbox.id.0, FOLDER));
    connection.clock.advance(std::time::Duration::from_mins(16));
    destination.import(&mailbox, &[message(2)], &SendPermit::always()).await.remove(0).unwrap();
    let found = connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER));
    assert_eq!(found.len(), 1, "in a new folder");
    assert_eq!(connection.server.with(|world| world.mailbox(&mailbox.id.0).messages.len()), 2);
    assert!(connection.clock.now() > crate::servers::graph::client::start_time());
}

#[tokio::test]
async fn a_folder_that_is_gone_is_made_again_for_all_at_once() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let destination = connection.destination();
    destination.import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap();
    connection.server.with(|world| world.delete_folder(&mailbox.id.0, FOLDER));
    let sent: Vec<_> = (2..30).map(message).collect();
    for result in destination.import(&mailbox, &sent, &SendPermit::always()).await {
        result.unwrap();
    }
    let folders = connection.server.with(|world| world.mailbox(&mailbox.id.0).top_folders(FOLDER).count());
    assert_eq!(folders, 1);
    assert_eq!(connection.server.with(|world| world.messages_in(&mailbox.id.0, FOLDER)).len(), 28);
}

#[tokio::test]
async fn a_link_that_leads_away_gets_no_token() {
    let connection = Connection::new();
    let mailbox = connection.mailbox("ana");
    let astray: fn(&mut serde_json::Value) = |reply| {
        *reply = serde_json::json!({ "value": [], "@odata.nextLink": "https://attacker.example/v1.0/users" });
    };
    connection.server.fail(Fault::once("GET", "mailFolders", Act::Alter(astray)));
    let error =
        connection.destination().import(&mailbox, &[message(1)], &SendPermit::always()).await.remove(0).unwrap_err();
    assert!(matches!(&error, ImportError::Unexpected(text) if text.contains("leads away")), "{error}");
}
