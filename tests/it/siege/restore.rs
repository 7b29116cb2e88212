//! Whole archive folders are deleted for good. `verify --restore` fills them again: each message once, and no other.

use std::fs;

use serde_json::Value;

use super::mailboxes::Town;
use super::site::{Site, Staged, census};
use crate::kill::reported;
use crate::servers::dovecot::PASSWORD;
use crate::servers::graph::GraphServer;
use crate::servers::imap_client::ImapClient;

const ARCHIVE: &str = "WhatsApp Archiver";

/// Deletes the archive folders of every second person; returns how many messages that were.
fn delete_archives(site: &Site) -> usize {
    let victims: Vec<&String> = site.population.employees.iter().step_by(2).collect();
    for address in &victims {
        match &site.town {
            Town::Maildirs => {
                let mailbox = site.directory.path().join("mailboxes").join(address);
                fs::remove_dir_all(mailbox.join(format!(".{ARCHIVE}"))).unwrap_or_default();
            }
            Town::Dovecot { server, .. } => {
                let mut person = ImapClient::sign_in(server.port, address, PASSWORD);
                // Who got nothing has none.
                let _ = person.command(&format!("DELETE \"{ARCHIVE}\""));
            }
            Town::Graph { server, .. } => server.with(|world| {
                let user = world.users.iter().find(|user| user.spec.principal_name == **address).unwrap().id.clone();
                if world.mailboxes.contains_key(&user) {
                    world.delete_folder(&user, ARCHIVE);
                }
            }),
        }
    }
    victims.iter().filter_map(|address| site.population.expected.get(*address)).map(Vec::len).sum()
}

fn is_restored(town: Town) {
    let what = town.name();
    let site = Site::new(&census(30, "r", 11), town, Staged::Locally);
    site.run_until_done(1, what);
    let deleted = delete_archives(&site);
    assert!(deleted > 10, "{what}: {deleted}");
    let restored = site.command(&["verify", "--restore", "--format", "json"]).output().unwrap();
    assert_eq!(restored.status.code(), Some(1), "{what}: {}", reported(&restored));
    let found: Value = serde_json::from_slice(&restored.stdout).unwrap();
    assert_eq!(found["missing"].as_array().unwrap().len(), deleted, "{what}");
    // The next run changes nothing. (In the books a restored copy counts twice: as it was imported, and as it was restored.)
    site.run_until_done(1, what);
    site.judge_mailboxes(what);
    let verified = site.command(&["verify"]).output().unwrap();
    assert!(verified.status.success(), "{what}: {}", reported(&verified));
}

#[test]
fn deleted_maildirs_are_restored() {
    is_restored(Town::Maildirs);
}

#[test]
fn deleted_folders_of_an_imap_server_are_restored() {
    is_restored(Town::dovecot(&Town::new_dovecot()));
}

#[test]
fn deleted_folders_of_a_tenant_are_restored() {
    for method in ["create-message", "import-mime"] {
        is_restored(Town::graph(GraphServer::start(), method));
    }
}
