//! The IMAP destination against real servers: the contract of all destinations, with all that Dovecot offers, with as little as IMAP
//! allows, and on Cyrus; TLS, sign-in, quota.

use std::sync::{Arc, Mutex};

use whatsapp_archiver::mailbox::imap::{ImapSettings, TlsMode};
use whatsapp_archiver::mailbox::self_test::{Finding, SelfTest as _};
use whatsapp_archiver::mailbox::{Destination, ImportError, SendPermit, Verdict};
use whatsapp_archiver::resolution::Mailbox;

use crate::mailbox_contract::{
    Harness, assert_archived, contract_tests, import_all, large_message, manifest, message, messages,
};
use crate::servers::dovecot::{Dovecot, DovecotOptions, PASSWORD, Storage};

mod harness;

use harness::{FOLDER, ImapHarness, destination, mailbox, settings};

/// As little as there is: no MULTIAPPEND, LITERAL+, UIDPLUS or NAMESPACE.
const BARE: &str = "IMAP4rev1 MOVE";

mod with_all_that_dovecot_offers {
    use super::*;

    async fn start() -> ImapHarness {
        ImapHarness::dovecot(DovecotOptions { prefix: "INBOX/", ..DovecotOptions::default() }).await
    }
    contract_tests!(start);
}

mod with_as_little_as_imap_allows {
    use super::*;

    async fn start() -> ImapHarness {
        let options = DovecotOptions { storage: Storage::Mdbox, capabilities: Some(BARE), ..DovecotOptions::default() };
        ImapHarness::dovecot(options).await
    }
    contract_tests!(start);
}

mod with_literal_plus_alone {
    use super::*;

    async fn start() -> ImapHarness {
        let capabilities = Some("IMAP4rev1 SASL-IR LITERAL+ UIDPLUS NAMESPACE MOVE");
        ImapHarness::dovecot(DovecotOptions { capabilities, ..DovecotOptions::default() }).await
    }
    contract_tests!(start);
}

#[cfg(feature = "test-cyrus")]
mod on_cyrus {
    use super::*;

    async fn start() -> ImapHarness {
        ImapHarness::cyrus().await
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
        let results = destination(trusting.clone()).import(&ana, &messages(60), &SendPermit::always()).await;
        assert!(results.iter().all(Result::is_ok), "{tls:?}: {results:?}");

        // The certificate is for another name.
        let elsewhere = ImapSettings { host: "127.0.0.1".to_owned(), ..trusting };
        let results = destination(elsewhere).import(&ana, &messages(1), &SendPermit::always()).await;
        assert!(
            matches!(&results[..], [Err(ImportError::Unavailable(detail))] if detail.contains("TLS")),
            "{results:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_from_an_unknown_authority_is_refused() {
    let dovecot = Dovecot::start(&DovecotOptions::default());
    let other = Dovecot::start(&DovecotOptions::default());
    let password = Arc::new(Mutex::new(PASSWORD.to_owned()));
    let settings = ImapSettings {
        extra_roots_pem: Some(other.ca_pem.clone().into_bytes()),
        ..settings("localhost", dovecot.tls_port, TlsMode::Implicit, &password)
    };
    let results = destination(settings).import(&mailbox("ana"), &messages(1), &SendPermit::always()).await;
    assert!(matches!(results[..], [Err(ImportError::Unavailable(_))]), "{results:?}");
}

#[tokio::test]
async fn a_wrong_password_is_a_matter_of_configuration() {
    let dovecot = Dovecot::start(&DovecotOptions::default());
    let password = Arc::new(Mutex::new("wrong".to_owned()));
    let results = destination(settings("127.0.0.1", dovecot.port, TlsMode::None, &password))
        .import(&mailbox("ana"), &messages(2), &SendPermit::always())
        .await;
    let [Err(ImportError::Forbidden(detail)), Err(ImportError::Forbidden(_))] = &results[..] else {
        panic!("{results:?}")
    };
    assert!(detail.contains("ana@contoso.example") && !detail.contains("wrong"), "{detail}");
}

#[tokio::test]
async fn what_fits_into_a_full_mailbox_arrives() {
    let quota = Some(100_000);
    let harness = ImapHarness::dovecot(DovecotOptions { quota, ..DovecotOptions::default() }).await;
    let ana = mailbox("ana");
    let sent = [message(1), large_message(), message(2)];
    let results = harness.destination.import(&ana, &sent, &SendPermit::always()).await;
    assert!(matches!(results[..], [Ok(_), Err(ImportError::Forbidden(_)), Ok(_)]), "{results:?}");
    assert_archived(&harness, &ana, &[message(1), message(2)]).await;

    // Together they don't fit; one by one some do, and each has its own outcome.
    let results = harness.destination.import(&ana, &messages(200)[2..], &SendPermit::always()).await;
    let arrived = results.iter().filter(|result| result.is_ok()).count();
    assert!((1..198).contains(&arrived), "{arrived}");
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(ImportError::Forbidden(_)))), "{results:?}");
    assert_eq!(harness.archived(&ana).await.len(), arrived + 2);
}

