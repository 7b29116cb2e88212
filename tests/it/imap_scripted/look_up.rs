//! Looking copies up: what a server doesn't say is not absence.

use super::*;

#[tokio::test]
async fn an_absent_answer_to_a_search_is_not_absence() {
    for answer in ["TAG OK done", "* SEARCH 1 x2\r\nTAG OK done", "TAG NO [UNAVAILABLE] later", "TAG BAD what"] {
        let answers = vec![("UID SEARCH", answer.to_owned())];
        let server = ImapScript::start(Script { answers, ..Script::default() }).await;
        let found = destination(&server).recover(&ana(), &message(1), &SendPermit::always()).await;
        assert!(found.is_err(), "{answer}: {found:?}");
        let verdicts = destination(&server).verify(&ana(), &[manifest(&message(1))]).await;
        assert!(verdicts.is_err(), "{answer}: {verdicts:?}");
    }
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_not_absence() {
    for answer in ["TAG NO [UNAVAILABLE] later", "TAG BAD what", "* LIST () \"/\" \"\u{e9}\u{e9}\r\nTAG OK done"] {
        let answers = vec![("LIST", answer.to_owned())];
        let server = ImapScript::start(Script { answers, ..Script::default() }).await;
        let found = destination(&server).recover(&ana(), &message(1), &SendPermit::always()).await;
        assert!(found.is_err(), "{answer}: {found:?}");
    }
}

#[tokio::test]
async fn other_peoples_folders_are_not_searched() {
    let server = ImapScript::start(Script::default()).await;
    assert_eq!(destination(&server).recover(&ana(), &message(1), &SendPermit::always()).await.unwrap(), None);
    assert_eq!(server.count("EXAMINE INBOX"), 1);
    assert_eq!(server.count("EXAMINE \"Other"), 0);
}

#[tokio::test]
async fn a_folder_that_can_not_be_opened_is_not_absence() {
    const LISTED: &str = "* LIST () \"/\" \"WhatsApp Archiver\"\r\nTAG OK done";
    const UNLISTED: &str = "* LIST () \"/\" INBOX\r\nTAG OK done";
    const ARCHIVE: &str = "EXAMINE \"WhatsApp Archiver\"";
    for (folder, answer, listed, is_absent) in [
        (ARCHIVE, "NO [NOPERM] Permission denied", LISTED, false),
        (ARCHIVE, "NO [NOPERM] Permission denied", UNLISTED, false),
        (ARCHIVE, "NO Internal error occurred", LISTED, false),
        (ARCHIVE, "NO Mailbox does not exist", UNLISTED, true),
        (ARCHIVE, "NO [NONEXISTENT] No such mailbox", LISTED, true),
        (ARCHIVE, "NO [TRYCREATE] No such mailbox", LISTED, true),
        ("EXAMINE INBOX", "NO Internal error occurred", UNLISTED, false),
        ("EXAMINE INBOX", "NO [NONEXISTENT] No such mailbox", UNLISTED, true),
        ("EXAMINE INBOX", "NO [NOPERM] Permission denied", UNLISTED, true),
    ] {
        let answers = vec![(folder, format!("TAG {answer}")), ("LIST", listed.to_owned())];
        let server = ImapScript::start(Script { answers, ..Script::default() }).await;
        let destination = destination(&server);
        let found = destination.recover(&ana(), &message(1), &SendPermit::always()).await;
        let absent = destination.absent(&ana(), &[message(1).mail.message_id.clone()]).await;
        if is_absent {
            assert_eq!(found.unwrap(), None, "{folder}: {answer}");
            assert_eq!(absent.unwrap().len(), 1, "{folder}: {answer}");
        } else {
            assert!(found.is_err(), "{folder}: {answer}: {found:?}");
            assert!(absent.is_err(), "{folder}: {answer}: {absent:?}");
            let forbidden = matches!(found, Err(ImportError::Forbidden(_)));
            assert_eq!(forbidden, answer.contains("NOPERM"), "{found:?}");
        }
        if folder == ARCHIVE {
            assert_eq!(destination.inventory(&ana()).await.is_ok(), is_absent, "{answer}");
        }
    }
}

#[tokio::test]
async fn many_are_looked_for_with_a_few_commands() {
    let server = ImapScript::start(Script::default()).await;
    let ids: Vec<_> = messages(50).iter().map(|message| message.mail.message_id.clone()).collect();
    assert_eq!(destination(&server).absent(&ana(), &ids).await.unwrap().len(), 50);
    assert_eq!(server.count("EXAMINE"), 2);
    assert_eq!(server.count("UID SEARCH"), 4 + 1);
    let longest = server.seen(|seen| seen.commands.iter().map(String::len).max());
    assert!(longest < Some(2_000), "{longest:?}");
}
