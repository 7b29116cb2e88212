//! The IMAP destination against a scripted server: what each reply and each lost connection means for each message.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use whatsapp_archiver::clock::{ManualClock, SharedClock, SystemClock};
use whatsapp_archiver::mailbox::imap::{AccessTokens, Imap, ImapAuth, ImapSettings, ImapTimeouts, TlsMode};
use whatsapp_archiver::mailbox::self_test::SelfTest as _;
use whatsapp_archiver::mailbox::{Destination, ImportError, RemoteId, SendPermit};
use whatsapp_archiver::resolution::{Mailbox, MailboxId};

use crate::mailbox_contract::{large_message, manifest, message, messages};
use crate::servers::imap_script::{ImapScript, OnAppend, Script, Seen};

mod look_up;
mod sign_in;

const BARE: &str = "IMAP4rev1 AUTH=XOAUTH2";
const MULTI: &str = "IMAP4rev1 AUTH=XOAUTH2 SASL-IR LITERAL+ MULTIAPPEND UIDPLUS";

/// Tokens `token1`, `token2`, …: a new one after each refusal.
#[derive(Default)]
struct Tokens {
    refused: Mutex<u32>,
}

#[async_trait::async_trait]
impl AccessTokens for Tokens {
    async fn token(&self) -> Result<SecretString, ImportError> {
        let number = *self.refused.lock().unwrap() + 1;
        Ok(SecretString::from(format!("token{number}")))
    }

    fn invalidate(&self, refused: &SecretString) {
        assert!(refused.expose_secret().starts_with("token"));
        *self.refused.lock().unwrap() += 1;
    }
}

fn settings(server: &ImapScript) -> ImapSettings {
    ImapSettings {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        tls: TlsMode::None,
        auth: ImapAuth::XOAuth2(Arc::new(Tokens::default())),
        login: "{mailbox}".to_owned(),
        folder: "WhatsApp Archiver".to_owned(),
        connections: 2,
        extra_roots_pem: None,
        timeouts: ImapTimeouts::default(),
        settle: Duration::ZERO,
    }
}

fn destination(server: &ImapScript) -> Imap {
    Imap::new(settings(server), Arc::new(SystemClock)).unwrap()
}

fn ana() -> Mailbox {
    Mailbox { id: MailboxId("ana".to_owned()), address: "ana@contoso.example".to_owned() }
}

/// What became of `count` messages.
async fn import(server: &ImapScript, count: u32) -> Vec<Result<RemoteId, ImportError>> {
    destination(server).import(&ana(), &messages(count), &SendPermit::always()).await
}

fn arrived(results: &[Result<RemoteId, ImportError>]) -> usize {
    results.iter().filter(|result| result.is_ok()).count()
}

