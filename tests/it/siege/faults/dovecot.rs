//! A real Dovecot: connections that break around a message, a server that is away, a full mailbox, a folder that goes.

use std::sync::Arc;

use crate::servers::dovecot::{Dovecot, DovecotOptions, PASSWORD};
use crate::servers::imap_client::ImapClient;
use crate::servers::imap_proxy::{ImapProxy, Network};
use crate::siege::indoors::{self, Indoors};
use crate::siege::mailboxes::Town;
use crate::siege::site::Staged;

/// An archive in front of a network in front of the server.
async fn behind_a_network(server: &Arc<Dovecot>, label: &str) -> (Indoors, ImapProxy) {
    let network = ImapProxy::before(server.port).await;
    let town = Town::Dovecot { server: Arc::clone(server), port: network.port };
    let indoors = Indoors::new(&indoors::census(16, label, 5), town, Staged::Locally, indoors::clock()).await;
    (indoors, network)
}

#[tokio::test]
async fn connections_break_around_messages() {
    let server = Town::new_dovecot();
    for way in [Network::LosesAnswers, Network::LosesMessages, Network::Down] {
        for times in [1, 2, 30] {
            let (indoors, network) = behind_a_network(&server, &format!("{way:?}{times}").to_lowercase()).await;
            let what = format!("{way:?} for {times} connections");
            network.break_next(way, times);
            indoors.run().await;
            assert!(network.breaks_left() < times, "{what}: it was met");
            network.set(Network::Works).await;
            indoors.finish(&what).await;
        }
    }
}

/// Someone in front of their mail program.
fn person(server: &Dovecot, address: &str) -> ImapClient {
    ImapClient::sign_in(server.port, address, PASSWORD)
}

#[tokio::test]
async fn a_full_mailbox_gets_its_copies_when_there_is_room() {
    let options = DovecotOptions { quota: Some(400_000), ..DovecotOptions::default() };
    let server = Arc::new(Dovecot::start(&options));
    let indoors =
        Indoors::new(&indoors::census(16, "full", 5), Town::dovecot(&server), Staged::Locally, indoors::clock()).await;
    let owner = &indoors.site.population.employees[0];
    let foreign = format!("Subject: large\r\n\r\n{}", "much text\r\n".repeat(36_000));
    person(&server, owner).append("INBOX", foreign.as_bytes());
    for _ in 0..2 {
        let report = indoors.run().await.report;
        assert_eq!(report.status.name(), "incomplete");
        assert!(report.deliveries.pending > 0);
    }
    let mut owner = person(&server, owner);
    owner.command("SELECT INBOX").unwrap();
    owner.command("STORE 1 +FLAGS (\\Deleted)").unwrap();
    owner.command("EXPUNGE").unwrap();
    indoors.finish("the mailbox was full").await;
}

/// Somebody renames the archive folder between two runs of the same process, and during one.
#[tokio::test]
async fn a_folder_that_goes_is_made_again() {
    let server = Town::new_dovecot();
    let (indoors, network) = behind_a_network(&server, "gone").await;
    network.break_next(Network::LosesMessages, 2);
    indoors.run().await;
    for address in &indoors.site.population.employees {
        let renamed = person(&server, address).command("RENAME \"WhatsApp Archiver\" \"Chats of old\"");
        // Where nothing has arrived there may be no folder yet.
        assert!(renamed.is_ok() || renamed.unwrap_err().contains("NONEXISTENT"), "{address}");
    }
    indoors.finish("the folders were renamed").await;
}