#[tokio::test]
async fn a_session_that_the_server_ended_is_replaced_unnoticed() {
    let harness = ImapHarness::dovecot(DovecotOptions::default()).await;
    let ana = mailbox("ana");
    import_all(&harness, &ana, &[message(1)]).await;
    harness.network.hang_up().await;
    import_all(&harness, &ana, &[message(2)]).await;
    assert_archived(&harness, &ana, &messages(2)).await;
}

#[tokio::test]
async fn more_mailboxes_than_connections() {
    let harness = ImapHarness::dovecot(DovecotOptions::default()).await;
    let mailboxes: Vec<Mailbox> = (0..20).map(|number| mailbox(&format!("person{number}"))).collect();
    for _ in 0..2 {
        let permit = SendPermit::always();
        let all = mailboxes.iter().map(|mailbox| harness.destination.import(mailbox, &[], &permit));
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
    let harness = ImapHarness::dovecot(DovecotOptions::default()).await;
    let ana = mailbox("ana");
    import_all(&harness, &ana, &[message(1)]).await;
    let subscribed = harness.person(&ana).command("LSUB \"\" \"*\"").unwrap();
    assert!(subscribed.iter().any(|line| String::from_utf8_lossy(line).contains(FOLDER)), "{subscribed:?}");
}

#[tokio::test]
async fn a_folder_that_is_there_already_is_used() {
    let harness = ImapHarness::dovecot(DovecotOptions::default()).await;
    let ana = mailbox("ana");
    harness.person(&ana).command(&format!("CREATE \"{FOLDER}\"")).unwrap();
    harness.add_foreign(&ana).await;
    import_all(&harness, &ana, &messages(2)).await;
    let manifests: Vec<_> = messages(2).iter().map(|message| manifest(message)).collect();
    assert_eq!(harness.destination.verify(&ana, &manifests).await.unwrap(), [Verdict::Intact, Verdict::Intact]);
    assert_eq!(harness.destination.inventory(&ana).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_mailbox_is_tried_out_and_left_clean() {
    let harness = ImapHarness::dovecot(DovecotOptions::default()).await;
    let ana = harness.make_mailbox("ana").await;
    import_all(&harness, &ana, &messages(2)).await;
    let mut person = harness.person(&ana);
    person.command("SELECT \"WhatsApp Archiver\"").unwrap();
    person.command("STORE 1 +FLAGS (\\Deleted)").unwrap();
    let findings = harness.destination.self_test(&ana).await;
    assert_eq!(findings.len(), 4);
    assert!(findings.iter().all(Finding::is_good), "{findings:#?}");
    // What a person has marked is the person's own.
    assert_archived(&harness, &ana, &messages(2)).await;
}