#[tokio::test]
async fn a_throttled_mailbox_is_left_alone_for_as_long_as_it_asks() {
    let refusal = "NO Request is throttled. Suggested Backoff Time: 92415 milliseconds";
    let server = ImapScript::start(Script::of_appends([OnAppend::Keep, OnAppend::Answer(refusal)])).await;
    let results = import(&server, 40).await;
    for (place, result) in results.iter().enumerate() {
        match result {
            Err(ImportError::Throttled { after, .. }) => assert_eq!(*after, Some(Duration::from_millis(92_415))),
            // Those under way at that time were taken.
            Ok(_) => assert!(place < 10),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(arrived(&results), server.kept());
    assert!(server.count("APPEND") <= 10, "no more was sent than was under way");
}

#[tokio::test]
async fn a_message_that_is_too_large_stands_alone() {
    for refusal in [
        "NO Maximum size of appendable message has been exceeded.",
        "NO [TOOBIG] Too large.",
        "NO [LIMIT] Message size exceeds fixed limit.",
    ] {
        let server =
            ImapScript::start(Script::of_appends([OnAppend::Keep, OnAppend::Answer(refusal), OnAppend::Keep])).await;
        let results = import(&server, 3).await;
        assert!(matches!(results[..], [Ok(_), Err(ImportError::Rejected(_)), Ok(_)]), "{results:?}");
        assert_eq!(server.kept(), 2);
    }
}

#[tokio::test]
async fn a_large_message_is_sent_only_after_the_server_agreed() {
    let refusal = "NO Maximum size of appendable message has been exceeded.";
    let server = ImapScript::start(Script::of_appends([OnAppend::Keep, OnAppend::RefuseUnread(refusal)])).await;
    let results =
        destination(&server).import(&ana(), &[message(1), large_message(), message(2)], &SendPermit::always()).await;
    assert!(matches!(results[..], [Ok(_), Err(ImportError::Rejected(_)), Ok(_)]), "{results:?}");
    assert_eq!(server.kept(), 2);
    assert_eq!(server.seen(|seen| seen.connections), 1);
}

#[tokio::test]
async fn what_the_server_asks_for_after_the_lease_ran_out_is_not_sent() {
    let server = ImapScript::start(Script { capabilities: BARE, ..Script::default() }).await;
    let results = destination(&server).import(&ana(), &messages(2), &server.permit_until("APPEND")).await;
    for result in &results {
        assert!(matches!(result, Err(ImportError::Unavailable(detail)) if detail.contains("lease")), "{results:?}");
    }
    assert_eq!((server.kept(), server.count("APPEND")), (0, 1));
}

#[tokio::test]
async fn a_message_is_not_sent_to_its_end_after_the_lease_ran_out() {
    let server = ImapScript::start(Script { capabilities: MULTI, ..Script::default() }).await;
    // For the command, for its line, and for as much of the message as one write takes.
    let left = AtomicU32::new(3);
    let permit = SendPermit::new(move || left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok());
    let results = destination(&server).import(&ana(), &[large_message()], &permit).await;
    assert!(matches!(&results[..], [Err(ImportError::OutcomeUnknown(_))]), "{results:?}");
    assert_eq!((server.kept(), server.count("APPEND")), (0, 1));
}

#[tokio::test]
async fn what_was_sent_whole_before_the_lease_ran_out_is_known() {
    let server = ImapScript::start(Script::default()).await;
    let results =
        destination(&server).import(&ana(), &[message(1), large_message()], &server.permit_until("APPEND")).await;
    assert!(matches!(&results[..], [Ok(_), Err(ImportError::Unavailable(_))]), "{results:?}");
    assert_eq!(server.kept(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_connection_that_ends_after_the_lease() {
    let server = ImapScript::start(Script::of_appends([OnAppend::KeepAndHangUp])).await;
    let (destination, permit) = (destination(&server), server.permit_until("APPEND"));
    let sending =
        tokio::spawn(async move { destination.import(&ana(), &[message(1), large_message()], &permit).await });
    let results = tokio::time::timeout(Duration::from_mins(1), sending).await.expect("it ends").unwrap();
    assert!(matches!(&results[..], [Err(_), Err(ImportError::Unavailable(_))]), "{results:?}");
    assert_eq!(server.kept(), 1);
}

#[tokio::test]
async fn a_limit_that_is_announced_costs_nothing() {
    let capabilities = "IMAP4rev1 AUTH=XOAUTH2 SASL-IR LITERAL+ MULTIAPPEND APPENDLIMIT=1000000";
    let server = ImapScript::start(Script { capabilities, ..Script::default() }).await;
    let results =
        destination(&server).import(&ana(), &[message(1), large_message(), message(2)], &SendPermit::always()).await;
    assert!(matches!(results[..], [Ok(_), Err(ImportError::Rejected(_)), Ok(_)]), "{results:?}");
    assert_eq!(server.count("APPEND"), 2);
}

#[tokio::test]
async fn an_unknown_answer_is_deferred_and_the_session_is_not_trusted_again() {
    let server =
        ImapScript::start(Script::of_appends([OnAppend::Answer("BAD Command Error. 10"), OnAppend::Keep])).await;
    let destination = destination(&server);
    let results = destination.import(&ana(), &messages(2), &SendPermit::always()).await;
    assert!(matches!(results[..], [Err(ImportError::Unexpected(_)), Ok(_)]), "{results:?}");
    assert_eq!(arrived(&destination.import(&ana(), &[message(3)], &SendPermit::always()).await), 1);
    assert_eq!(server.seen(|seen| seen.connections), 2);
}

#[tokio::test]
async fn a_missing_right_to_the_mailbox_is_a_matter_of_configuration() {
    let script = Script { refuses_all: Some("BAD User is authenticated but not connected."), ..Script::default() };
    let server = ImapScript::start(script).await;
    let results = import(&server, 2).await;
    assert!(matches!(results[..], [Err(ImportError::Forbidden(_)), Err(ImportError::Forbidden(_))]), "{results:?}");

    let refusal = OnAppend::Answer("BAD User is authenticated but not connected.");
    let server = ImapScript::start(Script::of_appends([refusal])).await;
    let results = import(&server, 1).await;
    assert!(matches!(results[..], [Err(ImportError::Forbidden(_))]), "{results:?}");
    let found = destination(&server).recover(&ana(), &message(1), &SendPermit::always()).await;
    assert_eq!(found.unwrap(), None);
}

#[tokio::test]
async fn a_folder_that_went_meanwhile_is_made_once() {
    let gone = OnAppend::Answer("NO [TRYCREATE] Mailbox doesn't exist.");
    let server = ImapScript::start(Script::of_appends([OnAppend::Keep, gone.clone()])).await;
    assert_eq!(arrived(&import(&server, 5).await), 5);
    assert_eq!((server.kept(), server.count("CREATE")), (5, 2));

    let server = ImapScript::start(Script::of_appends(vec![gone; 100])).await;
    let results = import(&server, 1).await;
    assert!(matches!(results[..], [Err(ImportError::Unavailable(_))]), "{results:?}");
    assert_eq!((server.count("CREATE"), server.count("APPEND")), (2, 2));
}

#[tokio::test]
async fn a_connection_lost_after_the_message_leaves_only_what_was_sent_unknown() {
    // Without LITERAL+ a message is sent only after the one before it was answered.
    let appends = VecDeque::from([OnAppend::Keep, OnAppend::KeepAndHangUp]);
    let server = ImapScript::start(Script { capabilities: BARE, appends, ..Script::default() }).await;
    let results = import(&server, 4).await;
    assert!(
        matches!(
            results[..],
            [
                Ok(_),
                Err(ImportError::OutcomeUnknown(_)),
                Err(ImportError::Unavailable(_)),
                Err(ImportError::Unavailable(_))
            ]
        ),
        "{results:?}"
    );
    assert_eq!(server.kept(), 2);
}

#[tokio::test]
async fn a_connection_lost_within_a_message_leaves_it_unknown() {
    for capabilities in [BARE, "IMAP4rev1 AUTH=XOAUTH2 LITERAL+", MULTI] {
        let appends = VecDeque::from([OnAppend::HangUpWithin(10)]);
        let server = ImapScript::start(Script { capabilities, appends, ..Script::default() }).await;
        let results = import(&server, 1).await;
        assert!(matches!(results[..], [Err(ImportError::OutcomeUnknown(_))]), "{capabilities}: {results:?}");
        assert_eq!(server.kept(), 0);
    }
}

#[tokio::test]
async fn what_never_left_is_never_unknown() {
    // Each message waits for the one before it to be answered: until then not a byte of it is sent.
    let appends = [OnAppend::Say("* BYE Server shutting down.")];
    let server = ImapScript::start(Script { capabilities: BARE, ..Script::of_appends(appends) }).await;
    let results = import(&server, 30).await;
    let unknown = results.iter().filter(|result| matches!(result, Err(ImportError::OutcomeUnknown(_)))).count();
    let unsent = results.iter().filter(|result| matches!(result, Err(ImportError::Unavailable(_)))).count();
    assert_eq!((unknown, unsent), (1, 29), "{results:?}");
}

#[tokio::test]
async fn no_more_is_unknown_than_was_under_way() {
    let server = ImapScript::start(Script::of_appends([OnAppend::KeepAndHangUp])).await;
    let results = import(&server, 100).await;
    let unknown = results.iter().filter(|result| matches!(result, Err(ImportError::OutcomeUnknown(_)))).count();
    assert!((1..=8).contains(&unknown), "{unknown}");
    assert!(matches!(results[99], Err(ImportError::Unavailable(_))));
}

#[tokio::test]
async fn many_messages_in_one_command_share_an_unknown_outcome() {
    for append in [OnAppend::KeepAndHangUp, OnAppend::HangUpWithin(5), OnAppend::Say("* BYE Later.")] {
        let appends = VecDeque::from([append]);
        let server = ImapScript::start(Script { capabilities: MULTI, appends, ..Script::default() }).await;
        let results = import(&server, 50).await;
        assert!(results.iter().all(|result| matches!(result, Err(ImportError::OutcomeUnknown(_)))), "{results:?}");
    }
}

#[tokio::test]
async fn many_messages_arrive_in_one_command() {
    let server = ImapScript::start(Script { capabilities: MULTI, ..Script::default() }).await;
    let results = import(&server, 120).await;
    let expected: Vec<_> = (1..=120).map(|uid| RemoteId(format!("7.{uid}"))).collect();
    assert_eq!(results.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
    assert_eq!(server.count("APPEND"), 3);
    let sent: Vec<Vec<u8>> = messages(120).iter().map(|message| message.mime().to_vec()).collect();
    assert!(server.seen(|seen| seen.kept == sent), "in order, byte for byte");
}

#[tokio::test]
async fn one_refused_message_does_not_take_the_others_with_it() {
    let too_large = OnAppend::Answer("NO [TOOBIG] Too large.");
    let appends = VecDeque::from([too_large.clone(), OnAppend::Keep, too_large]);
    let server = ImapScript::start(Script { capabilities: MULTI, appends, ..Script::default() }).await;
    let results = import(&server, 4).await;
    assert!(matches!(results[..], [Ok(_), Err(ImportError::Rejected(_)), Ok(_), Ok(_)]), "{results:?}");
    assert_eq!((server.kept(), server.count("APPEND")), (3, 5));
}

#[tokio::test]
async fn short_literals_go_unasked_and_long_ones_do_not() {
    let capabilities = "IMAP4rev1 AUTH=XOAUTH2 LITERAL- MULTIAPPEND";
    let server = ImapScript::start(Script { capabilities, ..Script::default() }).await;
    let results =
        destination(&server).import(&ana(), &[message(1), large_message(), message(2)], &SendPermit::always()).await;
    assert_eq!(arrived(&results), 3, "{results:?}");
    let lines =
        server.seen(|seen| seen.commands.iter().filter(|line| line.starts_with("APPEND")).cloned().collect::<Vec<_>>());
    assert!(lines[0].ends_with("+}") && !lines[1].ends_with("+}") && lines[2].ends_with("+}"), "{lines:?}");
}

#[tokio::test]
async fn flags_and_date_are_the_messages_own() {
    let server = ImapScript::start(Script::default()).await;
    import(&server, 1).await;
    let expected = r#"APPEND "WhatsApp Archiver" (\Seen) "21-Nov-2026 09:00:01 +0000" {"#;
    assert_eq!(server.count(expected), 1, "{:?}", server.seen(|seen| seen.commands.clone()));
}

#[tokio::test]
async fn a_silent_server_leaves_the_outcome_unknown() {
    let server = ImapScript::start(Script::of_appends([OnAppend::FallSilent])).await;
    let timeouts = ImapTimeouts { silence: Duration::from_millis(300), ..ImapTimeouts::default() };
    let destination = Imap::new(ImapSettings { timeouts, ..settings(&server) }, Arc::new(SystemClock)).unwrap();
    let results = destination.import(&ana(), &messages(1), &SendPermit::always()).await;
    assert!(matches!(results[..], [Err(ImportError::OutcomeUnknown(_))]), "{results:?}");
}

/// A server that says a line now and then, and never answers, is left before it holds everything.
#[tokio::test]
async fn a_server_that_drips_is_left() {
    for drips_at in ["CAPABILITY", "AUTHENTICATE", "NAMESPACE", "SELECT", "APPEND"] {
        let server = ImapScript::start(Script { drips_at: Some(drips_at), ..Script::default() }).await;
        let soon = Duration::from_millis(300);
        let timeouts = ImapTimeouts { sign_in: soon, command: soon, ..ImapTimeouts::default() };
        let destination = Imap::new(ImapSettings { timeouts, ..settings(&server) }, Arc::new(SystemClock)).unwrap();
        let (ana, messages, permit) = (ana(), messages(1), SendPermit::always());
        let importing = destination.import(&ana, &messages, &permit);
        let results = tokio::time::timeout(Duration::from_secs(20), importing).await.expect(drips_at);
        let unknown = matches!(results[..], [Err(ImportError::OutcomeUnknown(_))]);
        let unavailable = matches!(results[..], [Err(ImportError::Unavailable(_))]);
        assert!(unavailable || drips_at == "APPEND" && unknown, "{drips_at}: {results:?}");
    }
}

#[tokio::test]
async fn an_answer_to_something_that_was_not_asked_settles_nothing() {
    for words in ["x1 OK Append completed.", "W1 OK Append completed.", "nonsense"] {
        let server = ImapScript::start(Script::of_appends([OnAppend::Say(words)])).await;
        let results = import(&server, 1).await;
        assert!(matches!(results[..], [Err(ImportError::OutcomeUnknown(_))]), "{words}: {results:?}");
    }
}

#[tokio::test]
async fn remarks_and_unreadable_data_do_no_harm() {
    let answers = vec![(
        "SELECT",
        "* OK [BOGUS ä] Ünïcode\r\n* FLAGS (\\Weird{\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY 9] ok\r\nTAG OK [READ-WRITE] fertig für heute"
            .to_owned(),
    )];
    let server = ImapScript::start(Script { answers, ..Script::default() }).await;
    assert_eq!(arrived(&import(&server, 2).await), 2);

    let server = ImapScript::start(Script::of_appends([OnAppend::Answer("NO [TOOBIG] Größe überschritten")])).await;
    assert!(matches!(import(&server, 1).await[..], [Err(ImportError::Rejected(_))]));
}

#[tokio::test]
async fn a_response_without_end_is_not_read_to_its_end() {
    let answers = vec![("SELECT", format!("* OK {}", "x".repeat(6_000_000)))];
    let server = ImapScript::start(Script { answers, ..Script::default() }).await;
    let results = import(&server, 1).await;
    assert!(matches!(&results[..], [Err(ImportError::Unavailable(detail))] if detail.contains("bytes")), "{results:?}");
}

#[tokio::test]
async fn nothing_is_sent_where_tls_is_not_offered() {
    let server = ImapScript::start(Script::default()).await;
    let settings = ImapSettings { tls: TlsMode::StartTls, ..settings(&server) };
    let destination = Imap::new(settings, Arc::new(SystemClock)).unwrap();
    let results = destination.import(&ana(), &messages(1), &SendPermit::always()).await;
    assert!(matches!(results[..], [Err(ImportError::Forbidden(_))]), "{results:?}");
    assert_eq!(server.seen(|seen| seen.commands.clone()), ["CAPABILITY"]);
}

#[tokio::test]
async fn what_comes_before_tls_is_not_taken_for_what_comes_through_it() {
    let answers = vec![("STARTTLS", "TAG OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN".to_owned())];
    let capabilities = "IMAP4rev1 STARTTLS";
    let server = ImapScript::start(Script { capabilities, answers, ..Script::default() }).await;
    let settings = ImapSettings { tls: TlsMode::StartTls, ..settings(&server) };
    let destination = Imap::new(settings, Arc::new(SystemClock)).unwrap();
    let results = destination.import(&ana(), &messages(1), &SendPermit::always()).await;
    assert!(
        matches!(&results[..], [Err(ImportError::Unavailable(detail))] if detail.contains("before TLS")),
        "{results:?}"
    );
}

#[tokio::test]
async fn a_session_is_kept_for_its_mailbox_alone() {
    let server = ImapScript::start(Script::default()).await;
    let destination = destination(&server);
    let others: Vec<Mailbox> = ["bo", "cy"]
        .map(|name| Mailbox { id: MailboxId(name.to_owned()), address: format!("{name}@contoso.example") })
        .into();
    for _ in 0..3 {
        assert_eq!(arrived(&destination.import(&ana(), &messages(2), &SendPermit::always()).await), 2);
    }
    assert_eq!(server.seen(|seen| seen.connections), 1);
    for other in &others {
        assert_eq!(arrived(&destination.import(other, &messages(2), &SendPermit::always()).await), 2);
    }
    assert_eq!((server.seen(|seen| seen.connections), server.count("AUTHENTICATE")), (3, 3));
}

/// The one who had the address may have left, and somebody else may have it: no session outlives the pair of the two.
#[tokio::test]
async fn a_mailbox_with_another_address_and_an_address_with_another_mailbox_are_signed_in_to_anew() {
    let server = ImapScript::start(Script::default()).await;
    let destination = destination(&server);
    let renamed = Mailbox { address: "ana.quist@contoso.example".to_owned(), ..ana() };
    let newcomer = Mailbox { id: MailboxId("nora".to_owned()), ..ana() };
    for mailbox in [ana(), renamed, newcomer] {
        assert_eq!(arrived(&destination.import(&mailbox, &messages(1), &SendPermit::always()).await), 1);
    }
    let sign_ins = server.seen(Seen::sign_ins);
    let [ana, renamed, newcomer] = &sign_ins[..] else { panic!("{sign_ins:?}") };
    assert!(ana.contains("=ana@contoso.example") && newcomer == ana, "{sign_ins:?}");
    assert!(renamed.contains("=ana.quist@contoso.example"), "{sign_ins:?}");
}

#[tokio::test]
async fn a_session_that_was_idle_is_asked_first_and_replaced_in_the_end() {
    let server = ImapScript::start(Script::default()).await;
    let clock = Arc::new(ManualClock::standing(chrono::DateTime::UNIX_EPOCH));
    let destination = Imap::new(settings(&server), Arc::clone(&clock) as SharedClock).unwrap();
    let numbers = || (server.seen(|seen| seen.connections), server.count("NOOP"));
    assert_eq!(arrived(&destination.import(&ana(), &messages(1), &SendPermit::always()).await), 1);
    clock.advance(Duration::from_secs(5));
    assert_eq!(arrived(&destination.import(&ana(), &messages(1), &SendPermit::always()).await), 1);
    assert_eq!(numbers(), (1, 0));
    clock.advance(Duration::from_secs(15));
    assert_eq!(arrived(&destination.import(&ana(), &messages(1), &SendPermit::always()).await), 1);
    assert_eq!(numbers(), (1, 1));
    clock.advance(Duration::from_secs(61));
    assert_eq!(arrived(&destination.import(&ana(), &messages(1), &SendPermit::always()).await), 1);
    assert_eq!(numbers(), (2, 1));
}

#[tokio::test]
async fn a_full_mailbox_is_not_filled_again_and_again() {
    let appends = vec![OnAppend::Answer("NO [OVERQUOTA] Quota exceeded"); 1_000];
    let server = ImapScript::start(Script { capabilities: MULTI, ..Script::of_appends(appends) }).await;
    let results = import(&server, 20).await;
    assert!(
        results.iter().all(|result| matches!(result, Err(ImportError::Forbidden(why)) if why.contains("full"))),
        "{results:?}"
    );
    // All together, then the first few alone.
    assert_eq!(server.count("APPEND"), 1 + 3);
}

#[tokio::test]
async fn a_self_test_removes_nothing_of_others_and_says_what_it_leaves() {
    // The look-ups find a message, which another is marked beside.
    let answers = vec![
        ("UID SEARCH DELETED", "* SEARCH 9\r\nTAG OK done".to_owned()),
        ("UID SEARCH", "* SEARCH 3\r\nTAG OK done".to_owned()),
    ];
    let server = ImapScript::start(Script { capabilities: BARE, answers, ..Script::default() }).await;
    let findings = destination(&server).self_test(&ana()).await;
    let clean_up = findings.last().unwrap().to_string();
    assert!(clean_up.contains("other messages") && clean_up.contains("by hand"), "{clean_up}");
    assert_eq!((server.count("EXPUNGE"), server.count("UID STORE")), (0, 0));

    let refusal = OnAppend::Answer("NO [NOPERM] Permission denied");
    let server = ImapScript::start(Script::of_appends([refusal])).await;
    let findings = destination(&server).self_test(&ana()).await;
    assert!(findings.len() == 1 && !findings[0].is_good(), "{findings:?}");
}
